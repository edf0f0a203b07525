"""What a report takes from run folders: steps from their index, evidence by turn from their trajectories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lrat_sim.foreign import reading
from lrat_sim.rollout.index import INDEX, TASKS, TRAJECTORIES, asked_tasks, read_trajectories

Values = npt.NDArray[np.float64]


def steps_of(runs: Sequence[Path], tasks: Collection[str] | None = None) -> list[int] | None:
    """The executed calls of every run that did not break, from the indexes alone; None where there is no index.

    Args:
        runs: run folders.
        tasks: ids of those that count; all by default.
    """
    from pyarrow import parquet

    indexed = [run / INDEX for run in runs if (run / INDEX).is_file()]
    steps: list[int] = []
    for path in indexed:
        with reading(f"{path} cannot be read", "rerun the rollout's command, which writes it anew"):
            table = parquet.read_table(path, columns=["task_id", "status", "searches", "browses"])
        steps += [
            searches + browses
            for task, status, searches, browses in zip(*(column.to_pylist() for column in table.columns), strict=True)
            if status != "error" and (tasks is None or task in tasks)
        ]
    return steps if indexed else None


def recall_by_turn(runs: Sequence[Path], tasks: Collection[str] | None = None) -> Values | None:
    """Evidence recall after each turn, |shown by then and evidence| / |evidence|, a row a task.

    A run that has ended keeps what it was shown; a task that was never run was shown nothing.  So the mean ends at the
    arm's mean evidence recall.  Streams the trajectories; of each, one number a turn is kept.

    Args:
        runs: the run folders of one arm, one a seed; a task counts once, with the mean over them.
        tasks: ids of those that count; all that were asked by default.

    Returns:
        Of shape (tasks, turns); None where nothing was run, or no task has evidence.
    """
    by_task: dict[str, list[Values]] = defaultdict(list)
    for run in runs:
        if not (run / TRAJECTORIES).is_file() or not (run / TASKS).is_file():
            continue
        evidence = {
            task.id: set(task.evidence)
            for task in asked_tasks(run)
            if task.evidence and (tasks is None or task.id in tasks)
        }
        samples: dict[str, list[Values]] = {task: [] for task in evidence}
        for trajectory in read_trajectories(run, by_task=True):  # sums then do not depend on who ended first
            if (proof := evidence.get(trajectory.task_id)) is not None:
                shown: set[str] = set()
                recall = [0.0]
                for turn in trajectory.turns:
                    for call in turn.calls:
                        shown.update(hit.docid for hit in call.hits or ())
                        shown.update([call.docid] if call.docid is not None else ())
                    recall.append(len(shown & proof) / len(proof))
                samples[trajectory.task_id].append(np.array(recall))
        for task, curves in samples.items():
            by_task[task].append(_mean(curves) if curves else np.zeros(1))
    longest = max((len(curve) for curves in by_task.values() for curve in curves), default=0)
    if longest < 2:  # no turn at all
        return None
    return np.stack([_mean(curves, longest) for curves in by_task.values()])[:, 1:]


def _mean(curves: Sequence[Values], length: int = 0) -> Values:
    """The mean of curves that keep their last value up to the length of the longest, or a greater one."""
    length = max(length, *map(len, curves))
    carried = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return np.asarray(np.mean(carried, axis=0), np.float64)
