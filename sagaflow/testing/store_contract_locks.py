"""The part of the contract of stores about lines for locks, and about graphs."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..errors import PayloadError
from ..ports import Graph, Store, Ticket
from .store_states import new_saga, ticket
from .strategies import any_saga, texts, tickets

KEYS = (
    "customer 7",
    "$where",
    "$$ROOT",
    "line",
    "line.0",
    "a.b.$.c",
    '{"$gt": ""}',
    "'; DROP TABLE locks; --",
    "%_*?[]\\",
    " \n\t\u2028",
    "ß ☂ 🧨",
    "",
    "x" * 500,
)


class LocksContract:
    """Who comes first to a lock stands first in its line, and all see the same line."""

    async def test_a_line_is_in_the_order_of_arrival(self, store: Store, other_store: Store) -> None:
        first, second, third = ticket("a"), ticket("b"), ticket("c", root="a")
        assert await store.queue("key") == ()
        assert await store.queue_up("key", first) == (first,)
        assert await other_store.queue_up("key", second) == (first, second)
        assert await store.queue_up("key", third) == (first, second, third)
        assert await other_store.queue("key") == (first, second, third)
        assert await store.queue("another key") == ()

    async def test_who_queues_up_again_keeps_the_place(self, store: Store, other_store: Store) -> None:
        line = tuple(map(ticket, "cab"))
        for one in line:
            await store.queue_up("key", one)
        for one in line:
            assert await other_store.queue_up("key", one) == line

    async def test_another_term_is_another_place(self, store: Store) -> None:
        old, other, new = ticket("a", term=1), ticket("b"), ticket("a", term=2)
        for one in (old, other, new):
            await store.queue_up("key", one)
        assert await store.leave_queue("key", old) == (other, new)
        assert await store.leave_queue("key", old) == (other, new)
        assert await store.queue_up("key", new) == (other, new)

    async def test_who_leaves_lets_the_next_one_through(self, store: Store, other_store: Store) -> None:
        line = tuple(map(ticket, "abc"))
        for one in line:
            await store.queue_up("key", one)
        assert await other_store.leave_queue("key", line[1]) == (line[0], line[2])
        assert await store.leave_queue("key", line[0]) == (line[2],)
        assert await store.queue("key") == (line[2],)
        assert await other_store.leave_queue("key", line[2]) == ()
        assert await store.queue("key") == ()

    async def test_leaving_twice_is_as_once(self, store: Store, other_store: Store) -> None:
        first, second = ticket("a"), ticket("b")
        assert await store.leave_queue("key", first) == ()
        await store.queue_up("key", first)
        assert await store.leave_queue("key", first) == ()
        assert await other_store.leave_queue("key", first) == ()
        assert await store.queue_up("key", second) == (second,)
        assert await store.leave_queue("key", first) == (second,)
        assert await store.queue_up("key", first) == (second, first)

    async def test_two_hundred_at_once_agree_on_one_order(self, store: Store, other_store: Store) -> None:
        tickets = [ticket(f"saga-{number}") for number in range(200)]
        stores = [store, other_store] * 100
        seen = await asyncio.gather(*(one.queue_up("key", place) for one, place in zip(stores, tickets, strict=True)))
        order: list[Ticket] = []
        while line := await store.queue("key"):
            assert len(line) >= min(100, 200 - len(order))
            order += line
            await asyncio.gather(*(other_store.leave_queue("key", one) for one in line))
        assert len(order) == 200
        assert set(order) == set(tickets)
        for place, line in zip(tickets, seen, strict=True):
            assert line == tuple(order[: len(line)])
            assert place in line or len(line) >= 100

    async def test_of_a_long_line_the_beginning_is_seen(self, store: Store) -> None:
        tickets = [ticket(f"saga-{number}") for number in range(120)]
        for one in tickets:
            line = await store.queue_up("key", one)
            assert one in line[:120]
        for line in (await store.queue("key"), await store.leave_queue("key", ticket("nobody"))):
            assert line[:100] == tuple(tickets[:100])

    async def test_arrivals_and_departures_at_once_leave_nobody_behind(self, store: Store, other_store: Store) -> None:
        async def pass_through(one: Store, saga_id: str) -> None:
            for term in range(5):
                place = ticket(saga_id, term=term)
                assert place in await one.queue_up("key", place)
                assert place not in await one.leave_queue("key", place)

        await asyncio.gather(
            *(pass_through(one, f"saga-{number}") for number in range(8) for one in (store, other_store))
        )
        assert await store.queue("key") == ()

    @pytest.mark.parametrize("key", KEYS)
    async def test_a_key_is_never_more_than_text(self, store: Store, other_store: Store, key: str) -> None:
        first, second = ticket(key, root=key), ticket("$line", root="$$ROOT")
        assert await store.queue_up(key, first) == (first,)
        assert await other_store.queue_up(key, second) == (first, second)
        assert await store.queue(key) == (first, second)
        assert await store.leave_queue(key, first) == (second,)
        for other in KEYS:
            assert await store.queue(other) == ((second,) if other == key else ())
        assert await store.leave_queue(key, second) == ()

    @any_saga
    @given(key=texts(), line=st.lists(tickets(), max_size=3, unique=True))
    async def test_a_line_is_kept_whole(self, store: Store, other_store: Store, key: str, line: list[Ticket]) -> None:
        key += new_saga().id
        for one in line:
            await store.queue_up(key, one)
        assert await other_store.queue(key) == tuple(line)
        for one in line:
            await other_store.leave_queue(key, one)
        assert await store.queue(key) == ()

    @pytest.mark.parametrize("no_key", [{"$ne": None}, None, 7, b"key", ["key"]])
    async def test_what_is_no_string_is_no_key(self, store: Store, no_key: str) -> None:
        await store.queue_up("key", ticket("a"))
        with pytest.raises(TypeError):
            await store.queue_up(no_key, ticket("a"))
        with pytest.raises(TypeError):
            await store.leave_queue(no_key, ticket("a"))
        with pytest.raises(TypeError):
            await store.queue(no_key)
        with pytest.raises(TypeError):
            await store.leave_queue("key", ticket(no_key))
        with pytest.raises(TypeError):
            await store.queue_up("key", ticket("a", root=no_key or 0))  # type: ignore[arg-type]  # what is tested
        assert await store.queue("key") == (ticket("a"),)

    async def test_a_lone_surrogate_is_no_key(self, store: Store) -> None:
        with pytest.raises(PayloadError):
            await store.queue_up("\ud800", ticket("a"))
        with pytest.raises(PayloadError):
            await store.queue_up("key", ticket("\udfff"))


class GraphsContract:
    """Graphs are kept for ever."""

    async def test_graphs_are_found_by_their_sagas(self, store: Store, other_store: Store) -> None:
        graphs = [Graph(f"f-{number}", saga, f'{{"n":{number}}}') for number, saga in enumerate(["A", "B", "A", "C"])]
        for graph in graphs:
            await store.keep_graph(graph)
        assert _sorted(await other_store.graphs(["A"])) == [graphs[0], graphs[2]]
        assert _sorted(await store.graphs(["C", "A", "nobody"])) == [graphs[0], graphs[2], graphs[3]]
        assert await store.graphs([]) == []

    async def test_a_graph_that_is_kept_by_many_is_there_once(self, store: Store, other_store: Store) -> None:
        graph = Graph("f-1", "Order", "[]")
        await asyncio.gather(*(one.keep_graph(graph) for one in (store, other_store) * 10))
        assert await store.graphs(["Order", "Order"]) == [graph]

    @pytest.mark.parametrize("text", KEYS)
    async def test_a_graph_is_never_more_than_text(self, store: Store, text: str) -> None:
        graph = Graph(text, text, text)
        await store.keep_graph(graph)
        assert await store.graphs([text]) == [graph]

    async def test_what_is_no_text_is_no_graph(self, store: Store) -> None:
        no_name: str = {"$ne": None}  # type: ignore[assignment]  # what is tested
        with pytest.raises(TypeError):
            await store.graphs([no_name])
        with pytest.raises(TypeError):
            await store.keep_graph(Graph(no_name, "Order", "[]"))
        with pytest.raises(PayloadError):
            await store.keep_graph(Graph("f-1", "Order", "\ud800"))


def _sorted(graphs: list[Graph]) -> list[Graph]:
    return sorted(graphs, key=lambda graph: graph.fingerprint)
