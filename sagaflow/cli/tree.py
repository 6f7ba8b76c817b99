"""One saga as a tree: what every step did, when, and why it failed; what comes next, and what people did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from ..core.definition import StepKind
from ..core.state import SagaStatus, StepStatus
from ..record import ActRecord
from ..views import ErrorData, SagaData, SagaSummary, StepData, TrackData, Wait
from .wording import ago, between, clock, many, sign, status

_SHORT: Final = 100
"""Characters of a payload or an error's message that are shown unless all of it is asked for."""

_KINDS: Final = {StepKind.CHILD: "sub-saga", StepKind.WAIT: "waits for the outside"}
_QUIET: Final = frozenset({StepStatus.PENDING, StepStatus.SKIPPED})


@dataclass(frozen=True)
class Look:
    """How much is shown.

    Attributes:
        now: the time, by which "ago" is counted.
        full: payloads, messages and tracebacks in full.
        policies: whether the numbers of attempts that are allowed are known.
    """

    now: datetime
    full: bool = False
    policies: bool = True


def saga_tree(data: SagaData, waits: Sequence[Wait], look: Look) -> RenderableType:
    """A saga, from top to bottom."""
    tree = Tree(_title(data.summary), guide_style="dim")
    _add_about(tree, data, look)
    _add_steps(tree, data, look)
    parts: list[RenderableType] = [tree]
    # That it waits for nothing, or for a person because it has failed, is what the title says.
    if waits and not data.summary.status.is_terminal:
        parts += [Text("\nNext", "bold"), *(Text(f"  {wait.text}") for wait in waits)]
    if data.acts:
        parts += [Text("\nActs", "bold"), *(_act(act) for act in data.acts)]
    return Group(*parts)


def _title(summary: SagaSummary) -> Text:
    title = Text.assemble((summary.name, "bold"), " ", summary.id, "  ")
    title.append_text(status(summary.status, paused=summary.is_paused))
    if summary.reason is not None and summary.status is not SagaStatus.COMPLETED:
        title.append(f", because {summary.reason}")
    return title


def _add_about(tree: Tree, data: SagaData, look: Look) -> None:
    summary = data.summary
    said = [f"started {clock(summary.created_at)}, {ago(summary.created_at, look.now)}"]
    if summary.completed_at is not None:
        said.append(f"took {between(summary.created_at, summary.completed_at)}")
    said += ["past its pivot"] if summary.is_committed else []
    said += ["a deadline passed in vain"] if summary.is_overdue else []
    if summary.parent is not None:
        said.append(f"part of {summary.parent} ({data.parent_step})")
    if data.expires_at is not None:
        said.append(f"kept until {clock(data.expires_at)}")
    tree.add(Text(", ".join(said), "dim"))
    if summary.tags:
        tree.add(Text.assemble(("tags ", "dim"), ", ".join(summary.tags)))
    tree.add(_payload("context", data.context, look))
    if data.locks:
        tree.add(Text(f"holds {', '.join(map(repr, data.locks))}", "dim"))


# ---------------------------------------------------------------------------------------- steps


def _add_steps(tree: Tree, data: SagaData, look: Look) -> None:
    steps = {step.name: step for step in data.steps}
    of_lists = {name for step in data.steps for name in step.elements or ()}
    children = {child.summary.id: child for child in data.children}
    shown = [step for step in data.steps if step.name not in of_lists]
    width = max((len(step.name) for step in shown), default=0)
    for step in shown:
        node = _add_step(tree, step, width, data, look)
        for name in step.elements or ():
            _add_step(node, steps[name], max(map(len, step.elements or ())), data, look)
        if step.child in children:
            child = children[step.child]
            below = node.add(_title(child.summary), guide_style="dim")
            _add_steps(below, child, look)


def _add_step(tree: Tree, step: StepData, width: int, data: SagaData, look: Look) -> Tree:
    line = sign(step.status)
    line.append(f" {step.name:<{width}}", "" if step.status not in _QUIET else "dim")
    line.append("  ")
    said = [*_said(step, data, look)]
    if step.elements is not None:
        said = [many(len(step.elements), "element"), *said]
    elif step.status not in (StepStatus.COMPLETED, StepStatus.COMPENSATED):
        said = [step.status.replace("_", " "), *said]
    line.append(", ".join(said), "dim")
    node = tree.add(line, guide_style="dim")
    for detail in _details(step, look):
        node.add(detail)
    return node


def _said(step: StepData, data: SagaData, look: Look) -> Iterator[str]:
    if step.is_pivot:
        yield "pivot"
    if step.kind in _KINDS:
        yield _KINDS[step.kind]
    if step.forward is not None and step.elements is None:
        yield from _track(step.forward, data, look)
    if step.wait_until is not None and step.waits_for is not None:
        yield f"until {clock(step.wait_until)}"


def _track(track: TrackData, data: SagaData, look: Look) -> Iterator[str]:
    if track.started_at is not None:
        yield f"at +{between(data.summary.created_at, track.started_at)}"
        if track.ended_at is not None and track.ended_at >= track.started_at:
            yield f"took {between(track.started_at, track.ended_at)}"
    if track.worker is not None:
        yield f"running on {track.worker}"
    if track.attempts > 1 or track.tries:
        allowed = f" of {track.limit}" if look.policies and track.limit is not None else ""
        yield f"{many(track.attempts, 'attempt')}{allowed}" if not allowed else f"attempt {track.attempts}{allowed}"
    if track.losses:
        yield f"{many(track.losses, 'worker')} lost"
    if track.due_at is not None and track.worker is None and track.due_at > look.now:
        yield f"next {ago(track.due_at, look.now)}"


def _details(step: StepData, look: Look) -> Iterator[Text]:
    if step.item is not UNSET:
        yield _payload("item", step.item, look)
    is_shown_elsewhere = step.kind is StepKind.CHILD or step.elements is not None
    if step.output is not UNSET and step.output is not None and not is_shown_elsewhere:
        yield _payload("output", step.output, look)
    for late in step.late_outputs:
        yield _payload("late output", late, look)
    if step.forward is not None:
        yield from _errors(step.forward, "", look)
    if step.undo is not None:
        yield from _undo(step, step.undo, look)


def _undo(step: StepData, track: TrackData, look: Look) -> Iterator[Text]:
    done = {StepStatus.COMPENSATED: "undone", StepStatus.COMPENSATION_FAILED: "could not be undone"}
    said = done.get(step.status, "being undone")
    if step.compensation is not None:
        said += f" by {step.compensation}"
    if track.attempts > 1:
        said += f", {many(track.attempts, 'attempt')}"
    yield Text(f"↩ {said}", "magenta" if step.status is not StepStatus.COMPENSATION_FAILED else "red")
    yield from _errors(track, "compensation: ", look)


def _errors(track: TrackData, prefix: str, look: Look) -> Iterator[Text]:
    errors = [("", track.error)]
    if track.first_error != track.error:
        errors = [("at first, ", track.first_error), ("at last, ", track.error)]
    for when, error in errors:
        if error is not None:
            yield _error(f"{when}{prefix}", error, look)


def _error(prefix: str, error: ErrorData, look: Look) -> Text:
    kind = error.type.rpartition(".")[2]
    message = error.message if error.message != error.type else ""
    text = Text(f"{prefix}{kind}", "red")
    if message:
        text.append(f": {message if look.full else _shortened(message)}")
    if look.full and error.traceback:
        text.append(f"\n{error.traceback.rstrip()}", "dim")
    return text


# ---------------------------------------------------------------------------------------- values, acts


def _payload(name: str, value: Any, look: Look) -> Text:
    encoded = msgspec.json.encode(value)
    if look.full:
        encoded = msgspec.json.format(encoded, indent=2)
    text = encoded.decode()
    return Text.assemble((f"{name} ", "dim"), (text if look.full else _shortened(text), "dim cyan"))


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[:_SHORT]}…"


def _act(act: ActRecord) -> Text:
    on = f" {act.step}" if act.step is not None else ""
    return Text.assemble("  ", (f"{clock(act.at)}  ", "dim"), f"{act.what}{on} by {act.by}: {act.reason}")
