"""The tags of a saga: what can be one, kept as they are by every form, and unknown to whoever knows of none."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from sagaflow.adapters.mongo_documents import to_document, to_state, to_update
from sagaflow.adapters.store_rules import decode_state, encode_state
from sagaflow.core.digest import digest_of
from sagaflow.core.state import SCHEMA, SagaStatus
from sagaflow.engine.arguments import TAG_LIMIT, TAGS_LIMIT, checked_tags
from sagaflow.ports import Query
from sagaflow.testing.store_states import change, changed, new_saga
from tests.unit.story import Story, chain, given

TAGS = ("vip", "channel:web")


@pytest.mark.parametrize("tag", ["a", "channel:web", "Ünï-☂", "x" * TAG_LIMIT, "$ne", "a=b/c#d", "\"'"])
def test_a_tag_is_printable_text_in_one_piece(tag: str) -> None:
    assert checked_tags([tag]) == (tag,)


@pytest.mark.parametrize(
    "tag",
    [
        *(
            "",
            "a b",
            " a",
            "a,b",
            "tab\t",
            "line\n",
            "nul\0",
            "\u00a0",
            "\u2003",
            "\u200f",
            "\ud800",
            "x" * (TAG_LIMIT + 1),
        ),
        *(None, 7, b"vip", ["vip"], {"$ne": None}),
    ],
)
def test_what_can_be_no_tag_is_refused_and_said_so(tag: str) -> None:
    with pytest.raises(ValueError, match="is no tag: write a printable str of 1 to 64 characters"):
        checked_tags(["vip", tag])


def test_one_text_is_not_taken_for_its_letters() -> None:
    with pytest.raises(ValueError, match=r"write tags=\['vip'\]"):
        checked_tags("vip")


def test_a_tag_that_is_given_twice_stands_once_where_it_stood_first() -> None:
    assert checked_tags(["b", "a", "b", "c", "a"]) == ("b", "a", "c")


def test_there_are_at_most_sixteen_different_ones() -> None:
    many = [f"tag-{number}" for number in range(TAGS_LIMIT)]
    assert checked_tags(tag for tag in many * 2) == tuple(many)
    with pytest.raises(ValueError, match="17 tags are too many: write at most 16"):
        checked_tags([*many, "one-more"])


def test_a_saga_without_tags_has_the_document_that_it_had_before_there_were_any() -> None:
    assert "tags" not in to_document(new_saga(), None)


def test_tags_are_kept_by_every_form_and_by_changes_of_the_saga() -> None:
    saga = new_saga(tags=TAGS)
    assert to_document(saga, None)["tags"] == TAGS
    assert to_state(to_document(saga, None)).tags == TAGS
    assert decode_state(encode_state(saga)).tags == TAGS
    update = to_update(change(saga, changed(saga, reason="it turned back")))
    assert "tags" not in update["$set"]
    assert "tags" not in update.get("$unset", {})


def test_what_was_stored_before_there_were_tags_is_read_and_has_none() -> None:
    fields = msgspec.json.decode(encode_state(new_saga()))
    del fields["tags"]
    assert decode_state(msgspec.json.encode(fields).decode()).tags == ()
    assert SCHEMA == 2, "a field that may be missing is no new form"


def test_workers_that_know_of_no_tags_make_the_same_digest() -> None:
    saga = new_saga()
    assert digest_of(replace(saga, tags=TAGS)) == digest_of(saga)


def test_nothing_is_decided_by_tags_and_nothing_takes_them_away() -> None:
    def story(*tags: str) -> Story:
        told = given(chain("a", "b"))
        return Story(told.definition, replace(told.state, tags=tags), told.now)

    def played(told: Story) -> Story:
        return told.does("a").fails("b").undoes("a")

    plain, tagged = played(story()).state, played(story(*TAGS)).state
    assert tagged.status is SagaStatus.COMPENSATED
    assert tagged == replace(plain, tags=TAGS)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        (Query(), True),
        (Query(tags=("vip",)), True),
        (Query(tags=("channel:web", "vip")), True),
        (Query(tags=("vip", "late")), False),
        (Query(tags=("vip",), statuses=(SagaStatus.FAILED,)), False),
        (Query(tags=("vip",), sagas=("Order",), created_before=1_001.0, updated_before=1_001.0), True),
        (Query(sagas=("Trip",)), False),
        (Query(created_before=1_000.0), False),
        (Query(updated_before=1_000.0), False),
    ],
)
def test_a_query_matches_where_all_its_filters_hold(query: Query, matches: bool) -> None:
    assert query.matches(new_saga(tags=TAGS)) is matches
