"""The contract that every broker keeps, as tests: subclass ``BrokerContract`` for a broker of your own.

::

    class TestMyBroker(BrokerContract):
        @pytest_asyncio.fixture
        async def broker(self) -> AsyncIterator[Broker]:
            broker = MyBroker("my://server")
            await broker.open()
            yield broker
            await broker.close()

        @pytest_asyncio.fixture
        async def other_broker(self) -> AsyncIterator[Broker]:
            ...                       # a second connection to the same thing, as another process would have

The tests need pytest and pytest-asyncio. None relies on the order of hints.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter

import pytest

from ..core.state import Direction
from ..errors import BrokerUnavailable
from ..ports.broker import Broker, Delivery, Hint, Lane, Subscription


@pytest.mark.asyncio
class BrokerContract:
    """The contract; it needs the fixtures ``broker`` and ``other_broker``, both open.

    Attributes:
        patience: seconds that a hint may take to arrive, at most.
        silence: seconds after which a hint that has not come is held not to be there. It must be longer than the broker
            ever takes when it is idle, for a shorter one makes tests pass that should not.
        keeps_unclaimed: whether hints are kept that no subscription was ever there for.
    """

    patience: float = 10.0
    silence: float = 0.5
    keeps_unclaimed: bool = True

    @pytest.fixture
    def lane(self) -> Lane:
        """A lane that no other test uses."""
        return Lane(f"contract-{secrets.token_hex(4)}", Direction.FORWARD)

    @pytest.fixture
    def undo_lane(self, lane: Lane) -> Lane:
        """The lane of the same queue in the other direction."""
        return Lane(lane.queue, Direction.UNDO)

    async def test_a_lane_that_somebody_takes_is_reached(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        subscription = await broker.subscribe([lane], prefetch=1)
        assert other_broker.reaches(lane)
        await subscription.close()

    async def test_a_hint_is_received_by_exactly_one_of_two_subscribers(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        one = await broker.subscribe([lane], prefetch=10)
        other = await other_broker.subscribe([lane], prefetch=10)
        hints = {Hint(f"saga-{number}", lane) for number in range(20)}

        await broker.publish(list(hints))

        seen = await asyncio.gather(self.drain(one), self.drain(other))
        assert Counter(seen[0] + seen[1]) == Counter(hints)

    async def test_an_acknowledged_hint_is_gone(self, broker: Broker, other_broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])

        await (await self.receive(subscription)).ack()
        await broker.close()

        assert await self.drain(await other_broker.subscribe([lane], prefetch=10)) == []

    async def test_a_requeued_hint_is_delivered_again(self, broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])

        await (await self.receive(subscription)).requeue()

        assert await self.drain(subscription) == [Hint("saga", lane)]

    async def test_a_requeued_hint_can_go_to_another_worker(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        one = await broker.subscribe([lane], prefetch=10)
        other = await other_broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])
        delivery = await self.receive(one)

        await delivery.requeue()  # and the one receives no more

        assert (await self.receive(other)).hint == Hint("saga", lane)

    async def test_what_was_not_received_goes_back_when_its_subscription_is_closed(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        one = await broker.subscribe([lane], prefetch=10)
        hints = [Hint(f"saga-{number}", lane) for number in range(8)]
        await broker.publish(hints)
        await (await self.receive(one)).requeue()

        await one.close()

        other = await other_broker.subscribe([lane], prefetch=10)
        assert sorted(await self.drain(other), key=repr) == sorted(hints, key=repr)

    async def test_what_was_received_can_be_settled_after_its_subscription_was_closed(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        one = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("done", lane), Hint("not done", lane)])
        deliveries = {(delivery := await self.receive(one)).hint.saga_id: delivery for _ in range(2)}

        await one.close()
        other = await other_broker.subscribe([lane], prefetch=10)
        assert await self.drain(other) == []
        await deliveries["done"].ack()
        await deliveries["not done"].requeue()

        assert await self.drain(other) == [Hint("not done", lane)]

    async def test_what_was_not_settled_comes_back_when_the_broker_is_closed(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        one = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])
        delivery = await self.receive(one)

        await broker.close()

        other = await other_broker.subscribe([lane], prefetch=10)
        assert (await self.receive(other)).hint == Hint("saga", lane)
        # To settle what went back is late, and harmless.
        await delivery.ack()

    async def test_a_hint_is_kept_for_the_first_subscriber(self, broker: Broker, lane: Lane) -> None:
        if not self.keeps_unclaimed:
            pytest.skip("this broker keeps hints only for subscriptions that were there")
        await broker.publish([Hint("saga", lane)])

        subscription = await broker.subscribe([lane], prefetch=10)

        assert (await self.receive(subscription)).hint == Hint("saga", lane)

    async def test_nothing_lies_with_a_worker_that_does_not_receive(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        idle = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("first", lane)])
        await (await self.receive(idle)).ack()  # from here on it may fetch ahead
        hints = [Hint(f"saga-{number}", lane) for number in range(5)]
        await broker.publish(hints)
        await asyncio.sleep(self.silence)  # time to fetch all of them

        other = await other_broker.subscribe([lane], prefetch=10)
        found = [await self.receive(other) for _ in hints]

        assert sorted((delivery.hint for delivery in found), key=repr) == sorted(hints, key=repr)
        await asyncio.gather(*(delivery.ack() for delivery in found))
        await other.close()
        # And the idle one takes part again as soon as it receives.
        await broker.publish([Hint("last", lane)])
        assert (await self.receive(idle)).hint == Hint("last", lane)

    async def test_a_cancelled_receive_loses_nothing(self, broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        hints = {Hint(f"saga-{number}", lane) for number in range(100)}
        seen: set[Hint] = set()

        async def publish() -> None:
            for hint in hints:
                await broker.publish([hint])

        publishing = asyncio.create_task(publish())
        for turn in range(300):
            receiving = asyncio.create_task(subscription.receive())
            await asyncio.sleep(turn % 7 / 5_000)
            receiving.cancel()
            try:
                delivery = await receiving
            except asyncio.CancelledError:
                continue
            seen.add(delivery.hint)
            await delivery.ack()
        await publishing

        assert seen.union(await self.drain(subscription)) == hints

    async def test_a_thousand_hints_all_arrive(self, broker: Broker, other_broker: Broker, lane: Lane) -> None:
        hints = {Hint(f"saga-{number}", lane) for number in range(1_000)}
        one = await broker.subscribe([lane], prefetch=50)
        other = await other_broker.subscribe([lane], prefetch=50)

        await broker.publish(list(hints))

        seen = await asyncio.gather(self.drain(one), self.drain(other))
        assert Counter(seen[0] + seen[1]) == Counter(hints)

    async def test_a_doubled_hint_comes_once_or_twice(self, broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)

        await broker.publish([Hint("saga", lane), Hint("saga", lane)])

        assert await self.drain(subscription) in ([Hint("saga", lane)], [Hint("saga", lane)] * 2)

    async def test_a_hint_that_comes_while_the_same_is_in_work_is_delivered_too(
        self, broker: Broker, lane: Lane
    ) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])
        delivery = await self.receive(subscription)

        await broker.publish([Hint("saga", lane)])  # what it is about may be younger than what the worker saw
        await delivery.ack()

        assert await self.drain(subscription) == [Hint("saga", lane)]

    async def test_a_dead_lettered_hint_is_not_delivered_again(
        self, broker: Broker, other_broker: Broker, lane: Lane
    ) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        await broker.publish([Hint("saga", lane)])

        await (await self.receive(subscription)).dead_letter("there is no such saga")
        await broker.close()

        assert await self.drain(await other_broker.subscribe([lane], prefetch=10)) == []

    async def test_the_two_directions_of_a_queue_do_not_mix(self, broker: Broker, lane: Lane, undo_lane: Lane) -> None:
        steps = await broker.subscribe([lane], prefetch=10)
        compensations = await broker.subscribe([undo_lane], prefetch=10)

        await broker.publish([Hint("step", lane), Hint("compensation", undo_lane)])

        assert await self.drain(steps) == [Hint("step", lane)]
        assert await self.drain(compensations) == [Hint("compensation", undo_lane)]

    async def test_one_subscription_serves_several_lanes(self, broker: Broker, lane: Lane, undo_lane: Lane) -> None:
        subscription = await broker.subscribe([lane, undo_lane], prefetch=10)
        hints = {Hint(f"saga-{number}", either) for number in range(50) for either in (lane, undo_lane)}

        await broker.publish(list(hints))

        assert set(await self.drain(subscription)) == hints

    async def test_no_more_hints_are_in_work_than_the_prefetch_allows(self, broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=2)
        await broker.publish([Hint(f"saga-{number}", lane) for number in range(3)])
        first, second = await self.receive(subscription), await self.receive(subscription)

        assert await self.drain(subscription) == []

        await first.ack()
        third = await self.receive(subscription)
        assert len({first.hint, second.hint, third.hint}) == 3

    async def test_a_receive_that_waits_ends_with_its_subscription(self, broker: Broker, lane: Lane) -> None:
        subscription = await broker.subscribe([lane], prefetch=10)
        receiving = asyncio.create_task(subscription.receive())
        await asyncio.sleep(self.silence)

        await subscription.close()

        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(receiving, self.patience)

    async def test_a_closed_broker_takes_nothing(self, broker: Broker, lane: Lane) -> None:
        assert broker.health == "ok"
        subscription = await broker.subscribe([lane], prefetch=10)

        await broker.close()
        await broker.close()

        assert broker.health != "ok"
        with pytest.raises(BrokerUnavailable):
            await broker.publish([Hint("saga", lane)])
        with pytest.raises(BrokerUnavailable):
            await broker.subscribe([lane], prefetch=10)
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(subscription.receive(), self.patience)

    async def receive(self, subscription: Subscription) -> Delivery:
        """The next delivery, which must come."""
        return await asyncio.wait_for(subscription.receive(), self.patience)

    async def drain(self, subscription: Subscription) -> list[Hint]:
        """Receive and acknowledge until nothing comes any more."""
        found: list[Hint] = []
        while True:
            receiving = asyncio.create_task(subscription.receive())
            done, _ = await asyncio.wait({receiving}, timeout=self.silence)
            if not done:
                receiving.cancel()
            try:
                delivery = await receiving
            except asyncio.CancelledError:
                return found
            found.append(delivery.hint)
            await delivery.ack()
