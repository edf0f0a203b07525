"""The runs of a group, from which every measure is computed, as arrays with one row a run or a browse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from lrat_sim.behaviour.resample import RESAMPLES, Indices, TaskResamples, Values
from lrat_sim.behaviour.steps import RunSetting, RunSteps, steps_of
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.success import task_success

By = Literal["run", "agent", "retriever"]
Mask = npt.NDArray[np.bool_]


class ObservedRuns:
    """The runs of a group; those that broke are counted, are failures, and are left out of all the rest.

    ``unrun`` are tasks that were asked and have no run: failures, too.

    Attributes:
        everything, runs: with and without the runs that broke.
        setting: what all runs have in common of what they were made with; empty or None where they differ.
        success: of each task asked, but for those of which no answer is graded.
        tasks: the resamples of tasks.
        task, browse_task: the task of each run and of each browse.
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
        self.name, self.everything = name, list(runs)
        self.runs = [run for run in self.everything if run.outcome != "error"]
        self.setting = _common_setting([run.setting for run in self.runs])
        of_task: dict[str, list[float | None]] = {task: [] for task in unrun}
        for run in self.everything:
            of_task.setdefault(run.task, []).append(run.success)
        values = {task: task_success(samples).value for task, samples in of_task.items()}
        self.success = {task: value for task, value in values.items() if value is not None}
        self.tasks = TaskResamples(list(of_task), seed=seed, resamples=resamples)
        self.task = self.tasks.indices([run.task for run in self.runs])
        self._opened = [document for run in self.runs for document in run.opened]
        run_of_browse = [number for number, run in enumerate(self.runs) for _ in run.opened]
        self._run_of_browse: Indices = np.array(run_of_browse, np.int64)
        self.browse_task: Indices = self.task[self._run_of_browse]
        self._outcome = np.array([run.outcome for run in self.runs], np.str_)

    @property
    def outcomes(self) -> dict[str, int]:
        """Runs by outcome, those that broke included."""
        return dict(sorted(Counter(run.outcome for run in self.everything).items()))

    @property
    def judges(self) -> list[str]:
        """Who graded the answers and judged the documents."""
        return sorted({judge for run in self.runs for judge in (run.graded_by, run.judged_by) if judge})

    def per_run(self, field: str) -> Values:
        """A field of :class:`RunSteps`, one row a run; None as NaN."""
        return _numbers(getattr(run, field) for run in self.runs)

    def per_browse(self, field: str) -> Values:
        """A field of :class:`OpenedDocument`, one row a browse; None as NaN."""
        return _numbers(getattr(document, field) for document in self._opened)

    def verdict(self, state: str) -> Mask:
        """The browses with a verdict."""
        return np.array([document.verdict == state for document in self._opened], np.bool_)

    def those(self, outcome: str) -> Mask:
        """The runs of an outcome, or of ``all``."""
        return np.ones(len(self.runs), np.bool_) if outcome == "all" else self._outcome == outcome

    def lengths(self, of: str) -> tuple[Values, Indices]:
        """Tokens of the reasoning after browses that have any, and the task of each.

        ``of`` is ``all``; ``correct`` or ``incorrect`` by outcome; ``evidence`` or ``other`` by document; ``relevant``
        or ``irrelevant`` by verdict; or ``pairs`` for those that mining would keep: relevant, of correct runs.
        """
        if of in ("evidence", "other"):
            mask = self.per_browse("evidence") == (of == "evidence")
        elif of in ("relevant", "irrelevant"):
            mask = self.verdict(of)
        elif of == "pairs":
            mask = self.verdict("relevant") & self.those("correct")[self._run_of_browse]
        else:
            mask = self.those(of)[self._run_of_browse]
        length = self.per_browse("length")
        mask = mask & np.isfinite(length)
        return length[mask], self.browse_task[mask]


def _numbers(values: Iterable[Any]) -> Values:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _common_setting(settings: Sequence[RunSetting]) -> RunSetting:
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
    """Reads trajectories of any format, one at a time, and groups them; groups come in the order of their first runs.

    For the arguments see :func:`lrat_sim.behaviour.report.behaviour`.

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
        for entry in read_any(source):
            run = steps_of(entry, settings)
            group = name if by == "run" else getattr(run.setting, by)
            groups.add(group)
            runs.setdefault(group, []).append(run)
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
        asked = recognise(source).unrun  # where a format tells, the tasks that were asked and have no trajectory
        missing = [] if asked is None else [task.id for task in asked(source)]
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
