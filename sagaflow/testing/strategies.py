"""Hypothesis strategies for what a store keeps: any saga that could be, likely or not.

Example:
    ::

        @given(state=sagas())
        async def test_it_is_there_whole(store: Store, state: SagaState) -> None: ...
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ..core.events import CancellationRequested, CompensationRequested
from ..core.state import Claim, SagaState, SagaStatus, StepState, StepStatus, Track
from ..ports import Signal

# Text that has been taken for something else by some store: operators, expressions, paths, quotes, wide characters.
_AWKWARD = ("$status", "$$NOW", "a.b", "'; DROP TABLE sagas; --", '"', "\\", "%s", "naïve ☂ 🧨", "\u2028", "null", "")

_TIMES = st.floats(min_value=0, max_value=4e9, allow_subnormal=False)
_COUNTS = st.integers(min_value=0, max_value=2**53)


def texts() -> SearchStrategy[str]:
    """Any text without NUL, awkward ones more often than by chance."""
    return st.sampled_from(_AWKWARD) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def step_names() -> SearchStrategy[str]:
    """Names that a step can have."""
    return st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)


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
    )


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
    )


def signals() -> SearchStrategy[Signal]:
    """Any request, with any token."""
    kinds = st.sampled_from((CancellationRequested, CompensationRequested))
    requests = kinds.flatmap(lambda kind: st.builds(kind, reason=texts(), at=_TIMES))
    return st.builds(Signal, token=texts(), request=requests)
