"""Steps that may be what kills their workers run in small company, and in the end alone.

When a worker dies, everything that it ran has lost one of its few lives, and is taken over together; so whatever runs
beside a step that kills its process would use up its lives with it. But the more workers a step has lost in a row, the
fewer others like it run beside it in one process, until it is alone. If it is innocent it completes then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..core.attempts import LOSS_BUDGET
from ..core.state import Direction, SagaState

ROOM: Final[Mapping[int, int]] = {2: 16, 3: 4}
"""How many sagas with such steps may run in one process, by how many workers a step of them has lost."""

SUSPECT_AFTER: Final = min(ROOM)
"""After so many workers died in one step, it is held to be possibly what kills them."""

assert max(ROOM) + 1 < LOSS_BUDGET, "before the last of its lives is lost, a step has been alone"


def is_suspect(state: SagaState, step: str, direction: Direction) -> bool:
    """Whether an attempt at this is one of a step that has lost several workers."""
    return state.steps[step].track(direction).losses >= SUSPECT_AFTER


def holds_suspect(state: SagaState, owner: str) -> bool:
    """Whether something of this saga that is suspect is claimed by this worker."""
    tracks = (track for step in state.steps.values() for track in step.tracks)
    return any(track.losses >= SUSPECT_AFTER and track.claim and track.claim.owner == owner for track in tracks)


class Isolation:
    """Which sagas' suspects run in this process, and who waits for that to end.

    Args:
        look: looks again at a saga that had to wait.
    """

    def __init__(self, look: Callable[[str], None]) -> None:
        self._look = look
        self._inside: dict[str, int] = {}  # each with how many there may be
        self._waiting: dict[str, None] = {}  # a set that keeps the order

    def __contains__(self, saga_id: str) -> bool:
        return saga_id in self._inside

    def enter(self, saga_id: str, losses: int) -> bool:
        """Whether a step of this saga that has lost so many workers may begin; if not now, it is looked at again."""
        room = ROOM.get(losses, 1)
        room = min(room, self._inside.get(saga_id, room))
        others = [most for name, most in self._inside.items() if name != saga_id]
        if len(others) < min([room, *others]):
            self._inside[saga_id] = room
            return True
        self._waiting[saga_id] = None
        return False

    def leave(self, saga_id: str) -> None:
        """Nothing suspect of this saga runs any more, if it ever did; those who wait try again."""
        if self._inside.pop(saga_id, None) is None:
            return
        for following in list(self._waiting)[: max(ROOM.values()) - len(self._inside)]:
            del self._waiting[following]
            self._look(following)
