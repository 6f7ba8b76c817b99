"""``sagaflow graph`` and ``sagaflow explain``: what a class looks like, and what its failures lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text
from rich.tree import Tree

from ..views import Consequence, Drawable, Explanation, StepExplanation, as_builtins, dot, mermaid, svg
from ..views import explain as explained
from ..views.wording import listed, span
from .exits import Failure
from .loading import saga_class
from .plans import QUIET, in_words
from .shell import Shell
from .wording import status

Target = Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The saga class, as app.sagas:OrderSaga.")]


class Format(StrEnum):
    """What can be drawn."""

    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


_DRAW: Final[dict[Format, Callable[[Drawable], str]]] = {Format.MERMAID: mermaid, Format.DOT: dot, Format.SVG: svg}


async def graph(
    shell: Shell,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:CLASS]", help="The saga class, as app.sagas:OrderSaga.", show_default=False),
    ] = None,
    saga_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="One saga instead, its steps coloured by status.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="In which language.")] = Format.MERMAID,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file.")] = None,
) -> None:
    """Draw a saga class, or one saga."""
    if (target is None) == (saga_id is None):
        raise Failure("name a class (app.sagas:OrderSaga) or one saga (--id ID)")
    drawn: Drawable
    if saga_id is not None:
        async with shell.desk() as desk:
            drawn = await desk.get(saga_id)
    else:
        drawn = saga_class(str(target))
    text = _DRAW[form](drawn)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    elif shell.as_json:
        shell.data({"format": form, "text": text})
    else:
        shell.out.file.write(text if text.endswith("\n") else f"{text}\n")


def explain(shell: Shell, target: Target) -> None:
    """Say for every step what comes of it if it fails: what is undone, in which order, and what cannot be."""
    found = explained(saga_class(target))
    if shell.as_json:
        shell.data(as_builtins(found))
        return
    shell.out.print(_tree(found))


def _tree(found: Explanation) -> Tree:
    tree = Tree(Text(found.saga, "bold"), guide_style="dim")
    if found.deadline is not None:
        tree.add(Text(f"compensated if it has not ended within {span(found.deadline)}", "dim"))
    if found.compensation_deadline is not None:
        tree.add(Text(f"what is not undone within {span(found.compensation_deadline)} is left to a person", "dim"))
    if found.pivot is not None:
        tree.add(Text(f"no way back once {found.pivot!r} has begun", "dim"))
    for step in found.steps:
        node = tree.add(Text.assemble((step.step, "bold"), ("  " + ", ".join(_about(step)), "dim")), guide_style="dim")
        for title, consequence in (
            ("fails", step.failed),
            ("outcome unknown", step.unknown),
            ("cancelled", step.cancelled),
        ):
            if consequence is not None:
                _add(node, title, consequence)
    return tree


def _about(step: StepExplanation) -> Iterator[str]:
    if step.is_pivot:
        yield "the pivot"
    if step.after:
        yield f"after {listed(step.after)}"
    if step.child is not None:
        yield f"done by saga {step.child}"
    if step.attempts is None:
        yield "tried without limit"
    elif step.attempts > 1:
        yield f"{step.attempts} attempts"
    yield f"undone by {step.compensation}" if step.compensation else "nothing undoes it"


def _add(tree: Tree, title: str, found: Consequence) -> None:
    asked = f"{found.asks} is asked; if it cannot tell, " if found.asks is not None else ""
    said = [f"{asked}{in_words(found.waves) or 'nothing to undo'}"]
    said += [f"keeps {one.step} ({one.because})" for one in found.stays if one.because not in QUIET]
    line = Text.assemble((f"{title}: ", "yellow"), "; ".join(said), "; ends ")
    line.append_text(status(found.ends))
    tree.add(line).add(Text(f"when {', or '.join(found.ways)}", "dim"))
