"""A study: steps in one folder, with one record, one budget and one way to resume.

A step is the work of one station: collect (and grade), mine, train, index, gate, guard or evaluate.  What marks it as
done is the record that its station leaves beside the result (``run.yaml``, ``training.json``, ``index.json``, ...): it
is skipped where that record fits, refused in one sentence where it differs, and finished where it is incomplete.  So a
study keeps no account of its own that a kill could leave ahead of the facts, and a new one is a short function::

    study = Study("compare", folder, settings, command=command)
    condition = Condition.of(dataset, "test", settings.load_agent("simulated"))
    arms = [Arm(name=name, retriever=opened(spec, dataset)) for name, spec in retrievers.items()]
    study.total = len(arms)
    return study.result({".": study.evaluate(arms, condition, ".", base=arms[0].name)})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import check_fingerprint, ensure_folder, fingerprint, write_json
from lrat_sim.comparison import Comparison, compare, load, run_table, save
from lrat_sim.comparison.fairness import text_lengths
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge, MatchJudge
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MiningReport
from lrat_sim.mining.run import mine_run
from lrat_sim.models.budget import Budget
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import RUN, asked_tasks
from lrat_sim.study.arms import ORACLE, Arm, check_arm, runnable_tasks
from lrat_sim.study.record import COMPARISON, STUDY, Cell, Kind, StudyRecord, Trained, read_study
from lrat_sim.study.runs import graded_rollout
from lrat_sim.study.settings import StudySettings, check_seeds
from lrat_sim.training.folder import RECORD
from lrat_sim.training.settings import TrainingSettings

Step = Literal["collect", "mine", "train", "index", "guard", "gate", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What all arms of a comparison share: the tasks that are asked, and who runs."""

    dataset: Dataset
    task_set: str
    split: str
    tasks: list[Task]
    agent: AgentSettings

    @classmethod
    def of(
        cls, dataset: Dataset, split: str, agent: AgentSettings, limit: int | None = None, task_set: str | None = None
    ) -> Condition:
        """The tasks of a split that an agent can be asked, at most ``limit`` of them; ``task_set`` is their name.

        Raises:
            InputError: there is no such split, or no task that the agent can be asked.
        """
        tasks = runnable_tasks(dataset.tasks(split), agent, limit)
        return cls(dataset=dataset, task_set=task_set or dataset.name, split=split, tasks=tasks, agent=agent)

    @property
    def identity(self) -> str:
        """The fingerprint of agent (k included), task set and split; more tasks only add to a comparison."""
        card = self.dataset.card
        return fingerprint((self.agent.describe()["fingerprint"], card.made_from, card.corpus, self.split))


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What came of a study: its folder, the comparisons of this call by name, and its record."""

    folder: Path
    comparisons: dict[str, Comparison]
    record: StudyRecord

    @property
    def answer(self) -> str:
        """The answer of every comparison, in a line each."""
        answers = {name: comparison.answer for name, comparison in self.comparisons.items()}
        return "\n".join(answer if len(answers) == 1 else f"{name}: {answer}" for name, answer in answers.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}: {self.answer})"


class Study:
    """A study's folder while its steps are done.

    Args:
        kind: of study; a folder holds one.
        folder: made where it is missing.
        settings: of the study, for the record; its ``calls`` give the budget.
        made_from: what decides its results and may not change in a folder.
        later: keys of ``made_from`` that may be added to a folder that was begun without them.
        recorded: further settings for the record.
        command: the command line that asked for it; a recorded one stays where none is given.
        judge: of answers; by default the offline match.
        budget: of a study that this one is a part of.

    Attributes:
        total: how many steps there are, for the count that is shown.

    Raises:
        InputError: the folder holds another kind of study, or cannot be written to.
        FingerprintMismatch: the folder was begun with something else; names each setting that differs.
    """

    def __init__(
        self,
        kind: Kind,
        folder: Path | str,
        settings: StudySettings,
        *,
        made_from: Mapping[str, Any] | None = None,
        later: Sequence[str] = (),
        recorded: Mapping[str, Any] | None = None,
        command: str | None = None,
        judge: AnswerJudge | None = None,
        budget: Budget | None = None,
    ):
        self.folder, self.calls, self.judge = Path(folder), settings.calls, judge or MatchJudge()
        self.budget = budget or settings.calls.budget()
        self.total = self.done = 0
        wanted = _as_read({**(made_from or {})})
        known = _as_read({**(recorded or {}), **msgspec.structs.asdict(settings)})
        self.record = StudyRecord(kind=kind, command=command, settings=known, made_from=wanted)
        before = recorded_study(self.folder)
        if before is not None:
            if before.kind != kind:
                raise InputError(
                    f"{folder} holds a study of the kind {before.kind!r}, not {kind!r}; choose another --out folder."
                )
            kept = {key: value for key, value in wanted.items() if key not in later or key in before.made_from}
            check_fingerprint(f"the {kind} in {folder}", before.made_from, kept, "choose another --out folder")
            self.note(command=command or before.command, cells=before.cells, rounds=before.rounds)
        elif (self.folder / RUN).exists():
            raise InputError(f"{folder} is a run folder, which holds no study; choose another --out folder.")
        ensure_folder(self.folder)  # before indexes are built

    def note(self, **fields: Any) -> None:
        """Sets fields of the record, which :meth:`save` writes."""
        self.record = msgspec.structs.replace(self.record, **fields)

    def save(self) -> None:
        """Writes ``study.json``; not before all is known to be ours, so that what is refused binds no folder."""
        write_json(self.folder / STUDY, self.record)

    def result(self, comparisons: dict[str, Comparison]) -> StudyResult:
        """What came of it."""
        return StudyResult(folder=self.folder, comparisons=comparisons, record=self.record)

    def step(self, name: Step, what: str) -> None:
        """Says which step begins, and how many there are."""
        self.done += 1
        counted = f"step {self.done} of {max(self.total, self.done)}: " if self.total > 1 else ""
        console.print(f"{counted}{name} {what}", markup=False, soft_wrap=True)

    def run(
        self, tasks: Sequence[Task], agent: AgentSettings, retriever: Retriever, run: Path, seed: int, samples: int = 1
    ) -> TaskTable:
        """:func:`graded_rollout` with the study's judge, within its budget."""
        how: dict[str, Any] = {"judge": self.judge, "calls": self.calls, "budget": self.budget}
        return graded_rollout(tasks, agent, retriever, run, seed=seed, samples=samples, **how)

    def collect(
        self, tasks: Sequence[Task], agent: AgentSettings, retriever: Retriever, run: Path, seed: int, samples: int,
        models: Iterable[Path],
    ) -> TaskTable:  # fmt: skip
        """:meth:`run` on training tasks, until one of the models is trained on them: to run again what broke would then
        change the pairs that it was trained on."""
        trained = any((model / RECORD).is_file() for model in models)
        if trained and {task.id for task in tasks} <= {task.id for task in asked_tasks(run)}:
            console.print(f"the runs in {run} were trained on already: reused", markup=False, soft_wrap=True)
            return run_table(run, tasks, agent.limits.k, self.judge.name)
        return self.run(tasks, agent, retriever, run, seed, samples)

    def mine(
        self, runs: Sequence[Path], recipe: MiningRecipe, folder: Path, dataset: Dataset, judge: RelevanceJudge | None
    ) -> MiningReport:
        """Judges what was opened in run folders, where that is missing (by rules without a judge), and mines pairs."""
        with bar("judge what was opened, and mine pairs") as progress:
            return mine_run(runs, recipe, folder, judge=judge or RuleJudge(), corpus=dataset.corpus, progress=progress)

    def train(
        self, pairs: Iterable[Pair], dataset: Dataset, base_model: str, training: TrainingSettings, model: Path,
        kind: Literal["encoder", "reranker"] = "encoder",
    ) -> Path:  # fmt: skip
        """Trains a model, where it is missing."""
        from lrat_sim.training.trainer import train  # torch, which nothing before this needs

        with bar("train") as progress:
            return train(pairs, dataset.corpus, base_model, training, model, kind=kind, progress=progress)

    def evaluate(
        self,
        arms: Sequence[Arm],
        condition: Condition,
        folder: str,
        *,
        base: str,
        seeds: Sequence[int] = (0,),
        samples: int = 1,
    ) -> Comparison:
        """Runs every arm on the same tasks, each in a folder of its own, pairs the results by task, and records that.

        Args:
            arms: those compared; the one called ``oracle`` bounds all.
            condition: the tasks, and who runs.
            folder: gets one run folder an arm and seed, and ``comparison.json``; relative to the study's.
            base: the arm that the others are measured against first.
            seeds: of the runs; a task counts once, with the mean over them.
            samples: runs of each task and seed; a task counts once, with their mean.

        Raises:
            InputError: the name of an arm cannot be that of its folder, or a seed is given twice.
            LimitReached: a limit of the budget ended it before all was run.
        """
        where, agent = self.folder / folder, condition.agent
        runs = _run_folders(arms, seeds, where)
        if (where / COMPARISON).exists():
            load(where / COMPARISON)  # what is none of ours is refused before anything runs
        tables: dict[str, list[TaskTable]] = {arm.name: [] for arm in arms}
        described: dict[str, dict[str, Any]] = {}
        for arm in arms:
            for seed, run in zip(seeds, runs[arm.name], strict=True):
                retriever = arm.open(seed)  # which may train it first
                described[arm.name] = retriever.describe()
                length = text_lengths({arm.name: described[arm.name]}).get(arm.name)
                read = f", texts of {length} tokens" if length else ""
                of_seed = f", seed {seed}" if len(seeds) > 1 else ""
                asked = f"{len(condition.tasks):,} tasks of {condition.task_set}, k = {agent.limits.k}"
                self.step("evaluate", f"{arm.name} on {asked}{read}{of_seed}")
                table = self.run(condition.tasks, arm.agent or agent, retriever, run, seed, samples)
                tables[arm.name].append(table)
        setting: dict[str, Any] = {
            "agent": agent.name or agent.model, "k": agent.limits.k, "seeds": list(seeds), "samples": samples,
            "judge": self.judge.name, "task_set": condition.task_set, "split": condition.split,
        }  # fmt: skip
        comparison = compare(
            tables,
            base,
            ORACLE if ORACLE in tables else None,
            [task.id for task in condition.tasks],
            seed=seeds[0],
            setting=setting,
            runs={name: [run.name for run in of_arm] for name, of_arm in runs.items()},
            retrievers=described,
            others={arm.name: arm.differs for arm in arms},
        )
        save(comparison, where / COMPARISON)
        cell = Cell(
            agent=setting["agent"], task_set=condition.task_set, split=condition.split, k=agent.limits.k,
            seeds=list(seeds), tasks=len(condition.tasks), arms=[arm.name for arm in arms], base=base, folder=folder,
            identity=condition.identity, answer=comparison.answer,
        )  # fmt: skip
        self._add(cell)
        return comparison

    def trained(self, folder: str, arms: Mapping[str, Trained]) -> None:
        """Records what arms of a comparison were trained on."""
        (cell,) = (cell for cell in self.record.cells if cell.folder == folder)
        self._add(msgspec.structs.replace(cell, trained=dict(arms)))

    def _add(self, cell: Cell) -> None:
        cells = {known.folder: known for known in self.record.cells} | {cell.folder: cell}
        self.note(cells=list(cells.values()))
        self.save()


def recorded_study(folder: Path | str) -> StudyRecord | None:
    """The record of a study's folder; None where nothing is there yet."""
    return read_study(Path(folder)) if (Path(folder) / STUDY).exists() else None


def _as_read(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a record gives them back."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return read


def _seed_folder(folder: Path, name: str, seed: int, first: int) -> Path:
    """The run folder of an arm and seed: ``<name>`` for the seed that it already holds, or for the first one where it
    holds none, else ``<name>-seed-<seed>``; so further seeds go beside, and what is there is found again."""
    path = folder / name / RUN
    settings = catalog.read_yaml(path).get("settings") if path.exists() else None
    held = settings.get("seed") if isinstance(settings, dict) else None
    return folder / name if seed == (first if held is None else held) else folder / f"{name}-seed-{seed}"


def _run_folders(arms: Sequence[Arm], seeds: Sequence[int], folder: Path) -> dict[str, list[Path]]:
    """The run folders of each arm, one a seed."""
    check_seeds(seeds)
    runs: dict[str, list[Path]] = {}
    owners: dict[Path, str] = {}
    for arm in arms:
        check_arm(arm.name)
        runs[arm.name] = [_seed_folder(folder, arm.folder or arm.name, seed, seeds[0]) for seed in seeds]
        for run in runs[arm.name]:
            if run in owners:
                raise InputError(f"the arms {owners[run]!r} and {arm.name!r} would share the folder {run}; rename one.")
            owners[run] = arm.name
    return runs
