"""The arms of an ablation, as a table in YAML describes them (``lrat_sim/recipes/ablate-arms.yaml``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.experiment.arms import check_arm
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.training.settings import TrainingSettings

BASE = "base"
TABLE = "ablate-arms"


class ArmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One arm: a retriever that is there already, or how one is made from the collected runs.

    Args:
        description: for readers.
        retriever: a spec as for :func:`lrat_sim.retrieval.open_retriever`, or ``base``, the encoder that training
            starts from; None where the arm is trained.
        mining: name or path of the mining recipe; None where nothing is trained.
        mining_options: fields of it to set otherwise.
        training: name or path of the training recipe.
        training_options: fields of it to set otherwise.
        kind: what is trained: an ``encoder``, or a ``reranker`` over the base.
        rerank: options of the retriever ``rerank``, for a reranker.
        agent_options: fields of the agent's profile that this arm sets otherwise while it is evaluated
            (``search_with``), since it was trained on such queries.

    Raises:
        InputError: it has neither a retriever nor a recipe, or both, or options that do nothing.
    """

    description: str = ""
    retriever: str | None = None
    mining: str | None = None
    mining_options: dict[str, Any] = {}
    training: str = "train-small"
    training_options: dict[str, Any] = {}
    kind: Literal["encoder", "reranker"] = "encoder"
    rerank: dict[str, Any] = {}
    agent_options: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if (self.retriever is None) == (self.mining is None):
            raise InputError(
                f"an arm has retriever {self.retriever!r} and mining {self.mining!r}; give it one of the two."
            )
        if self.retriever is not None and (self.mining_options or self.training_options):
            raise InputError(f"an arm with the retriever {self.retriever!r} is not trained; leave its options out.")
        if self.rerank and self.kind != "reranker":
            raise InputError("an arm that is no reranker has rerank options; leave them out or set kind to reranker.")

    def recipe(self) -> MiningRecipe:
        """The mining recipe of a trained arm."""
        return load_recipe(self.mining or "", self.mining_options)

    def trained_by(self) -> TrainingSettings:
        """The training recipe."""
        return catalog.load("recipes", self.training, TrainingSettings, self.training_options)


class ArmTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of arms, by name."""

    arms: dict[str, ArmSettings]
    description: str = ""


def load_arms(names: Sequence[str] = (), table: str = TABLE) -> dict[str, ArmSettings]:
    """Arms by name, checked with everything that they name: recipes, fields, retrievers.

    Args:
        names: which, in this order; all of the table's by default. ``base`` always comes first, named or not.
        table: name or path of the table.

    Raises:
        UnknownName: there is no such table, recipe or retriever.
        InputError: an arm is not in the table or cannot be what it says, or names a folder that cannot be.
    """
    found = catalog.load("recipes", table, ArmTable).arms
    unknown = [name for name in names if name not in found]
    if unknown:
        raise InputError(f"there is no arm {unknown[0]!r} in {table}; it has {', '.join(found)}.")
    wanted = dict.fromkeys([BASE, *(names or found)])
    arms = {name: found.get(name, ArmSettings(retriever=BASE)) for name in wanted}
    if arms[BASE].retriever is None:
        raise InputError(f"the arm {BASE!r} of {table} is trained, but the others are measured against it; rename it.")
    for name, arm in arms.items():
        check_arm(name)
        if arm.mining is not None:
            arm.recipe(), arm.trained_by()
        elif arm.retriever not in (None, BASE):
            check_retriever(arm.retriever or "")
    return arms
