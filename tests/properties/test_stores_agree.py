"""Whatever is done to them, all stores agree with one simple model, and so with each other."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace
from pymongo import MongoClient

from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.core.events import Request
from sagaflow.core.state import Claim, SagaState, SagaStatus, StepState, Track
from sagaflow.ports import (
    Due,
    Graph,
    Outcome,
    Posted,
    Query,
    Signal,
    Store,
    Summary,
    Ticket,
    Tombstone,
    Transition,
)
from sagaflow.testing.store_states import ENDLESS, REQUESTS, new_saga, ticket

T = TypeVar("T")

IDS = ["one", "two", "three"]
WORKERS = ["ada", "bob", "cyd"]
KEYS = ["customer 7", "$line.0"]
REAL = 1e9  # later than all times of the test, and earlier than any store's clock

# What may be forgotten lies so far ahead of the server's clock that no store forgets it by itself.
AHEAD = 5e9

times = st.integers(0, 20).map(float)
ids = st.sampled_from(IDS)
fingerprints = st.sampled_from(["f-1", "f-2"])
workers = st.sampled_from(WORKERS)
tags = st.lists(st.sampled_from(["vip", "web", "$ne"]), unique=True, max_size=2).map(tuple)


@dataclass
class Kept:
    """A saga in the model. A request's time is known only in its order until it is deferred: it is from REAL on."""

    state: SagaState
    wake_at: float | None
    dispatches: int = 0
    inbox: list[tuple[Signal, float]] = field(default_factory=list[tuple[Signal, float]])

    @property
    def due_at(self) -> float | None:
        known = [] if self.wake_at is None else [self.wake_at]
        return min(known + [at for _, at in self.inbox], default=None)


@st.composite
def states(draw: st.DrawFn) -> SagaState:
    """A saga with the claims of some workers.

    Small, so that an example has room for many steps; that any saga is kept whole is a test of the contract.
    """
    held = draw(st.sets(workers, max_size=2))
    claims = {name: StepState(forward=Track(attempt=1, claim=Claim(name, 1.0))) for name in held}
    return new_saga(
        saga=draw(st.sampled_from(["Order", "Trip"])),
        status=draw(st.sampled_from([SagaStatus.STARTED, SagaStatus.STARTED, SagaStatus.COMPLETED])),
        fingerprint=draw(fingerprints),
        reason=draw(st.sampled_from([None, "$status", "late"])),
        steps={"idle": StepState(), **claims},
        created_at=draw(times),
        updated_at=draw(times),
        committed=draw(st.booleans()),
        named=draw(st.booleans()),
        expire_at=draw(st.none() | times.map(AHEAD.__add__)),
        tags=draw(tags),
    )


class Change:
    """A transition to be: what of it is right, and what is not."""

    def __init__(
        self, saga_id: str, after: SagaState, wake_at: float | None, offset: int, consume: set[int], size: int | None
    ) -> None:
        self.saga_id, self.after, self.wake_at = saga_id, after, wake_at
        self.offset, self.consume, self.size = offset, consume, size

    def __repr__(self) -> str:
        return f"Change{tuple(vars(self).values())}"


changes = st.builds(
    Change,
    saga_id=ids,
    after=states(),
    wake_at=st.none() | times,
    offset=st.sampled_from([0] * 8 + [-1, 1]),
    consume=st.sets(st.integers(0, 3)),
    size=st.sampled_from([None] * 4 + [0, 0, -1, 1]),
)


class Stores:
    """The stores that are held against the model, empty again for each example."""

    def __init__(self, runner: asyncio.Runner, path: Path, mongo_url: str) -> None:
        self.run = runner.run
        self._path = path
        self._client = MongoClient[dict[str, Any]](mongo_url)
        self._database = self._client.get_default_database()
        self._examples = 0
        self.mongo = MongoStore.from_url(mongo_url)
        self.run(self.mongo.open())

    def fresh(self) -> dict[str, Store]:
        self._examples += 1
        for name in self._database.list_collection_names():
            self._database[name].delete_many({})
        sqlite = SQLiteStore(self._path / f"{self._examples}.db", synchronous="NORMAL")
        self.run(sqlite.open())
        return {"memory": MemoryStore(), "sqlite": sqlite, "mongo": self.mongo}

    def close(self) -> None:
        self.run(self.mongo.close())
        self._client.close()


class StoresAgree(RuleBasedStateMachine):
    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self.run = stores.run
        self.stores = stores.fresh()
        self.hearts = {name: store.heart() for name, store in self.stores.items()}
        self.sagas: dict[str, Kept] = {}
        self.buried: dict[str, tuple[Tombstone, float]] = {}
        self.lines: dict[str, list[Ticket]] = {key: [] for key in KEYS}
        self.kept_graphs: dict[str, Graph] = {}
        self.living: dict[str, int] = {}
        self.dead: set[str] = set()
        self.posts = 0
        # What the last sweep found: by the model, and by each store in its own time.
        self.found: list[Due] = []
        self.found_by: dict[str, dict[str, Due]] = {name: {} for name in self.stores}
        self.now_due_by: dict[str, dict[str, Due]] = {name: {} for name in self.stores}

    def teardown(self) -> None:
        for heart in self.hearts.values():
            heart.close()
        self.run(self.stores["sqlite"].close())

    def ask(self, question: Callable[[Store], Coroutine[Any, Any, T]]) -> dict[str, T]:
        return {name: self.run(question(store)) for name, store in self.stores.items()}

    def all_say(self, expected: T, question: Callable[[Store], Coroutine[Any, Any, T]]) -> None:
        assert self.ask(question) == dict.fromkeys(self.stores, expected)

    @initialize(states=st.tuples(states(), states()))
    def begin(self, states: tuple[SagaState, SagaState]) -> None:
        for saga_id, state in zip(IDS, states, strict=False):
            self.insert(saga_id, state, 5.0)

    @rule(saga_id=ids, state=states(), wake_at=st.none() | times)
    def insert(self, saga_id: str, state: SagaState, wake_at: float | None) -> None:
        state = replace(state, id=saga_id)
        is_new = saga_id not in self.sagas.keys() | self.buried.keys()
        self.all_say(is_new, lambda store: store.insert(state, wake_at))
        if is_new:
            self.sagas[saga_id] = Kept(state, wake_at)

    @rule(batch=st.lists(changes, max_size=3, unique_by=lambda change: change.saga_id))
    def commit(self, batch: list[Change]) -> None:
        transitions = [self.transition(change) for change in batch]
        expected = [self.outcome(transition) for transition in transitions]
        self.all_say(expected, lambda store: store.commit(transitions))
        for transition, outcome in zip(transitions, expected, strict=True):
            if outcome is Outcome.COMMITTED:
                kept = self.sagas[transition.before.id]
                kept.state, kept.wake_at, kept.dispatches = transition.after, transition.wake_at, 0
                kept.inbox = [entry for entry in kept.inbox if entry[0].token not in transition.consumed]

    def transition(self, change: Change) -> Transition:
        kept = self.sagas.get(change.saga_id)
        before = kept.state if kept else replace(change.after, id=change.saga_id)
        before = replace(before, revision=before.revision + change.offset)
        same = {"id": change.saga_id, "created_at": before.created_at, "tags": before.tags}
        after = replace(change.after, **same, revision=before.revision + 1)
        inbox = kept.inbox if kept else []
        consumed = tuple(signal.token for number, (signal, _) in enumerate(inbox) if number in change.consume)
        size = None if change.size is None else max(len(inbox) + change.size, 0)
        return Transition(before, after, change.wake_at, consumed, size)

    def outcome(self, transition: Transition) -> Outcome:
        kept = self.sagas.get(transition.before.id)
        holds = (
            kept is not None
            and kept.state.revision == transition.before.revision
            and transition.inbox_size in {None, len(kept.inbox)}
        )
        return Outcome.COMMITTED if holds else Outcome.CONFLICT

    @rule(saga_id=ids, token=st.sampled_from("abcd"), asked=st.sampled_from(REQUESTS))
    def post(self, saga_id: str, token: str, asked: Request) -> None:
        kept, signal = self.sagas.get(saga_id), Signal(token, asked)
        status = kept.state.status if kept else None
        is_there = kept is not None and any(waiting.token == token for waiting, _ in kept.inbox)
        accepted = is_there or (kept is not None and asked.kind in kept.state.accepts)
        self.all_say(Posted(accepted, status), lambda store: store.post(saga_id, signal))
        if kept and accepted and not is_there:
            self.posts += 1
            kept.inbox.append((signal, REAL + self.posts))

    @rule(now=times.map(AHEAD.__add__), limit=st.integers(1, 3), keep_ids=st.integers(0, 9).map(float))
    def expire(self, now: float, limit: int, keep_ids: float) -> None:
        old = sorted((until, saga_id) for saga_id, (_, until) in self.buried.items() if until <= now)
        # Which of several with one time are taken is each store's own choice, so all of them are, or none.
        limit = limit if len({until for until, _ in old}) == len(old) else len(IDS)
        due = sorted(
            (kept.state.expire_at, saga_id)
            for saga_id, kept in self.sagas.items()
            if kept.state.expire_at is not None and kept.state.expire_at <= now and not kept.inbox
        )
        limit = limit if len({at for at, _ in due}) == len(due) else len(IDS)
        self.all_say(len(due[:limit]), lambda store: store.expire(now, limit, keep_ids))
        for _, saga_id in old[:limit]:
            del self.buried[saga_id]
        for _, saga_id in due[:limit]:
            state = self.sagas.pop(saga_id).state
            if state.named:
                left = Tombstone(state.saga, state.status, state.completed_at)
                self.buried[saga_id] = (left, now + keep_ids)

    @invariant()
    def all_have_the_same_tombstones(self) -> None:
        for saga_id in IDS:
            self.look_at_what_is_left(saga_id)

    def look_at_what_is_left(self, saga_id: str) -> None:
        left, _ = self.buried.get(saga_id, (None, 0.0))
        self.all_say(left, lambda store: store.tombstone(saga_id))

    @rule(
        key=st.sampled_from(KEYS),
        place=st.builds(ticket, ids, root=st.sampled_from(["one", "other"]), term=st.integers(1, 2)),
        leaves=st.booleans(),
    )
    def line(self, key: str, place: Ticket, leaves: bool) -> None:
        line = self.lines[key]
        if leaves:
            self.lines[key] = [one for one in line if one != place]
            self.all_say(tuple(self.lines[key]), lambda store: store.leave_queue(key, place))
        else:
            self.lines[key] = line if place in line else [*line, place]
            self.all_say(tuple(self.lines[key]), lambda store: store.queue_up(key, place))
        for other in KEYS:
            self.look_at_line(other)

    def look_at_line(self, key: str) -> None:
        self.all_say(tuple(self.lines[key]), lambda store: store.queue(key))

    @rule(graph=st.builds(Graph, fingerprints, saga=st.sampled_from(["Order", "Trip"]), body=st.sampled_from("ab")))
    def keep_graph(self, graph: Graph) -> None:
        self.all_say(None, lambda store: store.keep_graph(graph))
        self.kept_graphs.setdefault(graph.fingerprint, graph)
        for sagas in (["Order"], ["Trip", "Order"]):
            self.look_for_graphs(sagas)

    def look_for_graphs(self, sagas: list[str]) -> None:
        expected = {one.fingerprint: one for one in self.kept_graphs.values() if one.saga in sagas}
        for found in self.ask(lambda store: store.graphs(sagas)).values():
            assert {one.fingerprint: one for one in found} == expected
            assert len(found) == len(expected)

    @rule(now=times, limit=st.integers(1, 3), of=st.none() | st.sets(fingerprints))
    def due(self, now: float, limit: int, of: set[str] | None) -> None:
        expected = [one for one in self.all_due() if one.wake_at <= now and self.is_of(one.saga_id, of)][:limit]
        self.all_say(expected, lambda store: store.due(now, limit, None if of is None else list(of)))

    def is_of(self, saga_id: str, of: set[str] | None) -> bool:
        return of is None or self.sagas[saga_id].state.fingerprint in of

    @invariant()
    def all_find_the_same_due(self) -> None:
        expected = self.all_due()
        for name, answer in self.ask(lambda store: store.due(ENDLESS, 100)).items():
            assert [one for one in answer if one.wake_at < REAL] == [one for one in expected if one.wake_at < REAL]
            assert {(one.saga_id, one.dispatches) for one in answer} == {
                (one.saga_id, one.dispatches) for one in expected
            }, name
            self.now_due_by[name] = {one.saga_id: one for one in answer}

    def all_due(self) -> list[Due]:
        times = [(kept.due_at, saga_id) for saga_id, kept in self.sagas.items()]
        in_order = sorted((at, saga_id) for at, saga_id in times if at is not None)
        return [Due(saga_id, at, self.sagas[saga_id].dispatches) for at, saga_id in in_order]

    @rule(is_late=st.booleans(), left_out=st.sets(st.integers(0, 2), max_size=1), until=times, counts=st.booleans())
    def defer(self, is_late: bool, left_out: set[int], until: float, counts: bool) -> None:
        if not is_late:
            self.sweep()
        selected = [one for number, one in enumerate(self.found) if number not in left_out]
        expected = [self.stands(one) for one in selected]
        for name, store in self.stores.items():
            own = [self.found_by[name][one.saga_id] for one in selected]
            assert self.run(store.defer(own, [until] * len(own), counts=counts)) == expected, name
        for one, is_deferred in zip(selected, expected, strict=True):
            if is_deferred:
                kept = self.sagas[one.saga_id]
                kept.wake_at, kept.dispatches = until, kept.dispatches + counts
                kept.inbox = [(signal, until) for signal, _ in kept.inbox]
        if not is_late:
            self.sweep()  # ... whose find is late for whatever comes next

    def sweep(self) -> None:
        self.all_find_the_same_due()
        self.found = self.all_due()
        self.found_by = {name: dict(found) for name, found in self.now_due_by.items()}

    def stands(self, found: Due) -> bool:
        kept = self.sagas.get(found.saga_id)
        return kept is not None and (kept.due_at, kept.dispatches) == (found.wake_at, found.dispatches)

    @rule(worker=workers, event=st.sampled_from(["beat", "beat", "declare dead", "declare dead too late", "leave"]))
    def live(self, worker: str, event: str) -> None:
        match event:
            case "beat":
                self.beat(worker)
            case "leave":
                for heart in self.hearts.values():
                    heart.leave(worker)
                self.bury(worker)
            case _:
                self.declare_dead(worker, self.living.get(worker, 0) - (event == "declare dead too late"))

    def beat(self, worker: str) -> None:
        if worker not in self.dead:
            self.living[worker] = self.living.get(worker, 0) + 1
        others = {name: beats for name, beats in self.living.items() if name != worker}
        for heart in self.hearts.values():
            beat = heart.beat(worker)
            assert (beat.alive, beat.others) == (worker not in self.dead, others)
            assert beat.now > REAL

    def declare_dead(self, worker: str, beats: int) -> None:
        expected = self.living.get(worker) == beats
        assert [heart.declare_dead(worker, beats) for heart in self.hearts.values()] == [expected] * 3
        if expected:
            self.bury(worker)

    def bury(self, worker: str) -> None:
        self.living.pop(worker, None)
        self.dead.add(worker)

    @rule(
        kinds=st.sets(st.sampled_from(["Order", "Trip", "Other"])),
        statuses=st.sets(st.sampled_from([SagaStatus.STARTED, SagaStatus.COMPLETED])),
        created_before=st.none() | times,
        updated_before=st.none() | times,
        wanted=st.just(()) | tags,
        limit=st.integers(1, 4),
    )
    def find(
        self,
        kinds: set[str],
        statuses: set[SagaStatus],
        created_before: float | None,
        updated_before: float | None,
        wanted: tuple[str, ...],
        limit: int,
    ) -> None:
        expected = [
            kept.state
            for kept in self.sagas.values()
            if (not kinds or kept.state.saga in kinds)
            and (not statuses or kept.state.status in statuses)
            and {*wanted} <= {*kept.state.tags}
            and (created_before is None or kept.state.created_at < created_before)
            and (updated_before is None or kept.state.updated_at < updated_before)
        ]
        expected.sort(key=lambda state: (state.created_at, state.id), reverse=True)
        query = Query(
            sagas=tuple(kinds),
            statuses=tuple(statuses),
            tags=wanted,
            created_before=created_before,
            updated_before=updated_before,
            limit=limit,
        )
        self.all_say(expected, lambda store: all_pages(store, query))

    @invariant()
    def all_keep_the_same(self) -> None:
        for stored in self.ask(lambda store: store.load(IDS)).values():
            assert stored.keys() == self.sagas.keys()
            for saga_id, kept in self.sagas.items():
                assert stored[saga_id].state == kept.state
                assert stored[saga_id].inbox == tuple(signal for signal, _ in kept.inbox)

    @rule(of=st.none() | st.sets(fingerprints))
    def look(self, of: set[str] | None) -> None:
        summaries = {key: Summary(kept.state.revision, kept.state.status) for key, kept in self.sagas.items()}
        self.all_say(summaries, lambda store: store.summaries(IDS))
        claims = {(saga_id, owner) for saga_id, kept in self.sagas.items() for owner in kept.state.owners}
        orphans = {claim for claim in claims if claim[1] in self.dead and self.is_of(claim[0], of)}
        for found in self.ask(lambda store: store.orphans(1_000, None if of is None else list(of))).values():
            assert sorted((orphan.saga_id, orphan.owner) for orphan in found) == sorted(orphans)
        for worker in WORKERS:
            self.look_for_claims(worker, sorted(saga_id for saga_id, owner in claims if owner == worker))

    def look_for_claims(self, worker: str, expected: list[str]) -> None:
        for found in self.ask(lambda store: store.claimed_by(worker, 1_000)).values():
            assert sorted(found) == expected


async def all_pages(store: Store, query: Query) -> list[SagaState]:
    states: list[SagaState] = []
    while True:
        page = await store.find(query)
        states += page.sagas
        if page.cursor is None:
            return states
        query = replace(query, cursor=page.cursor)


def test_all_stores_agree_with_the_model(mongo_url: str, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        stores = Stores(runner, tmp_path, mongo_url)
        try:
            run_state_machine_as_test(
                lambda: StoresAgree(stores),  # type: ignore[arg-type]  # a factory will do, its documentation says
                # Every example asks a real server some hundred times, so there are fewer than the profile says.
                settings=settings(max_examples=settings().max_examples // 5, stateful_step_count=40),
            )
        finally:
            stores.close()
