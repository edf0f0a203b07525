"""Whole data sets, streaming: any format converted into any other, run folders merged, and one split by question."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import msgspec

from lrat_sim.artifact import cleaned, fingerprint
from lrat_sim.corpus.split import split_tasks
from lrat_sim.errors import InputError
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import WITHHELD, Summary, new_output
from lrat_sim.formats.registry import About, Arguments, Notes, format_named, read_any, recognise
from lrat_sim.formats.run_folder import judgements, write_run
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Task, Trajectory, Verdict, canonical
from lrat_sim.rollout.index import TRAJECTORIES, asked_tasks, read_trajectories

Only = Literal["all", "answered", "correct"]
OnConflict = Literal["refuse", "later"]
Size = int | float
Canaried = TypeVar("Canaried", Entry, Task)
R = TypeVar("R", Grade, Verdict)


class ConvertSummary(Summary, kw_only=True):
    """What a conversion did; ``withheld`` also counts tasks that were never run."""

    told: ClassVar[str] = "{written:,} trajectories from {source_format} to {format}: {target}"
    counts: ClassVar[Mapping[str, str]] = {
        "left_out": "left out by --only",
        "withheld": WITHHELD,
        "repeated": "came twice and were kept once",
    }
    target: Path
    source_format: str
    format: str
    notes: Notes
    read: int = 0
    graded: int = 0
    written: int = 0
    withheld: int = 0
    left_out: int = 0
    repeated: int = 0

    def sentence(self) -> str:
        """The summary for people, with what was noticed while the source was read."""
        return super().sentence() + self.notes.sentence()


def convert(
    source: Path | str,
    target: Path | str,
    *,
    to: str,
    source_format: str | None = None,
    only: Only = "all",
    include_canaried: bool = False,
    skip_unreadable: bool = False,
    name: str | None = None,
    license: str = "unknown",
    language: str = "en",
    arguments: Arguments = "object",
    docid_field: str | None = None,
    score_field: str | None = None,
    progress: ProgressCallback | None = None,
) -> ConvertSummary:
    """Converts a file or folder of trajectories; the arguments are those of the verb :func:`lrat_sim.convert`.

    The target appears whole or not at all; an earlier conversion there is replaced if nobody changed it.
    """
    source, target = Path(source), Path(target)
    wanted = format_named(to)
    if wanted.write is None:
        raise InputError(f"the format {to} is read only; convert to another.")
    given = recognise(source) if source_format is None else format_named(source_format)
    paths = source.resolve(), target.resolve()
    if paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0]):
        raise InputError(f"{target} and {source} lie in one another; choose a target of its own.")
    if given.name != "atif" and (docid_field or score_field):
        raise InputError(f"the fields of documents and scores are of results in ATIF, and {source} is {given.name}.")
    notes = Notes(skip_unreadable=skip_unreadable, docid_field=docid_field, score_field=score_field)
    done = ConvertSummary(target=target, source_format=given.name, format=to, notes=notes)

    run: set[str] = set()

    def publishable(records: Iterable[Canaried]) -> Iterator[Canaried]:
        for record in records:
            if record.canary is None or include_canaried:
                yield record
            else:
                done.withheld += 1

    def read() -> Iterator[Entry]:
        """Each trajectory once; only the fingerprints of those before are in memory."""
        seen: dict[str, str] = {}
        for entry in read_any(source, given.name, done.notes):
            name, content = entry.trajectory.id, fingerprint(entry.trajectory)
            if name in seen:
                if seen[name] != content:
                    raise InputError(f"two different trajectories have the id {name!r}; leave one of them out.")
                done.repeated += 1
                continue
            seen[name] = content
            run.add(entry.trajectory.task_id)
            done.read += 1
            done.graded += entry.grade is not None
            if progress is not None:
                progress(done.read, None, "trajectories")
            yield entry

    def selected() -> Iterator[Entry]:
        for entry in publishable(read()):
            answered = only == "all" or entry.trajectory.status == "answered"
            if not answered or (only == "correct" and (entry.grade is None or entry.grade.state != "correct")):
                done.left_out += 1
                continue
            if entry.canary is not None:  # on the trajectory, which every format keeps
                entry = entry.changed(extra={**entry.trajectory.extra, "canary": entry.canary})
            yield msgspec.structs.replace(entry, trajectory=cleaned(entry.trajectory))

    unrun = publishable(task for task in given.tasks(source) if task.id not in run)  # read after the trajectories
    about = About(
        name=name or source.resolve().name, license=license, language=language, arguments=arguments, unrun=unrun
    )
    made: dict[str, object] = {"from": source.name, "from_format": given.name, "format": to, "only": only}
    with new_output(target, made) as part:
        done.written = wanted.write(selected(), part, about)
        deque(unrun, maxlen=0)  # counted also where the format has no place for them
        if not done.read:
            raise InputError(f"{source} holds no trajectory that can be converted{done.notes.sentence()}.")
        if only == "correct" and not done.graded:
            raise InputError(f"{source} has no grades, which --only correct needs; grade it first (lrat-sim grade).")
        made |= {"written": done.written, "withheld": done.withheld, "left_out": done.left_out}
    return done


# --- merging and splitting


class MergeSummary(Summary, kw_only=True):
    """What a merge did."""

    told: ClassVar[str] = "{trajectories:,} trajectories of {tasks:,} tasks: {folder}"
    counts: ClassVar[Mapping[str, str]] = {
        "repeats": "were in several folders",
        "replaced": "gave way to a later one with the same id",
    }
    folder: Path
    trajectories: int
    tasks: int
    repeats: int
    replaced: int


def merge_runs(
    runs: Iterable[Path | str],
    target: Path | str,
    *,
    on_conflict: OnConflict = "refuse",
    progress: ProgressCallback | None = None,
) -> MergeSummary:
    """Merges run folders into a new one, of any agents and retrievers.

    A trajectory that is in several is kept once, with the grades and verdicts of all of them; two are equal if their
    canonical forms are, which leave out times.  Of two of one id, one that broke gives way to one that did not; else
    ``on_conflict`` refuses them or lets the ``later`` folder's count.  Two questions of one id are always refused.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise InputError("no run folder is given to merge; give at least one.")
    tasks = _tasks(paths, on_conflict)
    choices, repeats, replaced = _choices(paths, on_conflict)
    made: dict[str, object] = {"merged": [path.name for path in paths], "on_conflict": on_conflict}
    with new_output(Path(target), made) as part, ExitStack() as stack:
        grades = [judgements(path / GRADES, Grade, stack) for path in paths]
        verdicts = [judgements(path / VERDICTS, Verdict, stack) for path in paths]

        def chosen() -> Iterator[Entry]:
            written = 0
            for number, trajectory in _numbered(paths):
                holders = choices[trajectory.id]
                if holders[0] != number:
                    continue
                yield Entry(
                    trajectory=trajectory,
                    task=tasks.get(trajectory.task_id),
                    grades=_united(grades[holder](trajectory.id) for holder in holders),
                    verdicts=_united(verdicts[holder](trajectory.id) for holder in holders),
                )
                written += 1
                if progress is not None:
                    progress(written, len(choices), "trajectories")

        count = write_run(chosen(), part, made, tasks.values())
    return MergeSummary(folder=Path(target), trajectories=count, tasks=len(tasks), repeats=repeats, replaced=replaced)


def _united(judgements: Iterable[list[R]]) -> list[R]:
    """The judgements of all folders that hold a trajectory, in their order, without repeats."""
    return list({msgspec.json.encode(record): record for records in judgements for record in records}.values())


def _numbered(paths: list[Path]) -> Iterator[tuple[int, Trajectory]]:
    for number, path in enumerate(paths):
        if (path / TRAJECTORIES).is_file():
            yield from ((number, trajectory) for trajectory in read_trajectories(path))


def _tasks(paths: list[Path], on_conflict: OnConflict) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for path in paths:
        for task in asked_tasks(path):
            before = tasks.setdefault(task.id, task)
            if before == task:
                continue
            what, remedy = "differs from that", "let the later one count"
            if before.question != task.question:
                what, remedy = "asks another question than", "merge runs of one task set"
            if before.question != task.question or on_conflict == "refuse":
                raise InputError(f"the task {task.id!r} of {path} {what} in a folder before; {remedy}.")
            tasks[task.id] = msgspec.structs.replace(task, canary=task.canary or before.canary)
    return tasks


def _choices(paths: list[Path], on_conflict: OnConflict) -> tuple[dict[str, list[int]], int, int]:
    """For each id the runs that hold the record kept of it; how many records were repeats, and how many replaced."""
    choices: dict[str, tuple[str, bool, list[int]]] = {}
    repeats = replaced = 0
    for number, trajectory in _numbered(paths):
        choice = fingerprint(canonical(trajectory)), trajectory.status == "error", [number]
        content, broke, runs = before = choices.setdefault(trajectory.id, choice)
        if before is choice:
            continue
        if content == choice[0]:
            runs.append(number)
            repeats += 1
            continue
        replaced += 1
        if choice[1] and not broke:
            continue
        if on_conflict == "refuse" and choice[1] == broke:
            raise InputError(
                f"{paths[number]} and {paths[runs[0]]} hold different trajectories of the id {trajectory.id!r}; leave "
                "one folder out, or let the later one count."
            )
        choices[trajectory.id] = choice
    return {name: runs for name, (_, _, runs) in choices.items()}, repeats, replaced


def split_run(
    run: Path | str,
    target: Path | str,
    *,
    test: Size,
    dev: Size = 0,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, int]:
    """Splits a run folder by its tasks; returns the trajectories of ``train``, ``test`` and, where asked for, ``dev``.

    No question is on two sides, and tasks that share an entity are kept together as far as the sizes allow.  A size is
    a whole number of tasks, or a share between 0 and 1.
    """
    run, target = Path(run), Path(target)
    tasks = asked_tasks(run)
    sizes = {"test": _task_count(test, len(tasks), "test"), "dev": _task_count(dev, len(tasks), "dev")}
    if sizes["test"] >= len(tasks):
        raise InputError(f"test {sizes['test']} leaves no task of {len(tasks)} for training; hold out fewer.")
    splits = split_tasks(tasks, sizes["test"], sizes["dev"], seed)
    side = {task.id: name for name, part in splits.items() for task in part}
    made: dict[str, object] = {"split": run.name, "sizes": sizes, "seed": seed}
    counts = dict.fromkeys(splits, 0)
    with new_output(target, made) as part:

        def of_side(wanted: str) -> Iterator[Entry]:
            for entry in read_any(run, "run"):
                trajectory = entry.trajectory
                if trajectory.task_id not in side:
                    raise InputError(
                        f"{run}: the trajectory {trajectory.id!r} is of no task that was asked; correct tasks.jsonl."
                    )
                if side[trajectory.task_id] == wanted:
                    yield entry
                    counts[wanted] += 1
                    if progress is not None:
                        progress(sum(counts.values()), None, "trajectories")

        # the run is read once a split: its trajectories need not fit into memory, and a writer holds one folder
        for name, asked in splits.items():
            write_run(of_side(name), part / name, {**made, "side": name}, asked)
    return counts


def _task_count(size: Size, tasks: int, name: str) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and size >= 1):
        raise InputError(f"{name} is {size}; give a number of tasks, or a share of them between 0 and 1.")
    if isinstance(size, int):
        return size
    return max(1, round(size * tasks)) if size else 0
