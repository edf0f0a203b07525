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

from collections.abc import Mapping
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
        folder: see above; the same call again resumes where it was stopped, and a call with more arms, seeds, splits or
            task sets runs only what is missing.
        settings: what to do; the defaults where None.
        judge: of the relevance of opened documents; by default the offline rules.
        command: the command line that asked for it, for the record.

    Returns:
        The comparisons of this call, by their folder; the record has those of all calls.

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
    work = [_TaskSet(name, dataset, arms, settings, judge) for name, dataset in sets.items()]
    recorded = {"table_of_arms": msgspec.to_builtins(arms)}
    study = Study("ablate", folder, settings, recorded=recorded, command=command)
    trained, seeds = sum(arm.mining is not None for arm in arms.values()), len(settings.seeds)
    study.total = len(work) * ((trained > 0) + trained * (1 + seeds) + len(arms) * seeds)
    return study.result(dict(task_set.run(study) for task_set in work))


class _TaskSet:
    """The arms on one task set; everything is checked before anything runs."""

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        arms: Mapping[str, ArmSettings],
        settings: AblationSettings,
        judge: RelevanceJudge | None,
    ):
        self.name, self.dataset, self.arms, self.settings, self.judge = name, dataset, arms, settings, judge
        check_leak(dataset.tasks("train"), dataset.tasks(settings.split))
        self.agent = settings.own_agent()
        self.agents = {arm: settings.own_agent(**options.agent_options) for arm, options in arms.items()}
        self.train_tasks = runnable_tasks(dataset.tasks("train"), self.agent, settings.train_tasks)
        self.condition = Condition.of(dataset, settings.split, self.agent, settings.test_tasks, name)
        lengths = [arm.trained_by().max_document_length for arm in arms.values() if arm.mining]
        self.length = max(lengths, default=_DOCUMENT)
        self.trained = [name for name, arm in arms.items() if arm.mining is not None]
        self._base: Retriever | None = None

    def run(self, study: Study) -> tuple[str, Comparison]:
        """All arms, and the folder of their comparison."""
        settings, self.study = self.settings, study
        pairs = {}
        if self.trained:
            self.collect()
            pairs = {name: self.mine(name) for name in self.trained}
        arms = [
            Arm(name=name, retriever=partial(self.retriever, name), agent=self.agents[name], differs=arm.agent_options)
            for name, arm in self.arms.items()
        ]
        folder = f"{self.name}/{settings.split}-k{self.agent.limits.k}"
        comparison = study.evaluate(arms, self.condition, folder, base=BASE, seeds=settings.seeds)
        made = {name: list(read_records(self._arm(name) / PAIRS, Pair)) for name in self.trained}
        study.trained(
            folder,
            {
                name: Trained(
                    pairs=[pairs[name]] * len(settings.seeds),
                    tasks=[len({pair.provenance.task for pair in made[name]})] * len(settings.seeds),
                    seconds=[read_record(self._model(name, seed)).seconds for seed in settings.seeds],
                )
                for name in self.trained
            },
        )
        return folder, comparison

    def collect(self) -> None:
        """Runs the training tasks with the base, once for all arms."""
        settings = self.settings
        self.study.step("collect", f"on {len(self.train_tasks):,} tasks of {self.name}")
        # the seed is that of a flywheel's first round
        self.study.run(
            self.train_tasks,
            self.agent,
            self.base(),
            self._folder() / "collect",
            seed=settings.collect_seed + 1,
            samples=settings.samples,
        )

    def mine(self, name: str) -> int:
        """Mines an arm's pairs; returns how many."""
        self.study.step("mine", f"{name} on {self.name}")
        report = self.study.mine(
            [self._folder() / "collect"], self.arms[name].recipe(), self._arm(name), self.dataset, self.judge
        )
        console.print(f"{report.pairs:,} pairs", markup=False)
        return report.pairs

    def retriever(self, name: str, seed: int) -> Retriever:
        """The retriever of an arm; a trained one is trained now, where it is missing."""
        arm = self.arms[name]
        if arm.retriever == BASE:
            return self.base()
        if arm.retriever is not None:
            return opened(arm.retriever, self.dataset, **alike({name: arm.retriever}, self.length)[name])
        training, model = arm.trained_by(), self._model(name, seed)
        training = msgspec.structs.replace(training, seed=training.seed + seed)
        self.study.step("train", f"{name} on {self.name}, seed {seed}")
        pairs = read_records(self._arm(name) / PAIRS, Pair)
        self.study.train(pairs, self.dataset, self.settings.base, training, model, arm.kind)
        if arm.kind == "reranker":
            return self._reranker(name, model)
        # documents as long as those of every other arm; queries with what the arm is sent beside them
        longer = training.max_query_length > self.length
        options = {"max_query_length": training.max_query_length} if longer else {}
        return open_trained(self.dataset, model, self.length, **options)

    def base(self) -> Retriever:
        """The base model over the corpus, its documents as long as the longest that an arm is trained on."""
        if self._base is None:
            self._base = open_base(self.dataset, self.settings.base, self.length)
        return self._base

    def _reranker(self, name: str, model: Path) -> Retriever:
        base = f"dense:model={self.settings.base},max_length={self.length}"
        indexes = self.dataset.folder / "indexes" / f"rerank-{fingerprint(base)[:8]}"
        options = {"base": base, **self.arms[name].rerank, "model": str(model)}
        return opened("rerank", self.dataset, f"the base of {name}", indexes=indexes, **options)

    def _folder(self) -> Path:
        return self.study.folder / self.name

    def _arm(self, name: str) -> Path:
        return self._folder() / "arms" / name

    def _model(self, name: str, seed: int) -> Path:
        return self._arm(name) / f"seed-{seed}" / "model"
