"""The runs of a group as arrays, one row a run or a browse, from which every measure is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from lrat_sim.behaviour.resample import RESAMPLES, Indices, TaskResamples, Values
from lrat_sim.behaviour.steps import FIRST_SEARCHES, RunSetting, RunSteps, steps_of
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.success import task_success

By = Literal["run", "agent", "retriever"]
Mask = npt.NDArray[np.bool_]

_KNOWN = {True: 1, False: 0, None: -1}
_VERDICTS = {"relevant": 1, "irrelevant": 0, "unjudged": -1, None: -1}


class ObservedRuns:
    """The runs of a group; those that broke are counted, are failures, and are left out of all the rest.

    Args:
        name: what the group is called.
        runs: its runs.
        unrun: tasks that were asked and have no run: failures, too.
        seed: of the resampling of tasks.
        resamples: how often.

    Attributes:
        setting: what all runs have in common of what they were made with; empty or None where they differ.
        outcomes: runs by outcome, those that broke included.
        judges: who graded and who judged.
        tasks: the resamples of tasks.
        task, browse_task: the task of each run and of each browse.
        success: of each task asked, None where none of its answers is graded.
    """

    def __init__(
        self,
        name: str,
        runs: Iterable[RunSteps],
        unrun: Iterable[str] = (),
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ):
        everything = list(runs)
        kept = [run for run in everything if run.outcome != "error"]
        self.name = name
        self.outcomes = Counter(run.outcome for run in everything)
        self.judges = sorted({judge for run in kept for judge in (run.graded_by, run.judged_by) if judge})
        self.setting = common_setting([run.setting for run in kept])
        of_task: dict[str, list[float | None]] = {task: [] for task in unrun}
        for run in everything:
            of_task.setdefault(run.task, []).append(run.success)
        self.success = [task_success(samples).value for samples in of_task.values()]
        self.tasks = TaskResamples(list(of_task), seed=seed, resamples=resamples)
        self.asked_tasks = self.tasks.indices(list(of_task))
        self.tasks_with_broken = self.tasks.indices([run.task for run in everything])
        self.answered_with_broken = _flags(run.completed for run in everything)
        self.task: Indices = self.tasks.indices([run.task for run in kept])
        self.outcome = np.array([run.outcome for run in kept], np.str_)
        self.completed = _flags(run.completed for run in kept)
        self.searches = np.array([run.searches for run in kept], np.float64)
        self.browses = np.array([run.browses for run in kept], np.float64)
        self.moves = np.array([run.moves for run in kept], np.float64).reshape(-1, 4)
        self.evidence_opened = _numbers(run.evidence_opened for run in kept)
        self.terms = np.array([run.terms for run in kept], np.float64).reshape(-1, 2)
        self.new = np.zeros((len(kept), FIRST_SEARCHES, 2))
        for row, run in enumerate(kept):
            self.new[row, : len(run.new)] = run.new or np.empty((0, 2))
        self.run_of_browse: Indices = np.array([row for row, run in enumerate(kept) for _ in run.opened], np.int64)
        self.browse_task: Indices = self.task[self.run_of_browse]
        opened = [document for run in kept for document in run.opened]
        self.rank = _numbers(document.rank for document in opened)
        self.length = _numbers(document.length for document in opened)
        self.evidence = np.array([_KNOWN[document.evidence] for document in opened], np.int8)
        self.verdict = np.array([_VERDICTS[document.verdict] for document in opened], np.int8)
        self.again = _flags(document.again for document in opened)

    @property
    def runs(self) -> int:
        """Runs that did not break."""
        return len(self.outcome)

    def those(self, outcome: str) -> Mask:
        """The runs of an outcome, or of ``all``."""
        return np.ones(self.runs, np.bool_) if outcome == "all" else self.outcome == outcome

    def lengths(self, of: str) -> tuple[Values, Indices]:
        """Tokens of the reasoning after browses that have any, and the task of each.

        Args:
            of: ``all``; ``correct`` or ``incorrect`` by outcome; ``evidence`` or ``other`` by document; ``relevant``
                or ``irrelevant`` by verdict; ``pairs`` for those that mining would keep: relevant, of correct runs.
        """
        outcome = self.outcome[self.run_of_browse]
        chosen: dict[str, Mask] = {
            "all": np.ones(len(outcome), np.bool_),
            "correct": outcome == "correct",
            "incorrect": outcome == "incorrect",
            "evidence": self.evidence == 1,
            "other": self.evidence == 0,
            "relevant": self.verdict == 1,
            "irrelevant": self.verdict == 0,
            "pairs": (self.verdict == 1) & (outcome == "correct"),
        }
        mask = chosen[of] & np.isfinite(self.length)
        return self.length[mask], self.browse_task[mask]


def common_setting(settings: Sequence[RunSetting]) -> RunSetting:
    """What settings have in common."""
    values = {field: {getattr(setting, field) for setting in settings} for field in RunSetting.__struct_fields__}
    shared = {field: kinds.pop() for field, kinds in values.items() if len(kinds) == 1}
    several = {field: "several" for field in ("agent", "retriever") if len(values[field]) > 1}
    return RunSetting(**{**asdict(RunSetting()), **shared, **several})


def observe(
    sources: Sequence[Path],
    *,
    by: By = "run",
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: ProgressCallback | None = None,
) -> list[ObservedRuns]:
    """Reads trajectories of any format, one at a time, and groups them.

    Args:
        sources: run folders, or files and folders of any format that can be read.
        by: a group a source, an agent, or a retriever.
        seed: of the resampling.
        resamples: how often tasks are drawn.
        progress: told the trajectories read.

    Returns:
        The groups in the order in which their first run was read.

    Raises:
        InputError: a source cannot be read, there are no trajectories, or ``by`` is none of the three.
    """
    if by not in get_args(By):
        raise InputError(f"--by is {by!r}; give one of {', '.join(get_args(By))}.")
    runs: dict[str, list[RunSteps]] = {}
    unrun: dict[str, list[str]] = {}
    settings: dict[RunSetting, RunSetting] = {}
    done = 0
    for source, name in zip(sources, names_of(sources), strict=True):
        groups: set[str] = set()
        ran: set[str] = set()
        for entry in read_any(source):
            ran.add(entry.trajectory.task_id)
            run = steps_of(entry, settings)
            group = name if by == "run" else getattr(run.setting, by)
            groups.add(group)
            runs.setdefault(group, []).append(run)
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
        missing = [task.id for task in recognise(source).tasks(source) if task.id not in ran]
        for group in groups:
            unrun.setdefault(group, []).extend(missing)
    if not runs:
        raise InputError(f"{', '.join(map(str, sources))} hold no trajectory; run or import some first.")
    return [ObservedRuns(name, own, unrun[name], seed=seed, resamples=resamples) for name, own in runs.items()]


def names_of(sources: Sequence[Path]) -> list[str]:
    """What sources are called: the last part of each path, or as many parts as tell them apart.

    Raises:
        InputError: one is given twice.
    """
    paths = [source.resolve().parts for source in sources]
    for depth in range(1, max(map(len, paths), default=1) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError("a source is given twice; give each once.")


def _numbers(values: Iterable[int | None]) -> Values:
    """None as NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _flags(values: Iterable[bool]) -> Mask:
    return np.array(list(values), np.bool_)
