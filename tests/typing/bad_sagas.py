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

    @step(when=lambda: True)  # E a function of the context
    async def k(self, order: Order) -> Res:
        return Res("")

    @step(lock=lambda order: 3)  # E a text
    async def l(self, order: Order) -> Res:
        return Res("")

    @step(delay=3)  # E a timedelta
    async def m(self, order: Order) -> Res:
        return Res("")

    @step(pivot="yes")  # E a flag
    async def n(self, order: Order) -> Res:
        return Res("")

    @step(at_once=3)  # E without each=
    async def o(self, order: Order) -> Res:
        return Res("")

    @step(compensate=None)
    async def numbers(self, order: Order) -> list[int]:
        return [1]

    @step(each=numbers)  # E another element
    async def p(self, order: Order, n: Res) -> Res:
        return n

    @step(each=a)  # E no list
    async def q(self, order: Order, n: Res) -> Res:
        return n

    @step(each="n")  # E no element
    async def r(self, order: Order) -> Res:
        return Res("")

    @step(saga=Order)  # E no saga
    async def s(self, order: Order) -> Res:
        return Res("")

    @step(waits_for=Pay)  # E it only asks
    async def t(self, order: Order) -> Pay:
        return Pay("")

    @step(each="n", waits_for=Pay)  # E one or the other
    async def u(self, order: Order, n: int) -> None: ...

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


class MoreKeywords(Saga[Order], lock=3, cancel_siblings=3, compensation_deadline=3):  # P a text, a flag, a timedelta
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


class Kinds(Saga[Order]):
    @step(saga=Good)  # E another context than the child's
    async def a(self, order: Order) -> Res:
        return Res("")

    @step(saga=Good, compensate="undo")  # E the child is undone by its own compensations
    async def b(self, order: Order) -> Order:
        return order

    @step(saga=Good)
    async def c(self, order: Order) -> Order:
        return order

    @step(each="n")
    async def d(self, order: Order, n: int) -> Res:
        return Res("")

    @step(waits_for=Pay)
    async def e(self, order: Order) -> None: ...


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
    child: SagaRecord[Pay] = record.output(Kinds.c)  # E the record of another saga
    listed: Res = record.output(Kinds.d)  # E a list
    answer: Res = record.output(Kinds.e)  # E output of another type
    print(child, listed, answer)
    await Kinds().d(order)  # E missing element
    print(pay)
