"""What each study does: its settings, described and bounded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.agent.simulated.persona import Writer
from lrat_sim.errors import InputError
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.settings import Limit, Samples, Seed, Settings, Share, Split, Whole
from lrat_sim.study.arms import BASE, BASE_AND_BM25, ORACLE, TRAINED, named_retriever
from lrat_sim.study.rounds import Rule
from lrat_sim.text import minilm_folder
from lrat_sim.training.settings import TrainingSettings

# fields that several studies have
AgentName = Annotated[str, Meta(description="Agent to run: the name or path of its profile.")]
K = Annotated[Whole, Meta(description="Results per search; by default the agent's own.")]
Seeds = Annotated[tuple[Seed, ...], Meta(description="Random seeds, a run of every arm each; tasks count by the mean.")]
TrainTasks = Annotated[Whole, Meta(description="Training tasks to collect on; all by default.")]
TestTasks = Annotated[Whole, Meta(description="Held-out tasks to evaluate on; all by default.")]
MiningName = Annotated[str, Meta(description="Mining recipe, by name or path; mine-paper is the LRAT paper's.")]
TrainingName = Annotated[str, Meta(description="Training recipe, by name or path.")]
TrainingOptions = Annotated[dict[str, Any], Meta(description="Fields of the training recipe to override.")]
MiningOptions = Annotated[dict[str, Any], Meta(description="Fields of the mining recipe to override.")]
AgentOptions = Annotated[dict[str, Any], Meta(description="Fields of the agent to override, such as limits.turns=30.")]
Fraction = Annotated[float, Meta(gt=0, le=1)]
_BelowOne = Annotated[float, Meta(ge=0, lt=1)]
_GATE = (
    "When to accept a round's model: always (none), or if better on average (mean) or clearly (clear); mean by "
    "default, none for a single round without tasks for it."
)


class StudySettings(Settings, frozen=True, kw_only=True):
    """What every study has."""

    agent_options: AgentOptions = {}
    samples: Samples = 1
    calls: CallOptions = CallOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seeds(getattr(self, "seeds", (0,)))

    def load_agent(self, name: str, k: int | None = None, options: dict[str, Any] | None = None) -> AgentSettings:
        """An agent with the settings' options, results per search and further options."""
        return load_agent(name, {**self.agent_options, **({} if k is None else {"limits.k": k}), **(options or {})})


class TrainingStudySettings(StudySettings, frozen=True, kw_only=True):
    """What every study has that trains models."""

    agent: AgentName = "simulated"
    k: K | None = None
    base_model: Annotated[str | None, Meta(description="Encoder to start from; all-MiniLM-L6-v2 by default.")] = None

    @property
    def base(self) -> str:
        """The encoder to start from."""
        return self.base_model or str(minilm_folder())

    def own_agent(self, **options: Any) -> AgentSettings:
        """The agent, with further options of its profile."""
        return self.load_agent(self.agent, self.k, options)


class RecipeSettings(TrainingStudySettings, frozen=True, kw_only=True):
    """What every study has that trains by one recipe."""

    training: TrainingName = "train-small"
    training_options: TrainingOptions = {}

    def recipe(self) -> TrainingSettings:
        """The training recipe."""
        return catalog.load("recipes", self.training, TrainingSettings, self.training_options)


class CompareSettings(StudySettings, frozen=True, kw_only=True):
    """Retrievers head to head; every combination of agent, task set and k is a comparison of its own."""

    agents: tuple[AgentName, ...] = ("simulated",)
    ks: tuple[K, ...] = ()
    split: Split = "test"
    limit: Limit | None = None
    seeds: Seeds = (0,)
    max_length: Annotated[
        Annotated[int, Meta(ge=4)] | None,
        Meta(description="Tokens of a text that every encoder reads; by default a trained model's."),
    ] = None
    reranker: Annotated[
        str | None, Meta(description="Adds the arm that reranks BM25's results: a recipe, a folder or a hub id.")
    ] = None


class SweepSettings(RecipeSettings, frozen=True, kw_only=True):
    """Success against the number of pairs trained on."""

    sizes: Annotated[tuple[Whole, ...], Meta(description="Numbers of pairs to train on.")]
    split: Split = "test"
    limit: Limit | None = None
    seeds: Seeds = (0,)


class AblationSettings(TrainingStudySettings, frozen=True, kw_only=True):
    """What each part of a recipe contributes."""

    arms: Annotated[tuple[str, ...], Meta(description="Arms of the table, in order; all by default.")] = ()
    table: Annotated[str, Meta(description="Table of arms, by name or path.")] = "ablate-arms"
    writers: Annotated[
        tuple[Writer, ...],
        Meta(description="Also train on what each writer makes of the runs: terse, verbose, vague, wrong, silent."),
    ] = ()
    split: Annotated[str, Meta(description="Held-out tasks: dev to choose an arm by, test to report it.")] = "test"
    seeds: Annotated[tuple[Seed, ...], Meta(description="Random seeds; each is one training of every arm.")] = (0,)
    collect_seed: Annotated[Seed, Meta(description="Random seed of the collected runs, all arms share it.")] = 0
    train_tasks: TrainTasks | None = None
    test_tasks: TestTasks | None = None
    samples: Samples = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "train":
            raise InputError("split is 'train', which the arms are trained on; name held-out tasks, such as dev.")


class FlywheelSettings(RecipeSettings, frozen=True, kw_only=True):
    """A retriever that is improved in rounds."""

    rounds: Annotated[Whole, Meta(description="How often to collect, mine and train.")] = 1
    collect_with: Annotated[
        dict[str, Fraction], Meta(description="Other retrievers to collect with, by their share of tasks: bm25=0.2.")
    ] = {}
    evaluate_ks: Annotated[tuple[Whole, ...], Meta(description="Results per search in evaluation; k by default.")] = ()
    baselines: Annotated[
        tuple[str, ...], Meta(description="Further retrievers to evaluate, each SPEC or NAME=SPEC.")
    ] = ("bm25", ORACLE)
    splits: Annotated[tuple[str, ...], Meta(description="Held-out tasks to evaluate on, by split.")] = ("test",)
    mining: MiningName = "mine-recommended"
    mining_options: MiningOptions = {}
    bm25_share: Annotated[
        _BelowOne | None,
        Meta(description="Share of BM25 in a trained retriever's score, 0 for none; by default fitted on the pairs."),
    ] = None
    train_from: Annotated[
        Literal["base", "last"], Meta(description="Train from the base on all pairs, or from the last accepted model.")
    ] = "base"
    replay: Annotated[Share, Meta(description="With last: the share of earlier pairs seen again.")] = 0.3
    gate: Annotated[Rule | None, Meta(description=_GATE)] = None
    gate_split: Annotated[str, Meta(description="Held-out tasks for the gate alone.")] = "dev"
    gate_tasks: Annotated[Whole | None, Meta(description="Number of tasks of the gate; all by default.")] = None
    patience: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="Stop after this many refused models in a row; 0 never stops.")
    ] = 2
    guard: Annotated[str | None, Meta(description="BEIR folder on which to measure what a model forgot.")] = None
    train_tasks: TrainTasks | None = None
    test_tasks: TestTasks | None = None
    samples: Samples = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        together = math.fsum(self.collect_with.values())
        if together > 1 + 1e-9:
            raise InputError(f"the shares of collect_with are {together:g} together; they must be 1 or less.")

    def rule(self, checkable: bool, begun: Rule | None = None) -> Rule:
        """The gate's rule; ``checkable`` says whether there are tasks for it, and ``begun`` is the rule that the
        flywheel in the folder was begun with."""
        return self.gate or begun or ("mean" if checkable or self.rounds > 1 else "none")

    def named(self, what: str, specs: Sequence[str]) -> dict[str, str]:
        """Retrievers (``what``) by name; none may have that of another or of an arm of every flywheel."""
        own = {BASE, TRAINED, BASE_AND_BM25, *(f"round-{number}" for number in range(1, self.rounds + 1))}
        named = dict(named_retriever(spec) for spec in specs)
        if own & {*named} or len(named) < len(specs):
            raise InputError(
                f"the {what} {', '.join(specs)} need names of their own, other than {', '.join(sorted(own))}; "
                "name them NAME=SPEC."
            )
        for spec in named.values():
            check_retriever(spec)
        return named


class ControlsSettings(RecipeSettings, frozen=True, kw_only=True):
    """The checks of the instrument."""

    train_tasks: TrainTasks = 150
    test_tasks: TestTasks = 150
    repeats: Annotated[Whole, Meta(description="Tasks that are run three times, to see that runs repeat.")] = 24
    samples: Samples = 2
    seed: Seed = 0


class ProbeSettings(StudySettings, frozen=True, kw_only=True):
    """An agent as an instrument: how real it is, and whether it notices a degraded retriever."""

    agent: AgentName = "simulated-paper"
    k: K | None = None
    retriever: Annotated[str, Meta(description="Retriever whose lists are shuffled and degraded.")] = "dense"
    rates: Annotated[tuple[Fraction, ...], Meta(min_length=1, description="Shares of hits to spoil.")] = (
        0.25,
        0.5,
        0.75,
    )
    targets: Annotated[str | None, Meta(description="Targets of behaviour, by name or path.")] = "behaviour-tongyi"
    split: Split = "test"
    limit: Limit | None = None
    seed: Seed = 0


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuses no seeds, or one that is given twice."""
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"the seeds are {', '.join(map(str, seeds)) or 'none'}; give one or more, each once.")
