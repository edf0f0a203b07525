"""What is known of a model before it is called: its window, its price, and whether its key is there."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.keys import read_key
from lrat_sim.models.call import is_own
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.models.usage import Price


class ModelFacts(Struct, frozen=True):
    """The context window in tokens and the price, None where unknown."""

    window: int | None = None
    price: Price | None = None


def model_facts(model: str) -> ModelFacts:
    """The facts of a model by its name; nothing is known of an unknown one."""
    return ModelFacts(price=Price(0.0, 0.0)) if is_own(model) else _listed(model)


@lru_cache(maxsize=256)
def _listed(model: str) -> ModelFacts:
    try:
        info = import_litellm().get_model_info(model)
    except Exception:  # litellm raises errors of several kinds, some bare, for a model that its map does not hold
        return ModelFacts()
    prompt, completion = info.get("input_cost_per_token") or 0.0, info.get("output_cost_per_token") or 0.0
    price = Price(prompt, completion, info.get("cache_read_input_token_cost")) if prompt or completion else None
    return ModelFacts(info.get("max_input_tokens"), price)


def require_key(model: str, *, base_url: str | None, key_env: str | None) -> None:
    """Refuses a model whose key is not set, before many calls are tried in vain.

    The key is that of ``key_env``, else the provider's usual one; a self-hosted endpoint may need none.

    Raises:
        InputError: naming the variable to set.
    """
    missing = []
    if key_env is not None:
        missing = [] if read_key(key_env) else [key_env]
    elif base_url is None and not is_own(model):
        missing = import_litellm().validate_environment(model)["missing_keys"]
    if missing:
        raise InputError(
            f"the model {model!r} needs a key: set {' and '.join(missing)}, or name a variable by key_env."
        )
