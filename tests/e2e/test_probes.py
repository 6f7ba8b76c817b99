"""A probe says what became of a step of which nobody knows: before it is done again, and before it is undone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import pytest
from msgspec import Struct

from sagaflow import (
    Abort,
    Happened,
    NotHappened,
    Retry,
    Saga,
    SagaFailed,
    StepStatus,
    StillUnknown,
    step,
)
from tests.polling import until

from .diaries import SOON, THRICE, Diary, ms
from .ledgers import Job, LookedForSaga, Place
from .stacks import Stack
from .test_survival import place, server_place, until_begun

__all__ = ["place", "server_place"]  # fixtures

Finding = Happened[str] | NotHappened | StillUnknown


class Case(Struct, frozen=True):
    """``ends``: how the attempts end, the last one again and again. ``finds``: what the probe says, likewise."""

    ends: tuple[str, ...]
    finds: tuple[str, ...] = ()
    later_fails: bool = False


@dataclass
class Probed(Saga[Case], retry=THRICE, compensation_retry=THRICE):
    diary: Diary

    @step(compensate="unfirst")
    async def first(self, case: Case) -> None: ...

    async def unfirst(self, case: Case) -> None:
        self.diary("unfirst")

    @step(compensate="undo", probe="look", timeout=ms(100))
    async def act(self, case: Case) -> str:
        self.diary("act")
        match case.ends[min(self.attempt, len(case.ends)) - 1]:
            case "hangs":
                await asyncio.sleep(60)
            case "breaks":
                raise ConnectionError("away")
            case "aborts":
                raise Abort("no")
        return "done"

    async def look(self, case: Case) -> Finding:
        self.diary("look")
        assert self.step_key == f"{self.saga_id}/act"
        match case.finds[min(self.attempt, len(case.finds)) - 1]:
            case "nothing":
                return NotHappened()
            case "not yet":
                return StillUnknown(ms(10))
            case "dark":
                raise ConnectionError("cannot see")
            case found:
                return Happened(found)

    async def undo(self, case: Case, output: str | None) -> None:
        self.diary(f"undo {output}")

    @step
    async def end(self, case: Case, act: str) -> str:
        if case.later_fails:
            raise Abort("back")
        return act


@pytest.mark.parametrize(
    ("case", "output", "lines"),
    [
        (Case(("hangs",), ("tx",)), "tx", ["act", "look"]),
        (Case(("hangs", "works"), ("nothing",)), "done", ["act", "look", "act"]),
        (Case(("hangs",), ("not yet", "not yet", "tx")), "tx", ["act", "look", "look", "look"]),
        (Case(("hangs", "hangs"), ("dark", "nothing", "tx")), "tx", ["act", "look", "look", "act", "look"]),
        # An exception is no reason to look, before there are no attempts left.
        (Case(("breaks", "works"), ()), "done", ["act", "act"]),
        (Case(("breaks",), ("tx",)), "tx", ["act", "act", "act", "look"]),
    ],
    ids=["happened", "not happened", "still unknown", "twice", "retried", "exhausted"],
)
async def test_a_saga_goes_on_with_what_its_probe_has_found(
    stack: Stack, diary: Diary, case: Case, output: str, lines: list[str]
) -> None:
    async with stack.engine(partial(Probed, diary)):
        record = await (await Probed.start(case)).result(timeout=SOON)
    assert record.output(Probed.end) == output
    assert diary.lines == lines


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        (Case(("breaks",), ("nothing",)), ["act", "act", "act", "look", "unfirst"]),
        (Case(("aborts",), ()), ["act", "unfirst"]),
        (Case(("breaks", "aborts"), ("nothing",)), ["act", "act", "look", "unfirst"]),
    ],
    ids=["exhausted", "aborted", "unclean"],
)
async def test_a_step_that_has_not_happened_has_failed_and_is_not_undone(
    stack: Stack, diary: Diary, case: Case, lines: list[str]
) -> None:
    async with stack.engine(partial(Probed, diary)):
        record = await (await Probed.start(case)).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["act"].status is StepStatus.FAILED
    assert diary.lines == lines


async def test_what_a_probe_has_found_is_what_is_undone(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Probed, diary)):
        record = await (await Probed.start(Case(("hangs",), ("tx",), later_fails=True))).wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == ["act", "look", "undo tx", "unfirst"]


@pytest.mark.parametrize("blind", ["not yet", "dark"])
async def test_what_cannot_be_found_out_is_undone_as_unknown(stack: Stack, diary: Diary, blind: str) -> None:
    async with stack.engine(partial(Probed, diary)):
        record = await (await Probed.start(Case(("hangs",), (blind,)))).wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == ["act", "look", "look", "look", "undo None", "unfirst"]


class Strict(Probed):
    """Its compensation must know what it undoes."""

    async def undo(self, case: Case, output: str) -> None:  # type: ignore[override]  # that it takes less is the point
        self.diary(f"undo {output}")


async def test_what_cannot_be_found_out_nor_undone_as_unknown_fails_the_saga(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Strict, diary)):
        handle = await Strict.start(Case(("hangs",), ("not yet",)))
        with pytest.raises(SagaFailed, match="'undo' does not accept the unknown outcome of step 'act'") as failed:
            await handle.result(timeout=SOON)
    assert failed.value.saga.steps["act"].status is StepStatus.UNKNOWN
    assert diary.lines == ["act", "look", "look", "look"]


@dataclass
class Side(Saga[Case], retry=Retry(attempts=5, backoff=ms(60_000), jitter=False)):
    """One step waits for another attempt when the other one turns the saga back: then it is looked for first."""

    diary: Diary

    @step(parallel="both", compensate="undo", probe="look")
    async def act(self, case: Case) -> str:
        self.diary("act")
        self.diary.opened.set()
        raise ConnectionError("away")

    async def look(self, case: Case) -> Finding:
        self.diary("look")
        found = case.finds[0]
        return NotHappened() if found == "nothing" else Happened(found)

    async def undo(self, case: Case, output: str | None) -> None:
        self.diary(f"undo {output}")

    @step(parallel="both")
    async def fail(self, case: Case) -> None:
        await self.diary.gate()
        raise Abort("back")


@pytest.mark.parametrize(
    ("found", "lines", "status"),
    [
        ("tx", ["act", "look", "undo tx"], StepStatus.COMPENSATED),
        ("nothing", ["act", "look"], StepStatus.FAILED),
    ],
)
async def test_an_unknown_step_is_looked_for_before_it_is_undone(
    stack: Stack, diary: Diary, found: str, lines: list[str], status: StepStatus
) -> None:
    async with stack.engine(partial(Side, diary)):
        record = await (await Side.start(Case((), (found,)))).wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == lines
    assert record.steps["act"].status is status


@pytest.mark.parametrize("happened", [True, False])
async def test_a_step_whose_worker_was_killed_is_looked_for_before_it_is_done_again(
    place: Place, happened: bool
) -> None:
    job = Job(slow="act" if happened else "act first")
    async with place.engine(work="none") as engine, place.worker() as one, place.worker() as other:
        handle = await engine.start(LookedForSaga, job, id="s-1")
        killed = await until_begun(place.ledger, "s-1/act")
        if happened:
            await until(lambda: bool(place.ledger.effects("s-1")))
        next(worker for worker in (one, other) if worker.pid == killed).kill()
        record = await handle.result(timeout=SOON)
    assert record.output(LookedForSaga.act) == ("found" if happened else "done")
    assert place.ledger.order("s-1") == (["act", "act/look"] if happened else ["act", "act/look", "act"])
    assert place.ledger.effects("s-1") == {"act"}
