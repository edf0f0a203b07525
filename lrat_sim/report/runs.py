"""What a report takes from run folders: steps from their index, evidence by turn from their trajectories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.comparison.paired import standard_error
from lrat_sim.foreign import reading
from lrat_sim.records import Trajectory
from lrat_sim.rollout.index import INDEX, TASKS, TRAJECTORIES, asked_tasks, read_trajectories

Values = npt.NDArray[np.float64]


class RecallByTurn(Struct, frozen=True, kw_only=True):
    """Evidence recall after each turn, from turn 1: means over tasks, and their standard errors."""

    tasks: int
    means: list[float]
    errors: list[float | None]


def steps_of(runs: Sequence[Path], tasks: Collection[str] | None = None) -> list[int] | None:
    """The executed calls of every run that did not break, from the indexes alone.

    Args:
        runs: run folders.
        tasks: ids of those that count; all by default.

    Returns:
        None where no folder has an index, so that nothing is known.
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


def recall_by_turn(runs: Sequence[Path], tasks: Collection[str] | None = None) -> RecallByTurn | None:
    """Evidence recall after each turn: mean over tasks of |shown by then and evidence| / |evidence|.

    A run that has ended keeps what it was shown; a task that was never run was shown nothing.  So the curve ends where
    the arm's mean evidence recall is.  Streams the trajectories; of each, one number a turn is kept.

    Args:
        runs: the run folders of one arm, one a seed; a task counts once, with the mean over them.
        tasks: ids of those that count; all that were asked by default.

    Returns:
        None where nothing was run, or no task has evidence.
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
            if trajectory.task_id in evidence:
                samples[trajectory.task_id].append(_recall(trajectory, evidence[trajectory.task_id]))
        for task, curves in samples.items():
            by_task[task].append(_mean(curves) if curves else np.zeros(1))
    longest = max((len(curve) for curves in by_task.values() for curve in curves), default=0)
    if longest < 2:  # no turn at all
        return None
    table = np.stack([_mean([_carried(curve, longest) for curve in curves]) for curves in by_task.values()])[:, 1:]
    errors = [standard_error(column) for column in table.T]
    return RecallByTurn(tasks=len(table), means=table.mean(axis=0).tolist(), errors=errors)


def _recall(trajectory: Trajectory, evidence: set[str]) -> Values:
    """Recall before the first turn and after each."""
    shown: set[str] = set()
    recall = [0.0]
    for turn in trajectory.turns:
        for call in turn.calls:
            shown.update(hit.docid for hit in call.hits or ())
            shown.update([call.docid] if call.docid is not None else ())
        recall.append(len(shown & evidence) / len(evidence))
    return np.array(recall)


def _mean(curves: Sequence[Values]) -> Values:
    longest = max(map(len, curves))
    return np.asarray(np.mean([_carried(curve, longest) for curve in curves], axis=0), np.float64)


def _carried(curve: Values, length: int) -> Values:
    """A curve that keeps its last value up to a length."""
    return np.pad(curve, (0, length - len(curve)), mode="edge")
