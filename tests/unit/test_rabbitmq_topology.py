"""The names of exchanges and queues, and which cannot be."""

import pytest

from sagaflow.adapters.rabbitmq_topology import Topology
from sagaflow.core.state import Direction
from sagaflow.errors import ConfigurationError
from sagaflow.ports.broker import Lane

STEPS = Lane("orders", Direction.FORWARD)
COMPENSATIONS = Lane("orders", Direction.UNDO)


def test_each_lane_has_a_queue_of_its_own() -> None:
    topology = Topology()

    assert topology.queues([STEPS, COMPENSATIONS]) == {
        "sagaflow.orders.steps": STEPS,
        "sagaflow.orders.compensations": COMPENSATIONS,
    }
    assert (topology.exchange, topology.dead_exchange, topology.dead_queue) == (
        "sagaflow",
        "sagaflow.dead",
        "sagaflow.dead",
    )


def test_names_are_filled_in_wherever_they_stand() -> None:
    topology = Topology(
        exchange="shop",
        step_queue="{exchange}/{queue}/do",
        compensation_queue="{exchange}/{queue}/undo",
        dead_letter_exchange="{exchange}/dlx",
        dead_letter_queue="{exchange}/dlq",
    )

    assert (topology.queue(STEPS), topology.queue(COMPENSATIONS)) == ("shop/orders/do", "shop/orders/undo")
    assert (topology.dead_exchange, topology.dead_queue) == ("shop/dlx", "shop/dlq")


def test_a_logical_queue_is_never_a_pattern() -> None:
    lane = Lane("{exchange}{queue}", Direction.FORWARD)

    assert Topology().queue(lane) == "sagaflow.{exchange}{queue}.steps"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("exchange", "", "no name"),
        ("exchange", "amq.direct", "no name"),
        ("exchange", "x{queue}", "no placeholder"),
        ("exchange", "x" * 256, "256 bytes"),
        ("exchange", "\udcff", "no text"),
        ("step_queue", "steps", "{queue}"),
        ("step_queue", "{queue}.{lane}", "{lane} has no meaning"),
        ("step_queue", "{exchange}.{queue}.compensations", "would share it"),
        ("compensation_queue", "undo", "{queue}"),
        ("dead_letter_exchange", "{exchange}", "would share it"),
        ("dead_letter_queue", "{queue}.dead", "{queue} has no meaning"),
        ("delivery_limit", 0, "at least 1"),
    ],
)
def test_names_that_cannot_be_are_refused(field: str, value: object, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Topology(**{field: value})  # type: ignore[arg-type]  # each fits its name

    assert field in str(caught.value)
    assert complaint in str(caught.value)


def test_a_lane_whose_queue_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="314 bytes"):
        Topology().queue(Lane("x" * 299, Direction.FORWARD))
    with pytest.raises(ConfigurationError, match="keeps the dead letters"):
        Topology(dead_letter_queue="sagaflow.orders.steps").queue(STEPS)


def test_lanes_that_would_share_a_queue_are_refused() -> None:
    topology = Topology(step_queue="{queue}", compensation_queue="{queue}.undo")

    with pytest.raises(ConfigurationError, match=r"'orders\.undo' and 'orders' would share"):
        topology.queues([Lane("orders.undo", Direction.FORWARD), COMPENSATIONS])
