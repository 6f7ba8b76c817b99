"""What the runner asks of a contestant's process, and what the process answers.

A contestant is a script. It is called with a task as JSON, its only argument, and leaves its figures in a file. This
module needs nothing but the standard library, so that scripts in other virtual environments can use it too.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

SEQUENCE: Final = "sequence"
"""Three steps in a row."""
UNDONE: Final = "undone"
"""The same; the third fails, and the two before it are compensated."""
GROUP: Final = "group"
"""A step, two side by side, and a step that waits for both."""

WORKLOADS: Final = (SEQUENCE, UNDONE, GROUP)


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        contestant: the name of who is measured.
        workload: one of ``WORKLOADS``.
        seconds: how long sagas are started under load.
        in_flight: how many sagas are under way at once, under load.
        alone: how many are done one at a time, with nothing else under way.
        amqp, mongo: the URLs of the servers, empty if there are none; the second names a database that is new.
        folder: an empty directory, on the disk where databases in files are to be.
        options: what else the contestant wants to know, by name.
    """

    contestant: str
    workload: str
    seconds: float
    in_flight: int
    alone: int
    amqp: str
    mongo: str
    folder: str
    options: dict[str, str]

    def to_json(self) -> str:
        """As a script takes it."""
        return json.dumps(asdict(self))

    @staticmethod
    def given() -> Task:
        """The task that this process was called with."""
        return Task(**json.loads(sys.argv[1]))

    @property
    def namespace(self) -> str:
        """A name for exchanges and queues that nobody else uses: the database's."""
        return self.mongo.rpartition("/")[2].partition("?")[0]

    @property
    def answer_file(self) -> Path:
        """Where the figures are left."""
        return Path(self.folder, "figures.json")

    def answer(self, figures: dict[str, float]) -> None:
        """Leave the figures where the runner finds them."""
        self.answer_file.write_text(json.dumps(figures))


def steps_of(workload: str) -> list[list[str]]:
    """The steps that a saga takes, in order; those of one list are side by side.

    Raises:
        KeyError: there is no such workload.
    """
    return {
        SEQUENCE: [["one"], ["two"], ["three"]],
        UNDONE: [["one"], ["two"], ["three"], ["undo two"], ["undo one"]],
        GROUP: [["one"], ["left", "right"], ["three"]],
    }[workload]
