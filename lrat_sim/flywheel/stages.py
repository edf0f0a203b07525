"""The stages of a flywheel's rounds; each finds what an earlier call finished, and goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.artifact import ensure_folder, fingerprint, read_records
from lrat_sim.comparison import Comparison
from lrat_sim.comparison.measures import ArmMetrics
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.corpus.split import check_leak
from lrat_sim.errors import InputError
from lrat_sim.experiment import Allowance, alike, compare_retrievers, graded_rollout, opened, runnable
from lrat_sim.flywheel.gate import Decision, decide, frozen_tasks
from lrat_sim.flywheel.identity import begun_with, decisive, refuse_other
from lrat_sim.flywheel.pairs import replayed, shared_out
from lrat_sim.flywheel.rounds import Guarded
from lrat_sim.flywheel.settings import BASE, TRAINED, FlywheelSettings
from lrat_sim.grading.relevance import RelevanceJudge
from lrat_sim.grading.run import judge_run
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.run import PAIRS, mine_run
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import minilm_folder
from lrat_sim.training.settings import TrainingSettings


def open_base(dataset: Dataset, model: str, training: TrainingSettings) -> Retriever:
    """The encoder that training starts from, over documents as long as training sees them."""
    return opened("dense", dataset, BASE, model=model, max_length=training.max_document_length)


class Stages:
    """The stages, and the model that is in use; everything is checked before anything runs.

    Args:
        dataset: with a ``train`` split, the splits to evaluate on, and that of the gate where there is one.
        folder: the run folder.
        settings: what to do; the defaults where None.
        judge: of the relevance of opened documents; by default the offline rules.

    Attributes:
        accepted: the rounds whose models the gate accepted so far.

    Raises:
        InputError: a setting, a file or a name is wrong, training and held-out tasks share a question, or the folder
            holds a flywheel with other settings.
    """

    def __init__(
        self,
        dataset: Dataset,
        folder: Path | str,
        settings: FlywheelSettings | None = None,
        *,
        judge: RelevanceJudge | None = None,
    ):
        self.dataset, self.folder, self.judge = dataset, Path(folder), judge
        self.settings = settings = settings or FlywheelSettings()
        self.recipe: MiningRecipe = load_recipe(settings.mining, settings.mining_options)
        self.training = catalog.load("recipes", settings.training, TrainingSettings, settings.training_options)
        self.base_model = settings.base_model or str(minilm_folder())
        self.baselines, self.collectors = settings.named_baselines(), settings.named_collectors()
        self._check_guard()
        train = dataset.tasks("train")
        for split in settings.evaluate_splits:
            check_leak(train, dataset.tasks(split))
        self.allowance = Allowance(settings.calls)
        self.train_tasks = runnable(train, self._agent(settings.collect_k), settings.train_tasks)
        self.rule = settings.rule(begun=begun_with(self.folder)[1])
        self.gate_tasks: list[Task] = []
        if self.rule != "none":
            others = ("train", *settings.evaluate_splits)
            agent = self._agent(settings.collect_k)
            self.gate_tasks = frozen_tasks(dataset, settings.gate_split, others, agent, settings.gate_tasks)
        self.accepted: list[int] = []
        self._base: Retriever | None = None
        self._open: Retriever | None = None
        self._known: float | None = None
        self._wanted = self._decisive()
        ensure_folder(self.folder)
        refuse_other(self.folder, self._wanted)

    @property
    def in_use(self) -> str:
        """The name of the model in use."""
        return f"round-{self.accepted[-1]}" if self.accepted else BASE

    def collect(self, number: int) -> dict[str, ArmMetrics]:
        """Runs the training tasks with the model in use, or with the retrievers that they are shared out among.

        Returns:
            The metrics by task of each retriever that got any; the model in use goes by its own name.
        """
        seed = self.settings.seed + number
        shares = {name: share for name, (_, share) in self.collectors.items()}
        found: dict[str, ArmMetrics] = {}
        for name, tasks in shared_out(self.train_tasks, shares, self.in_use, seed).items():
            other = self.collectors.get(name)
            retriever = self._using() if other is None else opened(other[0], self.dataset)
            if other is not None or shares:
                console.print(f"{name} collects on {len(tasks):,} tasks", markup=False)
            found[name] = self._graded(
                retriever,
                self._collected(number, name),
                tasks,
                seed=seed,
                samples=self.settings.samples,
            )
        return found

    def mine(self, number: int, runs: list[Path]) -> int:
        """Judges what was opened in some runs, and mines the round's pairs from them; returns how many."""
        with bar("judge what was opened") as progress:
            for run in runs:
                judge_run(run, self.judge, progress=progress)
        with bar("mine pairs") as progress:
            report = mine_run(runs, self.recipe, self._round(number), progress=progress)
        console.print(report)
        return report.pairs

    def train(self, number: int) -> tuple[str, int]:
        """Trains the round's model; returns what it was trained from, and how many earlier pairs were replayed."""
        from lrat_sim.training.trainer import train  # torch, which nothing before this needs

        settings, last = self.settings, self.settings.train_from == "last" and self.accepted
        base = str(self._round(self.accepted[-1]) / "model") if last else self.base_model
        # what a refused round mined may be what it was refused for
        earlier = [self._round(accepted) / PAIRS for accepted in self.accepted]
        share = settings.replay if last else 1.0
        seeded = msgspec.structs.replace(self.training, seed=self.training.seed + settings.seed)
        count = 0

        def pairs() -> Iterator[Pair]:
            nonlocal count
            for pair in replayed(earlier, share, settings.seed + number):
                count += 1
                yield pair
            yield from read_records(self._round(number) / PAIRS, Pair)

        with bar("train") as progress:
            train(pairs(), self.dataset.corpus, base, seeded, self._round(number) / "model", progress=progress)
        return (self.in_use if last else BASE), count

    def index(self, number: int) -> Retriever:
        """The encoder of a round over the corpus; its index lies with the round, and goes with it."""
        folder, length = self._round(number), self.training.max_document_length
        return opened(
            "dense",
            self.dataset,
            f"round {number}",
            indexes=folder / "indexes",
            model=str(folder / "model"),
            max_length=length,
        )

    def remember(self, number: int) -> Guarded | None:
        """Measures what the round's model forgot, where that is asked for."""
        if self.settings.guard is None:
            return None
        from lrat_sim.training.guard import METRIC, guard  # torch

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

        def ran(name: str, with_: Retriever) -> ArmMetrics:
            console.print(f"gate: {name} on {len(tasks):,} tasks", markup=False)
            return self._graded(with_, self.folder / "gate" / name, tasks, seed=seed)

        in_use, new = ran(self.in_use, self._using()), ran(f"round-{number}", retriever)
        decision = decide(self.rule, self.in_use, in_use, new, tasks, seed=seed)
        taken = "accepted" if decision.accepted else f"refused, {self.in_use} stays in use"
        points = 100 * (decision.success_difference.value or 0.0)
        broken = f", {decision.errors:,} runs broke" if decision.errors else ""
        console.print(f"gate: round {number} is {taken} ({points:+.1f} points of success{broken})", markup=False)
        return decision

    def evaluate(self) -> dict[str, Comparison]:
        """Runs the base, every accepted model and the baselines on the held-out tasks, for each split and k.

        These tasks are looked at here alone, after the last round.
        """
        settings, last = self.settings, self.accepted[-1] if self.accepted else 0
        arms: dict[str, Retriever] = {BASE: self.base()}
        for number in self.accepted:
            arms[TRAINED if number == last else f"round-{number}"] = self.index(number)
        lengths = alike(self.baselines, self.training.max_document_length)
        arms |= {name: opened(spec, self.dataset, **lengths[name]) for name, spec in self.baselines.items()}
        comparisons = {}
        for split in settings.evaluate_splits:
            for k in settings.evaluate_k:
                agent, name = self._agent(k), f"{split}-k{k}"
                console.rule(f"evaluate on {split}, k = {k}")
                comparisons[name] = compare_retrievers(
                    arms,
                    runnable(self.dataset.tasks(split), agent, settings.test_tasks),
                    agent,
                    self.folder / "evaluate" / name,
                    base=BASE,
                    seed=settings.seed,
                    allowance=self.allowance,
                    folders={TRAINED: f"round-{last}"},  # a further round leaves this one where it is
                    setting={"task_set": self.dataset.name, "split": split},
                )
        if last:
            from lrat_sim.training.folder import add_figures

            answers = {name: comparison.answer for name, comparison in comparisons.items()}
            add_figures(self._round(last) / "model", answers)
        return comparisons

    def base(self) -> Retriever:
        """The base model over the corpus."""
        if self._base is None:
            self._base = open_base(self.dataset, self.base_model, self.training)
        return self._base

    def _using(self) -> Retriever:
        return self._open or self.base()

    def _graded(
        self, retriever: Retriever, folder: Path, tasks: list[Task], *, seed: int, samples: int = 1
    ) -> ArmMetrics:
        agent = self._agent(self.settings.collect_k)
        return graded_rollout(tasks, agent, retriever, folder, seed=seed, samples=samples, allowance=self.allowance)

    def _agent(self, k: int) -> AgentSettings:
        return load_agent(self.settings.agent, {**self.settings.agent_options, "limits.k": k})

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number}"

    def _collected(self, number: int, name: str) -> Path:
        return self._round(number) / (f"collect-{name}" if name in self.collectors else "collect")

    def _check_guard(self) -> None:
        source = self.settings.guard
        if source is not None and not any(Path(source).glob("corpus.jsonl*")):
            raise InputError(
                f"guard is {source!r}, which is no data set in the layout of BEIR (no corpus.jsonl); name its folder."
            )

    def _decisive(self) -> dict[str, Any]:
        gate = None
        if self.rule != "none":
            gate = {"rule": self.rule, "tasks": len(self.gate_tasks), "fingerprint": fingerprint(self.gate_tasks)}
        return decisive(
            self.settings,
            gate,
            dataset=self.dataset.card.made_from,
            recipe=self.recipe.fingerprint,
            training=msgspec.to_builtins(self.training),
        )
