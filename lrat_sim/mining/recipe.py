"""A mining recipe: by which rules pairs are made from runs.  Presets are ``lrat_sim/recipes/mine-*.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, field, structs

from lrat_sim import catalog
from lrat_sim.artifact import fingerprint
from lrat_sim.mining.rules import LENGTHS, NEGATIVES, POSITIVES, SEARCHES, WALKS, Parallel, check_name
from lrat_sim.mining.usefulness import NEED_ANSWERS, USEFULNESS
from lrat_sim.mining.weights import WEIGHTS
from lrat_sim.records import GradeState
from lrat_sim.retrieval.query_text import NEED_TITLES, PLAIN, TextName
from lrat_sim.settings import NotNegative, Positive, Settings, Whole


class NegativeRule(Settings, frozen=True):
    """One source of negatives."""

    rule: Annotated[str, Meta(description=f"Which listed documents it takes: {', '.join(NEGATIVES)}.")] = "unbrowsed"
    weight: Annotated[Positive, Meta(description="Multiplies a negative's term in the denominator of the loss.")] = 1.0
    limit: Annotated[Whole | None, Meta(description="Negatives per pair from this rule, in rank order.")] = None
    up_to: Annotated[Whole | None, Meta(description="Negatives per pair from this rule and those before it.")] = None

    def __post_init__(self) -> None:
        check_name("negatives.rule", self.rule, NEGATIVES)


class NearPositive(Settings, frozen=True):
    """Negatives that an encoder finds too like their positive are dropped."""

    encoder: Annotated[str | None, Meta(description="Model folder or hub id; all-MiniLM-L6-v2 by default.")] = None
    share: Annotated[
        float, Meta(gt=0, le=1, description="Drop negatives whose score is above this share of the positive's.")
    ] = 0.95


class Guards(Settings, frozen=True):
    """What keeps false negatives and repetition out; all off by default, as in the paper.

    Which pairs a count keeps is drawn by a hash of where they come from, so it does not depend on their order.
    """

    look_ahead: Annotated[bool, Meta(description="A document that the run opens later is no negative.")] = False
    question_positives: Annotated[bool, Meta(description="Any run's positive is no negative of its question.")] = False
    near_positive: Annotated[NearPositive | None, Meta(description="Drop negatives too like their positive.")] = None
    deduplicate: Annotated[
        bool, Meta(description="Of pairs with the same query and positive, keep the one with the longest reasoning.")
    ] = False
    pairs_per_document: Annotated[Whole | None, Meta(description="Most pairs with the same positive.")] = None
    negatives_per_document: Annotated[Whole | None, Meta(description="Most pairs with the same negative.")] = None


class Shuffle(Settings, frozen=True):
    """How positives are made to say nothing, for a control."""

    within: Annotated[
        Literal["pairs", "list"],
        Meta(description="Exchange positives between all pairs, or draw them from each pair's own documents."),
    ] = "list"
    seed: Annotated[int, Meta(description="Random seed.")] = 0


_NAMED_RULES: dict[str, Mapping[str, Any]] = {
    "useful": USEFULNESS,
    "walk": WALKS,
    "searches": SEARCHES,
    "positives": POSITIVES,
    "length": LENGTHS,
    "weight": WEIGHTS,
}
"""The table in which each field of a recipe that names a rule is looked up."""


class MiningRecipe(Settings, frozen=True):
    """How pairs are mined; the defaults are those of the paper.

    Raises:
        InputError: a name is unknown.
    """

    description: Annotated[str, Meta(description="What the recipe is for.")] = ""
    runs: Annotated[
        Literal["all", "correct", "incorrect"],
        Meta(description="Which of the runs that answered are mined; correct and incorrect need grades."),
    ] = "all"
    unanswered: Annotated[bool, Meta(description="Also mine runs without an answer, if runs is all.")] = False
    useful: Annotated[str, Meta(description="What makes a document useful: judged so, or also used.")] = "judged"
    walk: Annotated[str, Meta(description=f"Which browses belong to a search: {', '.join(WALKS)}.")] = "search"
    searches: Annotated[str, Meta(description="Which searches count: all, or a third of the run's turns.")] = "all"
    parallel: Annotated[
        Parallel,
        Meta(description="Which of several searches of a turn gets a document that they list: the latest or every."),
    ] = "latest"
    positives: Annotated[str, Meta(description=f"Which browses make positives: {', '.join(POSITIVES)}.")] = "relevant"
    negatives: Annotated[
        list[NegativeRule], Meta(description="Where negatives come from; the first rule to take a document keeps it.")
    ] = field(default_factory=lambda: [NegativeRule()])
    query_text: Annotated[TextName, Meta(description="What a retriever that is trained on the pairs reads.")] = PLAIN
    silent: Annotated[
        Literal["drop", "unweighted"],
        Meta(description="What to do with a useful document after which the agent wrote nothing."),
    ] = "drop"
    length: Annotated[str, Meta(description="In what the length of reasoning is counted: tokens or words.")] = "tokens"
    weight: Annotated[str, Meta(description=f"What a pair weighs by: {', '.join(WEIGHTS)}.")] = "length"
    outcome_weights: Annotated[
        dict[GradeState, NotNegative],
        Meta(description="Factors of the raw weight by how the run's answer was graded; need grades."),
    ] = field(default_factory=dict)
    guards: Annotated[Guards, Meta(description="What keeps false negatives and repetition out.")] = Guards()
    shuffle_positives: Annotated[
        int | Shuffle | None,
        Meta(description="Exchange positives at random, as a control; a number is the seed of an exchange of all."),
    ] = None

    def __post_init__(self) -> None:
        for name, table in _NAMED_RULES.items():
            check_name(name, getattr(self, name), table)

    @property
    def shuffle(self) -> Shuffle | None:
        """How positives are exchanged, None where they are not."""
        shuffle = self.shuffle_positives
        return Shuffle(within="pairs", seed=shuffle) if isinstance(shuffle, int) else shuffle

    @property
    def needs_grades(self) -> bool:
        """Whether pairs depend on how answers were graded."""
        return self.runs != "all" or bool(self.outcome_weights)

    @property
    def needs_answers(self) -> bool:
        """Whether pairs depend on the tasks' accepted answers."""
        return self.useful in NEED_ANSWERS

    @property
    def needs_verdicts(self) -> bool:
        """Whether pairs depend on verdicts."""
        by_verdict = {"redundant", "hard", "rejected"}.intersection(source.rule for source in self.negatives)
        return self.positives != "browsed" or self.useful != "judged" or self.weight == "judge" or bool(by_verdict)

    @property
    def needs_titles(self) -> bool:
        """Whether queries name the documents that earlier searches found."""
        return self.query_text in NEED_TITLES

    @property
    def fingerprint(self) -> str:
        """The identity of the recipe: equal where it makes the same pairs."""
        return fingerprint(structs.replace(self, description=""))


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> MiningRecipe:
    """A recipe by name or path, for example ``mine-paper``, with single fields set otherwise.

    Raises:
        UnknownName: no such recipe.
        InputError: a field is unknown or its value not allowed.
    """
    return catalog.load("recipes", name, MiningRecipe, overrides)
