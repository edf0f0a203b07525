"""What each part of a recipe contributes: the same runs, mined and trained in several ways, and all tried by agents.

An ablation's folder::

    OUT/study.json                                the command, the settings with the arms, and every comparison
    OUT/<task set>/collect/                       the one rollout on the training tasks that all arms are mined from
    OUT/<task set>/{collect,arms}-<writer>/       the same with the runs as another writer writes them (``writers``)
    OUT/<task set>/arms/<arm>/pairs.jsonl         what the arm mined from it
    OUT/<task set>/arms/<arm>/seed-<seed>/model/  the model trained on that, one a seed, and its index beside it
    OUT/<task set>/<split>-k<k>/<arm>/            the rollouts on held-out tasks, one a seed
    OUT/<task set>/<split>-k<k>/comparison.json   every arm against every other, paired by task

Every step finds what an earlier call finished, so that arms, seeds, splits and task sets can be added one by one.

With ``writers`` every trained arm is made once more from the runs of each writer of the simulated agent, which differ
in nothing but the agent's reasoning; such an arm is called ``<arm>-<writer>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.simulated.persona import Writer
from lrat_sim.artifact import fingerprint, read_records
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.corpus.split import check_leak
from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.run import PAIRS
from lrat_sim.progress import console
from lrat_sim.records import Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.settings import Settings
from lrat_sim.study.arms import BASE, Arm, alike, check_arm, open_base, open_trained, opened, runnable_tasks
from lrat_sim.study.fusion import fit_share, with_bm25
from lrat_sim.study.settings import AblationSettings, AgentOptions, MiningOptions, TrainingName, TrainingOptions
from lrat_sim.study.study import Condition, Study, StudyResult
from lrat_sim.training.settings import Kind, TrainingSettings

# tokens of a document that encoders read where no arm is trained: as many as `train-small` trains on
_DOCUMENT = 128


class ArmSettings(Settings, frozen=True, kw_only=True):
    """One arm of a table (``lrat_sim/recipes/ablate-arms.yaml``): a retriever, or how one is made from the runs."""

    description: Annotated[str, Meta(description="For readers.")] = ""
    retriever: Annotated[str | None, Meta(description="Not trained; base is what training starts from.")] = None
    mining: Annotated[str | None, Meta(description="Mining recipe of a trained arm, by name or path.")] = None
    mining_options: MiningOptions = {}
    training: TrainingName = "train-small"
    training_options: TrainingOptions = {}
    kind: Annotated[
        Literal["encoder", "reranker"],
        Meta(description="What is trained: an encoder of the base's kind, or a reranker over the base."),
    ] = "encoder"
    # None fits it on the arm's pairs; the base takes that of the first trained arm that fits its own
    bm25_share: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="Share of BM25 in the score of base or encoder."),
    ] = 0.0
    rerank: Annotated[dict[str, Any], Meta(description="Options of the retriever rerank, for a reranker.")] = {}
    agent_options: AgentOptions = {}  # while this arm is evaluated
    writer: Annotated[Writer | None, Meta(description="Writer of the runs that a trained arm is mined from.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.retriever is None) == (self.mining is None):
            raise InputError(
                f"an arm has retriever {self.retriever!r} and mining {self.mining!r}; give it one of the two."
            )
        if self.retriever is not None and (self.mining_options or self.training_options):
            raise InputError(f"an arm with the retriever {self.retriever!r} is not trained; leave its options out.")
        if self.bm25_share != 0 and (self.kind == "reranker" or self.retriever not in (None, BASE)):
            raise InputError("an arm that is no encoder has a bm25_share; leave it out.")
        if self.retriever is not None and self.writer is not None:
            raise InputError(f"an arm with the retriever {self.retriever!r} is mined from no runs; leave writer out.")
        if self.rerank and self.kind != "reranker":
            raise InputError("an arm that is no reranker has rerank options; leave them out or set kind to reranker.")

    def made_from(self) -> dict[str, Any]:
        """What decides a trained arm's model; arms that agree in it share one."""
        how = ("mining", "mining_options", "training", "training_options", "kind", "writer")
        return {field: getattr(self, field) for field in how}

    def recipe(self) -> MiningRecipe:
        """The mining recipe of a trained arm."""
        return load_recipe(self.mining or "", self.mining_options)

    def trained_by(self) -> TrainingSettings:
        """The training recipe."""
        return catalog.load("recipes", self.training, TrainingSettings, self.training_options)


class ArmTable(Settings, frozen=True, kw_only=True):
    """A file of arms, by name."""

    arms: dict[str, ArmSettings]
    description: str = ""


def load_arms(names: Sequence[str] = (), table: str = "ablate-arms") -> dict[str, ArmSettings]:
    """Arms of a table by name, all of them by default, ``base`` always first; what they name must be there."""
    known = catalog.load("recipes", table, ArmTable).arms
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"there is no arm {unknown[0]!r} in {table}; it has {', '.join(known)}.")
    wanted = dict.fromkeys([BASE, *(names or known)])
    arms = {name: known.get(name, ArmSettings(retriever=BASE)) for name in wanted}
    if arms[BASE].retriever is None:
        raise InputError(f"the arm {BASE!r} of {table} is trained, but the others are measured against it; rename it.")
    for name, arm in arms.items():
        check_arm(name)
        if arm.retriever is None:
            arm.recipe(), arm.trained_by()
        elif arm.retriever != BASE:
            check_retriever(arm.retriever)
    return arms


def by_writer(arms: Mapping[str, ArmSettings], writers: Sequence[Writer]) -> dict[str, ArmSettings]:
    """Arms, and after each trained one that names no writer the same arm for each of the writers."""
    made: dict[str, ArmSettings] = {}
    for name, arm in arms.items():
        made[name] = arm
        if arm.mining is not None and arm.writer is None:
            for writer in writers:
                own = f"{name}-{writer}"
                if own in arms:
                    raise InputError(f"the table has an arm {own!r}, which {name!r} by {writer} is to be; rename it.")
                made[own] = msgspec.structs.replace(arm, writer=writer)
    return made


def ablate(
    datasets: Dataset | Mapping[str, Dataset],
    folder: Path | str,
    settings: AblationSettings | None = None,
    *,
    judge: RelevanceJudge | None = None,
) -> StudyResult:
    """Makes every arm from the same runs, and compares them all on held-out tasks.

    Args:
        datasets: a task set, or several by name, each with a ``train`` split and the one to evaluate on.
        folder: see above; a FingerprintMismatch says that it holds runs or models of something else.
        settings: what to do.
        judge: of the relevance of opened documents; by default the offline rules.
    """
    settings = settings or AblationSettings()
    arms = by_writer(load_arms(settings.arms, settings.table), settings.writers)
    sets = {datasets.name: datasets} if isinstance(datasets, Dataset) else dict(datasets)
    if not sets:
        raise InputError("an ablation needs a task set; name one or more.")
    on_sets = [_OnTaskSet(name, dataset, arms, settings) for name, dataset in sets.items()]
    made_from = {
        "agent": settings.own_agent().describe()["fingerprint"],
        "base_model": settings.base_model,
        "samples": settings.samples,
        "seed": settings.collect_seed,
    }
    study = Study(
        "ablate", folder, settings, made_from=made_from, recorded={"table_of_arms": msgspec.to_builtins(arms)}
    )
    study.save()
    study.total = sum(on_set.steps() for on_set in on_sets)
    return study.result(dict(on_set.run(study, judge) for on_set in on_sets))


class _OnTaskSet:
    """The arms on one task set; everything is checked before anything runs."""

    def __init__(self, name: str, dataset: Dataset, arms: Mapping[str, ArmSettings], settings: AblationSettings):
        self.name, self.dataset, self.arms, self.settings = name, dataset, arms, settings
        check_leak(dataset.tasks("train"), dataset.tasks(settings.split))
        self.agent = settings.own_agent()
        self.trained = {name: arm for name, arm in arms.items() if arm.mining is not None}
        # who collects, by the writer; all of them send the same calls
        self.collectors = {arm.writer: self._collector(arm.writer) for arm in self.trained.values()}
        self.agents = {arm: settings.own_agent(**options.agent_options) for arm, options in arms.items()}
        self.train_tasks = runnable_tasks(dataset.tasks("train"), self.agent, settings.train_tasks)
        self.condition = Condition(dataset, settings.split, self.agent, settings.test_tasks, name)
        # the arm whose pairs and models an arm uses: the first that is made in the same way
        self.maker = {
            name: next(other for other in self.trained if self.trained[other].made_from() == arm.made_from())
            for name, arm in self.trained.items()
        }
        self.fitted: dict[str, float] = {}  # the share of BM25, by the arm whose pairs it is fitted on
        # all encoders read documents as long as the longest that an arm is trained on
        self.length = max((arm.trained_by().max_document_length for arm in self.trained.values()), default=_DOCUMENT)

    def steps(self) -> int:
        """How many steps :meth:`run` takes."""
        seeds, makers = len(self.settings.seeds), len({*self.maker.values()})
        return len(self.collectors) + makers + len(self.trained) * seeds + len(self.arms) * seeds

    def run(self, study: Study, judge: RelevanceJudge | None) -> tuple[str, Comparison]:
        """All arms; returns the folder of their comparison, and that."""
        settings, self.study, self.folder = self.settings, study, study.folder / self.name
        self.base = open_base(self.dataset, settings.base, self.length)
        seed = settings.collect_seed + 1  # as the first round of a flywheel
        for writer, agent in self.collectors.items():
            by = f", written by {writer}" if writer else ""
            study.step("collect", f"on {len(self.train_tasks):,} tasks of {self.name}{by}")
            run, models = self._of("collect", writer), self._of("arms", writer).glob("*/seed-*/model")
            study.collect(self.train_tasks, agent, self.base, run, seed, settings.samples, models)
        for name in dict.fromkeys(self.maker.values()):
            study.step("mine", f"{name} on {self.name}")
            arm = self.trained[name]
            run, folder = self._of("collect", arm.writer), self._of("arms", arm.writer) / name
            report = study.mine([run], arm.recipe(), folder, self.dataset, judge)
            console.print(f"{report.pairs:,} pairs", markup=False)
        arms = [
            Arm(
                name=name, retriever=partial(self.retriever, name), agent=self.agents[name], differs=arm.agent_options,
                writer=arm.writer,
            )
            for name, arm in self.arms.items()
        ]  # fmt: skip
        cell = f"{self.name}/{settings.split}-k{self.agent.limits.k}"
        return cell, study.evaluate(arms, self.condition, cell, base=BASE, seeds=settings.seeds)

    def _collector(self, writer: Writer | None) -> AgentSettings:
        if writer is None:
            return self.agent
        if not self.agent.simulated:
            raise InputError(
                f"writers are for the simulated agent, not {self.agent.model!r}; leave them out, or name a simulated "
                "agent."
            )
        return self.settings.own_agent(**{"simulation.writer": writer})

    def _of(self, folder: str, writer: Writer | None) -> Path:
        return self.folder / (f"{folder}-{writer}" if writer else folder)

    def retriever(self, name: str, seed: int) -> Retriever:
        """The retriever of an arm; a trained one is trained now, where it is missing.  Where the arm's recipe finds no
        pair, the base stays."""
        arm, base_model = self.arms[name], self.settings.base
        if arm.retriever == BASE:
            return with_bm25(self.dataset, self.base, self.share(name))
        if arm.retriever is not None:
            return opened(arm.retriever, self.dataset, **alike({name: arm.retriever}, self.length)[name])
        training, folder = arm.trained_by(), self._of("arms", arm.writer) / self.maker[name]
        model, pairs = folder / f"seed-{seed}" / "model", read_records(folder / PAIRS, Pair)
        what = f"{name} on {self.name}, seed {seed}"
        if next(read_records(folder / PAIRS, Pair), None) is None:
            self.study.untrained(what, arm=name)
            return with_bm25(self.dataset, self.base, self.share(name))
        kind: Kind | None = "reranker" if arm.kind == "reranker" else None
        self.study.train(what, pairs, self.dataset, base_model, training, model, seed=seed, arm=name, kind=kind)
        if arm.kind == "reranker":
            base = f"{model_kind(base_model)}:model={base_model},max_length={self.length}"
            indexes = self.dataset.folder / "indexes" / f"rerank-{fingerprint(base)[:8]}"
            options = {"base": base, **arm.rerank, "model": str(model)}
            return opened("rerank", self.dataset, f"the base of {name}", indexes=indexes, **options)
        # documents as long as those of every other arm; queries with what the arm is sent beside them
        longer = training.max_query_length > self.length
        queries = {"max_query_length": training.max_query_length} if longer else {}
        encoder = open_trained(self.dataset, model, self.length, **queries)
        return with_bm25(self.dataset, encoder, self.share(name))

    def share(self, name: str) -> float:
        """The share of BM25 in an arm's score, fitted where the arm does not give it."""
        if (given := self.arms[name].bm25_share) is not None:
            return given
        fitting = name if name in self.trained else next(
            (other for other, arm in self.trained.items() if arm.bm25_share is None), None
        )  # fmt: skip
        if fitting is None:
            raise InputError(f"the arm {name!r} has no bm25_share, and no trained arm fits one; give it a number.")
        maker = self.maker[fitting]
        if maker not in self.fitted:
            pairs = self._of("arms", self.trained[maker].writer) / maker / PAIRS
            self.fitted[maker] = fit_share(read_records(pairs, Pair), self.dataset, self.base)
            console.print(f"{fitting} on {self.name}: BM25's share is {self.fitted[maker]}", markup=False)
        return self.fitted[maker]
