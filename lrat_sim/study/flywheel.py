"""The loop over the stations, in rounds: collect, mine, train, index, gate; and at the end, evaluate.

A flywheel's folder::

    OUT/study.json                     the command, the settings, the comparisons, and what became of every round:
                                       pairs, exposure, gate, what was forgotten
    OUT/round-1/collect/               the rollout on the training tasks, with its grades and verdicts
    OUT/round-1/collect-<name>/        that of the tasks that another retriever was given (``collect_with``)
    OUT/round-1/pairs.jsonl            what was mined from them; mining.json accounts for what was left out
    OUT/round-1/model/                 the encoder trained on the pairs of this and all earlier rounds
    OUT/round-1/indexes/               its index
    OUT/gate/<model>/                  the rollouts on the gate's tasks, of the base and of every round's model
    OUT/guard/                         the general data set and its vectors, where forgetting is measured
    OUT/evaluate/<split>-k<k>/<arm>/   the rollouts on held-out tasks, and comparison.json over them; the arms are
                                       base, round-1, round-2, ... (the last accepted is shown as ``trained``),
                                       base+bm25, which is fused as they are but not trained, and the baselines
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint, read_records
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset, prepare
from lrat_sim.corpus.split import check_leak
from lrat_sim.errors import InputError
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.run import PAIRS
from lrat_sim.models.budget import Budget
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.study import rounds as parts
from lrat_sim.study.arms import (
    BASE,
    BASE_AND_BM25,
    TRAINED,
    Arm,
    open_arms,
    open_base,
    open_trained,
    opened,
    runnable_tasks,
)
from lrat_sim.study.fusion import fit_share, fused_spec, with_bm25
from lrat_sim.study.record import recorded_study
from lrat_sim.study.rounds import Decision, Guarded, Round, Rounds, Rule, arm_figures
from lrat_sim.study.settings import FlywheelSettings
from lrat_sim.study.study import Condition, Study, StudyResult
from lrat_sim.training.folder import add_figures
from lrat_sim.training.settings import TrainingSettings

# smaller than the defaults in the world, the tasks and the texts, so that it ends in minutes on two cores
DEMO_WORLD = {"documents": 2000, "train_tasks": 200, "dev_tasks": 20, "test_tasks": 150, "ood_tasks": 10}
# the encoder alone, whose share of BM25 would take half a minute to fit and to compare
DEMO = FlywheelSettings(training_options={"max_document_length": 96}, bm25_share=0.0)


@dataclass(frozen=True, kw_only=True, repr=False)
class FlywheelResult(StudyResult):
    """With the model in use at the end, the last accepted one or the base; comparisons are named ``<split>-k<k>``."""

    model: Path
    retriever: str  # the spec by which it is searched, with its share of BM25
    rounds: Rounds

    @property
    def answer(self) -> str:
        """What the gate and the number of pairs say of the model in use, and the answer of every comparison."""
        return "\n".join([*self.rounds.sentences(), super().answer])


def flywheel(
    dataset: Dataset,
    folder: Path | str,
    settings: FlywheelSettings | None = None,
    *,
    judge: RelevanceJudge | None = None,
    budget: Budget | None = None,
) -> FlywheelResult:
    """Improves a retriever from what agents did with it, and measures by how much.

    Args:
        dataset: with a ``train`` split, the splits to evaluate on, and that of the gate where there is one.
        folder: see above.
        settings: what to do.
        judge: of the relevance of opened documents; by default the offline rules.
        budget: of a study that this one is a part of.

    Raises:
        InputError: a setting, a file or a name is wrong, or training and held-out tasks share a question.
        FingerprintMismatch: the folder holds a flywheel with other settings.
        LimitReached: a limit of the calls ended it; rerun with a higher one to resume.
    """
    return Flywheel(dataset, folder, settings, judge=judge, budget=budget).run()


def demo(folder: Path | str, settings: FlywheelSettings = DEMO) -> FlywheelResult:
    """The whole loop once on a small generated world, both in ``folder``: minutes on two cores, no key, no network."""
    with bar("generate the world") as progress:
        dataset = prepare("world", Path(folder) / "world", options=DEMO_WORLD, progress=progress)
    return flywheel(dataset, Path(folder) / "flywheel", settings)


class Flywheel:
    """A flywheel step by step: :meth:`run` is :func:`flywheel`, and its steps are methods, so that a subclass can
    replace one of them, or add something between two of them.  All is checked before anything runs; ``accepted`` holds
    the rounds whose models the gate accepted so far."""

    def __init__(
        self, dataset: Dataset, folder: Path | str, settings: FlywheelSettings | None = None, *,
        judge: RelevanceJudge | None = None, budget: Budget | None = None,
    ):  # fmt: skip
        self.dataset, self.folder, self.judge = dataset, Path(folder), judge
        self.settings = settings = settings or FlywheelSettings()
        self.recipe: MiningRecipe = load_recipe(settings.mining, settings.mining_options)
        self.training: TrainingSettings = settings.recipe()
        self.agent = settings.own_agent()
        self.baselines = settings.named("baselines", settings.baselines)
        self.collectors = settings.named("retrievers of collect_with", [*settings.collect_with])
        if settings.guard is not None and not any(Path(settings.guard).glob("corpus.jsonl*")):
            raise InputError(
                f"guard is {settings.guard!r}, which is no data set in the layout of BEIR (no corpus.jsonl); name its "
                "folder."
            )
        for split in settings.splits:
            check_leak(dataset.tasks("train"), dataset.tasks(split))
        self.train_tasks = runnable_tasks(dataset.tasks("train"), self.agent, settings.train_tasks)
        before = recorded_study(folder)
        begun = before.made_from.get("gate") if before else None
        checkable = bool(dataset.splits.get(settings.gate_split)) and settings.gate_split not in settings.splits
        self.rule: Rule = settings.rule(checkable, begun["rule"] if begun else None)
        self.gate_tasks: list[Task] = []
        if self.rule != "none":
            others = ("train", *settings.splits)
            self.gate_tasks = parts.frozen_tasks(dataset, settings.gate_split, others, self.agent, settings.gate_tasks)
        # a single round may be gated later: nothing was made after it
        later = ("gate",) if before and before.settings.get("rounds") == 1 else ()
        self.study = Study("flywheel", folder, settings, made_from=self._made_from(), later=later, budget=budget)
        self.accepted: list[int] = []
        self._share = settings.bm25_share
        self._known: float | None = None

    @property
    def in_use(self) -> str:
        """The name of the model in use."""
        return f"round-{self.accepted[-1]}" if self.accepted else BASE

    def run(self) -> FlywheelResult:
        """All rounds, and the evaluation."""
        settings, made, stopped = self.settings, list[Round](), None
        self.accepted.clear()
        self.base = self.using = self.open_base()
        self.study.save()  # not before: a base that cannot be opened binds no folder
        if self.rule == "none" and settings.gate is None:
            console.print(
                f"no gate: {self.dataset.name} has no tasks of a split {settings.gate_split!r} beside those that are "
                "evaluated on, so the round's model is put in use unchecked; prepare the task set with the option dev, "
                "or name a split with gate_split.",
                markup=False,
                soft_wrap=True,
            )
        # how many models are accepted, and evaluated, shows only at the end
        in_round = 3 + (settings.guard is not None) + (self.rule != "none")
        evaluations = len(settings.splits) * max(1, len(settings.evaluate_ks))
        self.study.total = settings.rounds * in_round + evaluations * (2 + settings.rounds + len(self.baselines))
        for number in range(1, settings.rounds + 1):
            made.append(self.round(number))
            self._note(made, None, {})
            refused = number - (self.accepted[-1] if self.accepted else 0)
            if refused >= settings.patience > 0 and number < settings.rounds:
                stopped = f"stopped after round {number}: the gate refused {refused} in a row"
                console.print(stopped, markup=False)
                break
        comparisons = self.evaluate()
        rounds = self._note(made, stopped, comparisons)
        model, share = Path(settings.base), 0.0
        if self.accepted:
            model, share = self._round(self.accepted[-1]) / "model", self.share()
        result = vars(self.study.result(comparisons))
        return FlywheelResult(**result, model=model, retriever=fused_spec(model, share), rounds=rounds)

    def open_base(self) -> Retriever:
        """The base model over the corpus."""
        return open_base(self.dataset, self.settings.base, self.training.max_document_length)

    def round(self, number: int) -> Round:
        """One round with the model in use, which its own replaces where the gate accepts it."""
        in_use = self.in_use
        tables = self.collect(number)
        runs = [self._collected(number, name) for name in tables]
        mined = self.mine(number, runs)
        trained_from, pairs = self.train(number)
        retriever = self.index(number)
        guarded = self.remember(number)
        decision = self.gate(number, retriever)
        accepted = decision is None or decision.accepted
        if accepted:
            self.accepted.append(number)
            self.using = retriever
        return Round(
            number=number,
            in_use=in_use,
            tasks={name: len(table) for name, table in tables.items()},
            collected=parts.figures_of({task: row for table in tables.values() for task, row in table.items()}),
            exposure=parts.exposure(runs, len(self.dataset.corpus)),
            mined=mined,
            replayed=pairs - mined,
            trained_from=trained_from,
            gate=decision,
            accepted=accepted,
            bm25_share=self.share(),
            warning=self.training.warning(pairs),
            guard=guarded,
        )

    def collect(self, number: int) -> dict[str, TaskTable]:
        """Runs the training tasks with the model in use and the retrievers that get a share; returns each one's metrics
        by task."""
        settings, seed = self.settings, self.settings.seed + number
        shares = dict(zip(self.collectors, settings.collect_with.values(), strict=True))
        tables: dict[str, TaskTable] = {}
        self.study.step("collect", f"for round {number}, on {len(self.train_tasks):,} tasks")
        for name, tasks in parts.share_tasks(self.train_tasks, shares, self.in_use, seed).items():
            spec = self.collectors.get(name)
            retriever = self.using if spec is None else opened(spec, self.dataset)
            if shares:
                console.print(f"{name} collects on {len(tasks):,} tasks", markup=False)
            run, models = self._collected(number, name), [self._round(number) / "model"]
            tables[name] = self.study.collect(tasks, self.agent, retriever, run, seed, settings.samples, models)
        return tables

    def mine(self, number: int, runs: list[Path]) -> int:
        """Judges what was opened in some runs, and mines the round's pairs from them; returns how many."""
        self.study.step("mine", f"round {number}")
        report = self.study.mine(runs, self.recipe, self._round(number), self.dataset, self.judge)
        console.print(report)
        return report.pairs

    def train(self, number: int) -> tuple[str, int]:
        """Trains the round's model; returns what it was trained from, and on how many pairs in all."""
        settings, last = self.settings, self.settings.train_from == "last" and self.accepted
        base_model = str(self._round(self.accepted[-1]) / "model") if last else settings.base
        # what a refused round mined may be what it was refused for
        earlier = [self._round(accepted) / PAIRS for accepted in self.accepted]
        pairs: Iterator[Pair] = chain(
            parts.replayed(earlier, settings.replay if last else 1.0, settings.seed + number),
            read_records(self._round(number) / PAIRS, Pair),
        )
        what, model = f"round {number}", self._round(number) / "model"
        count = self.study.train(what, pairs, self.dataset, base_model, self.training, model, seed=settings.seed)
        return (self.in_use if last else BASE), count

    def index(self, number: int) -> Retriever:
        """The encoder of a round over the corpus, with its share of BM25."""
        encoder = open_trained(self.dataset, self._round(number) / "model", self.training.max_document_length)
        return with_bm25(self.dataset, encoder, self.share())

    def share(self) -> float:
        """The share of BM25 in the score of every round's model.

        Where it is not given it is fitted on the pairs of the first round: later ones come from lists that were fused
        already.
        """
        if self._share is None:
            self._share = fit_share(read_records(self._round(1) / PAIRS, Pair), self.dataset, self.base)
            console.print(f"BM25's share of the score is {self._share}", markup=False)
        return self._share

    def remember(self, number: int) -> Guarded | None:
        """Measures what the round's model forgot, where that is asked for."""
        if self.settings.guard is None:
            return None
        from lrat_sim.training.guard import METRIC, guard  # torch

        self.study.step("guard", f"round {number}")
        source, model = Path(self.settings.guard), self._round(number) / "model"
        with bar("measure what was forgotten") as progress:
            before, after = guard(model, source, self.folder / "guard", progress=progress)
        if self._known is None:  # later rounds may be trained from one another
            self._known = before
        console.print(f"{METRIC} on {source.name}: {self._known:.3f} of the base model, {after:.3f} now", markup=False)
        return Guarded(data_set=source.name, base=self._known, trained=after)

    def gate(self, number: int, retriever: Retriever) -> Decision | None:
        """Holds the round's model against the one in use, on tasks that serve for nothing else."""
        if self.rule == "none":
            return None
        tasks, seed = self.gate_tasks, self.settings.seed
        self.study.step("gate", f"for round {number}, on {len(tasks):,} tasks")
        in_use, new = (
            self.study.run(tasks, self.agent, with_retriever, self.folder / "gate" / name, seed)
            for name, with_retriever in ((self.in_use, self.using), (f"round-{number}", retriever))
        )
        decision = parts.decide(self.rule, self.in_use, in_use, new, tasks, seed=seed)
        console.print(decision.sentence(number), markup=False, soft_wrap=True)
        return decision

    def evaluate(self) -> dict[str, Comparison]:
        """Runs the base, every accepted model and the baselines on the held-out tasks, for each split and k."""
        settings = self.settings
        arms = [Arm(name=BASE, retriever=self.base)]
        for number in self.accepted:
            # the folder is named by the round, so that a further round leaves the last one where it is
            name = self._arm(f"round-{number}")
            arms.append(Arm(name=name, retriever=self.index(number), folder=f"round-{number}"))
        if share := self.share():  # to tell what of the gain is BM25's own
            arms.append(Arm(name=BASE_AND_BM25, retriever=with_bm25(self.dataset, self.base, share)))
        arms += open_arms(self.baselines, self.dataset, self.training.max_document_length)
        cells = [(split, k) for split in settings.splits for k in settings.evaluate_ks or (self.agent.limits.k,)]
        self.study.total = self.study.done + len(cells) * len(arms)
        comparisons = {}
        for split, k in cells:
            name = f"{split}-k{k}"
            agent, seeds = settings.load_agent(settings.agent, k), (settings.seed,)
            condition = Condition(self.dataset, split, agent, settings.test_tasks)
            comparisons[name] = self.study.evaluate(arms, condition, f"evaluate/{name}", base=BASE, seeds=seeds)
        if self.accepted:
            answers = {name: comparison.answer for name, comparison in comparisons.items()}
            add_figures(self._round(self.accepted[-1]) / "model", answers)
        return comparisons

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number}"

    def _collected(self, number: int, name: str) -> Path:
        return self._round(number) / (f"collect-{name}" if name in self.collectors else "collect")

    def _arm(self, model: str) -> str:
        """What a model is called where it is evaluated."""
        return TRAINED if model == self.in_use != BASE else model

    def _note(self, made: list[Round], stopped: str | None, comparisons: Mapping[str, Comparison]) -> Rounds:
        """Records the rounds, with the figures on held-out tasks of the model in use after each of them."""
        after, in_use = list[Round](), BASE
        for round_ in made:
            in_use = f"round-{round_.number}" if round_.accepted else in_use
            figures = {name: arm_figures(comparison, self._arm(in_use)) for name, comparison in comparisons.items()}
            after.append(msgspec.structs.replace(round_, evaluated=figures))
        base = {name: arm_figures(comparison, BASE) for name, comparison in comparisons.items()}
        rounds = Rounds(rounds=after, asked=self.settings.rounds, accepted=self.in_use, base=base, stopped=stopped)
        self.study.save(rounds=rounds)
        return rounds

    def _made_from(self) -> dict[str, Any]:
        """What decides the models; more rounds, tasks, values of k or baselines only add to what is there."""
        settings = self.settings
        decisive = {
            "dataset": self.dataset.card.made_from,
            "agent": self.agent.name,
            "agent's fingerprint": self.agent.describe()["fingerprint"],
            "k": self.agent.limits.k,
            "base_model": settings.base_model,
            "bm25_share": settings.bm25_share,
            "collect_with": settings.collect_with,
            "train_from": settings.train_from,
            "replay": settings.replay if settings.train_from == "last" else None,
            "samples": settings.samples,
            "seed": settings.seed,
            **{f"mining {field}": value for field, value in msgspec.to_builtins(self.recipe).items()},
            **{f"training {field}": value for field, value in self.training.decisive().items()},
        }
        if self.rule != "none":
            tasks = {"tasks": len(self.gate_tasks), "fingerprint": fingerprint(self.gate_tasks)}
            decisive["gate"] = {"rule": self.rule, **tasks}
        return decisive
