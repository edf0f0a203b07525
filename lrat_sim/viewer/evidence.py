"""How much of a task's evidence a run was shown and opened, which the index of a run folder does not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from lrat_sim.foreign import NOT_JSON
from lrat_sim.records import Task, Trajectory
from lrat_sim.viewer.lines import Lines


class _Hit(Struct, frozen=True, gc=False):
    docid: str


class _Call(Struct, frozen=True):
    hits: list[_Hit] | None = None
    docid: str | None = None


class _Turn(Struct, frozen=True):
    calls: list[_Call] = []


class _Run(Struct, frozen=True):
    task_id: str = ""
    turns: list[_Turn] = []


_DECODE = msgspec.json.Decoder(_Run).decode


class Evidence:
    """How many of its task's evidence each trajectory of a file was shown and opened, by the byte of its record.

    Nothing is read before :meth:`refresh`, and then every record once.
    """

    def __init__(self, path: Path):
        self._lines = Lines(path)
        self._counts: dict[int, tuple[int, int]] = {}

    def refresh(self, tasks: Mapping[str, Task]) -> None:
        """Reads the trajectories that came since the last call; those of other tasks are passed over."""
        if self._lines.restarted():
            self._counts = {}
        for line in self._lines.added():
            try:
                run = _DECODE(line.content)
            except NOT_JSON:
                continue  # who lists the trajectories says so
            if run.task_id in tasks:
                self._counts[line.offset] = counted(run, tasks[run.task_id].evidence)

    def count(self, offset: int) -> tuple[int | None, int | None]:
        """The two counts for the trajectory that starts at a byte; None where it was not read."""
        return self._counts.get(offset, (None, None))


def counted(run: Trajectory | _Run, evidence: Iterable[str]) -> tuple[int, int]:
    """How many of some documents a run was shown, and how many it opened."""
    wanted = set(evidence)
    calls = [call for turn in run.turns for call in turn.calls]
    shown = {hit.docid for call in calls for hit in call.hits or ()}
    return len(wanted & shown), len(wanted & {call.docid for call in calls})
