"""Splitting of a run folder by question into train, dev and test folders."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lrat_sim.corpus.split import split_tasks
from lrat_sim.errors import InputError
from lrat_sim.formats.output import new_output
from lrat_sim.formats.run_folder import RunWriter
from lrat_sim.formats.sources import read_any
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Task
from lrat_sim.rollout.index import asked_tasks

Size = int | float


def split_run(
    run: Path | str,
    target: Path | str,
    *,
    test: Size,
    dev: Size = 0,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, int]:
    """Splits a run folder by its tasks; every trajectory, grade and verdict goes where its task goes.

    No question is on two sides, and tasks that share an entity (a document of their evidence, a name of their plan)
    are kept together as far as the sizes allow.

    Args:
        run: the run folder.
        target: a new folder, which gets the run folders ``train``, ``test`` and, where asked for, ``dev``.
        test, dev: tasks to hold out: a whole number of them, or a share between 0 and 1.
        seed: decides which.
        progress: told the trajectories written.

    Returns:
        Trajectories by split.

    Raises:
        InputError: it is no run folder, nothing would be left to train on, or the target is something else.
    """
    run, target = Path(run), Path(target)
    tasks = asked_tasks(run)
    sizes = {"test": _count(test, len(tasks), "test"), "dev": _count(dev, len(tasks), "dev")}
    if sizes["test"] >= len(tasks):
        raise InputError(f"test {sizes['test']} leaves no task of {len(tasks)} for training; hold out fewer.")
    splits = split_tasks(tasks, sizes["test"], sizes["dev"], seed)
    side = {task.id: name for name, part in splits.items() for task in part}
    made: dict[str, object] = {"split": run.name, "sizes": sizes, "seed": seed}
    counts = dict.fromkeys(splits, 0)
    with new_output(target, made) as part, ExitStack() as stack:
        writers = {name: stack.enter_context(RunWriter(part / name, {**made, "side": name})) for name in splits}
        _ask(writers, splits)
        for entry in read_any(run, "run"):
            name = side.get(entry.trajectory.task_id)
            if name is None:
                raise InputError(
                    f"{run}: the trajectory {entry.trajectory.id!r} is of no task that was asked; correct tasks.jsonl."
                )
            writers[name].add(entry)
            counts[name] += 1
            if progress is not None:
                progress(sum(counts.values()), None, "trajectories")
    return counts


def _ask(writers: Mapping[str, RunWriter], splits: Mapping[str, list[Task]]) -> None:
    for name, tasks in splits.items():
        for task in tasks:
            writers[name].ask(task)


def _count(size: Size, tasks: int, name: str) -> int:
    if isinstance(size, bool) or size < 0 or (isinstance(size, float) and size >= 1):
        raise InputError(f"{name} is {size}; give a number of tasks, or a share of them between 0 and 1.")
    if isinstance(size, int):
        return size
    return max(1, round(size * tasks)) if size else 0
