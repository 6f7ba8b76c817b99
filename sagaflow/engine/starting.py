"""Starting sagas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from ..core.decide import new_saga
from ..core.state import Direction, SagaState
from ..core.work import Agenda
from ..dynamic import StepSpec
from ..errors import SagaExists, SagaNotFound
from ..ports import Lane
from ..saga import Saga
from .acting import Acting
from .arguments import check_count, check_room, checked_id, checked_name, checked_tags
from .binding import Binding, within
from .handle import SagaHandle
from .hints import next_look
from .looking import Looking
from .observing import UNOBSERVED
from .retention import with_retention
from .values import derive, lock_key

C = TypeVar("C")


class _Beginning(NamedTuple):
    """How a saga is started, whatever it does."""

    saga_id: str
    is_named: bool  # by who starts it
    start_at: float | None
    tags: tuple[str, ...]


class Starting(Looking, Acting):
    """The part of an engine that starts sagas, and hands out handles by which they are looked at and asked."""

    async def start(
        self,
        saga: type[Saga[C]],
        context: C,
        /,
        *,
        id: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        tags: Iterable[str] = (),
    ) -> SagaHandle[C]:
        """Start one saga; it has begun for certain when this returns, though nobody may work on it yet.

        Args:
            id: names the transaction: the same id with an equal context is the same saga. By default a new ULID.
            at: when it is to begin, aware of its time zone; by default now.
            delay: after which time it is to begin, in place of ``at``.
            tags: labels that people find it by, at most 16, each of 1 to 64 printable characters without spaces and
                commas. Nothing is decided by them, and they never change: a saga that has the id keeps its own.

        Raises:
            SagaExists: the id was used for another saga class, or with another context.
            PayloadError: the context is not of the saga's type, or too large.
            ValueError: the id, the time, a tag, or the key of the saga's lock cannot be one.
            StoreUnavailable: the store did not answer; start again with the same id to be sure.
        """
        self._must_be_open()
        binding, beginning = self._binding_of(saga), self._beginning(id, at, delay, tags)
        await self._bindings.keep(binding.definition)
        return await self._start(binding, context, beginning, {})

    async def start_steps(  # three that say what, four that say how
        self,
        name: str,
        steps: Sequence[StepSpec],
        context: object,
        /,
        *,
        id: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        tags: Iterable[str] = (),
    ) -> SagaHandle[Any]:
        """Start a saga whose steps are data. Its actions are methods of the libraries in ``Engine(actions=...)``.

        Args:
            name: of the saga.
            steps: what it does; lists compose by ``[*some, *others]``.
            context: of the type that the libraries are for.
            id, at, delay, tags: as for ``start``.

        Raises:
            DefinitionError: the steps have faults; all of them are in the error.
            PayloadError: the context or an input is not of its type, or too large; or all of it is, or the list.
            SagaExists, ValueError, StoreUnavailable: as for ``start``.

        Example:
            >>> steps = [
            ...     StepSpec(name="book", action="reserve_inventory", compensation="release_inventory", input="book"),
            ...     StepSpec(name="pay", action="charge", compensation="refund"),
            ... ]
            >>> async def sell(engine: Engine, order: Order) -> None:
            ...     await engine.start_steps("order", steps, order, id=order.order_id)
        """
        self._must_be_open()
        beginning = self._beginning(id, at, delay, tags)
        checked_name("name", name)
        check_count(f"start_steps({name!r})", steps, self._settings.elements_limit)
        made = self._bindings.library.make(name, steps, self._codec)
        within(made.graph.body, self._settings.payload_limit, f"The list of the steps of saga {name!r}")
        binding, limit = made.binding, self._settings.output_limit
        items = {
            step: binding.encode_input(binding.definition[step], value, limit) for step, value in made.inputs.items()
        }
        await self._bindings.keep_graph(made.graph)
        self._bindings.add(binding)
        return await self._start(binding, context, beginning, items)

    def handle(self, saga: type[Saga[C]], saga_id: str, /) -> SagaHandle[C]:
        """A handle for a saga that was started before, here or elsewhere; nobody is asked whether it exists."""
        self._binding_of(saga)
        return SagaHandle(self, checked_id(saga_id))

    def _beginning(
        self, saga_id: str | None, at: datetime | None, delay: timedelta | None, tags: Iterable[str]
    ) -> _Beginning:
        return _Beginning(
            checked_id(saga_id) if saga_id is not None else self._machine.new_id(),
            saga_id is not None,
            self._start_at(at, delay),
            checked_tags(tags),
        )

    def _start_at(self, at: datetime | None, delay: timedelta | None) -> float | None:
        if at is not None and at.tzinfo is None:
            raise ValueError(f"start(at={at!r}): which time zone? Write datetime(..., tzinfo=UTC)")
        if at is not None and delay is not None:
            raise ValueError("start(at=..., delay=...): two beginnings; write one of them")
        if delay is not None:
            return self._clock.now() + delay.total_seconds()
        return at.timestamp() if at is not None else None

    async def _start(
        self, binding: Binding, context: Any, beginning: _Beginning, items: Mapping[str, str]
    ) -> SagaHandle[Any]:
        name, saga_id = binding.definition.name, beginning.saga_id
        # Whoever starts more at once than the store takes waits here, with nothing made yet, and outside its timeouts.
        async with self._starts:
            with self._observers.starting(name, saga_id) if self._observers else UNOBSERVED as trace:
                return await self._start_now(binding, context, beginning, items, trace)

    async def _start_now(
        self, binding: Binding, context: Any, beginning: _Beginning, items: Mapping[str, str], trace: str | None
    ) -> SagaHandle[Any]:
        payload = binding.encode_context(context, self._settings.context_limit)
        lock = binding.definition.lock
        now = self._clock.now()
        state = new_saga(
            binding.definition,
            beginning.saga_id,
            payload,
            now,
            beginning.start_at,
            named=beginning.is_named,
            lock=lock_key(derive(lock, context)) if lock is not None else None,
            items=dict(items),
            trace=trace,
            tags=beginning.tags,
        )
        check_room(binding.definition, state, self._settings.payload_limit)
        state = with_retention(state, self._settings)  # one that has no steps has ended already
        if not await self._keep(binding, state, now):
            await self._must_be_same(binding, state, context)
        return SagaHandle(self, state.id)

    async def _keep(self, binding: Binding, state: SagaState, now: float) -> bool:
        """Keep a new saga, and have its work begun, here or elsewhere; False if there is one with its id."""
        agenda = Agenda.of(binding.definition, state)
        # Where this process works too, it goes straight on with what it starts, for as long as it has slots.
        mailbox = self._worker.new_mailbox(state.id) if self._worker is not None else None
        if mailbox is not None:
            opened = mailbox.open(binding, state, agenda, now)
            if opened is state:
                mailbox.not_opened()
                mailbox = None
            else:
                state, agenda = opened, Agenda.of(binding.definition, opened)
        wake_at = None
        if agenda.due is not None:
            wake_at = next_look(agenda, now, self._settings.patience.total_seconds())
        try:
            is_new = await self._store.insert(state, wake_at)
        except BaseException:
            if mailbox is not None:
                mailbox.perhaps_opened()
            raise
        if is_new and self._observers is not None:
            self._observers.started(state)
        if mailbox is not None and is_new:
            mailbox.opened(binding, state, agenda)
        elif mailbox is not None:
            mailbox.not_opened()
        if is_new:
            await self._announce(binding, state, agenda, now, wake_at)
        return is_new

    async def _announce(
        self, binding: Binding, state: SagaState, agenda: Agenda, now: float, wake_at: float | None
    ) -> None:
        lanes = {Lane(work.queue, work.side) for work in agenda.works if work.due <= now}
        if agenda.duties:
            # A lock comes before any step: whoever can do the first steps can see to it.
            lanes = {Lane(step.queue, Direction.FORWARD) for step in binding.definition if not step.after}
        if not lanes and wake_at is not None and wake_at <= now + self._settings.in_place.total_seconds():
            await self._call_attention(state)  # it begins so soon that a worker here waits for it
        await self._hints.send(state.id, lanes, state.trace)

    async def _must_be_same(self, binding: Binding, state: SagaState, context: object) -> None:
        """The saga that has the id is the one that is to be started."""
        saga_id = state.id
        stored = (await self._store.load([saga_id])).get(saga_id)
        if stored is None:
            left = await self._store.tombstone(saga_id)
            if left is None:
                raise SagaNotFound(saga_id)
            raise SagaExists(saga_id, f"as a {left.saga} that ended as {left.status}", is_forgotten=True)
        known = stored.state
        if known.saga != binding.definition.name:
            raise SagaExists(saga_id, f"as a {known.saga}")
        if binding.decode_context(known) != context:
            raise SagaExists(saga_id, "with another context")
        if binding.saga is None and (
            known.fingerprint != state.fingerprint or _items(binding, known) != _items(binding, state)
        ):
            raise SagaExists(saga_id, "with other steps")


def _items(binding: Binding, state: SagaState) -> dict[str, object]:
    """The inputs of a saga whose steps are data, by step."""
    return {
        step.name: binding.decode_item(step, item)
        for step in binding.definition
        if (item := state.steps[step.name].item) is not None
    }
