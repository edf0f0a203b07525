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
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, match_grade
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge
from lrat_sim.grading.run import grade_run
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MiningReport
from lrat_sim.mining.run import mine_run
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import RUN
from lrat_sim.rollout.run import rollout
from lrat_sim.study.arms import ORACLE, Arm, check_arm, runnable_tasks
from lrat_sim.study.record import COMPARISON, STUDY, Cell, Kind, StudyRecord, Trained, read_study
from lrat_sim.study.settings import CallOptions, StudySettings, check_seeds
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

    @property
    def title(self) -> str:
        """In words."""
        return f"{self.agent.name} on {self.task_set}, {self.split}, k = {self.agent.limits.k}"


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What came of a study: its folder, the comparisons of this call by name, and its record."""

    folder: Path
    comparisons: dict[str, Comparison]
    record: StudyRecord

    @property
    def answer(self) -> str:
        """The answer of every comparison, in a line each."""
        answers = [comparison.answer for comparison in self.comparisons.values()]
        if len(answers) == 1:
            return answers[0]
        return "\n".join(f"{name}: {answer}" for name, answer in zip(self.comparisons, answers, strict=True))

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
    ):
        self.folder, self.calls, self.judge = Path(folder), settings.calls, judge or MatchJudge()
        self.budget = settings.calls.budget()
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
        self,
        tasks: Sequence[Task],
        agent: AgentSettings,
        retriever: Retriever,
        folder: Path,
        *,
        seed: int = 0,
        samples: int = 1,
    ) -> TaskTable:
        """:func:`graded_rollout` with the study's judge, within its budget."""
        return graded_rollout(
            tasks, agent, retriever, folder, seed=seed, samples=samples, judge=self.judge, calls=self.calls,
            budget=self.budget,
        )  # fmt: skip

    def mine(
        self,
        runs: Sequence[Path],
        recipe: MiningRecipe,
        folder: Path,
        dataset: Dataset,
        judge: RelevanceJudge | None = None,
    ) -> MiningReport:
        """Judges what was opened in run folders, where that is missing, and mines their pairs."""
        with bar("judge what was opened, and mine pairs") as progress:
            return mine_run(runs, recipe, folder, judge=judge or RuleJudge(), corpus=dataset.corpus, progress=progress)

    def train(
        self,
        pairs: Iterable[Pair],
        dataset: Dataset,
        base_model: str,
        training: TrainingSettings,
        model: Path,
        kind: Literal["encoder", "reranker"] = "encoder",
    ) -> Path:
        """Trains a model, where it is missing."""
        from lrat_sim.training.reranker import train_reranker
        from lrat_sim.training.trainer import train  # torch, which nothing before this needs

        function = train if kind == "encoder" else train_reranker
        with bar("train") as progress:
            return function(pairs, dataset.corpus, base_model, training, model, progress=progress)

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
        where = self.folder / folder
        runs = _run_folders(arms, seeds, where)
        if (where / COMPARISON).exists():
            load(where / COMPARISON)  # what is none of ours is refused before anything runs
        tables: dict[str, list[TaskTable]] = {arm.name: [] for arm in arms}
        described: dict[str, dict[str, Any]] = {}
        for arm in arms:
            agent = arm.agent or condition.agent
            for seed, run in zip(seeds, runs[arm.name], strict=True):
                retriever = arm.open(seed)  # which may train it first
                described[arm.name] = retriever.describe()
                length = text_lengths({arm.name: described[arm.name]}).get(arm.name)
                read = f", texts of {length} tokens" if length else ""
                of_seed = f", seed {seed}" if len(seeds) > 1 else ""
                asked = f"{len(condition.tasks):,} tasks of {condition.task_set}, k = {agent.limits.k}"
                self.step("evaluate", f"{arm.name} on {asked}{read}{of_seed}")
                tables[arm.name].append(self.run(condition.tasks, agent, retriever, run, seed=seed, samples=samples))
        agent = condition.agent
        comparison = compare(
            tables,
            base,
            ORACLE if ORACLE in tables else None,
            [task.id for task in condition.tasks],
            seed=seeds[0],
            setting={
                "agent": agent.name or agent.model,
                "k": agent.limits.k,
                "seeds": list(seeds),
                "samples": samples,
                "judge": self.judge.name,
                "task_set": condition.task_set,
                "split": condition.split,
            },
            runs={name: [run.name for run in of_arm] for name, of_arm in runs.items()},
            retrievers=described,
            others={arm.name: arm.differs for arm in arms},
        )
        save(comparison, where / COMPARISON)
        self._add(comparison, condition, folder)
        return comparison

    def trained(self, folder: str, arms: Mapping[str, Trained]) -> None:
        """Records what arms of a comparison were trained on."""
        cells = [
            msgspec.structs.replace(cell, trained=dict(arms)) if cell.folder == folder else cell
            for cell in self.record.cells
        ]
        self.note(cells=cells)
        self.save()

    def _add(self, comparison: Comparison, condition: Condition, folder: str) -> None:
        cell = Cell(
            agent=comparison.setting["agent"],
            task_set=condition.task_set,
            split=condition.split,
            k=condition.agent.limits.k,
            seeds=comparison.setting["seeds"],
            tasks=comparison.tasks_asked,
            arms=[summary.name for summary in comparison.summaries],
            base=comparison.base,
            folder=folder,
            identity=condition.identity,
            answer=comparison.answer,
        )
        cells = {known.folder: known for known in self.record.cells} | {folder: cell}
        self.note(cells=list(cells.values()))
        self.save()


def _as_read(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a record gives them back."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(values))
    return read


def recorded_study(folder: Path | str) -> StudyRecord | None:
    """The record of a study's folder; None where nothing is there yet."""
    return read_study(Path(folder)) if (Path(folder) / STUDY).exists() else None


def graded_rollout(
    tasks: Sequence[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path,
    *,
    seed: int = 0,
    samples: int = 1,
    judge: AnswerJudge | None = None,
    calls: CallOptions | None = None,
    budget: Budget | None = None,
) -> TaskTable:
    """Runs and grades what is missing in a run folder, and gives its metrics by task.

    Args:
        tasks: those asked.
        agent: who runs.
        retriever: what it searches with.
        folder: the run folder.
        seed: of the runs.
        samples: runs of each task.
        judge: of answers; by default the offline match.
        calls: how model calls are sent.
        budget: what they may cost; by default that of ``calls``, for this rollout alone.

    Raises:
        LimitReached: the budget is spent; what was run is kept and graded.
        NothingCame: every run broke, or the judge failed on every answer.
    """
    calls, judge = calls or CallOptions(), judge or MatchJudge()
    summary = rollout(
        tasks,
        agent,
        retriever,
        folder,
        seed=seed,
        samples=samples,
        grade=match_grade if type(judge) is MatchJudge else None,
        concurrency=calls.concurrency,
        adaptive=calls.adaptive,
        processes=calls.processes,
        cache=calls.cache,
        budget=budget or calls.budget(),
    )
    summary.check(agent.name or agent.model)
    grade_run(folder, judge)
    if summary.stopped is not None:
        raise LimitReached(
            summary.stopped, f"the limit on {summary.stopped} is reached; rerun with a higher one to resume."
        )
    return run_table(folder, tasks, agent.limits.k, judge.name)


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
