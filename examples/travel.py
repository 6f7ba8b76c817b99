"""Book a trip: flights and rooms for every traveller, or for none.

Two sub-sagas run side by side, each for all travellers at once. When one seat or one room is not to be had, everything
that was booked for anybody is given back.

Run it with ``python examples/travel.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from msgspec import Struct

from sagaflow import Abort, Engine, Saga, SagaCompensated, SagaRecord, step


class Trip(Struct, frozen=True):
    """Who goes where."""

    to: str
    travellers: list[str]


class Ticket(Struct, frozen=True):
    """A seat or a room for one traveller."""

    reference: str
    traveller: str


@dataclass
class Agency:
    """Stands for airlines and hotels: so many places there are, and a key is applied once."""

    places: Counter[str]
    booked: dict[str, str] = field(default_factory=dict[str, str])

    async def book(self, what: str, traveller: str, *, key: str) -> Ticket:
        if key not in self.booked:
            if self.places[what] == 0:
                raise Abort(f"no {what} is left for {traveller}")
            self.places[what] -= 1
            self.booked[key] = what
        print(f"    {what} for {traveller}")
        return Ticket(key, traveller)

    async def give_back(self, what: str, traveller: str, *, key: str) -> None:
        if self.booked.pop(key, None):
            self.places[what] += 1
            print(f"    gave back the {what} of {traveller}")


@dataclass
class Flights(Saga[Trip]):
    """A seat for each traveller."""

    agency: Agency

    @step(each="travellers", at_once=2, compensate="cancel")
    async def seats(self, trip: Trip, traveller: str) -> Ticket:
        return await self.agency.book("seat", traveller, key=self.idempotency_key)

    async def cancel(self, trip: Trip, traveller: str, ticket: Ticket | None) -> None:
        await self.agency.give_back("seat", traveller, key=ticket.reference if ticket else self.step_key)


@dataclass
class Hotel(Saga[Trip]):
    """A room for each traveller."""

    agency: Agency

    @step(each="travellers", compensate="cancel")
    async def rooms(self, trip: Trip, traveller: str) -> Ticket:
        return await self.agency.book("room", traveller, key=self.idempotency_key)

    async def cancel(self, trip: Trip, traveller: str, ticket: Ticket | None) -> None:
        await self.agency.give_back("room", traveller, key=ticket.reference if ticket else self.step_key)


class TripSaga(Saga[Trip]):
    """Flights and hotel side by side, then the itinerary."""

    @step(saga=Flights, parallel="bookings")
    async def fly(self, trip: Trip) -> Trip:
        return trip

    @step(saga=Hotel, parallel="bookings")
    async def sleep(self, trip: Trip) -> Trip:
        return trip

    @step
    async def itinerary(self, trip: Trip, fly: SagaRecord[Trip], sleep: SagaRecord[Trip]) -> list[str]:
        rooms = {room.traveller: room.reference for room in sleep.output(Hotel.rooms)}
        return [f"{seat.traveller}: {seat.reference}, {rooms[seat.traveller]}" for seat in fly.output(Flights.seats)]


async def why(engine: Engine, saga: SagaRecord[Trip]) -> str:
    """What went wrong in the first place: what a sub-saga met with stands in its own record."""
    for its in saga.steps.values():
        if its.child_id and its.has_failed:
            return await why(engine, await engine.get(its.child_id))
    return saga.error.message if saga.error else str(saga.reason)


async def book(engine: Engine, trip: Trip, trip_id: str) -> None:
    """Start one trip, and tell how it ends."""
    handle = await TripSaga.start(trip, id=trip_id)
    try:
        saga = await handle.result()
        print(f"  {saga.status}:")
        for line in saga.output(TripSaga.itinerary):
            print(f"    {line}")
    except SagaCompensated as undone:
        print(f"  {undone}")
        print(f"    because {await why(engine, undone.saga)}")


async def main() -> None:
    """Book two trips; for the second one there are not enough rooms."""
    agency = Agency(places=Counter(seat=9, room=4))
    async with Engine(
        sagas=[TripSaga, partial(Flights, agency), partial(Hotel, agency)], store="memory://", broker="memory://"
    ) as engine:
        print("1. Three travellers, and place for all of them")
        await book(engine, Trip("Lisbon", ["ada", "grace", "edsger"]), "t-1")
        print("2. Two travellers, and one room: both stay at home")
        await book(engine, Trip("Lisbon", ["barbara", "alan"]), "t-2")
    print(f"  in the books: {len(agency.booked)} bookings, all of the first trip")


if __name__ == "__main__":
    asyncio.run(main())
