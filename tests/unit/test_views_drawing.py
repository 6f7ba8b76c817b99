"""A saga is drawn as text for other programs and as a picture, whatever its steps are called."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
from hypothesis import given as for_all
from hypothesis import strategies as st

from sagaflow import Saga, step
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.definition import Derived, SagaDefinition
from sagaflow.core.events import Fate
from sagaflow.core.state import SagaStatus
from sagaflow.core.typecheck import SagaTypes
from sagaflow.record import SagaRecord
from sagaflow.testing.definitions import saga_definitions
from sagaflow.views import dot, graph_of, mermaid, svg
from sagaflow.views.layout import arrange
from sagaflow.views.style import ICONS, STYLE
from tests.properties.profile import runs
from tests.unit.story import Story, a_child, a_fan_out, a_saga, a_step, a_wait, chain, diamond, given

SVG = "{http://www.w3.org/2000/svg}"
AWKWARD = [
    '"',
    "<b>",
    "&",
    "]",
    "a;b",
    "\\",
    "\n",
    "end",
    "%%",
    "-->",
    "</style>",
    "\x01",
    "\ud800",
    "\ufffe",
    "名前",
    "x" * 99,
]


def record_of(story: Story, *, known: bool = True) -> SagaRecord[Any]:
    types = SagaTypes(definition=story.definition, context=object, outputs={})
    return SagaRecord[Any](story.state, JsonCodec(), types if known else None)


def everything() -> SagaDefinition:
    """A saga with each kind of step."""
    return a_saga(
        a_step("order"),
        replace(a_fan_out("pack", after=["order"], at_once=2), each=Derived(field="parcels")),
        a_child("ship", after=["order"]),
        a_wait("payment", after=["pack", "ship"]),
        a_step("wrap", after=["payment"], undo=False, when=Derived(method="is_gift")),
        a_step("capture", after=["wrap"], undo=False, pivot=True),
        a_step("review", after=["capture"], undo=False, delay=timedelta(days=14), lock=Derived(template="{customer}")),
    )


def steps_in(picture: str) -> dict[str, ET.Element]:
    root = ET.fromstring(picture.encode("utf-8", "surrogatepass"))
    return {str(group.get("data-step")): group for group in root.iter(f"{SVG}g") if group.get("data-step") is not None}


# ---------------------------------------------------------------------------------------- the graph


def test_a_graph_says_what_is_to_be_known_of_each_step() -> None:
    notes = {node.name: node.notes for node in graph_of(everything()).nodes}
    assert notes == {
        "order": (),
        "pack": ("for each of parcels, 2 at once",),
        "ship": ("saga Child",),
        "payment": ("waits for payment answer",),
        "wrap": ("if is_gift",),
        "capture": ("the point of no return",),
        "review": ("14 d later", "under lock {customer}"),
    }
    undos = {node.name: node.undo for node in graph_of(everything()).nodes}
    assert (undos["order"], undos["ship"], undos["wrap"]) == ("↩ undo_order", "↩ undoes itself", None)


def test_a_condition_without_a_name_is_one_nevertheless() -> None:
    def is_gift(order: object) -> bool:
        return True

    for function, words in ((is_gift, "if is_gift"), (lambda _: True, "if a condition holds")):
        (node,) = graph_of(a_saga(a_step("wrap", when=Derived(function=function)))).nodes
        assert node.notes == (words,)
    (node,) = graph_of(a_saga(replace(a_fan_out("pack"), each=None))).nodes
    assert node.notes == ("for each of a list",)


def test_a_dependency_that_others_imply_is_not_drawn() -> None:
    saga = a_saga(a_step("a"), a_step("b", after=["a"]), a_step("c", after=["a", "b"]))
    assert list(graph_of(saga).edges) == [("a", "b"), ("b", "c")]


def test_a_class_is_drawn_as_what_was_compiled_of_it() -> None:
    class Order(Saga[str]):
        @step
        async def create(self, context: str) -> None: ...

    assert svg(Order) == svg(Order.definition)
    assert mermaid(Order) == mermaid(Order.definition)


def test_one_saga_shows_how_far_each_step_has_come() -> None:
    story = given(a_saga(a_fan_out("pack"), a_step("bill", after=["pack"])))
    story = story.decides("pack", "a", "b", "c").does("pack[0]").claims("pack[1]")
    pack, bill = graph_of(record_of(story)).nodes
    assert (pack.status, pack.progress) == ("started", "3 elements: 1 completed, 1 started, 1 pending")
    assert (bill.status, bill.progress) == ("pending", None)
    assert pack.sentence == (
        "step pack, for each of says, undone by undo_pack, started, 3 elements: 1 completed, 1 started, 1 pending"
    )


def test_attempts_are_counted_in_both_directions() -> None:
    story = given(chain("a", "b")).fails("a", Fate.RETRYABLE).later(10).does("a").fails("b")
    story = story.fails_to_undo("a", Fate.RETRYABLE).later(10).undoes("a")
    node = graph_of(record_of(story)).nodes[0]
    assert node.progress == "attempt 2, attempt 2 to undo it"


def test_of_a_saga_that_this_process_does_not_know_the_steps_stand_by_themselves() -> None:
    story = given(a_saga(a_fan_out("pack"), a_step("bill", after=["pack"]))).decides("pack", "a")
    graph = graph_of(record_of(story, known=False))
    assert [(node.name, node.after) for node in graph.nodes] == [("pack", ()), ("bill", ())]


# ---------------------------------------------------------------------------------------- text


def test_mermaid_has_a_shape_for_each_kind_and_a_colour_for_each_status() -> None:
    text = mermaid(everything())
    assert text.startswith("flowchart TD\n    accTitle: Story\n")
    assert '    s0("order<br/>↩ undo_order")\n' in text
    assert '    s1[/"pack<br/>for each of parcels, 2 at once<br/>↩ undo_pack"/]\n' in text
    assert '    s2[["ship<br/>saga Child<br/>↩ undoes itself"]]\n' in text
    assert '    s3(["payment<br/>waits for payment answer<br/>↩ undo_payment"])\n' in text
    assert '    s5{{"capture<br/>the point of no return"}}\n' in text
    assert "    s0 --> s1\n" in text
    assert "    style s4 stroke-dasharray:5 4\n" in text
    assert "classDef" not in text
    coloured = mermaid(record_of(given(chain("a", "b")).does("a")))
    assert '    s0("a<br/>completed<br/>↩ undo_a"):::completed\n' in coloured
    assert "    classDef pending fill:" in coloured


def test_dot_has_a_shape_for_each_kind_and_a_colour_for_each_status() -> None:
    text = dot(everything())
    assert text.startswith('digraph "Story" {\n')
    shapes = [
        'shape="box3d"',
        'shape="component"',
        'shape="ellipse"',
        'shape="hexagon"',
        'style="rounded,filled,dashed"',
    ]
    assert [shape for shape in shapes if shape not in text] == []
    assert "    s0 -> s1\n" in text
    assert 'fillcolor="#dafbe1", color="#1a7f37"' in dot(record_of(given(chain("a")).does("a")))


def test_names_mean_nothing_in_either_language() -> None:
    saga = a_saga(*(replace(a_step(name), compensation=name) for name in AWKWARD))
    for line in mermaid(saga).splitlines()[2:]:
        assert line.count('"') == 2
        assert not set(line.split('"')[1].replace("<br/>", "")) & set('<>&;"[]\\') - {"&", ";"} or "#" in line
    for line in dot(saga).splitlines()[3:-1]:
        assert line.replace("\\\\", "").replace('\\"', "").count('"') == 4


# ---------------------------------------------------------------------------------------- pictures


def test_a_picture_has_a_group_for_each_step_to_hook_on() -> None:
    groups = steps_in(svg(record_of(given(diamond()).does("top").claims("left"))))
    assert {name: group.get("data-status") for name, group in groups.items()} == {
        "top": "completed",
        "left": "started",
        "right": "pending",
        "join": "pending",
    }
    assert {group.get("data-status") for group in steps_in(svg(diamond())).values()} == {None}


def test_a_picture_can_be_read_aloud() -> None:
    root = ET.fromstring(svg(record_of(given(diamond()).does("top"))))
    labels = [root.find(f"{SVG}{name}") for name in ("title", "desc")]
    assert root.get("role") == "img"
    assert str(root.get("aria-labelledby")).split() == [label.get("id") for label in labels if label is not None]
    title, desc = (label.text for label in labels if label is not None)
    assert title == "Story saga-1: started"
    assert str(desc).startswith("4 steps. step top, undone by undo_top, completed. step left,")


def test_a_picture_needs_nothing_from_elsewhere_and_reads_in_light_and_dark() -> None:
    picture = svg(everything())
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    assert "@import" not in STYLE
    assert "prefers-color-scheme:dark" in picture
    assert '[data-theme="dark"]' in picture
    assert set(ICONS) == {status for status in ICONS if f".sf-{status}{{" in STYLE}


def test_a_pivot_is_marked_with_a_line_between_before_and_after() -> None:
    assert svg(everything()).count('class="sf-line"') == 1
    assert svg(a_saga(a_step("pay", undo=False, pivot=True))).count('class="sf-line"') == 1
    assert "sf-line" not in svg(diamond()).replace(STYLE, "")
    assert 'class="sf-step sf-declared sf-pivot"' in svg(everything())
    assert 'class="sf-step sf-declared sf-perhaps"' in svg(everything())


def test_whatever_a_step_is_called_the_picture_is_well_formed() -> None:
    saga = a_saga(*(a_step(name) for name in AWKWARD))
    named = replace(saga, name="</title>\x00\ud800")
    assert steps_in(svg(named)).keys() >= {"<b>", "</style>", "名前", "x" * 99}
    assert svg(named).count(" data-step=") == len(AWKWARD)
    assert "…" in svg(named)


def test_a_saga_without_steps_is_drawn_too() -> None:
    assert "0 steps" in svg(SagaDefinition(name="Empty", steps=()))


def test_pictures_of_different_sagas_on_one_page_have_labels_of_their_own() -> None:
    story = given(chain("a"))
    other = Story(story.definition, msgspec.structs.replace(story.state, status=SagaStatus.FAILED), story.now)
    one, two = (ET.fromstring(svg(record_of(each))).get("aria-labelledby") for each in (story, other))
    assert one != two


# ---------------------------------------------------------------------------------------- layout


@runs(80)
@for_all(saga_definitions(), st.integers(60, 300))
def test_boxes_never_overlap_and_arrows_lead_down(definition: SagaDefinition, width: int) -> None:
    sizes = {step.name: (float(width + 7 * len(step.after)), 50.0) for step in definition}
    after = {node.name: node.after for node in graph_of(definition).nodes}
    layout = arrange(sizes, after)
    for (one, (x, y)), (other, (to_x, to_y)) in combinations(layout.centres.items(), 2):
        apart = abs(x - to_x) >= (sizes[one][0] + sizes[other][0]) / 2
        assert apart or abs(y - to_y) >= 50.0
    for name, (x, y) in layout.centres.items():
        assert sizes[name][0] / 2 <= x + 0.001
        assert x <= layout.width - sizes[name][0] / 2 + 0.001
        assert 0 < y < layout.height
    for route in layout.routes.values():
        assert [y for _, y in route] == sorted(y for _, y in route)


@runs(40)
@for_all(saga_definitions())
def test_every_saga_can_be_drawn_in_every_way(definition: SagaDefinition) -> None:
    names = [step.name for step in definition]
    assert list(steps_in(svg(definition))) == names
    assert mermaid(definition).count(" --> ") == dot(definition).count(" -> ") == len(list(graph_of(definition).edges))


def test_an_order_is_found_in_which_arrows_do_not_cross() -> None:
    after = {"a": (), "b": (), "c": (), "x": ("c",), "y": ("b",), "z": ("a",)}
    layout = arrange(dict.fromkeys(after, (50.0, 30.0)), after)
    places = {name: x for name, (x, _) in layout.centres.items()}
    assert sorted("abc", key=places.__getitem__) == [after[name][0] for name in sorted("xyz", key=places.__getitem__)]


def test_an_arrow_over_several_layers_keeps_clear_of_the_boxes_between() -> None:
    after = {"a": (), "b": ("a",), "c": ("b",), "d": ("a", "c")}
    layout = arrange(dict.fromkeys(after, (100.0, 30.0)), after)
    route = layout.routes["a", "d"]
    assert len(route) == 6
    for x, _ in route[1:-1]:
        assert all(abs(x - layout.centres[name][0]) > 50 for name in ("b", "c"))
