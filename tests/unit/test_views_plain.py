"""Plain data of a saga: its shape is stable, what is to be covered is, and nothing that cannot be read raises."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.events import Fate
from sagaflow.core.state import Link, SagaStatus, StepStatus
from sagaflow.core.typecheck import SagaTypes
from sagaflow.record import SagaRecord
from sagaflow.step_record import StepError
from sagaflow.views import REDACTED, Redaction, answer_data, as_builtins, page_data, saga_data, saga_summary
from tests.unit.story import SAYS, Story, a_child, a_fan_out, a_saga, a_step, a_wait, chain, given

CODEC = JsonCodec()
SECRET = "4111-1111"


class Moody:
    """A codec of somebody's own, that does not keep to the rules."""

    def encode(self, value: object, kind: Any) -> str:
        return str(value)

    def decode(self, text: str, kind: Any) -> Any:
        raise RuntimeError(f"cannot read {text}")


def record_of(story: Story, codec: Any = CODEC, family: dict[str, SagaRecord[Any]] | None = None) -> SagaRecord[Any]:
    types = SagaTypes(definition=story.definition, context=object, outputs={})
    return SagaRecord[Any](story.state, codec, types, family or {})


def plain(story: Story, **options: Any) -> dict[str, Any]:
    """As it comes out of JSON."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(saga_data(record_of(story), **options)))
    return found


def with_context(story: Story, context: object) -> Story:
    return Story(story.definition, replace(story.state, context=json.dumps(context)), story.now)


def error(text: str) -> str:
    return CODEC.encode(StepError("shop.Boom", text, f"traceback of {text}"), StepError)


ORDER = {"card": SECRET, "customer": {"email": "ada@example.org", "id": 7}, "items": [{"card": SECRET, "n": 1}]}
CHARGED = with_context(
    given(a_saga(a_step("reserve"), a_step("charge", after=["reserve"], inputs=("reserve",)))), ORDER
)


def test_a_saga_is_told_whole() -> None:
    story = CHARGED.claims("reserve").succeeds("reserve", '{"card":"4111-1111","place":12}').claims("charge")
    data = plain(story)
    assert data["summary"]["id"] == "saga-1"
    assert data["summary"]["status"] == "started"
    assert data["summary"]["created_at"] == "1970-01-01T00:16:40Z"
    assert data["summary"]["steps"] == {"started": 1, "completed": 1}
    assert data["context"] == ORDER
    reserve, charge = data["steps"]
    assert (reserve["name"], reserve["status"], reserve["kind"]) == ("reserve", "completed", "action")
    assert (reserve["key"], reserve["compensation"]) == ("saga-1/reserve", "undo_reserve")
    assert reserve["output"] == {"card": SECRET, "place": 12}
    assert charge["input"] == {"reserve": {"card": SECRET, "place": 12}}
    assert "output" not in charge
    assert charge["forward"]["worker"] == "w1"
    assert (charge["forward"]["attempts"], charge["forward"]["limit"], charge["undo"]) == (1, 3, None)


def test_fields_are_covered_by_name_and_by_path_wherever_they_are() -> None:
    story = CHARGED.claims("reserve").succeeds("reserve", '{"card":"4111-1111","email":"shop"}').claims("charge")
    data = plain(story, redact=("card", "customer.email"))
    assert SECRET not in json.dumps(data)
    assert data["context"]["customer"] == {"email": REDACTED, "id": 7}
    assert data["context"]["items"] == [{"card": REDACTED, "n": 1}]
    assert data["steps"][0]["output"] == {"card": REDACTED, "email": "shop"}
    assert data["steps"][1]["input"]["reserve"]["card"] == REDACTED


def test_the_path_of_a_payload_begins_with_what_it_is() -> None:
    story = CHARGED.claims("reserve").succeeds("reserve", '{"card":1}')
    data = plain(story, redact=["reserve"])
    assert (data["steps"][0]["output"], data["context"]["card"]) == (REDACTED, SECRET)
    assert plain(story, redact="context")["context"] == REDACTED
    assert plain(story, redact=Redaction(["context.card"]))["steps"][0]["output"] == {"card": 1}


def test_what_an_exception_said_can_be_covered() -> None:
    story = given(chain("charge")).claims("charge").ends("charge", Fate.FINAL, error=error(SECRET))
    (step,) = plain(story)["steps"]
    assert step["forward"]["error"] == {"type": "shop.Boom", "message": SECRET, "traceback": f"traceback of {SECRET}"}
    (step,) = plain(story, redact=["error.message", "traceback"])["steps"]
    assert step["forward"]["first_error"] == {"type": "shop.Boom", "message": REDACTED, "traceback": REDACTED}
    (step,) = plain(story, redact=["error"])["steps"]
    assert step["forward"]["error"]["message"] == REDACTED
    assert SECRET not in json.dumps(step)


def test_a_path_with_an_empty_part_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"redact='a\.\.b': write the name of a field"):
        saga_data(record_of(CHARGED), redact=["a..b"])


def test_what_cannot_be_read_says_so_and_raises_nothing() -> None:
    story = given(chain("charge")).claims("charge").succeeds("charge", "{no JSON")
    data = plain(story)
    assert data["steps"][0]["output"].startswith("[unreadable: This is no Any")
    story = given(chain("charge")).claims("charge").ends("charge", Fate.FINAL, error="{no JSON")
    assert plain(story)["steps"][0]["forward"]["error"]["message"].startswith("[unreadable: ")


def test_a_codec_that_says_too_much_is_not_quoted() -> None:
    data = saga_data(record_of(CHARGED, Moody()))
    assert data.context == "[unreadable: RuntimeError]"


def test_each_element_of_a_list_is_told_after_the_list() -> None:
    story = given(a_saga(a_fan_out("pack"))).decides("pack", '{"n":1}', '"b"').claims("pack[0]")
    story = story.succeeds("pack[0]", '"one"').claims("pack[1]").succeeds("pack[1]", '"two"')
    data = plain(story, redact=["n"])
    assert [step["name"] for step in data["steps"]] == ["pack", "pack[0]", "pack[1]"]
    assert data["steps"][0]["elements"] == ["pack[0]", "pack[1]"]
    assert data["steps"][0]["output"] == ["one", "two"]
    assert data["steps"][1]["item"] == {"n": REDACTED}
    assert "item" not in data["steps"][0]


def test_an_element_that_was_left_out_has_nothing_in_the_list() -> None:
    story = given(a_saga(a_fan_out("pack"))).decides("pack", '"a"', '"b"').is_skipped("pack[0]")
    data = plain(story.claims("pack[1]").succeeds("pack[1]", '"two"'))
    assert data["steps"][0]["output"] == [None, "two"]


def test_late_outputs_are_told() -> None:
    story = given(chain("a", "b")).loses_worker_of("a").claims("a").succeeds("a", '"one"')
    assert plain(story.succeeds("a", '"other"', attempt=1))["steps"][0]["late_outputs"] == ["other"]


def test_sub_sagas_are_told_with_the_saga_and_are_covered_alike() -> None:
    story = given(a_saga(a_child("ship"))).does("ship").inserts("ship")
    child = with_context(given(chain("pack")), {"card": SECRET})
    child = Story(child.definition, replace(child.state, id="saga-1/ship", parent=Link("saga-1", "ship")), child.now)
    record = record_of(story, family={"saga-1/ship": record_of(child)})
    data = saga_data(record, redact=["card"])
    assert [one.summary.id for one in data.children] == ["saga-1/ship"]
    assert data.children[0].context == {"card": REDACTED}
    assert (data.children[0].summary.parent, data.children[0].parent_step) == ("saga-1", "ship")
    assert (data.steps[0].child, data.steps[0].output) == ("saga-1/ship", msgspec.UNSET)
    done = story.child_ends("ship", SagaStatus.COMPLETED)
    assert saga_data(record_of(done)).steps[0].output == "ship child"


def test_acts_and_waits_are_told() -> None:
    story = given(a_saga(a_wait("payment", deadline=60), a_step("x", lock=SAYS), deadline=timedelta(hours=1)))
    story = story.does("payment").is_paused()
    data = plain(story)
    assert data["acts"] == [
        {"what": "pause", "at": "1970-01-01T00:16:40Z", "by": "ada", "reason": "an outage", "step": None}
    ]
    assert data["summary"]["waits_for"][0] == "somebody to resume it"
    assert data["steps"][0]["wait_until"] == "1970-01-01T00:17:40Z"
    assert data["summary"]["deadline_at"] == "1970-01-01T01:16:40Z"


def test_of_a_saga_that_this_process_does_not_know_all_is_told_but_its_graph() -> None:
    story = given(a_saga(a_fan_out("pack"))).decides("pack", '"a"').claims("pack[0]").succeeds("pack[0]", '"one"')
    data = saga_data(SagaRecord[Any](story.state, CODEC, None))
    assert [(step.name, step.compensation, step.after) for step in data.steps] == [
        ("pack", None, ()),
        ("pack[0]", None, ()),
    ]
    assert data.steps[0].output == ["one"]


def test_a_page_is_told_without_reading_a_payload() -> None:
    records = [record_of(CHARGED, Moody()), record_of(given(chain("a")).fails("a"), Moody())]
    page = as_builtins(page_data(records, "next"))
    assert page["cursor"] == "next"
    assert [(one["status"], one["steps"], one["reason"]) for one in page["sagas"]] == [
        ("started", {"pending": 2}, None),
        ("compensated", {"failed": 1}, "step 'a' failed"),
    ]
    json.dumps(page)


def test_a_summary_counts_elements_and_not_their_list() -> None:
    story = given(a_saga(a_fan_out("pack"))).decides("pack", '"a"', '"b"').claims("pack[0]")
    assert saga_summary(record_of(story)).steps == {StepStatus.PENDING.value: 1, StepStatus.STARTED.value: 1}


def test_an_answer_is_plain_too() -> None:
    assert as_builtins(answer_data("accepted", SagaStatus.STARTED, "it is so")) == {
        "verdict": "accepted",
        "status": "started",
        "why": "it is so",
    }
