"""What comes next in a saga is said in one line each, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.events import Fate
from sagaflow.core.retry import Retry
from sagaflow.core.state import Direction, SagaStatus
from sagaflow.core.typecheck import SagaTypes
from sagaflow.record import SagaRecord
from sagaflow.views import Wait, WaitsFor, waits
from tests.unit.story import PATIENT, SAYS, Story, a_child, a_fan_out, a_saga, a_step, a_wait, chain, diamond, given

ENDLESS = Retry(attempts=None, backoff=timedelta(seconds=10), jitter=False)


def record_of(story: Story) -> SagaRecord[object]:
    return SagaRecord(story.state, JsonCodec(), SagaTypes(definition=story.definition, context=object, outputs={}))


def waiting(story: Story, lines: dict[str, list[str]] | None = None) -> list[Wait]:
    return list(waits(record_of(story), datetime.fromtimestamp(story.now, UTC), lines=lines))


def said(story: Story, lines: dict[str, list[str]] | None = None) -> list[str]:
    return [wait.text for wait in waiting(story, lines)]


# ---------------------------------------------------------------------------------------- forward


def test_what_is_due_waits_for_a_worker_and_the_others_for_their_steps() -> None:
    assert said(given(diamond()).does("top", "left")) == [
        "step 'right' waits for a worker of queue 'default', since 0 s",
        "step 'join' waits for 'right'",
    ]
    assert said(given(diamond()).does("top"))[-1] == "step 'join' waits for 'left' and 'right'"
    many = a_saga(*(a_step(name) for name in "abcdef"), a_step("last", after="abcdef"))
    assert said(given(many))[-1] == "step 'last' waits for 'a', 'b', 'c', 'd' and 2 more"


def test_an_attempt_runs_and_says_since_when() -> None:
    story = given(chain("charge")).claims("charge").later(75)
    assert said(story) == ["step 'charge' runs, since 1 min 15 s (attempt 1 of 3)"]
    assert waiting(story)[0].waits_for is WaitsFor.ATTEMPT


def test_a_retry_says_when_and_which_attempt_it_is() -> None:
    story = given(chain("charge")).fails("charge", Fate.RETRYABLE)
    (wait,) = waiting(story)
    assert wait.text == "step 'charge' is tried again in 10 s (attempt 2 of 3)"
    assert (wait.waits_for, wait.step) == (WaitsFor.TIME, "charge")
    assert wait.until == datetime.fromtimestamp(story.now + 10, UTC)


def test_attempts_without_a_limit_are_counted_without_one() -> None:
    story = given(a_saga(a_step("send", retry=ENDLESS))).fails("send", Fate.RETRYABLE)
    assert said(story) == ["step 'send' is tried again in 10 s (attempt 2)"]


def test_a_delay_is_no_retry() -> None:
    assert said(given(a_saga(a_step("ask", delay=timedelta(days=14))))) == ["step 'ask' begins in 14 d"]


def test_what_user_code_must_say_first_is_named_so() -> None:
    assert said(given(a_saga(a_step("wrap", when=SAYS)))) == [
        "whether step 'wrap' is done waits for a worker of queue 'default', since 0 s"
    ]


def test_a_scheduled_saga_begins_at_its_time() -> None:
    story = given(chain("charge"), start_in=3 * 3_600)
    assert said(story) == ["it begins in 3 h"]
    assert waiting(story)[0].waits_for is WaitsFor.START


def test_elements_wait_for_their_turn() -> None:
    story = given(a_saga(a_fan_out("pack", at_once=1))).decides("pack", "a", "b")
    assert said(story) == [
        "step 'pack[0]' waits for a worker of queue 'default', since 0 s",
        "step 'pack[1]' waits for its turn: 1 at a time",
        "step 'pack' waits for 'pack[0]' and 'pack[1]'",
    ]


def test_a_deadline_is_told_last_and_not_once_there_is_no_way_back() -> None:
    story = given(a_saga(a_step("reserve"), a_step("pay", after=["reserve"], pivot=True), deadline=timedelta(hours=1)))
    assert said(story)[-1] == "it is compensated in 1 h unless it has ended"
    assert said(story.does("reserve").claims("pay")) == ["step 'pay' runs, since 0 s (attempt 1 of 3)"]
    assert said(story.happens())[-1] == said(story)[-1]


def test_a_deadline_that_nobody_has_looked_at_is_now() -> None:
    story = given(a_saga(a_step("reserve"), deadline=timedelta(hours=1)))
    late = datetime.fromtimestamp(story.now + 4_000, UTC)
    assert waits(record_of(story), late)[-1].text == "it is compensated now unless it has ended"


# ---------------------------------------------------------------------------------------- elsewhere


def test_a_step_waits_for_an_answer_from_outside_until_its_deadline() -> None:
    story = given(a_saga(a_wait("payment", deadline=3_600))).does("payment")
    (wait,) = waiting(story)
    assert wait.text == "step 'payment' waits for an answer from outside; it is given up in 1 h"
    assert (wait.waits_for, wait.until) == (WaitsFor.OUTSIDE, datetime.fromtimestamp(story.now + 3_600, UTC))
    assert said(given(a_saga(a_wait("payment"))).does("payment")) == ["step 'payment' waits for an answer from outside"]


def test_a_step_waits_for_its_child_saga_and_says_how_that_is() -> None:
    story = given(a_saga(a_child("ship"))).does("ship").inserts("ship")
    assert said(story) == ["step 'ship' waits for saga 'saga-1/ship'"]
    child = record_of(given(chain("pack")))
    record = SagaRecord[object](
        story.state,
        JsonCodec(),
        SagaTypes(definition=story.definition, context=object, outputs={}),
        {"saga-1/ship": child},
    )
    assert waits(record, datetime.fromtimestamp(story.now, UTC))[0].text == (
        "step 'ship' waits for saga 'saga-1/ship', which is started"
    )


def test_a_child_saga_that_undoes_itself_is_waited_for() -> None:
    story = given(a_saga(a_child("ship"), a_step("bill", after=["ship"])))
    story = story.does("ship").inserts("ship").child_ends("ship", SagaStatus.COMPLETED).fails("bill")
    assert said(story) == ["the undo of step 'ship' is about to be asked for"]
    assert said(story.asks_child("ship")) == ["step 'ship' waits for saga 'saga-1/ship' to undo itself"]


def test_a_lock_is_waited_for_with_the_place_in_its_line() -> None:
    story = given(a_saga(a_step("book", lock=SAYS))).decides("book", lock="seat").is_blocked("seat", "saga-7")
    assert said(story) == ["step 'book' waits for lock 'seat', held by saga 'saga-7'"]
    assert said(story, {"seat": ["saga-8", "saga-9", "saga-1"]}) == [
        "step 'book' waits for lock 'seat', third in line, held by saga 'saga-8'"
    ]
    assert said(given(a_saga(a_step("book", lock=SAYS))).decides("book", lock="seat")) == [
        "step 'book' waits for lock 'seat'"
    ]


def test_the_lock_of_a_whole_saga_is_waited_for_once() -> None:
    story = given(chain("book", "pay"), lock="room")
    assert said(story) == ["the saga waits for lock 'room'", "step 'pay' waits for 'book'"]
    assert said(given(chain("book"), lock="room", start_in=60)) == ["it begins in 1 min"]


def test_a_place_far_back_in_a_line_is_told_in_figures() -> None:
    story = given(a_saga(a_step("book", lock=SAYS))).decides("book", lock="seat")
    for place, words in ((11, "11th"), (21, "21st"), (22, "22nd")):
        line = [f"other-{number}" for number in range(place - 1)]
        assert said(story, {"seat": [*line, "saga-1"]}) == [
            f"step 'book' waits for lock 'seat', {words} in line, held by saga 'other-0'"
        ]


# ---------------------------------------------------------------------------------------- back


def test_compensations_wait_for_those_of_later_steps() -> None:
    story = given(chain("order", "reserve", "charge")).does("order", "reserve").fails("charge")
    assert said(story) == [
        "compensation 'undo_order' of step 'order' waits until 'reserve' is settled",
        "compensation 'undo_reserve' of step 'reserve' waits for a worker of queue 'default', since 0 s",
    ]
    two = given(diamond()).does("top", "left", "right").fails("join")
    assert said(two)[0] == "compensation 'undo_top' of step 'top' waits until 'left' and 'right' are settled"


def test_a_compensation_is_tried_again_by_its_own_policy() -> None:
    story = given(chain("order", "charge")).does("order").fails("charge").fails_to_undo("order", Fate.RETRYABLE)
    assert said(story) == ["compensation 'undo_order' of step 'order' is tried again in 10 s (attempt 2 of 3)"]


def test_undos_of_elements_wait_for_their_turn() -> None:
    story = given(a_saga(a_fan_out("pack", at_once=1), a_step("bill", after=["pack"])))
    story = story.decides("pack", "a", "b").does("pack[0]", "pack[1]").fails("bill")
    assert said(story)[1] == "compensation 'undo_pack' of step 'pack[1]' waits for its turn: 1 at a time"


def test_a_probe_is_named() -> None:
    story = given(a_saga(a_step("charge", probe=True, retry=PATIENT))).loses_worker_of("charge")
    assert said(story) == ["probe 'probe_charge' of step 'charge' waits for a worker of queue 'default', since 0 s"]
    assert said(story.claims("charge", Direction.PROBE)) == [
        "probe 'probe_charge' of step 'charge' runs, since 0 s (attempt 1 of 3)"
    ]


def test_the_limit_for_compensating_is_told() -> None:
    saga = a_saga(a_step("order"), a_step("charge", after=["order"]), compensation_deadline=timedelta(minutes=5))
    assert said(given(saga).does("order").fails("charge"))[-1] == "what is not undone in 5 min is left to a person"


def test_a_step_that_cannot_be_undone_waits_for_nothing() -> None:
    saga = a_saga(a_step("a"), a_step("b", strict=True))
    story = given(saga).does("a").fails("b", Fate.FINAL)
    assert said(story) == ["compensation 'undo_a' of step 'a' waits for a worker of queue 'default', since 0 s"]


# ---------------------------------------------------------------------------------------- ends, and people


def test_what_has_ended_waits_for_nothing() -> None:
    assert said(given(chain("charge")).does("charge")) == ["nothing: it is completed"]
    assert said(given(chain("charge")).fails("charge")) == ["nothing: it is compensated"]


def test_what_has_failed_waits_for_a_person() -> None:
    story = given(chain("order", "charge")).does("order").fails("charge").fails_to_undo("order")
    (wait,) = waiting(story)
    assert wait.waits_for is WaitsFor.PERSON
    assert wait.text.startswith("somebody must look at it: step 'charge' failed; compensation 'undo_order'")


def test_a_pause_says_who_and_why() -> None:
    saga = a_saga(a_step("charge"), deadline=timedelta(hours=1))
    assert said(given(saga).is_paused()) == [
        "paused by ada because an outage; it begins nothing until somebody resumes it"
    ]
    assert said(given(saga).claims("charge").is_paused())[1] == "step 'charge' runs, since 0 s (attempt 1 of 3)"


def test_a_pause_of_which_no_act_is_kept_any_more_is_still_one() -> None:
    story = given(chain("charge")).is_paused()
    forgotten = Story(story.definition, replace(story.state, acts=()), story.now)
    assert said(forgotten) == ["paused; it begins nothing until somebody resumes it"]


def test_of_a_saga_that_this_process_does_not_know_the_steps_are_told_by_themselves() -> None:
    story = given(diamond()).does("top").claims("left")
    record = SagaRecord[object](story.state, JsonCodec(), None)
    assert [wait.text for wait in waits(record, datetime.fromtimestamp(story.now, UTC))] == [
        "step 'left' runs, since 0 s (attempt 1 of 3)",
        "step 'right' waits for a worker of queue 'default', since 0 s",
        "step 'join' has not begun",
    ]
