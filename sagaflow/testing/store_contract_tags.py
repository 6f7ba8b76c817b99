"""The part of the contract of stores about tags: the labels that people find sagas by."""

from __future__ import annotations

import time

import pytest

from ..core.state import SagaStatus
from ..errors import PayloadError
from ..ports import Outcome, Page, Query, Store
from .store_contract_sweeping import all_pages
from .store_states import change, changed, new_saga

AHEAD = 10_000.0
"""Seconds: what expires then, a store does not forget by itself."""


class TagsContract:
    """A saga is found by its tags as long as it is there, and never by those of another one."""

    async def test_a_saga_is_found_by_tags_if_it_has_all_of_them(self, store: Store, other_store: Store) -> None:
        tags = {
            "0": (),
            "1": ("vip",),
            "2": ("web", "vip", "spring"),
            "3": ("web",),
            "4": ("vip", "web"),
            "5": ("VIP",),
        }
        for number, some in tags.items():
            await store.insert(new_saga(number, created_at=float(number), tags=some), None)
        assert await _found(other_store, Query()) == "543210"
        assert await _found(other_store, Query(tags=("vip",))) == "421"
        assert await _found(other_store, Query(tags=("vip", "web"))) == "42"
        assert await _found(other_store, Query(tags=("spring", "web", "vip"))) == "2"
        assert await _found(other_store, Query(tags=("vip", "autumn"))) == ""
        assert await _found(other_store, Query(tags=("vi",))) == ""

    async def test_tags_and_other_filters_go_together(self, store: Store) -> None:
        for number in range(8):
            state = new_saga(
                str(number),
                saga="Trip" if number % 2 else "Order",
                status=SagaStatus.FAILED if number % 4 == 0 else SagaStatus.STARTED,
                created_at=float(number),
                updated_at=float(number) + 10,
                tags=("all", "late") if number > 3 else ("all",),
            )
            await store.insert(state, None)
        assert await _found(store, Query(tags=("all",), sagas=("Trip",), limit=1)) == "7531"
        assert await _found(store, Query(tags=("late", "all"), sagas=("Trip", "Order"), limit=3)) == "7654"
        assert await _found(store, Query(tags=("all",), statuses=(SagaStatus.FAILED,))) == "40"
        assert await _found(store, Query(tags=("late",), created_before=6.0, limit=1)) == "54"
        assert await _found(store, Query(tags=("all",), updated_before=13.0, limit=2)) == "210"

    async def test_pages_by_tags_are_complete_ordered_and_without_repetition(self, store: Store) -> None:
        states = [
            new_saga(f"saga-{number:02}", created_at=float(number // 4), tags=("a", "b") if number % 3 else ("a",))
            for number in range(30)
        ]
        for state in states:
            await store.insert(state, None)
        states.sort(key=lambda state: (state.created_at, state.id), reverse=True)
        for tags in (("a",), ("a", "b"), ("b", "a")):
            expected = [state for state in states if {*tags} <= {*state.tags}]
            for limit in (1, 7, len(expected), 31):
                assert await all_pages(store, Query(tags=tags, limit=limit)) == expected

    async def test_a_saga_keeps_its_tags_in_their_order_through_its_changes(self, store: Store) -> None:
        before = new_saga("a", tags=("zulu", "alpha", "mike"))
        await store.insert(before, None)
        after = changed(before, status=SagaStatus.COMPENSATING, reason="it turned back", updated_at=2_000.0)
        assert await store.commit([change(before, after)]) == [Outcome.COMMITTED]
        assert (await store.load(["a"]))["a"].state.tags == ("zulu", "alpha", "mike")
        assert await store.find(Query(tags=("mike",))) == Page((after,))
        assert await store.find(Query(tags=("mike",), statuses=(SagaStatus.COMPENSATING,))) == Page((after,))
        assert await store.find(Query(tags=("mike",), statuses=(SagaStatus.STARTED,))) == Page(())

    async def test_who_comes_second_to_an_id_brings_no_tags(self, store: Store, other_store: Store) -> None:
        first = new_saga("a", tags=("first",))
        assert await store.insert(first, None)
        assert not await other_store.insert(new_saga("a", tags=("second",)), None)
        assert await store.find(Query(tags=("first",))) == Page((first,))
        assert await store.find(Query(tags=("second",))) == Page(())

    @pytest.mark.parametrize("named", [False, True])
    async def test_what_is_forgotten_is_found_by_no_tag(self, store: Store, named: bool) -> None:
        ended = new_saga(
            "a", status=SagaStatus.COMPLETED, named=named, expire_at=time.time() + AHEAD, tags=("old", "vip")
        )
        other = new_saga("b", tags=("vip",))
        for state in (ended, other):
            await store.insert(state, None)
        assert await store.expire(time.time() + 2 * AHEAD, 10, AHEAD) == 1
        assert await store.find(Query(tags=("vip",))) == Page((other,))
        assert await store.find(Query(tags=("old",))) == Page(())
        await store.expire(time.time() + 4 * AHEAD, 10, AHEAD)  # and the tombstone, if there is one
        again = new_saga("a", tags=("new", "vip"))
        assert await store.insert(again, None)
        assert await store.find(Query(tags=("old",))) == Page(())
        assert {state.id for state in (await store.find(Query(tags=("vip",)))).sagas} == {"a", "b"}
        assert await store.find(Query(tags=("new",))) == Page((again,))

    @pytest.mark.parametrize(
        "tag", ["$ne", '{"$ne":null}', "a.b", "'; DROP TABLE sagas; --", "{a,b}", "%", "*", "ß☂🧨"]
    )
    async def test_a_tag_is_never_more_than_text(self, store: Store, tag: str) -> None:
        state = new_saga("a", tags=(tag,))
        await store.insert(new_saga("b", tags=("other",)), None)
        await store.insert(state, None)
        assert await store.find(Query(tags=(tag,))) == Page((state,))

    @pytest.mark.parametrize("no_tag", [{"$ne": None}, {"$exists": True}, None, 7, b"vip", ["vip"]])
    async def test_what_is_no_string_is_no_tag(self, store: Store, no_tag: str) -> None:
        await store.insert(new_saga(tags=("vip",)), None)
        with pytest.raises(TypeError):
            await store.find(Query(tags=(no_tag,)))

    async def test_a_tag_with_a_lone_surrogate_is_refused(self, store: Store) -> None:
        with pytest.raises(PayloadError):
            await store.insert(new_saga(tags=("\ud800",)), None)
        with pytest.raises(PayloadError):
            await store.find(Query(tags=("\ud800",)))


async def _found(store: Store, query: Query) -> str:
    return "".join(state.id for state in await all_pages(store, query))
