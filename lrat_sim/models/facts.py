"""What is known of a model before it is called: its window, its price, and whether its key is there."""

from __future__ import annotations

from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.keys import read_key
from lrat_sim.models import import_litellm
from lrat_sim.models.attempt import PROVIDERS, in_process

__all__ = ["ModelFacts", "Price", "in_process", "model_facts", "require_key"]


class Price(Struct, frozen=True):
    """US dollars a token: of a prompt, of a completion, and of a prompt's beginning that the provider has in its cache,
    None where it asks no other price for that or none is known."""

    prompt: float
    completion: float
    cached: float | None = None


class ModelFacts(Struct, frozen=True):
    """The context window in tokens and the price, None where unknown, and whether a call's price is known."""

    window: int | None
    priced: bool
    price: Price | None = None


def model_facts(model: str) -> ModelFacts:
    """The facts of a litellm model string; an unknown model has none."""
    if model.partition("/")[0] in PROVIDERS:
        return ModelFacts(window=None, priced=True, price=Price(0.0, 0.0))
    try:
        info = import_litellm().get_model_info(model)
    except Exception:  # litellm raises errors of several kinds, some bare, for a model that its map does not hold
        return ModelFacts(window=None, priced=False)
    prompt, completion = info.get("input_cost_per_token") or 0.0, info.get("output_cost_per_token") or 0.0
    price = Price(prompt, completion, info.get("cache_read_input_token_cost"))
    priced = bool(prompt or completion)
    return ModelFacts(window=info.get("max_input_tokens"), priced=priced, price=price if priced else None)


def require_key(model: str, *, base_url: str | None, key_env: str | None) -> None:
    """Refuses a model whose key is not set, before many calls are tried in vain.

    Args:
        model: litellm's name of it.
        base_url: an endpoint of one's own may need no key, so there nothing is refused.
        key_env: the environment variable that is said to hold the key.

    Raises:
        InputError: naming the variable to set.
    """
    if key_env is not None:
        missing = [] if read_key(key_env) else [key_env]
    elif base_url is not None or model.partition("/")[0] in PROVIDERS:
        missing = []
    else:
        missing = import_litellm().validate_environment(model)["missing_keys"]
    if missing:
        raise InputError(
            f"the model {model!r} needs a key: set {' and '.join(missing)}, or name a variable by key_env."
        )
