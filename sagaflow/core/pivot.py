"""The point of no return: what may stand before it, beside it, and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .declaration import Declaration
from .definition import SagaDefinition, StepDefinition, StepKind
from .retry import Retry
from .source import Faults, Part


def with_pivot(
    steps: tuple[StepDefinition, ...],
    ancestors: Mapping[str, set[str]],
    declared: Mapping[str, Declaration],
    policy: Retry,
    faults: Faults,
) -> tuple[StepDefinition, ...]:
    """The steps of a saga, those after its pivot made to be tried for ever.

    Args:
        steps: as they would be without a pivot.
        ancestors: for each step, all that it waits for, directly or through others.
        declared: the steps as they were written.
        policy: what the saga says of retries.
        faults: where it is noted what does not go with a pivot.
    """
    parts = {name: Part(faults, f"step {name!r}", one.fn) for name, one in declared.items()}
    pivots = [step for step in steps if step.pivot]
    _check_children(steps, {step.name for step in pivots}, ancestors, declared, parts)
    if not pivots:
        return steps
    pivot, *others = pivots
    for other in others:
        rule = f"is a second pivot, after {pivot.name!r}"
        parts[other.name].fault(rule, "Keep one of them: a saga has one point of no return.")
    _check_pivot(pivot, declared[pivot.name], parts[pivot.name])
    made: list[StepDefinition] = []
    for step in steps:
        options, part = declared[step.name].options, parts[step.name]
        if pivot.name in ancestors[step.name]:
            if options.get("compensate") is not None:
                part.fault(
                    f"has compensate=, but stands after the pivot {pivot.name!r}: there is no way back",
                    "Drop compensate=, or move the step above the pivot.",
                )
            made.append(step if "retry" in options else replace(step, retry=replace(policy, attempts=None)))
            continue
        made.append(step)
        if step.name in ancestors[pivot.name]:
            if "compensate" not in options and step.kind is not StepKind.CHILD:
                faults.warn(
                    f"step {step.name!r} stands before the pivot {pivot.name!r}, and nothing says how it is undone. "
                    f"Write compensate=None if there is nothing to undo.",
                    part.fn,
                )
        elif not step.pivot:
            part.fault(
                f"runs beside the pivot {pivot.name!r}, so that nobody knows whether there is a way back for it",
                f"Write after={pivot.name!r}, or let the pivot wait for it with after={step.name!r}.",
            )
    return tuple(made)


def _check_children(
    steps: tuple[StepDefinition, ...],
    pivots: set[str],
    ancestors: Mapping[str, set[str]],
    declared: Mapping[str, Declaration],
    parts: Mapping[str, Part],
) -> None:
    """A child that has passed its pivot cannot be undone, whatever its parent wants."""
    for step in steps:
        if step.kind is not StepKind.CHILD or step.pivot or pivots & ancestors[step.name]:
            continue
        compiled: Any = getattr(declared[step.name].options["saga"], "__saga_compiled__", None)
        child: SagaDefinition | None = compiled.types.definition if compiled is not None else None
        if child is not None and child.pivot is not None:
            parts[step.name].faults.warn(
                f"step {step.name!r} runs {child.name}, which has the pivot {child.pivot.name!r}: once that has begun, "
                f"the step cannot be undone. Make it the pivot of this saga, or put it after the pivot.",
                parts[step.name].fn,
            )


def _check_pivot(pivot: StepDefinition, declared: Declaration, part: Part) -> None:
    if "when" in declared.options:
        part.fault("is the pivot, but has when=", "Drop when=: a saga always passes its point of no return.")
    if pivot.kind is StepKind.EACH:
        part.fault(
            "is the pivot, but has each=: of its elements some may fail when others are done",
            "Make the pivot a step of its own, that happens at one stroke.",
        )
    if declared.options.get("compensate") is not None:
        part.fault(
            "is the pivot, but has compensate=: once it has begun there is no way back",
            "Write probe= instead, which finds out what happened.",
        )
    if pivot.probe is None and pivot.kind is not StepKind.CHILD:
        part.faults.warn(
            f"the pivot {pivot.name!r} has no probe. If its outcome is unknown nobody can say whether there is a way "
            f"back, and the saga would end as failed. Write probe='a_method' that finds out.",
            part.fn,
        )
