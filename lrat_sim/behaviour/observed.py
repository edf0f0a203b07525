"""The walks of a group of runs as arrays, one row a run or a browse, from which every measure is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from lrat_sim.behaviour.resample import RESAMPLES, Places, Tasks, Values
from lrat_sim.behaviour.walk import FIRST_SEARCHES, Outcome, Setting, Walk, walk_of
from lrat_sim.errors import InputError
from lrat_sim.formats import read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Task
from lrat_sim.success import task_success

By = Literal["run", "agent", "retriever"]
Mask = npt.NDArray[np.bool_]

_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_KNOWN = {True: 1, False: 0, None: -1}
_VERDICTS = {"relevant": 1, "irrelevant": 0, "unjudged": -1, None: -1}


class Observed:
    """The runs of a group; those that broke are counted, are failures, and are left out of all the rest.

    Args:
        name: what the group is called.
        walks: its runs.
        unrun: tasks that were asked and have no run: failures, too.
        seed: of the resampling of tasks.
        resamples: how often.

    Attributes:
        setting: what all runs have in common of what they were made with; empty or None where they differ.
        outcomes: runs by outcome, those that broke included.
        judges: who graded and who judged.
        success: of each task asked, None where none of its answers is graded; in the order of ``asked_tasks``.
    """

    def __init__(
        self,
        name: str,
        walks: Iterable[Walk],
        unrun: Iterable[str] = (),
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ):
        everything = list(walks)
        kept = [walk for walk in everything if walk.outcome != "error"]
        self.name = name
        self.outcomes = Counter(walk.outcome for walk in everything)
        self.judges = sorted({each for walk in kept for each in (walk.graded_by, walk.judged_by) if each})
        self.setting = common_setting([walk.setting for walk in kept])
        of_task: dict[str, list[float | None]] = {task: [] for task in unrun}
        for walk in everything:
            of_task.setdefault(walk.task, []).append(walk.success)
        self.success = [task_success(runs).value for runs in of_task.values()]
        self.tasks = Tasks(list(of_task), seed=seed, resamples=resamples)
        self.asked_tasks = self.tasks.places(list(of_task))
        self._asked = self.tasks.places([walk.task for walk in everything])
        self._answered = np.array([walk.completed for walk in everything], np.bool_)
        self.place: Places = self.tasks.places([walk.task for walk in kept])
        self.outcome = np.array([walk.outcome for walk in kept], np.str_)
        self.completed = np.array([walk.completed for walk in kept], np.bool_)
        self.searches = np.array([walk.searches for walk in kept], np.float64)
        self.browses = np.array([walk.browses for walk in kept], np.float64)
        self.moves = np.array([walk.moves for walk in kept], np.float64).reshape(-1, 4)
        self.evidence_opened = _numbers([walk.evidence_opened for walk in kept])
        self.terms = np.array([walk.terms for walk in kept], np.float64).reshape(-1, 2)
        self.new = np.full((len(kept), FIRST_SEARCHES, 2), 0.0)
        for row, walk in enumerate(kept):
            self.new[row, : len(walk.new)] = walk.new or np.empty((0, 2))
        owners = [row for row, walk in enumerate(kept) for _ in walk.opened]
        opened = [each for walk in kept for each in walk.opened]
        self.owner: Places = np.array(owners, np.int64)
        self.rank = _numbers([each.rank for each in opened])
        self.length = _numbers([each.length for each in opened])
        self.evidence = np.array([_KNOWN[each.evidence] for each in opened], np.int8)
        self.verdict = np.array([_VERDICTS[each.verdict] for each in opened], np.int8)
        self.again = np.array([each.again for each in opened], np.bool_)

    @property
    def runs(self) -> int:
        """Runs that did not break."""
        return len(self.outcome)

    @property
    def asked(self) -> tuple[Places, npt.NDArray[np.bool_]]:
        """The task of each run, those that broke included, and whether it gave an answer."""
        return self._asked, self._answered

    def those(self, outcome: str) -> Mask:
        """The runs of an outcome, or of ``all``."""
        return np.ones(self.runs, np.bool_) if outcome == "all" else self.outcome == outcome

    def lengths(self, of: str) -> tuple[Values, Places]:
        """Tokens of the reasoning after browses that have any, and the task of each.

        Args:
            of: ``all``; ``correct`` or ``incorrect`` by outcome; ``evidence`` or ``other`` by document; ``relevant``
                or ``irrelevant`` by verdict; ``pairs`` for those that mining would keep: relevant, of correct runs.
        """
        outcome = self.outcome[self.owner] if len(self.owner) else np.empty(0, np.str_)
        chosen: dict[str, Mask] = {
            "all": np.ones(len(self.owner), np.bool_),
            "correct": outcome == "correct",
            "incorrect": outcome == "incorrect",
            "evidence": self.evidence == 1,
            "other": self.evidence == 0,
            "relevant": self.verdict == 1,
            "irrelevant": self.verdict == 0,
            "pairs": (self.verdict == 1) & (outcome == "correct"),
        }
        mask = chosen[of] & np.isfinite(self.length)
        return self.length[mask], self.place[self.owner[mask]]


def common_setting(settings: Sequence[Setting]) -> Setting:
    """What settings have in common."""
    if not settings:
        return Setting()
    first, others = settings[0], settings[1:]

    def alike(field: str) -> bool:
        return all(getattr(other, field) == getattr(first, field) for other in others)

    return Setting(
        agent=first.agent if alike("agent") else "several",
        retriever=first.retriever if alike("retriever") else "several",
        k=first.k if alike("k") else None,
        snippet_tokens=first.snippet_tokens if alike("snippet_tokens") else None,
        shuffled=first.shuffled and alike("shuffled"),
    )


def observe(
    sources: Sequence[Path],
    *,
    by: By = "run",
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: ProgressCallback | None = None,
) -> list[Observed]:
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
    walks: dict[str, list[Walk]] = {}
    unrun: dict[str, list[str]] = {}
    settings: dict[Setting, Setting] = {}
    done = 0
    for source, name in zip(sources, names_of(sources), strict=True):
        groups: set[str] = set()
        for entry in read_any(source):
            walk = walk_of(entry, settings)
            group = name if by == "run" else getattr(walk.setting, by)
            groups.add(group)
            walks.setdefault(group, []).append(walk)
            done += 1
            if progress is not None:
                progress(done, None, "trajectories")
        missing = [task.id for task in unrun_of(source)]
        for group in groups:
            unrun.setdefault(group, []).extend(missing)
    if not walks:
        raise InputError(f"{', '.join(map(str, sources))} hold no trajectory; run or import some first.")
    return [Observed(name, each, unrun[name], seed=seed, resamples=resamples) for name, each in walks.items()]


def unrun_of(source: Path) -> Iterator[Task]:
    """The tasks of a source that were asked and have no trajectory, as far as its format tells."""
    unrun = recognise(source).unrun
    return iter(()) if unrun is None else unrun(source)


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


def _numbers(values: Sequence[int | None]) -> Values:
    """None as NaN."""
    return np.array([np.nan if value is None else value for value in values], np.float64)
