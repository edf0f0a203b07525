"""What each part of a recipe contributes: the same runs, mined and trained in several ways, and all tried by agents.

An ablation's folder::

    OUT/study.json                                the command, the settings with the arms, and every comparison
    OUT/<task set>/collect/                       the one rollout on the training tasks that all arms are mined from
    OUT/<task set>/arms/<arm>/pairs.jsonl         what the arm mined from it
    OUT/<task set>/arms/<arm>/seed-<seed>/model/  the model trained on that, one a seed, and its index beside it
    OUT/<task set>/<split>-k<k>/<arm>/            the rollouts on held-out tasks, one a seed
    OUT/<task set>/<split>-k<k>/comparison.json   every arm against every other, paired by task

Every step finds what an earlier call finished, so that arms, seeds, splits and task sets can be added one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from lrat_sim.artifact import fingerprint, read_records
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.corpus.split import check_leak
from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.mining.run import PAIRS
from lrat_sim.progress import console
from lrat_sim.records import Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.study.arm_table import ArmSettings, load_arms
from lrat_sim.study.arms import BASE, Arm, alike, open_base, open_trained, opened, runnable_tasks
from lrat_sim.study.record import Trained
from lrat_sim.study.settings import AblationSettings
from lrat_sim.study.study import Condition, Study, StudyResult
from lrat_sim.training.folder import read_record

_DOCUMENT = 128
"""Tokens of a document that encoders read where no arm is trained: as many as ``train-small`` trains on."""


def ablate(
    datasets: Dataset | Mapping[str, Dataset],
    folder: Path | str,
    settings: AblationSettings | None = None,
    *,
    judge: RelevanceJudge | None = None,
    command: str | None = None,
) -> StudyResult:
    """Makes every arm from the same runs, and compares them all on held-out tasks.

    Args:
        datasets: a task set, or several by name, each with a ``train`` split and the one to evaluate on.
        folder: see above.
        settings: what to do; the defaults where None.
        judge: of the relevance of opened documents; by default the offline rules.
        command: the command line that asked for it, for the record.

    Raises:
        InputError: a setting, an arm or a name is wrong, or training and held-out tasks share a question.
        FingerprintMismatch: the folder holds runs or models of another agent, task set or recipe.
        LimitReached: a limit of the calls ended it; the same call with a higher one resumes from there.
    """
    settings = settings or AblationSettings()
    arms = load_arms(settings.arms, settings.table)
    sets = {datasets.name: datasets} if isinstance(datasets, Dataset) else dict(datasets)
    if not sets:
        raise InputError("an ablation needs a task set; name one or more.")
    work = [_TaskSet(name, dataset, arms, settings) for name, dataset in sets.items()]
    recorded = {"table_of_arms": msgspec.to_builtins(arms)}
    made_from = {
        "agent": settings.own_agent().describe()["fingerprint"],
        "base_model": settings.base_model,
        "samples": settings.samples,
        "seed": settings.collect_seed,
    }
    study = Study("ablate", folder, settings, made_from=made_from, recorded=recorded, command=command)
    study.save()
    trained, seeds = sum(arm.mining is not None for arm in arms.values()), len(settings.seeds)
    study.total = len(work) * ((trained > 0) + trained * (1 + seeds) + len(arms) * seeds)
    return study.result(dict(task_set.run(study, judge) for task_set in work))


class _TaskSet:
    """The arms on one task set; everything is checked before anything runs."""

    def __init__(self, name: str, dataset: Dataset, arms: Mapping[str, ArmSettings], settings: AblationSettings):
        self.name, self.dataset, self.arms, self.settings = name, dataset, arms, settings
        check_leak(dataset.tasks("train"), dataset.tasks(settings.split))
        self.agent = settings.own_agent()
        self.agents = {arm: settings.own_agent(**options.agent_options) for arm, options in arms.items()}
        self.train_tasks = runnable_tasks(dataset.tasks("train"), self.agent, settings.train_tasks)
        self.condition = Condition.of(dataset, settings.split, self.agent, settings.test_tasks, name)
        self.trained = [name for name, arm in arms.items() if arm.mining is not None]
        lengths = [arms[name].trained_by().max_document_length for name in self.trained]
        self.length = max(lengths, default=_DOCUMENT)

    def run(self, study: Study, judge: RelevanceJudge | None) -> tuple[str, Comparison]:
        """All arms, and the folder of their comparison."""
        settings, self.study, self.folder = self.settings, study, study.folder / self.name
        # documents as long as the longest that an arm is trained on
        self.base = open_base(self.dataset, settings.base, self.length)
        if self.trained:
            study.step("collect", f"on {len(self.train_tasks):,} tasks of {self.name}")
            run, seed = self.folder / "collect", settings.collect_seed + 1  # as the first round of a flywheel
            models = (self.folder / "arms").glob("*/seed-*/model")
            study.collect(self.train_tasks, self.agent, self.base, run, seed, settings.samples, models)
        for name in self.trained:
            study.step("mine", f"{name} on {self.name}")
            report = study.mine([run], self.arms[name].recipe(), self.folder / "arms" / name, self.dataset, judge)
            console.print(f"{report.pairs:,} pairs", markup=False)
        arms = [
            Arm(name=name, retriever=partial(self.retriever, name), agent=self.agents[name], differs=arm.agent_options)
            for name, arm in self.arms.items()
        ]
        folder = f"{self.name}/{settings.split}-k{self.agent.limits.k}"
        comparison = study.evaluate(arms, self.condition, folder, base=BASE, seeds=settings.seeds)
        study.trained(folder, {name: self._account(name) for name in self.trained})
        return folder, comparison

    def retriever(self, name: str, seed: int) -> Retriever:
        """The retriever of an arm; a trained one is trained now, where it is missing."""
        arm = self.arms[name]
        if arm.retriever == BASE:
            return self.base
        if arm.retriever is not None:
            return opened(arm.retriever, self.dataset, **alike({name: arm.retriever}, self.length)[name])
        training, model = arm.trained_by(), self._model(name, seed)
        training = msgspec.structs.replace(training, seed=training.seed + seed)
        self.study.step("train", f"{name} on {self.name}, seed {seed}")
        self.study.train(self._pairs(name), self.dataset, self.settings.base, training, model, arm.kind)
        if arm.kind == "reranker":
            base = f"dense:model={self.settings.base},max_length={self.length}"
            indexes = self.dataset.folder / "indexes" / f"rerank-{fingerprint(base)[:8]}"
            options = {"base": base, **arm.rerank, "model": str(model)}
            return opened("rerank", self.dataset, f"the base of {name}", indexes=indexes, **options)
        # documents as long as those of every other arm; queries with what the arm is sent beside them
        longer = training.max_query_length > self.length
        options = {"max_query_length": training.max_query_length} if longer else {}
        return open_trained(self.dataset, model, self.length, **options)

    def _account(self, name: str) -> Trained:
        tasks = [pair.provenance.task for pair in self._pairs(name)]
        seconds = [read_record(self._model(name, seed)).seconds for seed in self.settings.seeds]
        return Trained(pairs=[len(tasks)] * len(seconds), tasks=[len({*tasks})] * len(seconds), seconds=seconds)

    def _pairs(self, name: str) -> Iterator[Pair]:
        return read_records(self.folder / "arms" / name / PAIRS, Pair)

    def _model(self, name: str, seed: int) -> Path:
        return self.folder / "arms" / name / f"seed-{seed}" / "model"
