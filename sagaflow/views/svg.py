"""A saga as one self-contained picture, that reads in light and in dark, by eye and by screen reader."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from ..core.definition import StepKind
from .graph import Drawable, Graph, Node, graph_of
from .layout import RISE, Layout, Point, arrange
from .style import ICONS, STYLE

_MARGIN: Final = 20.0
_NARROWEST: Final = 104.0
_LONGEST: Final = 34
"""Characters of a line; what is longer is cut, and whole in the title of its step."""

_NAME, _NOTE = 14.0, 11.5
_FIRST, _FURTHER = 21.0, 16.0
_PADDING: Final = 14.0
_ICON: Final = 24.0


def svg(saga: Drawable) -> str:
    """The graph as an SVG document, to be kept as a file or put into a page as it stands.

    It follows the colours that the reader prefers; a page that has a switch of its own sets ``data-theme="light"`` or
    ``"dark"`` on its root. Every step is a group with ``data-step="name"``, and of one saga ``data-status`` too.

    Raises:
        TypeError: the class is abstract.
    """
    graph = graph_of(saga)
    shown = {node.name: _Box(node) for node in graph.nodes}
    layout = arrange(
        {name: (box.width, box.height) for name, box in shown.items()}, {node.name: node.after for node in graph.nodes}
    )
    mark = blake2b(graph.title.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return "\n".join(
        [
            _opening(mark, layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN),
            f'<title id="sf-{mark}-title">{_text(graph.title)}</title>',
            f'<desc id="sf-{mark}-desc">{_text(_description(graph))}</desc>',
            f"<style>{STYLE}</style>",
            f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
            *_pivot_line(graph, layout),
            *(_arrow(layout.routes[edge]) for edge in graph.edges),
            *(box.drawn(layout.centres[name]) for name, box in shown.items()),
            "</g>",
            "</svg>\n",
        ]
    )


def _opening(mark: str, width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sf-graph" role="img" '
        f'aria-labelledby="sf-{mark}-title sf-{mark}-desc" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
    )


def _description(graph: Graph) -> str:
    return f"{len(graph.nodes)} steps. " + ". ".join(node.sentence for node in graph.nodes) + "."


def _text(text: str) -> str:
    """Escaped, and without what XML cannot hold at all."""
    return escape("".join(sign if _is_xml(sign) else "\ufffd" for sign in text))


def _is_xml(sign: str) -> bool:
    return sign in "\t\n\r" or (ord(sign) >= 0x20 and not 0xD800 <= ord(sign) <= 0xDFFF and ord(sign) not in _NEVER)


_NEVER: Final = frozenset({0xFFFE, 0xFFFF})

# ---------------------------------------------------------------------------------------- arrows


def _arrow(route: Sequence[Point]) -> str:
    """Curves between layers, straight lines through them."""
    (x, y), *others = route
    path = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(others):
        middle = (y + to_y) / 2
        curve = f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        path.append(curve if number % 2 == 0 else f"L{to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    tip = f"M{x - 4:.1f} {y - 7:.1f}L{x:.1f} {y - 1:.1f}L{x + 4:.1f} {y - 7:.1f}"
    return f'<path class="sf-edge" d="{"".join(path)}"/><path class="sf-tip" d="{tip}"/>'


def _pivot_line(graph: Graph, layout: Layout) -> Iterator[str]:
    """The line that is crossed when the pivot begins; all other steps stand before or after it."""
    pivot = graph.pivot
    if pivot is None:
        return
    y = layout.rows[pivot.layer][0] - RISE / 2 if pivot.layer else -_MARGIN / 2
    yield f'<path class="sf-line" d="M{-_MARGIN / 2:.1f} {y:.1f}H{layout.width + _MARGIN / 2:.1f}"/>'


# ---------------------------------------------------------------------------------------- boxes


class _Box:
    """A step, measured and drawn."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._name = _cut(node.name)
        self._notes = [_cut(line) for line in (*node.notes, node.progress, node.undo) if line]
        self._icon = ICONS[node.status] if node.status is not None else None
        room = _ICON if self._icon else 0.0
        self._text = max([_width(self._name, _NAME), *(_width(line, _NOTE) for line in self._notes)])
        self.width = max(self._text + room + 2 * _PADDING, _NARROWEST)
        self.height = 2 * _PADDING + _FIRST - 5 + _FURTHER * len(self._notes)

    def drawn(self, centre: Point) -> str:
        node = self._node
        x, y = centre[0] - self.width / 2, centre[1] - self.height / 2
        status = f" data-status={quoteattr(str(node.status))}" if node.status is not None else ""
        return (
            f'<g class="{" ".join(self._classes())}" data-step={_attribute(node.name)}{status} '
            f'transform="translate({x:.1f} {y:.1f})"><title>{_text(node.sentence)}</title>'
            f"{''.join(self._outline())}{''.join(self._lines())}</g>"
        )

    def _classes(self) -> Iterator[str]:
        node = self._node
        yield "sf-step"
        yield f"sf-{node.status or 'declared'}"
        if node.is_pivot:
            yield "sf-pivot"
        if node.is_conditional:
            yield "sf-perhaps"

    def _outline(self) -> Iterator[str]:
        width, height = f"{self.width:.1f}", f"{self.height:.1f}"
        if self._node.kind is StepKind.EACH:
            yield f'<rect class="sf-box" x="6" y="6" width="{width}" height="{height}" rx="10"/>'
        radius = self.height / 2 if self._node.kind is StepKind.WAIT else 10
        yield f'<rect class="sf-box" width="{width}" height="{height}" rx="{radius:.1f}"/>'
        if self._node.kind is StepKind.CHILD:
            yield f'<path class="sf-side" d="M6 1V{self.height - 1:.1f}M{self.width - 6:.1f} 1V{self.height - 1:.1f}"/>'

    def _lines(self) -> Iterator[str]:
        left = self.width / 2
        if self._icon:
            left = (self.width - self._text - _ICON) / 2
            yield f'<g transform="translate({left + 8:.1f} {_PADDING + 8:.1f})"><circle class="sf-dot" r="8"/>'
            yield f'<path class="sf-icon" d="{self._icon}"/></g>'
            left += _ICON
        anchor = ' text-anchor="middle"' if not self._icon else ""
        yield f'<text x="{left:.1f}" y="{_PADDING + 13:.1f}"{anchor}><tspan class="sf-name">{_text(self._name)}</tspan>'
        for number, line in enumerate(self._notes):
            y = _PADDING + 13 + _FIRST - 3 + number * _FURTHER
            kind = "sf-undo" if line == _cut(self._node.undo or "") else "sf-note"
            yield f'<tspan class="{kind}" x="{left:.1f}" y="{y:.1f}">{_text(line)}</tspan>'
        yield "</text>"


def _attribute(text: str) -> str:
    return quoteattr("".join(sign if _is_xml(sign) else "\ufffd" for sign in text))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _width(text: str, size: float) -> float:
    """About as wide as a sans-serif face draws it, the widest of those that are usual; a name is bold."""
    usual = 0.66 if size == _NAME else 0.58
    return size * sum(1.0 if unicodedata.east_asian_width(sign) in "WF" else usual for sign in text)
