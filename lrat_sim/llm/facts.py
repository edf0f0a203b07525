"""What litellm's map knows of a model beforehand: its window and its price."""

from __future__ import annotations

from msgspec import Struct

from lrat_sim.llm import import_litellm
from lrat_sim.llm.client import PROVIDERS


class ModelFacts(Struct, frozen=True):
    """The context window in tokens, None where unknown, and whether a call's price is known."""

    window: int | None
    priced: bool


def model_facts(model: str) -> ModelFacts:
    """The facts of a litellm model string; an unknown model has none."""
    if model.partition("/")[0] in PROVIDERS:
        return ModelFacts(window=None, priced=True)
    try:
        info = import_litellm().get_model_info(model)
    except Exception:  # litellm raises errors of several kinds, some bare, for a model that its map does not hold
        return ModelFacts(window=None, priced=False)
    priced = bool(info.get("input_cost_per_token") or info.get("output_cost_per_token"))
    return ModelFacts(window=info.get("max_input_tokens"), priced=priced)
