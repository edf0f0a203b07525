"""A mining recipe: which parts make pairs out of runs. Presets are ``lrat_sim/recipes/mine-*.yaml``."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from msgspec import Struct, field, structs

from lrat_sim import catalog
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.mining.parts import LENGTHS, NEGATIVES, POSITIVES, QUERIES, SEARCHES, check_part
from lrat_sim.mining.walks import WALKS, Parallel
from lrat_sim.mining.weights import WEIGHTS
from lrat_sim.records import GradeState


def _check_counts(where: str, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"{where}.{name} is {count}; it must be 1 or more, or left out.")


class NegativeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of negatives.

    Args:
        rule: the name of a part that picks documents (``lrat_sim.mining.parts.NEGATIVES``).
        weight: multiplies each one's term in the denominator of the loss, above 0.
        limit: at most so many a pair, in rank order; None for all.
        up_to: as ``limit``, counting those of the rules before.

    Raises:
        InputError: a value is not allowed.
    """

    rule: str = "unbrowsed"
    weight: float = 1.0
    limit: int | None = None
    up_to: int | None = None

    def __post_init__(self) -> None:
        check_part("negatives.rule", self.rule, NEGATIVES)
        if not 0 < self.weight < float("inf"):
            raise InputError(f"negatives.weight is {self.weight}; it must be a finite number above 0.")
        _check_counts("negatives", limit=self.limit, up_to=self.up_to)


class NearPositive(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Negatives that an encoder finds too like their positive are dropped.

    Args:
        encoder: a sentence-transformers folder or hub id; None is the offline all-MiniLM-L6-v2.
        share: dropped are those whose score is above this share of the positive's, from 0 to 1.

    Raises:
        InputError: a value is not allowed.
    """

    encoder: str | None = None
    share: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"guards.near_positive.share is {self.share}; it must be above 0 and at most 1.")


class Guards(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What keeps false negatives and repetition out; all off by default, as in the paper.

    Args:
        look_ahead: a document that the run opens anywhere later is no negative.
        question_positives: a positive of a question, in any of the runs, is no negative of that question.
        near_positive: drops negatives that an encoder finds too like their positive.
        deduplicate: of pairs with the same query and positive the one with the longest reasoning stays.
        pairs_per_document: a document is the positive of at most so many pairs.
        negatives_per_document: a document is a negative of at most so many pairs.

    Which pairs a count keeps is drawn by a hash of where they come from, so that it depends on no order.

    Raises:
        InputError: a value is not allowed.
    """

    look_ahead: bool = False
    question_positives: bool = False
    near_positive: NearPositive | None = None
    deduplicate: bool = False
    pairs_per_document: int | None = None
    negatives_per_document: int | None = None

    def __post_init__(self) -> None:
        _check_counts(
            "guards",
            pairs_per_document=self.pairs_per_document,
            negatives_per_document=self.negatives_per_document,
        )


class Shuffle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How positives are made to say nothing (:mod:`lrat_sim.mining.shuffle`).

    Args:
        within: exchanged between all ``pairs``, or drawn from the same result ``list``, out of a pair's positive and
            negatives.
        seed: decides it.
    """

    within: Literal["pairs", "list"] = "list"
    seed: int = 0


class MiningRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How pairs are mined; the defaults are those of the paper.

    Args:
        description: for readers.
        runs: which of the runs that answered are mined; ``correct`` and ``incorrect`` need grades.
        unanswered: whether runs that ended without an answer are mined, too; only where ``runs`` is ``all``.
        useful: what makes an opened document relevant: that it was ``judged`` so, or besides that what the run did next
            shows that it was ``used``; one that was not is irrelevant, and where that is unclear it is unjudged
            (:mod:`lrat_sim.mining.uptake`).
        walk: which browses and lists belong to a search (``lrat_sim.mining.walks.WALKS``).
        searches: which searches count: all, or those in the first, second or last third of the run's turns.
        parallel: of several searches in one turn that list a browsed document, the latest or every one gets it.
        positives: which browses make their document a positive.
        negatives: where negatives come from; a document picked by several rules keeps the first.
        query: what text is the query.
        length: in what the length of reasoning is counted.
        weight: what a pair weighs.
        outcome_weights: multiplies the raw weights of pairs by how their run's answer was graded (correct, incorrect,
            ungraded); needs grades.
        guards: what keeps false negatives and repetition out.
        shuffle_positives: positives are exchanged at random, as a control that must teach nothing: a seed exchanges
            them between all pairs, :class:`Shuffle` says between which. None leaves them.

    Raises:
        InputError: a value is not allowed; names the field, the value and what is allowed.
    """

    description: str = ""
    runs: Literal["all", "correct", "incorrect"] = "all"
    unanswered: bool = False
    useful: Literal["judged", "used"] = "judged"
    walk: str = "search"
    searches: str = "all"
    parallel: Parallel = "latest"
    positives: str = "relevant"
    negatives: list[NegativeRule] = field(default_factory=lambda: [NegativeRule()])
    query: str = "search"
    length: str = "tokens"
    weight: str = "length"
    outcome_weights: dict[GradeState, float] = field(default_factory=dict)
    guards: Guards = Guards()
    shuffle_positives: int | Shuffle | None = None

    def __post_init__(self) -> None:
        check_part("walk", self.walk, WALKS)
        check_part("searches", self.searches, SEARCHES)
        check_part("positives", self.positives, POSITIVES)
        check_part("query", self.query, QUERIES)
        check_part("length", self.length, LENGTHS)
        check_part("weight", self.weight, WEIGHTS)
        if self.unanswered and self.runs != "all":
            raise InputError(f"unanswered is true and runs is {self.runs!r}; a run without an answer is neither.")
        for outcome, factor in self.outcome_weights.items():
            if not (math.isfinite(factor) and factor >= 0):
                raise InputError(f"outcome_weights.{outcome} is {factor}; it must be a finite number, 0 or more.")

    @property
    def shuffle(self) -> Shuffle | None:
        """How positives are exchanged, None where they are not."""
        asked = self.shuffle_positives
        return Shuffle(within="pairs", seed=asked) if isinstance(asked, int) else asked

    @property
    def needs_grades(self) -> bool:
        """Whether pairs depend on how answers were graded."""
        return self.runs != "all" or bool(self.outcome_weights)

    @property
    def needs_verdicts(self) -> bool:
        """Whether pairs depend on verdicts."""
        rules = {source.rule for source in self.negatives}
        of_rules = bool(rules & {"redundant", "hard", "rejected"})
        return self.positives != "browsed" or self.useful != "judged" or self.weight == "judge" or of_rules

    @property
    def fingerprint(self) -> str:
        """The identity of the recipe: equal where it makes the same pairs."""
        content: dict[str, Any] = msgspec.to_builtins(structs.replace(self, description=""))
        for name, usual in _LATER.items():
            if content[name] == usual:
                del content[name]
        return fingerprint(content)


_LATER = {"unanswered": False, "useful": "judged"}
"""Fields that count where they are not the default, so that what was mined before they existed is still known."""


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> MiningRecipe:
    """A recipe by name or path, for example ``mine-paper``, with single fields set otherwise.

    Raises:
        UnknownName: no such recipe.
        InputError: a field is unknown or its value not allowed.
    """
    return catalog.load("recipes", name, MiningRecipe, overrides)
