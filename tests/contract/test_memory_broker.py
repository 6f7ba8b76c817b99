"""The broker within one process keeps the contract, and what is special about it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sagaflow.adapters.memory_broker import DEAD_LETTER_LIMIT, MemoryBroker
from sagaflow.core.state import Direction
from sagaflow.ports.broker import Hint, Lane
from sagaflow.testing.broker_contract import BrokerContract

STEPS = Lane("default", Direction.FORWARD)
COMPENSATIONS = Lane("default", Direction.UNDO)


class TestMemoryBroker(BrokerContract):
    silence = 0.05

    @pytest.fixture
    async def broker(self) -> AsyncIterator[MemoryBroker]:
        broker = MemoryBroker()
        await broker.open()
        yield broker
        await broker.close()

    @pytest.fixture
    async def other_broker(self, broker: MemoryBroker) -> AsyncIterator[MemoryBroker]:
        other = broker.peer()
        await other.open()
        yield other
        await other.close()


async def test_it_is_closed_with_the_last_engine_that_shares_it() -> None:
    broker = MemoryBroker()
    await broker.open()
    await broker.open()

    await broker.close()
    assert broker.health == "ok"
    await broker.close()
    assert broker.health == "closed"


async def test_what_nobody_in_the_process_takes_is_not_reached() -> None:
    broker = MemoryBroker()
    await broker.open()
    assert not broker.reaches(STEPS)

    subscription = await broker.subscribe([STEPS], prefetch=10)
    assert broker.reaches(STEPS)
    assert not broker.reaches(COMPENSATIONS)

    await subscription.close()
    assert not broker.reaches(STEPS)
    await broker.close()


async def test_a_hint_that_waits_is_not_queued_twice() -> None:
    broker = MemoryBroker()
    await broker.open()

    for _ in range(1_000):
        await broker.publish([Hint("one", STEPS), Hint("other", STEPS)])

    assert await broker.depth(STEPS) == 2
    assert await broker.depth(COMPENSATIONS) == 0


async def test_a_hint_that_goes_back_joins_the_same_one_that_waits() -> None:
    broker = MemoryBroker()
    await broker.open()
    subscription = await broker.subscribe([STEPS], prefetch=10)
    await broker.publish([Hint("saga", STEPS)])
    delivery = await subscription.receive()
    await broker.publish([Hint("saga", STEPS)])

    await delivery.requeue()

    assert await broker.depth(STEPS) == 1


async def test_dead_letters_are_kept_with_their_reasons_up_to_a_limit() -> None:
    broker = MemoryBroker()
    await broker.open()
    subscription = await broker.subscribe([STEPS], prefetch=1)

    for number in range(DEAD_LETTER_LIMIT + 1):
        await broker.publish([Hint(f"saga-{number}", STEPS)])
        await (await subscription.receive()).dead_letter(f"reason {number}")

    assert await broker.dead_letter_depth() == DEAD_LETTER_LIMIT
    (oldest,) = await broker.dead_letters(1)
    assert (oldest.hint, oldest.reason) == (Hint("saga-1", STEPS), "reason 1")


async def test_a_purged_lane_is_empty_and_the_others_are_not() -> None:
    broker = MemoryBroker()
    await broker.open()
    await broker.publish([Hint("one", STEPS), Hint("other", STEPS), Hint("one", COMPENSATIONS)])

    assert await broker.purge(STEPS) == 2

    assert (await broker.depth(STEPS), await broker.depth(COMPENSATIONS)) == (0, 1)


async def test_a_busy_lane_does_not_starve_the_other() -> None:
    broker = MemoryBroker()
    await broker.open()
    subscription = await broker.subscribe([STEPS, COMPENSATIONS], prefetch=10)
    await broker.publish([Hint(f"saga-{number}", STEPS) for number in range(10)])
    await broker.publish([Hint("undo", COMPENSATIONS)])

    first_two = {(await subscription.receive()).hint.lane for _ in range(2)}

    assert first_two == {STEPS, COMPENSATIONS}


async def test_a_subscription_that_settled_all_is_forgotten() -> None:
    broker = MemoryBroker()
    await broker.open()
    await broker.publish([Hint("saga", STEPS)])
    subscription = await broker.subscribe([STEPS], prefetch=10)
    delivery = await subscription.receive()

    await subscription.close()
    await delivery.ack()
    await delivery.requeue()  # a second time, nothing happens

    assert await broker.depth(STEPS) == 0


@pytest.mark.parametrize(("lanes", "prefetch"), [([], 1), ([STEPS], 0)])
async def test_a_subscription_without_lanes_or_room_is_a_mistake(lanes: list[Lane], prefetch: int) -> None:
    broker = MemoryBroker()
    await broker.open()

    with pytest.raises(ValueError, match="at least one lane"):
        await broker.subscribe(lanes, prefetch=prefetch)


async def test_one_that_waits_for_room_hears_of_it() -> None:
    broker = MemoryBroker()
    await broker.open()
    subscription = await broker.subscribe([STEPS], prefetch=1)
    await broker.publish([Hint("one", STEPS), Hint("other", STEPS)])
    first = await subscription.receive()
    waiting = asyncio.create_task(subscription.receive())
    await asyncio.sleep(0)
    assert not waiting.done()

    await first.ack()

    assert (await waiting).hint == Hint("other", STEPS)
