"""Runs as mining reads them: a trajectory without what its tools printed, decoded at a fraction of the cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from lrat_sim.artifact import read_with_offsets
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.grading.relevance import Browse
from lrat_sim.records import SCHEMA_VERSION, Record, Status, Trajectory, decode
from lrat_sim.rollout.index import TRAJECTORIES

_BUFFER = 1 << 18
"""Bytes read at once: more than most records have, so that one call reads one."""


class Listed(Struct, frozen=True, gc=False):
    """A line of a result list."""

    docid: str
    rank: int


class RunCall(Struct, frozen=True, kw_only=True):
    """As :class:`lrat_sim.records.Call`; ``arguments`` and ``executed`` are mappings or, unparsed, a text."""

    tool: str
    arguments: Any = None
    executed: Any = None
    hits: list[Listed] | None = None
    docid: str | None = None


class RunTurn(Struct, frozen=True, kw_only=True):
    """As :class:`lrat_sim.records.Turn`."""

    reasoning: str | None
    reasoning_tokens: int
    calls: list[RunCall] = []
    text: str | None = None


class RunAgent(Struct, frozen=True, kw_only=True):
    """Who ran, as far as its settings tell."""

    name: Any = None
    model: Any = None


class RunExtra(Struct, frozen=True, kw_only=True):
    """What mining needs of a trajectory's ``extra``."""

    canary: Any = None


class Run(Record, frozen=True, kw_only=True, eq=False):
    """As :class:`lrat_sim.records.Trajectory`, without outputs, usage and the rest; equal to itself alone."""

    id: str
    task_id: str
    question: str
    sample: int
    agent: RunAgent
    status: Status
    answer: str | None = None
    turns: list[RunTurn]
    extra: RunExtra = RunExtra()

    @property
    def agent_name(self) -> str:
        """What people call the agent: its name, else its model."""
        return str(self.agent.name or self.agent.model or "unknown")

    @property
    def canary(self) -> str | None:
        """The canary of the benchmark that the question is of, where it has one."""
        return self.extra.canary if isinstance(self.extra.canary, str) else None


def run_of(trajectory: Trajectory | Run) -> Run:
    """A trajectory as mining reads it."""
    return trajectory if isinstance(trajectory, Run) else msgspec.convert(trajectory, Run, from_attributes=True)


def browse_at(run: Run, turn: int, call: int, docid: str) -> Browse:
    """The browse of a document at a place of the run, with the reasoning right after it.

    As :func:`lrat_sim.grading.relevance.browses` has it: that of the next turn, of no length where it is blank.
    """
    after = run.turns[turn + 1] if turn + 1 < len(run.turns) else None
    reasoning = after.reasoning if after else None
    length = after.reasoning_tokens if after and reasoning and reasoning.strip() else 0
    return Browse(turn=turn, call=call, docid=docid, reasoning=reasoning, length=length)


class Place(NamedTuple):
    """Where a trajectory's record stands: the file, its byte, and the version of the record."""

    path: Path
    offset: int
    version: int


class _Head(Record, frozen=True, kw_only=True):
    id: str
    task_id: str = ""
    sample: int = 0
    # a record that names no version is of version 0; the name differs so that decode() does not ask for it
    version: int = msgspec.field(default=0, name="schema_version")


def places(folders: Iterable[Path]) -> list[tuple[str, Place]]:
    """The ids and places of all trajectories of run folders: by folder, then by task and sample.

    Of several records of one id in a file the last counts.  The order of a file is that in which the runs happened
    to end; this one depends on the runs alone.

    Raises:
        InputError: a folder has no trajectories, or two of them hold the same.
        RecordError: a line is no trajectory.
    """
    found: list[tuple[str, Place]] = []
    home: dict[str, Path] = {}
    for folder in folders:
        path = folder / TRAJECTORIES
        if not path.is_file():
            raise InputError(f"{folder} holds no {TRAJECTORIES}, so it is no run folder; give one that a rollout made.")
        last = {
            head.id: (head.task_id, head.sample, offset, head.version)
            for offset, head in read_with_offsets(path, _Head)
        }
        for docid in last:
            if docid in home:
                raise InputError(
                    f"{home[docid]} and {folder} both hold the trajectory {docid!r}; "
                    "give each run once, or merge them first."
                )
            home[docid] = folder
        ordered = sorted((*where, name) for name, where in last.items())
        found += [(name, Place(path, offset, version)) for _, _, offset, version, name in ordered]
    return found


def read_runs(where: Iterable[Place]) -> Iterator[Run]:
    """The runs at some places, in that order; best with those of a file together.

    Raises:
        RecordError: a record is no trajectory; names file, line and field.
    """
    path, stream = None, None
    try:
        for place in where:
            if stream is None or place.path != path:
                if stream is not None:
                    stream.close()
                path, stream = place.path, place.path.open("rb", buffering=_BUFFER)
            stream.seek(place.offset)
            line = stream.readline()
            try:
                if place.version == SCHEMA_VERSION:
                    yield _DECODER.decode(line)
                else:
                    yield run_of(decode(line, Trajectory))
            except NOT_JSON:
                # read as a file, it says which line
                yield from (run_of(each) for _, each in read_with_offsets(place.path, Trajectory, place.offset.__eq__))
    finally:
        if stream is not None:
            stream.close()


_DECODER = msgspec.json.Decoder(Run)
