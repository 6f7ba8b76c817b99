"""Hypothesis strategies for what a store keeps: any saga that could be, likely or not.

Example:
    ::

        @given(state=sagas())
        async def test_it_is_there_whole(store: Store, state: SagaState) -> None: ...
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ..core.events import (
    CancellationRequested,
    ChildEnded,
    CompensationRequested,
    FamilyEnded,
    LockFreed,
    PauseRequested,
    Request,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
)
from ..core.state import (
    TERMINAL,
    Act,
    Claim,
    Direction,
    Link,
    Lock,
    LockStatus,
    Received,
    SagaState,
    SagaStatus,
    StepState,
    StepStatus,
    Track,
)
from ..ports import Signal, Ticket

# Text that has been taken for something else by some store: operators, expressions, paths, quotes, wide characters.
_AWKWARD = ("$status", "$$NOW", "a.b", "'; DROP TABLE sagas; --", '"', "\\", "%s", "naïve ☂ 🧨", "\u2028", "null", "")

# The examples of one test share its store: each has an id of its own, so they do not meet. And several subclasses
# share a test: an example that fails with one store is worth a try with the others.
any_saga: settings = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    max_examples=50,
    deadline=None,
)

_TIMES = st.floats(min_value=0, max_value=4e9, allow_subnormal=False)
_COUNTS = st.integers(min_value=0, max_value=2**53)


def texts() -> SearchStrategy[str]:
    """Any text without NUL, awkward ones more often than by chance."""
    return st.sampled_from(_AWKWARD) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def step_names() -> SearchStrategy[str]:
    """Names that a step can have, and those of the elements of one."""
    return st.from_regex(r"[a-z][a-z0-9_]{0,15}(\[[0-9]{1,3}\])?", fullmatch=True)


def tracks() -> SearchStrategy[Track]:
    """Any attempts of a step."""
    return st.builds(
        Track,
        attempt=_COUNTS,
        tries=_COUNTS,
        losses=_COUNTS,
        claim=st.none() | st.builds(Claim, owner=texts(), since=_TIMES),
        due=st.none() | _TIMES,
        reason=st.none() | texts(),
        first_error=st.none() | texts(),
        last_error=st.none() | texts(),
        started_at=st.none() | _TIMES,
        ended_at=st.none() | _TIMES,
    )


def steps() -> SearchStrategy[StepState]:
    """Any step, also such that no saga would ever come to."""
    return st.builds(
        StepState,
        status=st.sampled_from(StepStatus),
        forward=st.just(Track()) | tracks(),
        undo=st.just(Track()) | tracks(),
        output=st.none() | texts(),
        unclean=st.booleans(),
        late=st.lists(texts(), max_size=3).map(tuple),
        undone=st.booleans(),
        late_undone=st.integers(0, 3),
        undoing=st.none() | st.integers(-1, 3),
        probe=st.just(Track()) | tracks(),
        exhausted=st.booleans(),
        unresolved=st.booleans(),
        generation=st.integers(0, 3),
        decided=st.booleans(),
        size=st.none() | st.integers(0, 1_000),
        item=st.none() | texts(),
        lock=st.none() | texts(),
        child=st.none() | texts(),
        asked=st.booleans(),
        linked=st.booleans(),
        wait_until=st.none() | _TIMES,
        undo_asked=st.booleans(),
    )


def locks() -> SearchStrategy[Lock]:
    """Any standing of a saga with a lock."""
    return st.builds(Lock, status=st.sampled_from(LockStatus), term=_COUNTS, holder=st.none() | texts())


def received() -> SearchStrategy[Received]:
    """Anything that the outside can have said."""
    return st.builds(Received, token=texts(), at=_TIMES, output=st.none() | texts(), error=st.none() | texts())


def acts() -> SearchStrategy[Act]:
    """Anything that people can have done."""
    return st.builds(Act, what=texts(), at=_TIMES, by=texts(), reason=texts(), step=st.none() | step_names())


def tags() -> SearchStrategy[tuple[str, ...]]:
    """Any labels, each once."""
    return st.lists(texts(), max_size=3, unique=True).map(tuple)


def tickets() -> SearchStrategy[Ticket]:
    """Any place in the line for a lock."""
    return st.builds(Ticket, saga_id=texts(), root=texts(), term=_COUNTS)


def sagas() -> SearchStrategy[SagaState]:
    """Any saga, also such that the engine would never come to."""
    return st.builds(
        SagaState,
        id=texts().filter(bool),
        saga=texts(),
        fingerprint=texts(),
        status=st.sampled_from(SagaStatus),
        revision=st.integers(0, 2**53),
        context=texts(),
        steps=st.dictionaries(step_names(), steps(), max_size=4),
        created_at=_TIMES,
        updated_at=_TIMES,
        completed_at=st.none() | _TIMES,
        start_at=st.none() | _TIMES,
        deadline_at=st.none() | _TIMES,
        reason=st.none() | texts(),
        undo_deadline_at=st.none() | _TIMES,
        committed=st.booleans(),
        overdue=st.booleans(),
        paused=st.booleans(),
        named=st.booleans(),
        parent=st.none() | st.builds(Link, saga_id=texts(), step=step_names()),
        root=st.none() | texts(),
        told=st.booleans(),
        locks=st.dictionaries(texts(), locks(), max_size=2),
        signals=st.dictionaries(texts(), received(), max_size=2),
        acts=st.lists(acts(), max_size=2).map(tuple),
        # A store forgets by itself what has expired.
        expire_at=st.none() | st.floats(min_value=4e9, max_value=8e9),
        digest=st.none() | texts(),
        tags=tags(),
    )


def requests() -> SearchStrategy[Request]:
    """Any request, of each kind."""
    act = {"by": texts(), "reason": texts(), "at": _TIMES}
    payload = st.none() | texts()
    return st.one_of(
        st.builds(CancellationRequested, **act),
        st.builds(CompensationRequested, **act),
        st.builds(PauseRequested, **act),
        st.builds(ResumeRequested, **act),
        st.builds(RetryRequested, **act, step=st.none() | step_names(), new_key=st.booleans()),
        st.builds(SkipRequested, **act, step=step_names(), direction=st.sampled_from(Direction), output=payload),
        st.builds(
            ResolutionRequested,
            **act,
            step=step_names(),
            resolution=st.sampled_from([Resolution.NOT_HAPPENED, Resolution.COMPENSATED]),
        ),
        st.builds(
            ResolutionRequested, **act, step=step_names(), resolution=st.just(Resolution.HAPPENED), output=texts()
        ),
        st.builds(Signalled, signal=texts(), token=texts(), at=_TIMES, output=texts()),
        st.builds(Signalled, signal=texts(), token=texts(), at=_TIMES, error=texts()),
        st.builds(ChildEnded, step=step_names(), status=st.sampled_from(sorted(TERMINAL)), at=_TIMES, error=payload),
        st.builds(LockFreed, key=texts(), at=_TIMES),
        st.builds(FamilyEnded, expire_at=_TIMES, at=_TIMES),
    )


def signals() -> SearchStrategy[Signal]:
    """Any request, with any token."""
    return st.builds(Signal, token=texts(), request=requests())
