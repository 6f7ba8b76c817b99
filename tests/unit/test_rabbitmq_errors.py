"""The driver's errors become ours, and a wish to cancel stays one."""

import asyncio
from contextlib import suppress

import pytest
from aio_pika.exceptions import AMQPConnectionError, ChannelInvalidStateError, ProbableAuthenticationError

from sagaflow.adapters.rabbitmq_errors import answering
from sagaflow.errors import BrokerUnavailable, ConfigurationError, Unroutable


@pytest.mark.parametrize(
    "error",
    [
        AMQPConnectionError("gone"),
        ChannelInvalidStateError("closed"),
        OSError("no route"),
        TimeoutError(),
        RuntimeError("closed"),
        StopAsyncIteration(),
        Exception(),
        asyncio.CancelledError(),
    ],
)
async def test_whatever_the_driver_raises_is_one_error(error: BaseException) -> None:
    with pytest.raises(BrokerUnavailable, match="could not do it") as caught:
        async with answering("do it", 1.0):
            raise error

    assert caught.value.__cause__ is error
    assert type(caught.value) is BrokerUnavailable


async def test_refused_credentials_are_the_operators() -> None:
    with pytest.raises(ConfigurationError, match="credentials"):
        async with answering("be reached", 1.0):
            raise ProbableAuthenticationError("ACCESS_REFUSED")


async def test_our_own_errors_pass() -> None:
    with pytest.raises(Unroutable, match="mine"):
        async with answering("do it", 1.0):
            raise Unroutable("mine")


async def test_a_wait_is_bounded() -> None:
    with pytest.raises(BrokerUnavailable, match=r"in 0\.01 s"):
        async with answering("do it", 0.01):
            await asyncio.Event().wait()


async def test_a_caller_that_is_cancelled_is_cancelled() -> None:
    async def call() -> None:
        async with answering("do it", 10.0):
            await asyncio.Event().wait()

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    calling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_a_cancellation_of_the_driver_is_none_even_after_one_that_was_overcome() -> None:
    async def call() -> str:
        with suppress(asyncio.CancelledError):  # and cancelling() stays 1
            await asyncio.Event().wait()
        try:
            async with answering("do it", 1.0):
                raise asyncio.CancelledError
        except BrokerUnavailable:
            return "unavailable"

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    calling.cancel()

    assert await calling == "unavailable"
