"""Merging of run folders into one data set, with their grades and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.formats.formats import Entry
from lrat_sim.formats.output import new_output
from lrat_sim.formats.run_folder import Judgements, RunWriter
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Task, Trajectory, Verdict, canonical
from lrat_sim.rollout.index import TRAJECTORIES, asked_tasks, read_trajectories

OnConflict = Literal["refuse", "later"]
R = TypeVar("R", Grade, Verdict)


class MergeSummary(Struct, frozen=True, kw_only=True):
    """What a merge did: ``repeats`` were in several folders, ``replaced`` gave way to another of their id."""

    folder: Path
    trajectories: int
    tasks: int
    repeats: int
    replaced: int

    def sentence(self) -> str:
        """The summary for people."""
        said = f"{self.trajectories:,} trajectories of {self.tasks:,} tasks: {self.folder}"
        if self.repeats:
            said += f"; {self.repeats:,} were in several folders"
        if self.replaced:
            said += f"; {self.replaced:,} gave way to a later one of their id"
        return said


class _Choice(Struct):
    """Which record of an id counts: its content, and the runs that hold it."""

    content: str
    broke: bool
    runs: list[int]


def merge_runs(
    runs: Iterable[Path | str],
    target: Path | str,
    *,
    on_conflict: OnConflict = "refuse",
    progress: ProgressCallback | None = None,
) -> MergeSummary:
    """Merges run folders into a new one, of any agents and retrievers.

    A trajectory that is in several is kept once, with the grades and verdicts of all of them; equal are those of
    the same canonical form, which leaves out times.  Of two of one id, one that broke gives way to one that did not.

    Args:
        runs: the folders.
        target: the new folder.
        on_conflict: what becomes of two different trajectories, or tasks, of one id: ``refuse``, or the ``later``
            folder's counts.  Two questions of one id are always refused.
        progress: told the trajectories written.

    Raises:
        InputError: a folder is no run folder, there is a conflict, or the target is something else.
        RecordError: a line is not the record it should be.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise InputError("no run folder is given to merge; give at least one.")
    tasks = _tasks(paths, on_conflict)
    choices, repeats, replaced = _choices(paths, on_conflict)
    made: dict[str, object] = {"merged": [path.name for path in paths], "on_conflict": on_conflict}
    written = 0
    with new_output(Path(target), made) as part, RunWriter(part, made) as writer, ExitStack() as stack:
        for task in tasks.values():
            writer.ask(task)
        grades = [Judgements(path / GRADES, Grade, stack) for path in paths]
        verdicts = [Judgements(path / VERDICTS, Verdict, stack) for path in paths]
        for number, trajectory in _all(paths):
            holders = choices[trajectory.id].runs
            if holders[0] != number:
                continue
            writer.add(
                Entry(
                    trajectory=trajectory,
                    task=tasks.get(trajectory.task_id),
                    grades=_united(grades, holders, trajectory.id),
                    verdicts=_united(verdicts, holders, trajectory.id),
                )
            )
            written += 1
            if progress is not None:
                progress(written, len(choices), "trajectories")
    return MergeSummary(folder=Path(target), trajectories=written, tasks=len(tasks), repeats=repeats, replaced=replaced)


def _all(paths: list[Path]) -> Iterator[tuple[int, Trajectory]]:
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
            if before.question != task.question or on_conflict == "refuse":
                what = "asks another question" if before.question != task.question else "differs"
                remedy = "merge runs of one task set" if before.question != task.question else "let the later one count"
                raise InputError(f"the task {task.id!r} of {path} {what} than in a folder before; {remedy}.")
            tasks[task.id] = msgspec.structs.replace(task, canary=task.canary or before.canary)
    return tasks


def _choices(paths: list[Path], on_conflict: OnConflict) -> tuple[dict[str, _Choice], int, int]:
    """Which record of each id counts, how many were repeats, and how many gave way."""
    choices: dict[str, _Choice] = {}
    repeats = replaced = 0
    for number, trajectory in _all(paths):
        found = _Choice(fingerprint(canonical(trajectory)), trajectory.status == "error", [number])
        before = choices.setdefault(trajectory.id, found)
        if before is found:
            continue
        if before.content == found.content:
            before.runs.append(number)
            repeats += 1
            continue
        replaced += 1
        if found.broke and not before.broke:
            continue
        if on_conflict == "refuse" and found.broke == before.broke:
            raise InputError(
                f"{paths[number]} and {paths[before.runs[0]]} hold different trajectories of the id "
                f"{trajectory.id!r}; leave one folder out, or let the later one count."
            )
        choices[trajectory.id] = found
    return choices, repeats, replaced


def _united(judgements: list[Judgements[R]], holders: list[int], trajectory: str) -> list[R]:
    """Of all folders that hold the trajectory, in their order, each once."""
    found = (record for number in holders for record in judgements[number].of(trajectory))
    return list({msgspec.json.encode(record): record for record in found}.values())
