"""A mining recipe: which parts make pairs out of runs. Presets are ``lrat_sim/recipes/mine-*.yaml``."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field, structs

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.mining.parts import NEGATIVES, POSITIVES, QUERIES, SEARCHES, WEIGHTS, check_part


class NegativeRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of negatives.

    Args:
        rule: the name of a part that picks documents (``lrat_sim.mining.parts.NEGATIVES``).
        weight: multiplies each one's term in the denominator of the loss, above 0.
        limit: at most so many a pair, in rank order; None for all.

    Raises:
        InputError: a value is not allowed.
    """

    rule: str = "unbrowsed"
    weight: float = 1.0
    limit: int | None = None

    def __post_init__(self) -> None:
        check_part("negatives.rule", self.rule, NEGATIVES)
        if not 0 < self.weight < float("inf"):
            raise InputError(f"negatives.weight is {self.weight}; it must be a finite number above 0.")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"negatives.limit is {self.limit}; it must be 1 or more, or left out.")


class MiningRecipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How pairs are mined; the defaults are those of the paper.

    Args:
        description: for readers.
        runs: which of the runs that answered are mined; ``correct`` and ``incorrect`` need grades.
        searches: which searches count.
        positives: which browses make their document a positive.
        negatives: where negatives come from; a document picked by several rules keeps the first.
        query: what text is the query.
        weight: what a pair weighs.
        shuffle_positives: a seed; positives are then exchanged at random between the pairs, as a control that must
            teach nothing. None leaves them.

    Raises:
        InputError: a value is not allowed; names the field, the value and what is allowed.
    """

    description: str = ""
    runs: Literal["all", "correct", "incorrect"] = "all"
    searches: str = "all"
    positives: str = "relevant"
    negatives: list[NegativeRule] = field(default_factory=lambda: [NegativeRule()])
    query: str = "search"
    weight: str = "length"
    shuffle_positives: int | None = None

    def __post_init__(self) -> None:
        check_part("searches", self.searches, SEARCHES)
        check_part("positives", self.positives, POSITIVES)
        check_part("query", self.query, QUERIES)
        check_part("weight", self.weight, WEIGHTS)

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
