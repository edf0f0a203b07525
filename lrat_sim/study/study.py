"""A study: steps in one folder, with one record, one budget and one way to resume.

A step is done when the record that its station leaves beside the result (``run.yaml``, ``training.json``, ...) says so:
it is skipped where that record fits, refused where it differs, and finished where it is incomplete.  A study keeps no
account of its own that a kill could leave ahead of the facts, so a new one is a short function::

    study = Study("compare", folder, settings)
    condition = Condition(dataset, "test", settings.load_agent("simulated"))
    arms = [Arm(name=name, retriever=opened(spec, dataset)) for name, spec in retrievers.items()]
    study.total = len(arms)
    return study.result({".": study.evaluate(arms, condition, ".", base=arms[0].name)})
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import msgspec

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import check_fingerprint, command_line, ensure_folder, fingerprint, write_json
from lrat_sim.comparison import Comparison, compare, load, run_table, save
from lrat_sim.comparison.answer import text_lengths
from lrat_sim.comparison.table import results_table
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.decoding import from_json
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
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.index import RUN, asked_tasks
from lrat_sim.rollout.run import rollout
from lrat_sim.study.arms import ORACLE, Arm, check_arm, runnable_tasks
from lrat_sim.study.record import COMPARISON, STUDY, Cell, Kind, StudyRecord, Trained, recorded_study
from lrat_sim.study.settings import StudySettings, check_seeds
from lrat_sim.tables import Table
from lrat_sim.training.folder import RECORD, read_record
from lrat_sim.training.settings import Kind as TrainedKind
from lrat_sim.training.settings import TrainingSettings

Step = Literal["collect", "mine", "train", "index", "guard", "gate", "evaluate"]


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
    """Runs and grades what is missing in a run folder, and returns its metrics by task.

    Answers are judged by the offline match by default, and the budget is that of ``calls``.  What was run before a
    LimitReached is kept and graded; a NothingCame says that every run broke, or that the judge failed on every answer.
    """
    judge = judge or MatchJudge()
    grade = match_grade if type(judge) is MatchJudge else None
    how: dict[str, Any] = {"seed": seed, "samples": samples, "calls": calls, "budget": budget, "grade": grade}
    summary = rollout(tasks, agent, retriever, folder, **how)
    summary.check(agent.name or agent.model)
    grade_run(folder, judge)
    if summary.stopped is not None:
        raise LimitReached(
            summary.stopped, f"the limit on {summary.stopped} is reached; rerun with a higher one to resume."
        )
    return run_table(folder, tasks, agent.limits.k, judge.name)


class Condition:
    """What all arms of a comparison share: the agent, and the tasks of a split that it can be asked, at most ``limit``.

    ``task_set`` is the name of the tasks, and ``identity`` the fingerprint of agent (k included), task set and split;
    more tasks only add to a comparison.  An InputError says that there is no such split, or no such task.
    """

    def __init__(
        self, dataset: Dataset, split: str, agent: AgentSettings, limit: int | None = None, task_set: str | None = None
    ):
        self.agent, self.split, self.task_set = agent, split, task_set or dataset.name
        self.tasks = runnable_tasks(dataset.tasks(split), agent, limit)
        card = dataset.card
        self.identity = fingerprint((agent.describe()["fingerprint"], card.made_from, card.corpus, split))


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What came of a study: its folder, the comparisons of this call by their folders, and its record."""

    folder: Path
    comparisons: dict[str, Comparison]
    record: StudyRecord

    @property
    def answer(self) -> str:
        """The answer of every comparison, in a line each."""
        answers = {name: comparison.answer for name, comparison in self.comparisons.items()}
        return "\n".join(answer if len(answers) == 1 else f"{name}: {answer}" for name, answer in answers.items())

    def table(self) -> Table:
        """Success, gain, evidence recall and steps of every arm, and what those were trained on that the study made."""
        cells = {cell.folder: cell for cell in self.record.cells}
        trained = {
            id(comparison): cells[folder].trained for folder, comparison in self.comparisons.items() if folder in cells
        }

        def figures(comparison: Comparison, arm: str) -> dict[str, float]:
            made = trained.get(id(comparison), {}).get(arm)
            tasks = {"their tasks": fmean(made.tasks)} if made and self.record.kind == "sweep" else {}
            return {"pairs": fmean(made.pairs), **tasks} if made else {}

        return results_table([*self.comparisons.values()], figures)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}: {self.answer})"


class Study:
    """A study's folder while its steps are done; ``total`` is how many there are, for the count that is shown.

    Args:
        kind: of study; a folder holds one, and another is refused with an InputError.
        folder: made where it is missing.
        settings: for the record; their ``calls`` give the budget, where none of a larger study is given.
        made_from: what decides the results; where it has changed, a FingerprintMismatch names each difference.
        later: keys of ``made_from`` that may be added to a folder that was begun without them.
        recorded: further settings for the record.
        judge: of answers; by default the offline match.
        budget: of a study that this one is a part of.
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
        judge: AnswerJudge | None = None,
        budget: Budget | None = None,
    ):
        self.folder, self.calls, self.judge = Path(folder), settings.calls, judge or MatchJudge()
        self.budget = budget or settings.calls.budget()
        self.total = self.done = 0
        self._trained: dict[str, Trained] = {}
        # as a record gives them back, so that they can be compared with what was read
        decisive, known = (
            from_json(msgspec.json.encode(values))
            for values in (made_from or {}, {**(recorded or {}), **msgspec.structs.asdict(settings)})
        )
        self.record = StudyRecord(kind=kind, command=command_line.get(), settings=known, made_from=decisive)
        if (before := recorded_study(self.folder)) is not None:
            if before.kind != kind:
                raise InputError(
                    f"{folder} holds a study of the kind {before.kind!r}, not {kind!r}; choose another --out folder."
                )
            wanted = {key: value for key, value in decisive.items() if key not in later or key in before.made_from}
            check_fingerprint(f"the {kind} in {folder}", before.made_from, wanted, "choose another --out folder")
            self.record = msgspec.structs.replace(
                self.record, command=self.record.command or before.command, cells=before.cells, rounds=before.rounds
            )
        elif (self.folder / RUN).exists():
            raise InputError(f"{folder} is a run folder, which holds no study; choose another --out folder.")
        ensure_folder(self.folder)  # before indexes are built

    def save(self, **fields: Any) -> None:
        """Sets fields of ``study.json`` and writes it; not before all is known to be ours, so that no refused call
        binds the folder."""
        self.record = msgspec.structs.replace(self.record, **fields)
        write_json(self.folder / STUDY, self.record)

    def result(self, comparisons: dict[str, Comparison]) -> StudyResult:
        """What the study returns."""
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
        self, what: str, pairs: Iterable[Pair], dataset: Dataset, base_model: str, training: TrainingSettings,
        model: Path, *, seed: int, arm: str | None = None, kind: TrainedKind | None = None,
    ) -> int:  # fmt: skip
        """Trains a model, where it is missing, with ``seed`` added to that of the recipe; its kind is its base's.

        What an ``arm`` is trained on is recorded with the next comparison.  Returns the number of pairs.
        """
        from lrat_sim.training.trainer import train  # torch, which nothing before this needs

        self.step("train", what)
        count, tasks = 0, set[str]()

        def counted() -> Iterator[Pair]:
            nonlocal count
            for pair in pairs:
                count += 1
                tasks.add(pair.provenance.task)
                yield pair

        seeded = msgspec.structs.replace(training, seed=training.seed + seed)
        with bar("train") as progress:
            train(counted(), dataset.corpus, base_model, seeded, model, kind=kind, progress=progress)
        if arm is not None:
            account = self._trained.setdefault(arm, Trained())
            account.pairs.append(count)
            account.tasks.append(len(tasks))
            account.seconds.append(read_record(model).seconds)
        return count

    def untrained(self, what: str, *, arm: str) -> None:
        """In place of :meth:`train` where there is no pair."""
        self.step("train", f"{what}: no pairs, the base stays")
        account = self._trained.setdefault(arm, Trained())
        account.pairs.append(0)
        account.tasks.append(0)
        account.seconds.append(0.0)

    def evaluate(
        self,
        arms: Sequence[Arm],
        condition: Condition,
        folder: str,
        *,
        base: str,
        seeds: Sequence[int] = (0,),
        samples: int = 1,
        setting: Mapping[str, Any] | None = None,
    ) -> Comparison:
        """Runs every arm on the same tasks, each in a folder of its own, pairs the results by task, and records that.

        Args:
            arms: those compared; the one called ``oracle`` bounds all.
            condition: the tasks, and who runs.
            folder: gets one run folder an arm and seed, and ``comparison.json``; relative to the study's.
            base: the arm that the others are measured against first.
            seeds: of the runs; a task counts once, with the mean over seeds and samples.
            samples: runs of each task and seed.
            setting: what else the comparison records of what is compared.
        """
        where, agent = self.folder / folder, condition.agent
        runs = _run_folders(arms, seeds, where)
        if (where / COMPARISON).exists():
            load(where / COMPARISON)  # what is none of ours is refused before anything runs
        self._trained.clear()
        tables: dict[str, list[TaskTable]] = {arm.name: [] for arm in arms}
        described: dict[str, dict[str, Any]] = {}
        for arm in arms:
            for seed, run in zip(seeds, runs[arm.name], strict=True):
                # which may train it first
                retriever = arm.retriever if isinstance(arm.retriever, Retriever) else arm.retriever(seed)
                described[arm.name] = retriever.describe()
                length = text_lengths({arm.name: described[arm.name]}).get(arm.name)
                read = f", texts of {length} tokens" if length else ""
                of_seed = f", seed {seed}" if len(seeds) > 1 else ""
                tasks = f"{len(condition.tasks):,} tasks of {condition.task_set}, k = {agent.limits.k}"
                self.step("evaluate", f"{arm.name} on {tasks}{read}{of_seed}")
                table = self.run(condition.tasks, arm.agent or agent, retriever, run, seed, samples)
                tables[arm.name].append(table)
        recorded: dict[str, Any] = {
            "agent": agent.name or agent.model, "k": agent.limits.k, "seeds": list(seeds), "samples": samples,
            "judge": self.judge.name, "task_set": condition.task_set, "split": condition.split, **(setting or {}),
        }  # fmt: skip
        if writers := {arm.name: arm.writer for arm in arms if arm.writer}:
            pairs = {name: fmean(trained.pairs) for name, trained in self._trained.items()}
            recorded |= {"writers": writers, "pairs": pairs}
        comparison = compare(
            tables,
            base,
            ORACLE if ORACLE in tables else None,
            [task.id for task in condition.tasks],
            seed=seeds[0],
            setting=recorded,
            retrievers=described,
            others={arm.name: arm.differs for arm in arms},
            runs={name: [run.name for run in of_arm] for name, of_arm in runs.items()},
        )
        save(comparison, where / COMPARISON)
        cell = Cell(
            agent=agent.name or agent.model, task_set=condition.task_set, split=condition.split, k=agent.limits.k,
            seeds=list(seeds), tasks=len(condition.tasks), arms=[arm.name for arm in arms], base=base, folder=folder,
            identity=condition.identity, answer=comparison.answer, trained=dict(self._trained),
        )  # fmt: skip
        self.save(cells=[*({known.folder: known for known in self.record.cells} | {folder: cell}).values()])
        return comparison


def _run_folders(arms: Sequence[Arm], seeds: Sequence[int], folder: Path) -> dict[str, list[Path]]:
    """The run folders of each arm, one a seed: ``<arm>`` for the seed that it already holds, or for the first one where
    it holds none, else ``<arm>-seed-<seed>``; so further seeds go beside, and what is there is found again."""
    check_seeds(seeds)
    runs: dict[str, list[Path]] = {}
    owners: dict[Path, str] = {}
    for arm in arms:
        check_arm(arm.name)
        own = folder / (arm.folder or arm.name)
        settings = catalog.read_yaml(own / RUN).get("settings") if (own / RUN).exists() else None
        held = settings.get("seed") if isinstance(settings, dict) else None
        first = seeds[0] if held is None else held
        runs[arm.name] = [own if seed == first else own.with_name(f"{own.name}-seed-{seed}") for seed in seeds]
        for run in runs[arm.name]:
            if run in owners:
                raise InputError(f"the arms {owners[run]!r} and {arm.name!r} would share the folder {run}; rename one.")
            owners[run] = arm.name
    return runs
