"""Where the boxes of a layered drawing stand, and how the arrows between them run.

The steps are those of Sugiyama, Tagawa and Toda (*Methods for Visual Understanding of Hierarchical System Structures*,
1981): layers by depth, an order within each layer that crosses few arrows, and places that keep arrows straight. An
arrow over several layers passes through a gap that is kept for it in each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final

GAP: Final = 36.0
"""Between neighbours in a layer."""

RISE: Final = 46.0
"""Between layers."""

_SWEEPS: Final = 12
_LANE: Final = 10.0
"""The width that is kept for an arrow that passes."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """A drawing, from its upper left corner on.

    Attributes:
        width, height: of all of it.
        centres: of the boxes, by name.
        rows: the upper and the lower edge of each layer.
        routes: for each arrow, by its ends, where it begins, passes and ends; every second stretch, from the second
            on, is straight.
    """

    width: float
    height: float
    centres: Mapping[str, Point]
    rows: Sequence[tuple[float, float]]
    routes: Mapping[tuple[str, str], Sequence[Point]]


def arrange(sizes: Mapping[str, Point], after: Mapping[str, Sequence[str]]) -> Layout:
    """Place boxes of these widths and heights; ``after`` says for each which others stand above it.

    Names stand in an order in which each comes after all that stand above it.
    """
    drawing = _Drawing(sizes, after)
    drawing.order()
    drawing.place()
    return drawing.layout()


@dataclass
class _Drawing:
    sizes: Mapping[str, Point]
    after: Mapping[str, Sequence[str]]
    layers: list[list[str]] = field(default_factory=list[list[str]])
    above: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    below: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    lanes: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])
    x: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        depth: dict[str, int] = {}
        for name in self.sizes:
            depth[name] = 1 + max((depth[other] for other in self.after[name]), default=-1)
            self._add(name, depth[name])
        for name in self.sizes:
            for other in self.after[name]:
                self._connect(other, name, depth)

    def _add(self, name: str, layer: int) -> None:
        while len(self.layers) <= layer:
            self.layers.append([])
        self.layers[layer].append(name)
        self.above[name], self.below[name] = [], []

    def _connect(self, source: str, target: str, depth: Mapping[str, int]) -> None:
        lanes = [f"{source}\0{target}\0{layer}" for layer in range(depth[source] + 1, depth[target])]
        for layer, lane in enumerate(lanes, depth[source] + 1):
            self._add(lane, layer)
        self.lanes[source, target] = lanes
        stations = [source, *lanes, target]
        for upper, lower in pairwise(stations):
            self.below[upper].append(lower)
            self.above[lower].append(upper)

    # ------------------------------------------------------------------ order

    def order(self) -> None:
        """Try the middle of the neighbours above and below in turn, and keep what crosses least."""
        best, fewest = [list(layer) for layer in self.layers], self._crossings()
        for sweep in range(_SWEEPS):
            if fewest == 0:
                break
            downwards = sweep % 2 == 0
            neighbours = self.above if downwards else self.below
            for number in range(len(self.layers)) if downwards else reversed(range(len(self.layers))):
                self.layers[number] = self._by_middle(self.layers[number], neighbours)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _by_middle(self, layer: list[str], neighbours: Mapping[str, list[str]]) -> list[str]:
        places = {name: place for row in self.layers for place, name in enumerate(row)}

        def middle(name: str) -> float:
            found = [places[other] for other in neighbours[name]]
            return sum(found) / len(found) if found else places[name]

        return sorted(layer, key=middle)

    def _crossings(self) -> int:
        count = 0
        for upper, lower in pairwise(self.layers):
            places = {name: place for place, name in enumerate(lower)}
            ends = [sorted(places[other] for other in self.below[name]) for name in upper]
            for number, one in enumerate(ends):
                count += sum(a > b for a in one for other in ends[number + 1 :] for b in other)
        return count

    # ------------------------------------------------------------------ places

    def place(self) -> None:
        """Each box, as near as its neighbours in the layer allow, to the middle of those that it is joined to."""
        for layer in self.layers:
            self._fit(layer, lambda _: 0.0)
        for sweep in range(_SWEEPS):
            neighbours = (self.above, self.below)[sweep % 2]
            for layer in self.layers if sweep % 2 == 0 else reversed(self.layers):
                self._fit(layer, partial(self._wanted, neighbours))

    def _wanted(self, neighbours: Mapping[str, list[str]], name: str) -> float:
        found = [self.x[other] for other in neighbours[name]]
        return sum(found) / len(found) if found else self.x[name]

    def _fit(self, layer: Sequence[str], wanted: Callable[[str], float]) -> None:
        """The places nearest to what is wanted that keep order and distance: isotonic regression, by pooling."""
        offsets = [0.0]
        for left, right in pairwise(layer):
            offsets.append(offsets[-1] + (self._width(left) + self._width(right)) / 2 + GAP)
        pools: list[tuple[float, int]] = []
        for name, offset in zip(layer, offsets, strict=True):
            value, size = wanted(name) - offset, 1
            while pools and pools[-1][0] > value:
                other, count = pools.pop()
                value, size = (value * size + other * count) / (size + count), size + count
            pools.append((value, size))
        values = [value for value, size in pools for _ in range(size)]
        self.x |= {name: value + offset for name, value, offset in zip(layer, values, offsets, strict=True)}

    def _width(self, name: str) -> float:
        return self.sizes[name][0] if name in self.sizes else _LANE

    # ------------------------------------------------------------------ the result

    def layout(self) -> Layout:
        left = min((self.x[name] - self._width(name) / 2 for name in self.x), default=0.0)
        right = max((self.x[name] + self._width(name) / 2 for name in self.x), default=0.0)
        rows: list[tuple[float, float]] = []
        for layer in self.layers:
            top = rows[-1][1] + RISE if rows else 0.0
            rows.append((top, top + max(self.sizes[name][1] for name in layer if name in self.sizes)))
        row_of = {name: row for row, layer in zip(rows, self.layers, strict=True) for name in layer}
        centres = {name: (self.x[name] - left, sum(row_of[name]) / 2) for name in self.sizes}
        routes: dict[tuple[str, str], Sequence[Point]] = {}
        for (source, target), lanes in self.lanes.items():
            (from_x, from_y), (to_x, to_y) = centres[source], centres[target]
            passed = [(self.x[lane] - left, edge) for lane in lanes for edge in row_of[lane]]
            start, end = from_y + self.sizes[source][1] / 2, to_y - self.sizes[target][1] / 2
            routes[source, target] = [(from_x, start), *passed, (to_x, end)]
        return Layout(right - left, rows[-1][1] if rows else 0.0, centres, rows, routes)
