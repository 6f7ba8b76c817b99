"""The part of the contract of stores about inboxes: which requests are accepted, and that none of those is lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from msgspec.structs import replace

from ..core.events import RetryRequested
from ..core.state import SagaStatus
from ..errors import InboxFull
from ..ports import INBOX_LIMIT, Outcome, Posted, Signal, Store
from .store_states import ENDLESS, REQUESTS, change, changed, new_saga, request
from .strategies import any_saga, signals


class InboxContract:
    """A request that was accepted waits until a change of its saga takes it in."""

    @pytest.mark.parametrize("committed", [False, True])
    @pytest.mark.parametrize("status", SagaStatus)
    async def test_a_saga_accepts_the_kinds_that_it_says(
        self, store: Store, other_store: Store, status: SagaStatus, committed: bool
    ) -> None:
        inserted = new_saga(status=status, committed=committed)
        before = new_saga(status=SagaStatus.COMPENSATED)
        become = changed(before, status=status, committed=committed)
        await store.insert(inserted, None)
        await store.insert(before, None)
        assert await store.commit([change(before, become)]) == [Outcome.COMMITTED]
        for state in (inserted, become):
            taken: list[Signal] = []
            for asked in REQUESTS:
                signal = Signal(f"token of {asked.kind}", asked)
                accepted = asked.kind in state.accepts
                assert await other_store.post(state.id, signal) == Posted(accepted, status), asked
                taken += [signal] * accepted
            assert (await store.load([state.id]))[state.id].inbox == tuple(taken)

    async def test_of_what_an_earlier_version_kept_the_status_alone_is_known(self, store: Store) -> None:
        state = new_saga(schema=1, status=SagaStatus.FAILED)
        await store.insert(state, None)
        for asked in REQUESTS:
            expected = asked.kind not in {"cancel", "compensate", "pause"}
            assert (await store.post(state.id, Signal(asked.kind, asked))).accepted is expected

    @any_saga
    @given(signal=signals())
    async def test_a_request_is_kept_whole(self, store: Store, other_store: Store, signal: Signal) -> None:
        state = new_saga(status=SagaStatus.FAILED if signal.request.kind == "retry" else SagaStatus.STARTED)
        await store.insert(state, None)
        assert await store.post(state.id, signal) == Posted(True, state.status)
        assert (await other_store.load([state.id]))[state.id].inbox == (signal,)

    async def test_requests_wait_in_their_order_and_once(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        sent = [request(token, f"reason {token}") for token in "cab"]
        for signal in [*sent, *sent]:
            assert (await store.post(state.id, signal)).accepted
            assert (await other_store.post(state.id, signal)).accepted
        stored = (await store.load([state.id]))[state.id]
        assert stored.inbox == tuple(sent)
        assert stored.state == state

    async def test_one_token_posted_by_many_at_once_is_there_once(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        posted = await asyncio.gather(*(one.post(state.id, request("token")) for one in (store, other_store) * 10))
        assert all(answer.accepted for answer in posted)
        assert (await store.load([state.id]))[state.id].inbox == (request("token"),)

    async def test_what_is_refused_leaves_no_trace(self, store: Store) -> None:
        state = new_saga(status=SagaStatus.FAILED)
        await store.insert(state, None)
        assert await store.post(state.id, request("token")) == Posted(False, SagaStatus.FAILED)
        assert await store.post("nobody", request("token")) == Posted(False, None)
        assert (await store.load([state.id]))[state.id].inbox == ()
        assert await store.due(ENDLESS, 10) == []

    async def test_what_is_in_the_inbox_is_accepted_though_the_saga_accepts_less_by_now(self, store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        await store.post(state.id, request("early"))
        ended = change(state, changed(state, status=SagaStatus.COMPENSATED))
        assert await store.commit([ended]) == [Outcome.COMMITTED]
        assert await store.post(state.id, request("early")) == Posted(True, SagaStatus.COMPENSATED)
        assert await store.post(state.id, request("late")) == Posted(False, SagaStatus.COMPENSATED)

    async def test_a_saga_comes_to_accept_less_only_if_nobody_has_asked(self, store: Store, other_store: Store) -> None:
        for _ in range(50):
            state = new_saga()
            await store.insert(state, None)
            narrower = change(state, changed(state, committed=True), inbox_size=0)
            (outcome,), posted = await asyncio.gather(
                store.commit([narrower]), other_store.post(state.id, request("token"))
            )
            assert (outcome is Outcome.COMMITTED) != posted.accepted
            assert posted.status is SagaStatus.STARTED
            assert (await store.load([state.id]))[state.id].state.committed != posted.accepted

    async def test_a_saga_comes_to_accept_more_too(self, store: Store) -> None:
        state = new_saga(committed=True)
        await store.insert(state, None)
        assert not (await store.post(state.id, request("token"))).accepted
        assert await store.commit([change(state, changed(state, committed=False))]) == [Outcome.COMMITTED]
        assert (await store.post(state.id, request("token"))).accepted

    async def test_a_full_inbox_refuses_what_is_new(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        tokens = [f"token-{number}" for number in range(INBOX_LIMIT)]
        for token in tokens:
            assert (await store.post(state.id, request(token))).accepted
        with pytest.raises(InboxFull):
            await other_store.post(state.id, request("one too many"))
        assert (await store.post(state.id, request(tokens[0]))).accepted
        not_accepted = Signal("new", RetryRequested("ada", "why not", 1_000.0))
        assert not (await store.post(state.id, not_accepted)).accepted
        taken = change(state, consumed=tuple(tokens[:10]), inbox_size=INBOX_LIMIT)
        assert await store.commit([taken]) == [Outcome.COMMITTED]
        assert (await other_store.post(state.id, request("one too many"))).accepted
        waiting = (await store.load([state.id]))[state.id].inbox
        assert [signal.token for signal in waiting] == [*tokens[10:], "one too many"]

    async def test_what_is_consumed_leaves_with_the_change(self, store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        for token in ("a", "b", "c"):
            await store.post(state.id, request(token))
        old = change(replace(state, revision=7), consumed=("a", "b"))
        assert await store.commit([old]) == [Outcome.CONFLICT]
        assert len((await store.load([state.id]))[state.id].inbox) == 3
        assert await store.commit([change(state, consumed=("a", "c", "was never there"))]) == [Outcome.COMMITTED]
        assert (await store.load([state.id]))[state.id].inbox == (request("b"),)

    @pytest.mark.parametrize("size", [0, 1, 3])
    async def test_a_change_that_counts_on_another_inbox_conflicts(self, store: Store, size: int) -> None:
        state = new_saga()
        await store.insert(state, None)
        for token in ("a", "b"):
            await store.post(state.id, request(token))
        wrong = change(state, consumed=("a", "b"), inbox_size=size)
        assert await store.commit([wrong]) == [Outcome.CONFLICT]
        stored = (await store.load([state.id]))[state.id]
        assert stored.state == state
        assert len(stored.inbox) == 2
        assert await store.commit([change(state, consumed=("a",), inbox_size=2)]) == [Outcome.COMMITTED]

    async def test_a_request_is_accepted_or_the_saga_ends_but_not_both(self, store: Store, other_store: Store) -> None:
        for _ in range(50):
            state = new_saga()
            await store.insert(state, None)
            end = change(state, changed(state, status=SagaStatus.COMPLETED), inbox_size=0)
            (outcome,), posted = await asyncio.gather(store.commit([end]), other_store.post(state.id, request("token")))
            assert (outcome is Outcome.COMMITTED) != posted.accepted
            expected = SagaStatus.STARTED if posted.accepted else SagaStatus.COMPLETED
            assert posted.status == expected
            assert (await store.load([state.id]))[state.id].state.status == expected

    async def test_requests_that_race_with_commits_are_never_lost(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        sent = [request(f"token-{number}") for number in range(100)]
        seen: list[Signal] = []

        async def post() -> None:
            for signal in sent:
                assert (await other_store.post(state.id, signal)).accepted

        posting = asyncio.create_task(post())
        all_posted = False
        while not all_posted:
            all_posted = posting.done()
            stored = (await store.load([state.id]))[state.id]
            tokens = tuple(signal.token for signal in stored.inbox)
            # Nobody else commits, so what is posted meanwhile must not make it conflict.
            assert await store.commit([change(stored.state, consumed=tokens)]) == [Outcome.COMMITTED]
            seen += stored.inbox
        await posting
        assert seen == sent
