"""The protocol: two workers, one saga in a store, hints in a broker, and all that can go wrong around them.

What a worker does here in one move is what it does without waiting for anybody; between two moves of one worker
anything can happen elsewhere. A worker's turn is: load the saga, fold what has ended and claim what is open; send the
commit; and, once that is confirmed, run what it claimed and acknowledge the hint.

A worker that is recorded as dead, wrongly or not, does not know it until it notices. Until then it can end its
handlers, send the commit that it had prepared, and have one turn more, with claims and all. That is as much as any
pause can bring about, so that pauses need no model of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Flag, auto
from functools import partial
from typing import NamedTuple

from sagaflow.core.state import Direction, StepStatus
from tests.protocol.documents import Attempt, Documents, News
from tests.protocol.explorer import Move, Violation

NOBODY: frozenset[str] = frozenset()


class Without(Flag):
    """What is taken out of the protocol, to see what it is good for."""

    NOTHING = 0
    REVISION = auto()
    """A commit is made whatever the document is by then."""
    ATTEMPT = auto()
    """An outcome counts for the latest attempt, whichever it is of."""
    INBOX_SIZE = auto()
    """A saga becomes terminal though a request has come into its inbox meanwhile."""
    SWEEPER = auto()
    """Nobody looks at a saga that has open work unless a hint comes."""
    RECORD = auto()
    """A judge that suspects a worker takes over its claims at once, and records nothing."""
    JUDGE = auto()
    """Nobody ever finds that a worker is dead."""


class Faults(Flag):
    """What can go wrong, as far as there is a budget for it."""

    CRASH = auto()
    """A worker vanishes with all that it has in memory; its successor starts."""
    MISJUDGED = auto()
    """A worker that lives is recorded as dead."""
    LOST_REPLY = auto()
    """A commit's fate is unknown: made, not made, or still under way."""
    REQUEST = auto()
    """No fault, but it comes when it likes: somebody asks for compensation."""
    LOST_HINT = auto()
    DOUBLED_HINT = auto()


ALL_FAULTS = ~Faults(0)


class Plan(NamedTuple):
    """A commit that is about to be sent."""

    before: int
    after: int
    ended: frozenset[Attempt]
    claimed: frozenset[Attempt]
    consumes: bool
    """The request that waits is taken out of the inbox with it."""


class Worker(NamedTuple):
    """What one incarnation has in memory."""

    name: str
    has_hint: bool = False
    plan: Plan | None = None
    again: bool = False
    """The last commit was not confirmed: load and fold once more."""
    running: frozenset[Attempt] = frozenset()
    ended: frozenset[Attempt] = frozenset()
    """What has ended and is not committed yet."""
    proposed: frozenset[Attempt] = frozenset()
    """What it has tried to claim, and may have claimed, in this turn."""
    afterlife: int = 1
    """How many turns it may have while it is dead and has not noticed."""


class World(NamedTuple):
    """One state of everything."""

    document: int
    workers: tuple[Worker, ...]
    hints: int
    faults: int
    inbox: bool = False
    """A request waits."""
    dead: frozenset[str] = frozenset()
    begun: frozenset[tuple[Attempt, str]] = frozenset()
    """Whose handler was called, by whom."""
    effects: frozenset[Attempt] = frozenset()
    """Whose handler came to its end."""
    under_way: Plan | None = None
    """A commit whose sender no longer waits for it."""
    joins: int = 0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The model.

    Attributes:
        documents: of the saga.
        faults: how many there are at most.
        kinds: which of them there are.
        slots: how many handlers a worker runs at once.
        hints: how many of them are in the broker at most; more would tell nobody anything new.
        without: what is taken out of the protocol.
        rules: the kinds of violations that are looked for; all by default.
    """

    documents: Documents
    faults: int
    kinds: Faults = ALL_FAULTS
    slots: int = 2
    hints: int = 1
    without: Without = Without.NOTHING
    rules: frozenset[str] | None = None

    def initial(self) -> World:
        """The saga has been inserted, and its first hint published."""
        return World(self.documents.first, (Worker("a0"), Worker("b0")), hints=1, faults=self.faults)

    def is_over(self, world: World) -> bool:
        return self.documents.facts(world.document).is_terminal and not world.inbox

    def moves(self, world: World) -> Iterator[Move[World]]:
        for place, worker in enumerate(self._distinct(world)):
            yield from self._work(world, place, worker)
            if worker.name in world.dead:
                yield Move(f"{worker.name} notices its death", partial(self._restart, world, place))
        yield from self._judgements(world)
        if world.under_way is not None:
            yield Move("a commit arrives after all", partial(self._arrive, world), is_fault=True)
            yield Move("a commit never arrives", partial(world._replace, under_way=None), is_fault=True)
        if world.faults:
            yield from self._faults(world._replace(faults=world.faults - 1))

    def _distinct(self, world: World) -> tuple[Worker, ...]:
        """At first the workers are alike, and it is enough to look at what one of them does."""
        return world.workers[:1] if world == self.initial() else world.workers

    # ------------------------------------------------------------------ a worker's turn

    def _work(self, world: World, place: int, worker: Worker) -> Iterator[Move[World]]:
        for attempt in worker.running:
            yield Move(f"{worker.name} ends {_told(attempt)}", partial(self._end, world, place, attempt))
        if worker.plan is not None:
            yield Move(f"{worker.name} commits", partial(self._commit, world, place))
        elif worker.name in world.dead and not worker.afterlife:
            return
        elif not worker.has_hint and world.hints:
            hinted = _with(world._replace(hints=world.hints - 1), place, worker._replace(has_hint=True))
            yield Move(f"{worker.name} takes a hint", partial(self._load, hinted, place))
        elif worker.has_hint or worker.ended or worker.again or self._is_swept(world, worker):
            yield Move(f"{worker.name} looks", partial(self._load, world, place))

    def _is_swept(self, world: World, worker: Worker) -> bool:
        """The sweeper looks for sagas that are due, and for claims of the dead."""
        facts = self.documents.facts(world.document)
        due = world.inbox or (facts.is_open and len(worker.running) < self.slots)
        return (due and Without.SWEEPER not in self.without) or bool(self._lost(world))

    def _lost(self, world: World) -> frozenset[str]:
        return frozenset(owner for _, owner in self.documents.facts(world.document).claims if owner in world.dead)

    def _load(self, world: World, place: int, suspected: frozenset[str] = NOBODY) -> World:
        worker = world.workers[place]
        if worker.name in world.dead:
            worker = worker._replace(afterlife=worker.afterlife - 1)
            world = _with(world, place, worker)
        mine = {attempt for attempt, owner in self.documents.facts(world.document).claims if owner == worker.name}
        adopted = (mine & worker.proposed) - {attempt for attempt, owner in world.begun if owner == worker.name}
        world = self._begin(world, place, adopted)
        worker = world.workers[place]
        ended = self._unfenced(world, worker) if Without.ATTEMPT in self.without else worker.ended
        news = News(world.inbox, self._lost(world) | suspected, ended)
        folded = self.documents.fold(world.document, news, worker.name, self.slots - len(worker.running))
        if folded.document == world.document and not world.inbox:
            return self._finish(world, place, worker.ended)
        plan = Plan(world.document, folded.document, worker.ended, folded.claimed, world.inbox)
        proposed = worker.proposed | folded.claimed
        return _with(world, place, worker._replace(plan=plan, proposed=proposed, again=False))

    def _unfenced(self, world: World, worker: Worker) -> frozenset[Attempt]:
        """The outcomes, each said of whichever attempt is the latest."""
        state = self.documents[world.document]
        return frozenset((step, way, state.steps[step].track(way).attempt) for step, way, _ in worker.ended)

    def _commit(self, world: World, place: int) -> World:
        worker = world.workers[place]
        plan = worker.plan
        assert plan is not None
        if not self._holds(world, plan):
            return _with(world, place, worker._replace(plan=None, again=True))
        before = self.documents.facts(world.document)
        world = self._write(world, plan)
        world = self._begin(world, place, plan.claimed)
        after = self.documents.facts(plan.after)
        if after.is_open and (worker.has_hint or not before.is_open or len(plan.claimed) == self.slots):
            world = world._replace(hints=min(world.hints + 1, self.hints))
        return self._finish(world, place, plan.ended)

    def _finish(self, world: World, place: int, ended: frozenset[Attempt]) -> World:
        """All that was known is in the store: the hint is acknowledged."""
        worker = world.workers[place]
        left = worker.ended - ended
        done = worker._replace(has_hint=False, plan=None, again=False, ended=left, proposed=frozenset())
        return _with(world, place, done)

    def _begin(self, world: World, place: int, attempts: set[Attempt] | frozenset[Attempt]) -> World:
        worker = world.workers[place]
        for attempt in attempts:
            if any(attempt == other for other, _ in world.begun):
                self._forbid("ran twice", _told(attempt))
        begun = world.begun | {(attempt, worker.name) for attempt in attempts}
        world = _with(world, place, worker._replace(running=worker.running | attempts))
        return self._checked(world._replace(begun=begun))

    def _end(self, world: World, place: int, attempt: Attempt) -> World:
        worker = world.workers[place]
        worker = worker._replace(running=worker.running - {attempt}, ended=worker.ended | {attempt})
        return _with(world, place, worker)._replace(effects=world.effects | {attempt})

    # ------------------------------------------------------------------ the store

    def _holds(self, world: World, plan: Plan) -> bool:
        """Whether the store makes this change."""
        if world.document != plan.before and Without.REVISION not in self.without:
            return False
        ends = self.documents.facts(plan.after).is_terminal
        return not ends or world.inbox is plan.consumes or Without.INBOX_SIZE in self.without

    def _write(self, world: World, plan: Plan) -> World:
        document = plan.after
        if gone := self.documents.gone(world.document, document):
            self._forbid("overwritten", gone)
        before, after = self.documents.facts(world.document), self.documents.facts(document)
        joins = world.joins + (after.joined and not before.joined)
        if joins > 1:
            self._forbid("double join", self.documents.last)
        inbox = world.inbox and not plan.consumes
        if inbox and after.is_terminal and not before.is_terminal:
            self._forbid("passed over", "it has ended, and a request that was accepted before is not answered")
        self._check_effects(world, document)
        return self._checked(self._tidied(world._replace(document=document, inbox=inbox, joins=joins)))

    def _forbid(self, kind: str, detail: str) -> None:
        if self.rules is None or kind in self.rules:
            raise Violation(kind, detail)

    def _tidied(self, world: World) -> World:
        """Forget what has no influence any more: attempts that are over, and the dead who have left nothing."""
        state = self.documents[world.document]

        def may_matter(attempt: Attempt) -> bool:
            step, direction, number = attempt
            track = state.steps[step].track(direction)
            return number > track.attempt or (number == track.attempt and track.claim is not None)

        begun = frozenset((attempt, owner) for attempt, owner in world.begun if may_matter(attempt))
        effects = frozenset(attempt for attempt in world.effects if may_matter(attempt))
        dead = world.dead
        if dead and world.under_way is None:
            owners = {owner for _, owner in self.documents.facts(world.document).claims}
            dead = dead & (owners | {worker.name for worker in world.workers})
        return world._replace(begun=begun, effects=effects, dead=dead)

    def _check_effects(self, world: World, document: int) -> None:
        """Nothing is recorded that no handler has come to the end of."""
        before, after = self.documents[world.document], self.documents[document]
        for name, step in after.steps.items():
            past = before.steps[name]
            done = (name, Direction.FORWARD, step.forward.attempt)
            if step.output is not None and past.output is None and done not in world.effects:
                self._forbid("no effect", f"{_told(done)} is recorded and has not ended")
            undone = (name, Direction.UNDO, step.undo.attempt)
            newly = step.status is StepStatus.COMPENSATED and past.status is not StepStatus.COMPENSATED
            if newly and undone not in world.effects:
                self._forbid("no effect", f"{_told(undone)} is recorded and has not ended")

    def _arrive(self, world: World) -> World:
        assert world.under_way is not None
        plan = world.under_way
        world = world._replace(under_way=None)
        return self._write(world, plan) if self._holds(world, plan) else world

    def _checked(self, world: World) -> World:
        """What must hold between the document and the world around it."""
        claims = self.documents.facts(world.document).claims
        for worker in world.workers:
            if worker.name not in world.dead:
                for attempt in worker.running:
                    if (attempt, worker.name) not in claims:
                        self._forbid("robbed", f"{worker.name} lives and still runs {_told(attempt)}")
        return world

    # ------------------------------------------------------------------ who is alive

    def _judgements(self, world: World) -> Iterator[Move[World]]:
        """Those who are gone are found out sooner or later."""
        if Without.JUDGE in self.without:
            return
        present = {worker.name for worker in world.workers}
        owners = {owner for _, owner in self.documents.facts(world.document).claims}
        for owner in sorted(owners - present - world.dead):
            yield from self._judge(world, owner, is_fault=False)

    def _judge(self, world: World, owner: str, *, is_fault: bool) -> Iterator[Move[World]]:
        if Without.RECORD not in self.without:
            recorded = world._replace(dead=world.dead | {owner})
            yield Move(f"the death of {owner} is recorded", partial(_same, recorded), is_fault)
            return
        for place, worker in enumerate(world.workers):
            if worker.plan is None and worker.name != owner:
                told = f"{worker.name} suspects {owner}"
                yield Move(told, partial(self._load, world, place, frozenset({owner})), is_fault)

    def _restart(self, world: World, place: int) -> World:
        """Its memory is gone, and so are its handlers; what it had in its hands is delivered again."""
        worker = world.workers[place]
        hints = min(world.hints + worker.has_hint, self.hints)
        successor = Worker(f"{worker.name[0]}{int(worker.name[1:]) + 1}")
        return _with(world, place, successor)._replace(hints=hints)

    # ------------------------------------------------------------------ what goes wrong

    def _faults(self, world: World) -> Iterator[Move[World]]:
        for place, worker in enumerate(world.workers):
            if Faults.CRASH in self.kinds:
                yield Move(f"{worker.name} crashes", partial(self._restart, world, place), is_fault=True)
            if Faults.MISJUDGED in self.kinds and worker.name not in world.dead:
                yield from self._judge(world, worker.name, is_fault=True)
            if Faults.LOST_REPLY in self.kinds and worker.plan is not None:
                yield from self._unsure(world, place, worker)
        requestable = self.documents.facts(world.document).is_requestable
        if Faults.REQUEST in self.kinds and requestable and not world.inbox:
            yield Move("somebody asks for compensation", partial(world._replace, inbox=True), is_fault=True)
        if Faults.LOST_HINT in self.kinds and world.hints:
            yield Move("a hint is lost", partial(world._replace, hints=world.hints - 1), is_fault=True)
        if Faults.DOUBLED_HINT in self.kinds and 0 < world.hints < self.hints:
            yield Move("a hint is doubled", partial(world._replace, hints=world.hints + 1), is_fault=True)

    def _unsure(self, world: World, place: int, worker: Worker) -> Iterator[Move[World]]:
        """The write was made, or it is still under way (and may never arrive); the worker, too, may be gone by then."""
        plan = worker.plan
        assert plan is not None
        unsure = _with(world, place, worker._replace(plan=None, again=True))
        ways = {
            f"{worker.name} is unsure of its commit": unsure,
            f"{worker.name} crashes with its commit sent": self._restart(world, place),
        }
        for told, without_reply in ways.items():
            sent = without_reply._replace(under_way=plan)
            yield Move(told, partial(_same, sent), is_fault=True)


def _with(world: World, place: int, worker: Worker) -> World:
    workers = tuple(worker if other == place else kept for other, kept in enumerate(world.workers))
    return world._replace(workers=workers)


def _same(world: World) -> World:
    return world


def _told(attempt: Attempt) -> str:
    step, direction, number = attempt
    return f"{step}#{number}" if direction is Direction.FORWARD else f"undo {step}#{number}"
