"""What verbs return: the folder of the result, and what is likely to be needed next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lrat_sim.records import Document, Pair, Task, Trajectory
from lrat_sim.tables import percent

if TYPE_CHECKING:
    from lrat_sim.agent.estimate import RolloutEstimate
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.grading.agreement import Agreement
    from lrat_sim.grading.metrics import RunMetrics
    from lrat_sim.mining.report import MiningReport


@dataclass(frozen=True, repr=False)
class Run:
    """A run folder."""

    folder: Path
    stopped: str | None = None  # the limit of the whole run that ended it early, if one did
    agent: AgentSettings | None = field(default=None, compare=False)  # who was asked for, where this call made it
    estimate: RolloutEstimate | None = field(default=None, compare=False)  # where nothing was run (dry_run)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @cached_property
    def metrics(self) -> RunMetrics:
        """Success with its bounds, evidence, steps, tokens, cost."""
        from lrat_sim.grading.run import run_tables

        return run_tables(self.folder)[1]

    @property
    def success(self) -> float | None:
        """Correct answers over the tasks asked; None where nothing is graded."""
        return self.metrics.success

    @property
    def tasks(self) -> list[Task]:
        """The tasks asked."""
        from lrat_sim.rollout import asked_tasks

        return asked_tasks(self.folder)

    def trajectories(self) -> Iterator[Trajectory]:
        """What was recorded, streaming."""
        from lrat_sim.rollout import read_trajectories

        return read_trajectories(self.folder)

    @property
    def data(self) -> Dataset:
        """The task set that was asked."""
        from lrat_sim.verbs.data import task_set

        return task_set(None, self)

    def __repr__(self) -> str:
        if self.estimate is not None:
            return f"Run({self.folder}: not run, {self.estimate.runs:,} runs estimated)"
        return f"Run({self.folder}: {self.metrics.tasks:,} tasks, success {percent(self.success)})"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Run folders in numbers; ``folder`` and ``success`` are the first run's."""

    runs: list[Run]
    sheets: Mapping[Path, int] = field(default_factory=dict)  # sheets for a person to fill, with their number of items
    agreement: list[Agreement] = field(default_factory=list)  # of the judges with a person's filled sheet

    @property
    def folder(self) -> Path:
        """The first run folder."""
        return self.runs[0].folder

    @property
    def metrics(self) -> dict[str, RunMetrics]:
        """The metrics by run folder."""
        return {str(run.folder): run.metrics for run in self.runs}

    @property
    def success(self) -> float | None:
        """Success of the first run."""
        return self.runs[0].success

    def __repr__(self) -> str:
        return f"Evaluation({', '.join(map(repr, self.runs))})"


@dataclass(frozen=True, repr=False)
class Pairs:
    """Mined pairs: iterate over them, or hand them to ``train``."""

    folder: Path  # holds pairs.jsonl, and the account of the mining
    notes: tuple[str, ...] = ()  # what a reader must know beside the report

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    @property
    def file(self) -> Path:
        """The file of pairs."""
        from lrat_sim.mining.run import PAIRS

        return self.folder / PAIRS

    @cached_property
    def report(self) -> MiningReport:
        """What was mined, what was left out, and why."""
        from lrat_sim.artifact import read_json
        from lrat_sim.mining.report import MiningReport
        from lrat_sim.mining.run import REPORT

        return read_json(self.folder / REPORT, MiningReport, "an account of a mining", "mine pairs first")

    def __iter__(self) -> Iterator[Pair]:
        from lrat_sim.artifact import read_records

        return read_records(self.file, Pair)

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"Pairs({self.file}: {len(self):,} pairs)"


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model: a sentence-transformers folder, usable as a path and as a retriever."""

    folder: Path
    guard: tuple[float, float] | None = None  # nDCG@10 on the data set given as `guard`, before and after

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Model({self.folder})"


@dataclass(frozen=True)
class SearchResult:
    """One line of a result list, with its document."""

    rank: int
    score: float
    document: Document
