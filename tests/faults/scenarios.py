"""The list of scenarios, and how one is played."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from .grounds import Ground, Lay
from .verdict import Figures

THEMES = (
    "kills",
    "crashpoints",
    "broker",
    "network",
    "frozen",
    "mongo",
    "sqlite",
    "poison",
    "shutdown",
    "upgrade",
    "bounds",
    "documents",
)
"""The modules that have scenarios."""

Play = Callable[[Ground, int], Awaitable[Figures]]
"""What a scenario is: it takes the ground and the number of sagas that are to be in flight."""


@dataclass(frozen=True)
class Scenario:
    """A scenario, and the grounds that it takes place on."""

    name: str
    play: Play
    grounds: Sequence[Lay]

    async def run(self, lay: Lay, size: int) -> tuple[str, Figures]:
        """Play it once on one of its grounds, in a folder that is removed; the ground's name, and the figures."""
        with tempfile.TemporaryDirectory(prefix=f"sagaflow-{self.name}-") as folder:
            async with lay(Path(folder)) as ground:
                return ground.name, await self.play(ground, size)


SCENARIOS: dict[str, Scenario] = {}
"""All scenarios of the themes that were imported, by name."""


def scenario(name: str, *grounds: Lay) -> Callable[[Play], Play]:
    """Enter a function in the list."""

    def enter(play: Play) -> Play:
        if name in SCENARIOS:
            raise ValueError(f"two scenarios are called {name!r}")
        SCENARIOS[name] = Scenario(name, play, grounds)
        return play

    return enter


def load() -> dict[str, Scenario]:
    """The scenarios of all themes."""
    for theme in THEMES:
        import_module(f"{__package__}.{theme}")
    return SCENARIOS
