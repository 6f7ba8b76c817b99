"""Graphs as text, for programs that draw: Mermaid, which many pages of documentation show, and Graphviz."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..core.definition import StepKind
from ..core.state import StepStatus
from .graph import Drawable, Graph, Node, graph_of

_COLOURS: Final = {
    StepStatus.PENDING: ("#f6f8fa", "#818b98"),
    StepStatus.STARTED: ("#ddf4ff", "#0969da"),
    StepStatus.COMPLETED: ("#dafbe1", "#1a7f37"),
    StepStatus.FAILED: ("#ffebe9", "#cf222e"),
    StepStatus.SKIPPED: ("#f6f8fa", "#818b98"),
    StepStatus.UNKNOWN: ("#fff8c5", "#9a6700"),
    StepStatus.COMPENSATING: ("#fbefff", "#8250df"),
    StepStatus.COMPENSATED: ("#eff1f3", "#6639ba"),
    StepStatus.COMPENSATION_FAILED: ("#ffcecb", "#a40e26"),
}

# ---------------------------------------------------------------------------------------- Mermaid

_SHAPES: Final = {
    StepKind.EACH: ('[/"', '"/]'),
    StepKind.CHILD: ('[["', '"]]'),
    StepKind.WAIT: ('(["', '"])'),
}
_ENTITIES: Final = {ord(sign): f"#{ord(sign)};" for sign in '"#;<>&`\\\n\r[]{}()|%'}


def mermaid(saga: Drawable) -> str:
    """The graph as a Mermaid flowchart; the nodes of one saga are coloured by status.

    A pivot is a hexagon, a list a parallelogram, a sub-saga a box with double sides, a step that waits for the outside
    has round ends, and one with a condition a dashed border.

    Raises:
        TypeError: the class is abstract.
    """
    graph = graph_of(saga)
    ids = _ids(graph)
    lines = ["flowchart TD", f"    accTitle: {_one_line(graph.title)}"]
    for node in graph.nodes:
        before, after = ('{{"', '"}}') if node.is_pivot else _SHAPES.get(node.kind, ('("', '")'))
        style = f":::{node.status}" if node.status is not None else ""
        lines.append(f"    {ids[node.name]}{before}{'<br/>'.join(_label(node, _entities))}{after}{style}")
    lines += [f"    {ids[source]} --> {ids[target]}" for source, target in graph.edges]
    lines += [f"    style {ids[node.name]} stroke-dasharray:5 4" for node in graph.nodes if node.is_conditional]
    for status in sorted({node.status for node in graph.nodes if node.status is not None}):
        fill, stroke = _COLOURS[status]
        lines.append(f"    classDef {status} fill:{fill},stroke:{stroke},color:#1f2328")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    return text.translate(_ENTITIES)


def _one_line(text: str) -> str:
    """Mermaid reads a title to the end of its line, and a semicolon or a hash as the end of it."""
    return " ".join("".join(" " if sign in ";#{}" else sign for sign in text).split())


# ---------------------------------------------------------------------------------------- Graphviz


def dot(saga: Drawable) -> str:
    """The graph in the language of Graphviz; the nodes of one saga are coloured by status.

    A pivot is a hexagon, a list a stack, a sub-saga a component, a step that waits for the outside an ellipse, and one
    with a condition has a dashed border.

    Raises:
        TypeError: the class is abstract.
    """
    graph = graph_of(saga)
    ids = _ids(graph)
    lines = [
        f"digraph {_quoted(graph.title)} {{",
        '    graph [rankdir=TB, fontname="sans-serif"]',
        '    node [shape=box, style="rounded,filled", fillcolor="#ffffff", fontname="sans-serif"]',
    ]
    for node in graph.nodes:
        attributes = ", ".join(f"{name}={_quoted(value)}" for name, value in _attributes(node).items())
        lines.append(f"    {ids[node.name]} [{attributes}]")
    lines += [f"    {ids[source]} -> {ids[target]}" for source, target in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


_DOT_SHAPES: Final = {StepKind.EACH: "box3d", StepKind.CHILD: "component", StepKind.WAIT: "ellipse"}


def _attributes(node: Node) -> dict[str, str]:
    found = {"label": "\n".join(_label(node, str)), "tooltip": node.sentence}
    shape = "hexagon" if node.is_pivot else _DOT_SHAPES.get(node.kind)
    if shape is not None:
        found["shape"] = shape
    if node.is_conditional:
        found["style"] = "rounded,filled,dashed"
    if node.status is not None:
        found["fillcolor"], found["color"] = _COLOURS[node.status]
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", "\\n")
    return f'"{escaped}"'


# ---------------------------------------------------------------------------------------- both


def _ids(graph: Graph) -> dict[str, str]:
    """Names that mean nothing in either language, whatever a step is called."""
    return {node.name: f"s{number}" for number, node in enumerate(graph.nodes)}


def _label(node: Node, escape: Callable[[str], str]) -> list[str]:
    status = [str(node.status)] if node.status is not None else []
    return [escape(line) for line in [node.name, *node.notes, *status, node.progress, node.undo] if line]
