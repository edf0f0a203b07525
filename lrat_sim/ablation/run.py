"""Collects once, and mines, trains and evaluates every arm from that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.ablation.arms import ArmSettings, load_arms
from lrat_sim.ablation.result import ABLATION, Ablation, Cell, figures_of, read_ablation, save
from lrat_sim.ablation.settings import BASE, AblationSettings
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.artifact import ensure_folder, fingerprint, read_records
from lrat_sim.comparison import Comparison, compare
from lrat_sim.comparison import save as save_comparison
from lrat_sim.comparison.measures import ArmMetrics
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.corpus.split import check_leak
from lrat_sim.errors import InputError
from lrat_sim.experiment import ORACLE, Allowance, alike, graded_rollout, opened, runnable, seed_folder
from lrat_sim.experiment.run import COMPARISON
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.grading.run import judge_run
from lrat_sim.mining.run import PAIRS, mine_run
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import minilm_folder


def ablate(
    datasets: Mapping[str, Dataset],
    folder: Path | str,
    settings: AblationSettings | None = None,
    *,
    judge: RelevanceJudge | None = None,
    command: str | None = None,
) -> Ablation:
    """Makes every arm from the same runs, and compares them all on held-out tasks.

    Args:
        datasets: name to task set, each with a ``train`` split and the one to evaluate on.
        folder: see :mod:`lrat_sim.ablation`; the same call again goes on where it was stopped, and a call with more
            arms, seeds, splits or task sets runs only what is missing.
        settings: what to do; the defaults where None.
        judge: of the relevance of opened documents; by default the offline rules.
        command: the command line that asked for it, for the record.

    Returns:
        The figures of all task sets and splits that the folder holds.

    Raises:
        InputError: a setting, an arm or a name is wrong, or training and held-out tasks share a question.
        FingerprintMismatch: the folder holds runs or models of another agent, task set or recipe.
        LimitReached: a limit of ``settings.calls`` ended it; the same call with a higher one goes on from there.
    """
    settings, folder = settings or AblationSettings(), Path(folder)
    arms = load_arms(settings.arms, settings.table)
    allowance = Allowance(settings.calls)
    work = [_TaskSet(name, data, arms, folder, settings, judge, allowance) for name, data in datasets.items()]
    if not work:
        raise InputError("an ablation needs a task set; name one or more.")
    ensure_folder(folder)
    cells = read_ablation(folder).cells if (folder / ABLATION).exists() else []
    result = Ablation(
        command=command, settings=msgspec.to_builtins(settings), table=msgspec.to_builtins(arms), cells=cells
    )
    for each in work:
        cell = each.run()
        others = [other for other in result.cells if other.folder != cell.folder]
        result = msgspec.structs.replace(result, cells=[*others, cell])
        save(result, folder)
    return read_ablation(folder)


class _TaskSet:
    """The arms on one task set; everything is checked before anything runs."""

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        arms: Mapping[str, ArmSettings],
        folder: Path,
        settings: AblationSettings,
        judge: RelevanceJudge | None,
        allowance: Allowance,
    ):
        self.name, self.dataset, self.arms, self.settings = name, dataset, arms, settings
        self.folder, self.judge, self.allowance = folder / name, judge, allowance
        self.evaluated = self.folder / f"{settings.split}-k{settings.k}"
        self.base_model = settings.base_model or str(minilm_folder())
        trained = [arm.trained_by().max_document_length for arm in arms.values() if arm.mining]
        self.length = max(trained, default=_DOCUMENT)
        self.described: dict[str, dict[str, Any]] = {}
        train, held_out = dataset.tasks("train"), dataset.tasks(settings.split)
        check_leak(train, held_out)
        self.collector = self._agent({})
        self.train_tasks = runnable(train, self.collector, settings.train_tasks)
        self.tasks = runnable(held_out, self.collector, settings.test_tasks)
        self.agents = {arm: self._agent(each.agent_options) for arm, each in arms.items()}
        self._base: Retriever | None = None

    def run(self) -> Cell:
        """All arms, and their comparison."""
        if any(arm.mining for arm in self.arms.values()):
            self.collect()
        tables: dict[str, list[ArmMetrics]] = {}
        pairs: dict[str, int] = {}
        seconds: dict[str, list[float]] = {}
        for name, arm in self.arms.items():
            console.rule(f"{name} on {self.name}")
            if arm.mining is not None:
                pairs[name] = self.mine(name)
            tables[name] = []
            for seed in self.settings.seeds:
                retriever = self.retriever(name, seed)
                self.described[name] = retriever.describe()
                if arm.mining is not None:
                    seconds.setdefault(name, []).append(_seconds(self._model(name, seed)))
                tables[name].append(self.evaluate(name, retriever, seed))
        comparison = self.compare(tables)
        return Cell(
            task_set=self.name,
            split=self.settings.split,
            k=self.settings.k,
            agent=self.collector.name,
            tasks=len(self.tasks),
            seeds=list(self.settings.seeds),
            folder=self.evaluated.relative_to(self.folder.parent).as_posix(),
            answer=comparison.answer,
            arms=figures_of(comparison, {name: arm.description for name, arm in self.arms.items()}, pairs, seconds),
        )

    def collect(self) -> None:
        """Runs the training tasks with the base, once for all arms, and judges what was opened."""
        console.rule(f"collect on {self.name}")
        settings, folder = self.settings, self.folder / "collect"
        graded_rollout(
            self.train_tasks,
            self.collector,
            self.base(),
            folder,
            seed=settings.seed + 1,  # as the first round of a flywheel
            samples=settings.samples,
            allowance=self.allowance,
        )
        with bar("judge what was opened") as progress:
            judge_run(folder, self.judge, progress=progress)

    def mine(self, name: str) -> int:
        """Mines an arm's pairs; returns how many."""
        with bar("mine pairs") as progress:
            report = mine_run(
                self.folder / "collect",
                self.arms[name].recipe(),
                self.folder / "arms" / name,
                corpus=self.dataset.corpus,
                progress=progress,
            )
        console.print(f"{report.pairs:,} pairs", markup=False)
        return report.pairs

    def retriever(self, name: str, seed: int) -> Retriever:
        """The retriever of an arm; a trained one is trained now, where it is missing."""
        arm = self.arms[name]
        if arm.mining is None:
            if arm.retriever in (None, BASE):
                return self.base()
            return opened(arm.retriever, self.dataset, **alike({name: arm.retriever}, self.length)[name])
        training = arm.trained_by()
        training = msgspec.structs.replace(training, seed=training.seed + seed)
        model = self._model(name, seed)
        from lrat_sim.training.reranker import train_reranker
        from lrat_sim.training.trainer import train  # torch, which nothing before this needs

        with bar(f"train {name}, seed {seed}") as progress:
            (train if arm.kind == "encoder" else train_reranker)(
                read_records(self.folder / "arms" / name / PAIRS, Pair),
                self.dataset.corpus,
                self.base_model,
                training,
                model,
                progress=progress,
            )
        if arm.kind == "reranker":
            return self._reranker(arm, model)
        # documents as long as those of every other arm; queries with what the arm is sent beside them
        lengths = {"max_length": self.length}
        if training.max_query_length > self.length:
            lengths["max_query_length"] = training.max_query_length
        return opened("dense", self.dataset, name, indexes=model.parent / "indexes", model=str(model), **lengths)

    def evaluate(self, name: str, retriever: Retriever, seed: int) -> ArmMetrics:
        """Runs the held-out tasks with an arm, of one seed."""
        return graded_rollout(
            self.tasks, self.agents[name], retriever, self._run(name, seed), seed=seed, allowance=self.allowance
        )

    def compare(self, tables: Mapping[str, list[ArmMetrics]]) -> Comparison:
        """Every arm against every other, as means over seeds."""
        settings = self.settings
        comparison = compare(
            tables,
            BASE,
            ORACLE if ORACLE in tables else None,
            [task.id for task in self.tasks],
            seed=settings.seed,
            setting={
                "agent": self.collector.name,
                "task_set": self.name,
                "split": settings.split,
                "k": settings.k,
                "seeds": list(settings.seeds),
            },
            runs={name: [self._run(name, seed).name for seed in settings.seeds] for name in tables},
            retrievers=self.described,
            others={name: self.arms[name].agent_options for name in tables},
        )
        save_comparison(comparison, self.evaluated / COMPARISON)
        return comparison

    def base(self) -> Retriever:
        """The base model over the corpus, its documents as long as the longest that an arm is trained on."""
        if self._base is None:
            self._base = opened("dense", self.dataset, BASE, model=self.base_model, max_length=self.length)
        return self._base

    def _reranker(self, arm: ArmSettings, model: Path) -> Retriever:
        base = f"dense:model={self.base_model},max_length={self.length}"
        indexes = self.dataset.folder / "indexes" / f"rerank-{fingerprint(base)[:8]}"
        title = f"the base of {model.parent.parent.name}"
        return opened(
            "rerank", self.dataset, title, indexes=indexes, **{"base": base, **arm.rerank, "model": str(model)}
        )

    def _model(self, name: str, seed: int) -> Path:
        return self.folder / "arms" / name / f"seed-{seed}" / "model"

    def _run(self, name: str, seed: int) -> Path:
        return seed_folder(self.evaluated, name, seed, self.settings.seeds[0])

    def _agent(self, options: dict[str, object]) -> AgentSettings:
        settings = self.settings
        return load_agent(settings.agent, {**settings.agent_options, "limits.k": settings.k, **options})


_DOCUMENT = 128
"""Tokens of a document that encoders read where no arm is trained: as many as ``train-small`` trains on."""


def _seconds(model: Path) -> float:
    from lrat_sim.training.folder import read_record

    return read_record(model).seconds
