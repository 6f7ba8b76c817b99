"""What users get wrong. Each marked line is reported by both checkers (E), by mypy (M) or by pyright (P) only, and no
other line is. Never executed.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from functools import partial

from msgspec import Struct

from sagaflow import Engine, Saga, SagaHandle, SagaRecord, step
from sagaflow.testing.unit import executing


class Order(Struct):
    n: int


class Res(Struct):
    ref: str


class Pay(Struct):
    ref: str


class Bad(Saga[Order]):
    async def undo(self, order: Order, out: Res | None) -> None: ...
    def sync_undo(self, order: Order, out: Res | None) -> None: ...

    @step(compensate=undo)  # E wrong output type
    async def a(self, order: Order) -> Pay:
        return Pay("")

    @step(compensate=sync_undo)  # E sync compensation
    async def b(self, order: Order) -> Res:
        return Res("")

    @step  # E sync step
    def c(self, order: Order) -> Res:
        return Res("")

    @step(compensate="undo")  # E sync step, called form
    def c2(self, order: Order) -> Res:
        return Res("")

    @step(retries=3)  # E misspelt option
    async def d(self, order: Order) -> Res:
        return Res("")

    @step(timeout=3)  # E a timedelta
    async def e(self, order: Order) -> Res:
        return Res("")

    @step(after=3)  # E a step
    async def f(self, order: Order) -> Res:
        return Res("")

    @step(abort_on=KeyError)  # E a tuple
    async def g(self, order: Order) -> Res:
        return Res("")

    @step(retry=3)  # E a Retry
    async def h(self, order: Order) -> Res:
        return Res("")

    @step("undo")  # E options are given by name
    async def i(self, order: Order) -> Res:
        return Res("")

    @step(abort_on=(int,))  # E no exception
    async def j(self, order: Order) -> Res:
        return Res("")

    @step
    async def saga_id(self, order: Order) -> Res:  # E a step that hides what Saga gives
        return Res("")


class Keyword(Saga[Order], nam="x"):  # P misspelt class keyword
    @step
    async def a(self, order: Order) -> Res:
        return Res("")


class Keywords(Saga[Order], deadline=3):  # P a timedelta
    @step
    async def a(self, order: Order) -> Res:
        return Res("")


class Good(Saga[Order], deadline=timedelta(1)):
    def __init__(self, client: str) -> None:
        self.client = client

    @step
    async def a(self, order: Order) -> Res:
        return Res("")

    @step
    async def b(self, order: Order, a: Res) -> Pay:
        return Pay("")


class SubRes(Res): ...


class Narrow(Good):
    @step
    async def a(self, order: Order) -> SubRes:  # P narrower output (outputs are invariant)
        return SubRes("")


class Wider(Good):
    @step
    async def b(self, order: Order, a: Res, c: int) -> Pay:  # E another parameter: not callable as the base's step
        return Pay("")


class Plain(Good):
    async def a(self, order: Order) -> Res:  # P hides the step
        return Res("")


class Abstract(Saga[Order], abstract=True):
    @step
    @abstractmethod
    async def a(self, order: Order) -> Res: ...


async def calls(engine: Engine, record: SagaRecord[Order], handle: SagaHandle[Order]) -> None:
    order, res = Order(1), Res("")
    await Good.start(res)  # E wrong context
    await Good.start()  # E no context
    await engine.start(Good, res)  # E wrong context
    await Good("c").b(order)  # E missing output
    await Good("c").b(res, res)  # E context of another type
    await Good("c").b(order, order)  # E output of another type
    pay: Pay = record.output(Good.a)  # E output of another type
    record.output("a")  # E by name: outputs["a"]
    res.ref = record.outputs["a"]  # E object, not Any
    record.outputs["a"] = res  # E records cannot be changed
    record.status = "completed"  # E records cannot be changed
    await handle.result(timeout=3)  # E a timedelta
    Engine([Good])  # E __init__ wants a client
    Engine([partial(Good, clint="c")])  # E misspelt argument
    Engine(sagas=Good)  # E several
    Abstract()  # E abstract
    Good("c").idempotency_key = "mine"  # E read only
    executing(Good("c"), outcome="failed")  # E no such outcome
    executing(order)  # E no saga
    print(pay)
