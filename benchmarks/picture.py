"""The results as a picture: sagas per second of everybody, and how long one takes, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.contestant import BARE, PEERS, SAGAFLOW, Contestant
from benchmarks.figures import P50, RATE
from benchmarks.results import Figure, Middle, Results
from benchmarks.task import GROUP, SEQUENCE, UNDONE

_COLOURS: Final = {BARE: "#9aa5b1", SAGAFLOW: "#1f77b4", PEERS: "#e08a3c"}
_ROWS: Final = (
    (SEQUENCE, RATE, "three steps: sagas/s"),
    (UNDONE, RATE, "the third fails, two are undone: sagas/s"),
    (GROUP, RATE, "two side by side in the middle: sagas/s"),
    (SEQUENCE, P50, "three steps, one saga at a time: p50 in ms"),
)
_HEIGHT: Final = 0.24  # inches of one bar


class Panel(NamedTuple):
    """One figure of those who are compared; no bars if nobody was measured."""

    title: str
    bars: list[tuple[Contestant, Middle]]


def panels(results: Results, contestants: Sequence[Contestant]) -> list[tuple[Panel, Panel]]:
    """Row by row, those on servers and those without; rows with nobody are left out."""
    drawn = [one for one in contestants if one.kind in _COLOURS and one.drawn]
    found: list[tuple[Panel, Panel]] = []
    for workload, name, title in _ROWS:
        middles = [(one, results.middle(Figure(one.name, workload, name))) for one in drawn]
        bars = [(one, middle) for one, middle in middles if middle is not None]
        if bars:
            servers = Panel(f"RabbitMQ and MongoDB, {title}", [bar for bar in bars if bar[0].servers])
            found.append((servers, Panel(f"Embedded, {title}", [bar for bar in bars if not bar[0].servers])))
    return found


def draw(results: Results, contestants: Sequence[Contestant], file: Path) -> bool:
    """Draw what was measured of the three workloads; whether there was something to draw, and matplotlib to draw it.

    Bars begin at zero. The lines at their ends are the least and the greatest of all rounds.
    """
    rows = panels(results, contestants)
    if not rows or find_spec("matplotlib") is None:
        return False
    # It comes with an extra of its own, and is not there for those who only check types.
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "sagaflow", "font.size": 7})
    pyplot: Any = import_module("matplotlib.pyplot")
    heights = [max(len(panel.bars) for panel in row) for row in rows]
    figure, axes = pyplot.subplots(
        *(len(rows), 2),
        figsize=(11, _HEIGHT * sum(heights) + 0.6 * len(rows)),
        height_ratios=[_HEIGHT * height + 0.2 for height in heights],
        squeeze=False,
    )
    for row, its_axes in zip(rows, axes, strict=True):
        for panel, axis in zip(row, its_axes, strict=True):
            _fill(axis, panel, max(len(other.bars) for other in row))
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return True


def _fill(axis: Any, panel: Panel, places: int) -> None:
    if not panel.bars:
        axis.set_axis_off()
        return
    medians = [middle.median for _, middle in panel.bars]
    errors = [
        [middle.median - middle.least for _, middle in panel.bars],
        [middle.greatest - middle.median for _, middle in panel.bars],
    ]
    colours = [_COLOURS[one.kind] for one, _ in panel.bars]
    axis.barh(range(len(medians)), medians, xerr=errors, color=colours, ecolor="#444", height=0.7)
    axis.set_yticks(range(len(medians)), [one.name for one, _ in panel.bars])
    axis.set_ylim(places - 0.5, -0.5)  # the first on top, and bars of one row of one height
    for place, (_, middle) in enumerate(panel.bars):
        shown = f"{middle.median:,.0f}" if middle.median >= 100 else f"{middle.median:.3g}"
        axis.text(middle.greatest, place, f"  {shown}", va="center")
    axis.set_xlim(0, 1.18 * max(middle.greatest for _, middle in panel.bars))
    axis.set_title(panel.title, loc="left", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
