"""What the check of one stored saga finds, and that it finds nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from sagaflow.core.checking import Rule, breaches, unattended
from sagaflow.core.digest import digest_of
from sagaflow.core.events import ParentTold, Resolution
from sagaflow.core.state import SCHEMA, Claim, Link, Lock, LockStatus, SagaState, SagaStatus, StepStatus, Track
from sagaflow.core.versions import read_graph, to_text
from tests.unit.story import (
    NOW,
    UNDO,
    Story,
    a_child,
    a_fan_out,
    a_saga,
    a_step,
    a_wait,
    chain,
    diamond,
    given,
)

CLAIM = Claim("w1", NOW)
AB = chain("a", "b")


def rules_of(story: Story, *, with_graph: bool = True) -> list[Rule]:
    """The rules that a saga breaks, as somebody sees it who has only its graph."""
    definition = story.definition
    graph = read_graph(to_text(definition), definition.fingerprint, definition.name) if with_graph else None
    return [breach.rule for breach in breaches(story.state, graph)]


def with_saga(story: Story, **fields: object) -> Story:
    """The same, with the saga as somebody has left it by hand; its digest, if it has one, is made to fit."""
    state = replace(story.state, **fields)
    if state.digest is not None:
        state = replace(state, digest=digest_of(state))
    return Story(story.definition, state, story.now)


def with_step(story: Story, name: str, **fields: object) -> Story:
    return with_saga(story, steps=story.with_step(name, **fields).state.steps)


def with_track(story: Story, step: str, way: str, **fields: object) -> Story:
    return with_step(story, step, **{way: replace(getattr(story.state.steps[step], way), **fields)})


def fanned() -> Story:
    return given(a_saga(a_fan_out("e", at_once=1))).decides("e", "x", "y")


def compensating() -> Story:
    return given(AB).does("a").fails("b")


# ---------------------------------------------------------------------------------------- the digest


def test_a_saga_gets_a_digest_when_it_ends_and_not_before() -> None:
    story = given(AB).does("a")
    assert story.state.digest is None
    ended = story.does("b").state
    assert ended.digest == digest_of(ended)
    assert len(ended.digest or "") == 32


def test_a_saga_that_goes_on_after_its_end_has_no_digest_until_it_ends_again() -> None:
    story = given(AB).does("a", "b")
    undone = story.compensation_is_requested()
    assert undone.state.digest is None
    assert undone.undoes("b", "a").state.digest not in (None, story.state.digest)


def test_what_a_saga_is_told_after_its_end_makes_its_digest_anew() -> None:
    story = given(AB, parent=Link("p", "s")).does("a", "b")
    told = story.happens(ParentTold(NOW))
    assert told.state.told
    assert told.state.digest == digest_of(told.state) != story.state.digest


@pytest.mark.parametrize(
    "fields",
    [
        {"revision": 99},
        {"context": "{}"},
        {"completed_at": NOW + 1},
        {"steps": {}},
        {"forget_at": 5.0},
        {"told": True},
        {"locks": {"k": Lock(LockStatus.HELD, 1)}},
    ],
)
def test_the_digest_is_of_all_that_a_saga_holds(fields: dict[str, object]) -> None:
    state = given(AB).does("a", "b").state
    assert digest_of(replace(state, **fields)) != state.digest


def test_the_digest_does_not_depend_on_how_the_saga_is_written() -> None:
    state = given(AB).does("a", "b").state
    turned = dict(reversed(state.steps.items()))
    assert digest_of(replace(state, steps=turned, schema=1, digest="another")) == state.digest


# ---------------------------------------------------------------------------------------- what is found

DONE = given(AB).does("a", "b")
LOCKED = given(a_saga(a_step("a")), lock="k").takes_lock("k").claims("a")

BROKEN: dict[str, tuple[Story, Rule]] = {
    "changed after its end": (Story(AB, replace(DONE.state, context="{}"), NOW), Rule.CHANGED),
    "live again after its end": (
        Story(AB, replace(given(AB).state, digest="0" * 32), NOW),
        Rule.CHANGED,
    ),
    "ended at no time": (with_saga(DONE, completed_at=None), Rule.ENDED),
    "live with an end": (with_saga(given(AB), completed_at=NOW), Rule.ENDED),
    "failed for no reason": (with_saga(compensating(), failure="because"), Rule.ENDED),
    "turned back for no reason": (with_saga(compensating(), reason=None), Rule.ENDED),
    "turned back behind its pivot": (with_saga(compensating(), committed=True), Rule.ENDED),
    "ended with an open step": (with_track(DONE, "b", "probe", due=NOW), Rule.ENDED),
    "completed with a pending step": (with_step(DONE, "b", status=StepStatus.PENDING), Rule.ENDED),
    "compensated with a completed step": (
        with_step(compensating().undoes("a"), "a", status=StepStatus.COMPLETED),
        Rule.ENDED,
    ),
    "an attempt went back": (with_track(given(AB).fails("a"), "a", "forward", attempt=0), Rule.ATTEMPT),
    "late outputs that never came": (with_step(DONE, "a", late_undone=1), Rule.ATTEMPT),
    "a compensation of nothing": (with_step(DONE, "a", undoing=0), Rule.ATTEMPT),
    "completed without an output": (with_step(given(AB).does("a"), "a", output=None), Rule.ATTEMPT),
    "completed at no time": (with_track(given(AB).does("a"), "a", "forward", ended_at=None), Rule.ATTEMPT),
    "completed without an attempt": (with_track(given(AB).does("a"), "a", "forward", attempt=0), Rule.ATTEMPT),
    "claimed and open": (with_track(given(AB).claims("a"), "a", "forward", due=NOW), Rule.CLAIM),
    "claimed before any attempt": (with_track(given(AB).claims("a"), "a", "forward", attempt=0), Rule.CLAIM),
    "a claim on what is done": (with_track(given(AB).does("a"), "a", "forward", claim=CLAIM), Rule.CLAIM),
    "two claims on a step": (
        with_track(given(AB).claims("a"), "a", "probe", claim=CLAIM, attempt=1),
        Rule.CLAIM,
    ),
    "a claim without the lock": (with_saga(LOCKED, locks={"k": Lock(LockStatus.WANTED, 1)}), Rule.CLAIM),
    "a claim on what has ended": (with_track(DONE, "b", "forward", claim=CLAIM), Rule.ENDED),
    "no such step": (with_saga(given(AB), steps={"a": given(AB).step("a")}), Rule.GRAPH),
    "a step too many": (with_saga(given(AB), steps={**given(AB).state.steps, "c": DONE.step("a")}), Rule.GRAPH),
    "a list without its elements": (with_step(fanned(), "e", size=1_000_000_000), Rule.GRAPH),
    "open before its time": (with_track(given(AB), "b", "forward", due=NOW), Rule.EARLY),
    "open after the turn": (with_track(compensating(), "b", "forward", due=NOW), Rule.EARLY),
    "undone before its time": (
        with_track(given(AB).does("a", "b").compensation_is_requested(), "a", "undo", due=NOW),
        Rule.EARLY,
    ),
    "undone without a turn": (with_track(given(AB).does("a"), "a", "undo", due=NOW), Rule.EARLY),
    "a join that was missed": (
        with_track(given(diamond()).does("top", "left").claims("right").succeeds("right"), "join", "forward", due=None),
        Rule.MISSED_STEP,
    ),
    "a retry that was missed": (
        with_track(given(diamond()).does("top").loses_worker_of("left"), "left", "forward", due=None),
        Rule.MISSED_STEP,
    ),
    "no element is open": (with_track(fanned(), "e[0]", "forward", due=None), Rule.MISSED_STEP),
    "an undo that was missed": (with_track(compensating(), "a", "undo", due=None), Rule.MISSED_UNDO),
    "a late undo that was missed": (
        with_step(compensating(), "a", undone=True, late=("x",), undo=Track()),
        Rule.MISSED_UNDO,
    ),
    "an end that was missed": (
        with_saga(DONE, status=SagaStatus.STARTED, completed_at=None, digest=None),
        Rule.MISSED_END,
    ),
}


@pytest.mark.parametrize(("story", "rule"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_found(story: Story, rule: Rule) -> None:
    assert rule in rules_of(story)
    assert all(breach.what and '"context"' not in breach.what for breach in breaches(story.state, None))


@pytest.mark.parametrize("rule", [Rule.CHANGED, Rule.CLAIM, Rule.MISSED_END])
def test_much_is_found_without_the_graph(rule: Rule) -> None:
    stories = [story for story, broken in BROKEN.values() if broken is rule]
    assert all(rule in rules_of(story, with_graph=False) for story in stories)


# ---------------------------------------------------------------------------------------- what is not

HEALTHY: dict[str, Callable[[], Story]] = {
    "scheduled": lambda: given(AB, start_in=60),
    "paused": lambda: given(AB).is_paused(),
    "waits for a retry": lambda: given(AB).loses_worker_of("a"),
    "a sibling runs while the other is undone": lambda: (
        given(diamond()).does("top", "left").claims("right").cancellation_is_requested()
    ),
    "elements wait for a place": lambda: fanned().claims("e[0]"),
    "elements wait for a place to be undone": lambda: (
        fanned().does("e[0]", "e[1]").compensation_is_requested().claims("e[1]", UNDO)
    ),
    "late outputs are undone": lambda: (
        given(AB).loses_worker_of("a").does("a").succeeds("a", "late", attempt=1).does("b").compensation_is_requested()
    ),
    "waits for a child": lambda: given(a_saga(a_child("a"))).does("a").inserts("a"),
    "waits for its child's undo": lambda: (
        given(a_saga(a_child("a")))
        .does("a")
        .inserts("a")
        .child_ends("a", SagaStatus.COMPLETED)
        .compensation_is_requested()
        .asks_child("a")
    ),
    "waits for the outside": lambda: given(a_saga(a_wait("a"))).does("a"),
    "compensating takes too long": lambda: (
        given(a_saga(a_step("a"), a_step("b", after=["a"]), compensation_deadline=timedelta(seconds=5)))
        .does("a")
        .fails("b")
        .claims("a", UNDO)
        .later(10)
    ),
    "resolved by hand": lambda: (
        given(a_saga(a_step("a", strict=True))).loses_worker_of("a").is_resolved("a", Resolution.HAPPENED, "x")
    ),
    "skipped by hand": lambda: given(AB).is_skipped("a", output="x"),
    "does not accept an unknown outcome": lambda: (
        given(a_saga(a_step("s", strict=True), a_step("a"))).claims("a").claims("s").loses().cancellation_is_requested()
    ),
    "failed": lambda: compensating().fails_to_undo("a"),
    "blocked": lambda: given(a_saga(a_step("a")), lock="k").is_blocked("k"),
}


@pytest.mark.parametrize("story", HEALTHY.values(), ids=HEALTHY.keys())
def test_what_is_as_it_should_be_is_left_in_peace(story: Callable[[], Story]) -> None:
    assert rules_of(story()) == []


def test_what_an_earlier_version_has_kept_needs_no_digest_and_no_failure() -> None:
    story = with_saga(compensating().fails_to_undo("a"), failure=None)
    assert rules_of(story) == [Rule.ENDED]
    old = replace(story.state, schema=1, digest=None)
    assert breaches(old, AB) == []
    assert SCHEMA > 1


# ---------------------------------------------------------------------------------------- who looks at it again


def rests(story: Story) -> bool:
    return unattended(story.state, story.definition) is None


@pytest.mark.parametrize(
    ("name", "may_rest"),
    [
        ("paused", True),
        ("waits for a child", True),
        ("waits for the outside", True),
        ("blocked", True),
        ("failed", True),
        ("scheduled", False),
        ("waits for a retry", False),
    ],
)
def test_a_saga_may_rest_only_while_it_waits_for_somebody_who_will_tell(name: str, may_rest: bool) -> None:
    assert rests(HEALTHY[name]()) is may_rest


def test_a_saga_that_has_ended_rests_unless_it_owes_something() -> None:
    assert rests(DONE)
    assert not rests(given(AB, parent=Link("p", "s")).does("a", "b"))


def test_a_saga_that_waits_for_nothing_does_not_rest_whoever_has_its_graph() -> None:
    story = with_track(given(AB), "a", "forward", due=None)
    assert not rests(story)
    assert unattended(story.state, None) is not None
    assert unattended(replace(story.state, steps={}), story.definition) is not None


def test_a_child_that_is_not_there_yet_is_nothing_to_wait_for() -> None:
    state: SagaState = given(a_saga(a_child("a"))).does("a").state
    assert unattended(state, None) is not None
