"""Waiting for a server that takes writes, by what the driver knows and without asking it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError
from pymongo.hello import Hello
from pymongo.server_description import ServerDescription

from sagaflow.adapters import mongo_primary
from sagaflow.adapters.mongo_primary import Primary

NEW = ServerDescription(("new", 27017))
AWAY = ServerDescription(("away", 27017), error=AutoReconnect("away:27017: connection refused"))
PRIMARY = ServerDescription(
    ("first", 27017), Hello({"ok": 1, "setName": "rs", "isWritablePrimary": True, "maxWireVersion": 21})
)
SECONDARY = ServerDescription(
    ("second", 27017), Hello({"ok": 1, "setName": "rs", "secondary": True, "maxWireVersion": 21})
)


class Driver:
    """A client that knows what it is told, and counts how often it is made to look.

    Attributes:
        members: what it knows.
        names: whether the members that live name a primary.
        found: what a look finds, if anything.
    """

    def __init__(self, *members: ServerDescription) -> None:
        self.members = members
        self.names = False
        self.found: tuple[ServerDescription, ...] | None = None
        self.looks = 0
        self.delegate = self  # as Motor's client is a wrapper around a synchronous one

    @property
    def topology_description(self) -> Any:
        return self

    def server_descriptions(self) -> dict[Any, ServerDescription]:
        return {member.address: member for member in self.members}

    @property
    def is_primary(self) -> bool:
        self.looks += 1
        self.members = self.found or self.members
        return False

    def get_database(self, _: str) -> Any:
        return self

    async def command(self, _: str, **__: object) -> dict[str, object]:
        return {"primary": "first:27017"} if self.names else {}


def primary_of(driver: Driver) -> Primary:
    return Primary(cast("AsyncMongoClient[Any]", driver))


async def lost(primary: Primary, driver: Driver, *members: ServerDescription) -> None:
    """A primary is known, and then it is not."""
    driver.members = (PRIMARY,)
    await primary.found(1.0)
    driver.members = members


@pytest.fixture
def not_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss is old from its beginning."""
    monkeypatch.setattr(mongo_primary, "_FRESH", 0.0)


@pytest.mark.parametrize("members", [(NEW,), (AWAY, NEW), (SECONDARY, NEW), (PRIMARY, AWAY), ()])
async def test_a_call_goes_on_at_once_while_a_primary_is_known_or_may_be_among_those_not_looked_at(
    members: tuple[ServerDescription, ...],
) -> None:
    driver = Driver(*members)
    await asyncio.wait_for(primary_of(driver).found(10.0), 1.0)
    assert driver.looks == 0


@pytest.mark.parametrize("members", [(AWAY,), (SECONDARY, AWAY)])
async def test_a_call_without_a_primary_ends_in_its_own_time_and_says_how_the_members_are(
    members: tuple[ServerDescription, ...],
) -> None:
    with pytest.raises(ServerSelectionTimeoutError, match="connection refused"):
        await primary_of(Driver(*members)).found(0.1)


async def test_all_calls_go_on_when_a_primary_is_found_and_one_of_them_gives_up_before() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    calls = [asyncio.create_task(primary.found(bound)) for bound in (0.1, 10.0, 10.0, 10.0)]
    await asyncio.sleep(0.3)
    driver.members = (PRIMARY,)
    impatient, *patient = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 2.0)
    assert isinstance(impatient, ServerSelectionTimeoutError)
    assert patient == [None] * 3


async def test_the_driver_is_made_to_look_while_a_loss_is_fresh() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    driver.found = (PRIMARY,)
    await asyncio.wait_for(primary.found(10.0), 1.0)
    assert driver.looks == 1


@pytest.mark.usefixtures("not_fresh")
async def test_after_a_while_nobody_looks_for_members_of_which_none_lives() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    driver.names = True  # there is nobody to say so
    with pytest.raises(ServerSelectionTimeoutError):
        await primary.found(0.5)
    assert driver.looks == 0


@pytest.mark.usefixtures("not_fresh")
async def test_a_member_that_lives_and_names_a_primary_makes_the_driver_look_for_it() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, SECONDARY, AWAY)
    waiting = asyncio.create_task(primary.found(10.0))
    await asyncio.sleep(0.3)
    assert driver.looks == 0
    driver.names, driver.found = True, (SECONDARY, PRIMARY)
    await asyncio.wait_for(waiting, 1.0)
    assert driver.looks == 1


async def test_nobody_looks_for_a_primary_when_nobody_waits_for_it_any_more() -> None:
    driver = Driver(AWAY)
    primary = primary_of(driver)
    waiting = asyncio.create_task(primary.found(10.0))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.sleep(0.5)
    looks = driver.looks
    await asyncio.sleep(0.5)
    assert driver.looks == looks


async def test_another_thread_goes_on_when_a_primary_is_found() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    waiting = asyncio.create_task(asyncio.to_thread(primary.found_beside, 10.0))
    await asyncio.sleep(2.0)
    assert not waiting.done(), "longer than a blocked event loop is waited for"
    driver.members = (PRIMARY,)
    await asyncio.wait_for(waiting, 1.0)


async def test_another_thread_waits_no_longer_than_it_may() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    with pytest.raises(ServerSelectionTimeoutError, match="connection refused"):
        await asyncio.to_thread(primary.found_beside, 0.3)


async def test_another_thread_does_not_wait_for_an_event_loop_that_is_blocked() -> None:
    driver = Driver()
    primary = primary_of(driver)
    await lost(primary, driver, AWAY)
    took = in_thread(lambda: primary.found_beside(10.0))  # which blocks the loop
    assert 1.0 < took < 3.0


def test_another_thread_does_not_wait_for_an_event_loop_that_has_ended() -> None:
    driver = Driver()
    primary = primary_of(driver)
    asyncio.run(lost(primary, driver, AWAY))
    assert in_thread(lambda: primary.found_beside(10.0)) < 3.0


def in_thread(call: Callable[[], None]) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return time.monotonic() - began
