"""The arms of an ablation, as a table in YAML describes them (``lrat_sim/recipes/ablate-arms.yaml``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.settings import Settings
from lrat_sim.study.arms import BASE, check_arm
from lrat_sim.training.settings import TrainingSettings


class ArmSettings(Settings, frozen=True, kw_only=True):
    """One arm: a retriever that is there already, or how one is made from the collected runs.

    Raises:
        InputError: it has neither a retriever nor a recipe, or both, or options that do nothing.
    """

    description: Annotated[str, Meta(description="For readers.")] = ""
    retriever: Annotated[
        str | None, Meta(description="A retriever that is not trained, or base, the encoder that training starts from.")
    ] = None
    mining: Annotated[str | None, Meta(description="Mining recipe of a trained arm, by name or path.")] = None
    mining_options: Annotated[dict[str, Any], Meta(description="Fields of the mining recipe to override.")] = {}
    training: Annotated[str, Meta(description="Training recipe, by name or path.")] = "train-small"
    training_options: Annotated[dict[str, Any], Meta(description="Fields of the training recipe to override.")] = {}
    kind: Annotated[
        Literal["encoder", "reranker"], Meta(description="What is trained: an encoder, or a reranker over the base.")
    ] = "encoder"
    rerank: Annotated[dict[str, Any], Meta(description="Options of the retriever rerank, for a reranker.")] = {}
    agent_options: Annotated[
        dict[str, Any],
        Meta(description="Fields of the agent's profile to override while this arm is evaluated, such as search_with."),
    ] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
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


class ArmTable(Settings, frozen=True, kw_only=True):
    """A file of arms, by name."""

    arms: dict[str, ArmSettings]
    description: str = ""


def load_arms(names: Sequence[str] = (), table: str = "ablate-arms") -> dict[str, ArmSettings]:
    """Arms of a table by name, checked with everything that they name; all of them by default, ``base`` always first.

    Raises:
        UnknownName: there is no such table, recipe or retriever.
        InputError: an arm is not in the table or cannot be what it says, or names a folder that cannot be.
    """
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
        if arm.mining is not None:
            arm.recipe(), arm.trained_by()
        elif arm.retriever not in (None, BASE):
            check_retriever(arm.retriever or "")
    return arms
