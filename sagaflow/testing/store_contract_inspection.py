"""The part of the contract of stores about what a check reads: everything, a page at a time, and as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.state import SagaStatus, StepState
from ..ports import Inspected, Outcome, Store
from .store_states import change, changed, claimed, new_saga, request, ticket

AWKWARD = ("$where", "a.b", "'; --", "%", "Zulu", "zulu", "ß", "☂", "🧨")


async def _all(read: Callable[[str | None, int], Awaitable[list[str]]], size: int) -> list[str]:
    found: list[str] = []
    while page := await read(found[-1] if found else None, size):
        assert len(page) <= size
        found += page
    return found


class InspectionContract:
    """A check sees each saga, with all that the store has beside it, and disturbs nothing."""

    async def test_a_scan_finds_each_saga_once_by_its_id_whatever_it_is(self, store: Store) -> None:
        assert await store.scan(None, 10) == []
        names = [*AWKWARD, *(f"saga-{number}" for number in range(20))]
        for number, name in enumerate(names):
            status = SagaStatus.COMPLETED if number % 2 else SagaStatus.STARTED
            await store.insert(new_saga(name, status=status), 5.0 if number % 3 else None)
        assert await _all(store.scan, 7) == sorted(names)
        assert await store.scan("saga-8", 2) == ["saga-9", "zulu"]
        assert await store.scan("🧨", 10) == []

    async def test_a_scan_leaves_out_what_is_only_left_of_a_saga(self, store: Store) -> None:
        # Later than the store's own clock says: it could forget by itself what is due.
        due = await store.now() + 10_000.0
        await store.insert(new_saga("gone", status=SagaStatus.COMPLETED, named=True, expire_at=due), None)
        await store.insert(new_saga("stays"), None)
        assert await store.expire(due, 10, due) == 1
        assert await store.scan(None, 10) == ["stays"]
        assert await store.inspect(["gone"]) == {}

    async def test_a_saga_is_inspected_with_what_the_store_has_beside_it(
        self, store: Store, other_store: Store
    ) -> None:
        quiet, due = new_saga("quiet"), new_saga("due")
        await store.insert(quiet, None)
        await store.insert(due, 10.0)
        assert await other_store.inspect(["due", "nobody", "quiet"]) == {
            "quiet": Inspected(quiet),
            "due": Inspected(due, due_at=10.0),
        }
        await store.post("due", request("one"))
        await store.post("due", request("two"))
        held = claimed(quiet, "worker")
        assert await store.commit([change(quiet, held)]) == [Outcome.COMMITTED]
        found = await other_store.inspect(["quiet", "due"])
        assert found["due"] == Inspected(due, due_at=10.0, requests=2)
        assert found["quiet"] == Inspected(held, owners=("worker",))
        assert await store.inspect([]) == {}

    async def test_a_claim_that_was_given_back_is_not_found_any_more(self, store: Store) -> None:
        state = new_saga()
        held = claimed(claimed(state, "b"), "a", "charge")
        free = changed(held.with_step("reserve", StepState()))
        await store.insert(held, None)
        assert (await store.inspect([state.id]))[state.id].owners == ("a", "b")
        await store.commit([change(held, free)])
        assert (await store.inspect([state.id]))[state.id].owners == ("a",)

    async def test_a_saga_that_waits_for_requests_only_is_due_since_the_first(self, store: Store) -> None:
        before = await store.now()
        await store.insert(new_saga("a"), None)
        await store.post("a", request("token"))
        due_at = (await store.inspect(["a"]))["a"].due_at
        assert due_at is not None
        assert before - 1.0 <= due_at <= await store.now() + 1.0
        (found,) = await store.due(due_at, 10)
        assert await store.defer([found], [due_at + 100.0]) == [True]
        assert (await store.inspect(["a"]))["a"].due_at == due_at + 100.0

    async def test_its_clock_is_that_of_the_beats(self, store: Store, other_store: Store) -> None:
        heart = store.heart()
        first = await store.now()
        beat = heart.beat("worker").now
        last = await other_store.now()
        heart.close()
        assert first - 0.1 <= beat <= last + 0.1

    async def test_of_each_worker_it_is_known_when_it_died(self, store: Store, other_store: Store) -> None:
        heart = store.heart()
        for worker in ("living", "judged", "left"):
            heart.beat(worker)
        began = await store.now()
        assert heart.declare_dead("judged", 1)
        heart.leave("left")
        heart.leave("was never here")
        heart.close()
        deaths = await other_store.deaths(["living", "judged", "left", "was never here", "unknown"])
        assert deaths.keys() == {"living", "judged", "left", "was never here"}
        assert deaths.pop("living") is None
        for died_at in deaths.values():
            assert died_at is not None
            assert began - 0.1 <= died_at <= await store.now() + 0.1
        assert await store.deaths([]) == {}

    async def test_the_lines_that_somebody_stands_in_are_found_by_their_keys(self, store: Store) -> None:
        assert await store.lines(None, 10) == []
        keys = ["", *AWKWARD, *(f"key-{number}" for number in range(9))]
        for key in keys:
            await store.queue_up(key, ticket("a"))
            await store.queue_up(key, ticket("b"))
        assert await _all(store.lines, 4) == sorted(keys)
        await store.leave_queue("key-3", ticket("a"))
        await store.leave_queue("key-4", ticket("a"))
        await store.leave_queue("key-4", ticket("b"))
        assert await _all(store.lines, 100) == sorted({*keys} - {"key-4"})

    async def test_the_digest_of_a_saga_that_has_ended_goes_when_it_goes_on(self, store: Store) -> None:
        started = new_saga()
        ended = changed(started, status=SagaStatus.COMPLETED, digest="0" * 32)
        again = changed(ended, status=SagaStatus.COMPENSATING, digest=None)
        await store.insert(started, None)
        for before, after in ((started, ended), (ended, again)):
            assert await store.commit([change(before, after)]) == [Outcome.COMMITTED]
            assert (await store.inspect([started.id]))[started.id].state == after
