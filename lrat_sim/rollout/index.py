"""A run folder: its index, its trajectories (the last record of an id counts), and run.yaml, what it was made with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from lrat_sim.agent.profile import HOW_SENT, AgentSettings
from lrat_sim.artifact import (
    check_fingerprint,
    check_version,
    fingerprint,
    read_records,
    read_with_offsets,
    replacing,
    write_records,
)
from lrat_sim.catalog import read_yaml
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.files import open_bytes
from lrat_sim.records import Record, Task, Trajectory, decode, is_forced
from lrat_sim.retrieval.base import Retriever

TRAJECTORIES = "trajectories.jsonl"
TASKS = "tasks.jsonl"
INDEX, RUN = "index.parquet", "run.yaml"
_AS_RECORDED = ("id", "task_id", "sample", "seed", "status", "end_reason", "answer", "seconds")


class Row(Struct, frozen=True, kw_only=True):
    """One trajectory in short; ``agent`` and ``retriever`` are fingerprints."""

    id: str
    task_id: str
    sample: int
    seed: int
    agent: str
    retriever: str
    status: str
    end_reason: str
    error: str | None  # the boundary crossed
    answer: str | None
    grade: str | None  # the state of the latest one
    turns: int
    searches: int
    browses: int
    failed_calls: int  # those that did not run
    reasoning_tokens: int
    prompt_tokens: int | None
    completion_tokens: int | None
    unknown_usage: int = 0  # messages of the model for which the provider gave no token counts
    cost: float | None
    seconds: float
    offset: int  # the byte of trajectories.jsonl at which the record starts

    @property
    def steps(self) -> int:
        """Executed calls."""
        return self.searches + self.browses

    @property
    def forced(self) -> bool:
        """Whether the answer was given at a limit."""
        return is_forced(self.status, self.end_reason)


def row(trajectory: Trajectory, offset: int, grade: str | None = None) -> Row:
    """The index row of a trajectory that starts at ``offset``, with the state of its grade."""
    usage, calls = trajectory.usage, list(trajectory.calls())
    return Row(
        **{name: getattr(trajectory, name) for name in _AS_RECORDED},
        agent=str(trajectory.agent.get("fingerprint", "")),
        retriever=str(trajectory.retriever.get("fingerprint", "")),
        error=trajectory.error.boundary if trajectory.error else None,
        grade=grade,
        turns=len(trajectory.turns),
        searches=sum(call.hits is not None for call in calls),
        browses=sum(call.docid is not None for call in calls),
        failed_calls=sum(call.executed is None for call in calls),
        reasoning_tokens=sum(turn.reasoning_tokens for turn in trajectory.turns),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        unknown_usage=sum(turn.usage.tokens is None for turn in trajectory.turns) if usage.tokens is None else 0,
        cost=usage.cost,
        offset=offset,
    )


def write_index(folder: Path, rows: Iterable[Row]) -> Path:
    """Writes RUN/index.parquet, whole; returns its path."""
    import pyarrow
    from pyarrow import parquet

    kinds = {"int": pyarrow.int64(), "float": pyarrow.float64(), "str": pyarrow.string()}
    schema = pyarrow.schema([(field, kinds[str(kind).split(" ")[0]]) for field, kind in Row.__annotations__.items()])
    path, records = folder / INDEX, map(structs.asdict, rows)
    with replacing(path) as beside, parquet.ParquetWriter(beside, schema) as writer:
        while batch := list(islice(records, 10_000)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))
    return path


def index_grades(folder: Path) -> dict[str, str | None]:
    """The grades that RUN/index.parquet holds, by trajectory; none where there is no index that can be read."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(folder / INDEX, columns=["id", "grade"])
        return dict(zip(*(table[name].to_pylist() for name in ("id", "grade")), strict=True))
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return {}


def regrade(folder: Path, grades: Mapping[str, str]) -> None:
    """Brings the grades in RUN/index.parquet up to date, where there is one; ``grades`` are states by trajectory."""
    import pyarrow
    from pyarrow import parquet

    path, known = folder / INDEX, index_grades(folder)
    states = {name: grades.get(name, state) for name, state in known.items()}
    if states == known:
        return
    table = parquet.read_table(path)
    column = pyarrow.array(list(states.values()), pyarrow.string())
    table = table.set_column(table.schema.get_field_index("grade"), "grade", column)
    with replacing(path) as beside:
        parquet.write_table(table, beside)


class _Named(Record, frozen=True, kw_only=True):
    id: str
    task_id: str = ""
    sample: int = 0


def read_trajectories(run: Path | str, *, by_task: bool = False) -> Iterator[Trajectory]:
    """The trajectories of a run, the last record of each id, in the order of the file; only the ids are in memory.

    Args:
        run: a run folder, or a file of trajectories (``.gz`` and ``.xz`` too).
        by_task: orders them by task and sample, which what depends on an order needs: that of the file is the order in
            which the runs happened to end.  Slow for an archive.
    """
    run = Path(run)
    path = run_file(run, TRAJECTORIES) if run.is_dir() else run
    offsets = [offset for _, offset in offsets_by_task(path)]
    if by_task:
        yield from read_at(path, offsets)
    else:
        yield from (trajectory for _, trajectory in read_with_offsets(path, Trajectory, {*offsets}.__contains__))


def run_file(run: Path, name: str) -> Path:
    """The path of a file that every run folder has; refuses a folder without it."""
    if not (run / name).is_file():
        raise InputError(f"{run} holds no {name}, so it is not a run folder; give one that a rollout made.")
    return run / name


def offsets_by_task(path: Path) -> list[tuple[str, int]]:
    """The ids of a file of trajectories, by task and sample, and the byte at which the last record of each starts."""
    last = {named.id: (named.task_id, named.sample, offset) for offset, named in read_with_offsets(path, _Named)}
    return [(name, where[-1]) for where, name in sorted((where, name) for name, where in last.items())]


def read_at(path: Path, offsets: Iterable[int]) -> Iterator[Trajectory]:
    """The trajectories whose records start at some bytes of a file, in that order."""
    with open_bytes(path) as stream:
        for offset in offsets:
            stream.seek(offset)
            try:
                yield decode(stream.readline(), Trajectory)
            except NOT_JSON:  # read as a file, it says which line
                yield from (trajectory for _, trajectory in read_with_offsets(path, Trajectory, offset.__eq__))


def record_asked(run: Path, tasks: Iterable[Task]) -> None:
    """Adds tasks to those that a run folder was asked, which success is measured against."""
    path = run / TASKS
    before = {task.id: task for task in read_records(path, Task)} if path.is_file() else {}
    wanted = before | {task.id: task for task in tasks}
    if wanted != before:
        write_records(path, wanted.values())


def read_manifest(run: Path) -> dict[str, Any]:
    """The run.yaml of a run folder, empty where it has none; refuses one that a later lrat-sim wrote."""
    if not (run / RUN).is_file():
        return {}
    manifest = read_yaml(run / RUN)
    check_version(run / RUN, manifest.get("schema_version", 1))
    return manifest


def asked_tasks(run: Path) -> list[Task]:
    """The tasks that a run folder was asked, in that order; raises InputError where it is not a run folder."""
    path = run_file(run, TASKS)
    read_manifest(run)
    return list(read_records(path, Task))


def check_manifest(folder: Path, agent: AgentSettings, retriever: Retriever, seed: int) -> None:
    """Refuses a run folder that was made with other settings, naming each that differs, or that is not a run folder."""
    recorded = read_manifest(folder)
    if not (folder / RUN).exists():
        for name in (TRAJECTORIES, TASKS, INDEX):
            if (folder / name).exists() and (folder / name).stat().st_size:
                raise InputError(f"{folder} holds {name} but no {RUN}; choose another run folder.")
        return
    if not isinstance(recorded.get("settings"), dict) or not isinstance(recorded.get("calls"), list):
        raise InputError(f"{folder / RUN} lacks `settings` or `calls`; choose another run folder.")
    what, remedy = f"the run folder {folder}", "use the settings it was made with, or choose another run folder"
    current = run_identity(agent, retriever, seed)
    check_fingerprint(what, _flat(recorded["settings"]), _flat(current["settings"]), remedy)
    # equal settings with another fingerprint: something else decides now, such as the tools' descriptions
    check_fingerprint(what, recorded["fingerprints"], current["fingerprints"], remedy)


def run_identity(agent: AgentSettings, retriever: Retriever, seed: int) -> dict[str, Any]:
    """The settings that decide the runs of a folder, and their fingerprints, as run.yaml holds them."""
    described = agent.describe()
    fingerprints = {"agent": described.pop("fingerprint"), "retriever": retriever.fingerprint}
    settings = {"agent": described, "retriever": retriever.describe(), "seed": seed}
    # as JSON gives it back, where a tuple is a list
    return {"fingerprints": fingerprints, "settings": from_json(msgspec.json.encode(settings))}


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, those aside that do not decide an answer; a long text is its fingerprint."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if prefix == "agent." and key in HOW_SENT:
            continue
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = fingerprint(value) if isinstance(value, str) and len(value) > 80 else value
    return flat
