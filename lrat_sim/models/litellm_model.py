"""Models of any provider, through litellm's public interface: their calls, and what is known of them before.

``litellm`` is imported on first use: that takes seconds, and importing lrat-sim must not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.keys import read_environment, read_key
from lrat_sim.models.budget import Price, known_cost, read_usage
from lrat_sim.models.call import Answer, NoAnswer, Request, is_own
from lrat_sim.models.responses import read_response, request_body
from lrat_sim.models.transport import reach_directly

_KEYED = ("openai", "azure")  # providers that find a prompt in their cache by ``prompt_cache_key``


@lru_cache(maxsize=1)
def import_litellm() -> ModuleType:
    """``litellm``, without its network access, printing, telemetry and retries."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import fetches the map of prices
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    # our retries count and record each attempt; litellm's embeddings take a max_retries of 0 for none given
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # litellm only imports it there
    # litellm creates a coroutine in a thread; a call that is cancelled meanwhile leaves it behind, never started
    warnings.filterwarnings(
        "ignore", r"coroutine '[\w.]*(completion|response_api_handler)' was never awaited", RuntimeWarning
    )
    # nor is anybody helped by pages of warnings about a response whose items it does not know
    warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
    # its own log repeats every failed call, which the attempts of a turn record already
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


class LiteLLMModel:
    """Any model that litellm knows."""

    def __init__(self) -> None:
        import_litellm()  # which takes seconds, and must not count as a call's

    async def answer(self, request: Request) -> Answer:
        """One call of ``litellm.acompletion``, or of ``litellm.aresponses``."""
        reach_directly(request.base_url)
        litellm: Any = import_litellm()
        if request.api == "responses":
            response = await litellm.aresponses(**_arguments(request))
            cost = known_cost(response._hidden_params.get("response_cost"))
            return read_response(response.model_dump(exclude_none=True), partial(read_usage, cost=cost))
        response = await litellm.acompletion(**_arguments(request))
        if not response.choices:
            raise NoAnswer("the answer has no choices")
        choice = response.choices[0]
        usage = response.usage.model_dump() if getattr(response, "usage", None) is not None else None
        return Answer(
            message=choice.message.model_dump(exclude_none=True),
            # litellm's documented place for the price of a call
            usage=read_usage(usage, cost=known_cost(response._hidden_params.get("response_cost"))),
            finish_reason=choice.finish_reason,
        )


async def close_litellm() -> None:
    """Closes litellm's connections, if it was used."""
    litellm: Any = sys.modules.get("litellm")
    if litellm is not None:
        with contextlib.suppress(Exception):  # a broken connection may complain on closing; nobody is helped by that
            await litellm.close_litellm_async_clients()
        # closed clients must not be handed to a later event loop that happens to get the same id
        litellm.in_memory_llm_clients_cache.flush_cache()


def with_content(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, with an empty text for a content that is None."""
    return [{**message, "content": ""} if message.get("content", "") is None else message for message in messages]


def _arguments(request: Request) -> dict[str, Any]:
    compatible = import_litellm().openai_compatible_providers
    # litellm leaves out a content that is None, without which the chat template of a self-hosted server may fail;
    # hosted providers each want something else in its place, which litellm knows
    own_server = request.base_url is not None and request.provider in ("openai", *compatible)
    filled = own_server if request.empty_content == "auto" else request.empty_content == "empty"
    if request.api == "responses":
        body = _for_responses(request)
    else:
        # a list of its own, since litellm may change it
        messages = with_content(request.messages) if filled else list(request.messages)
        body = {**request.parameters(), "messages": messages}
    arguments: dict[str, Any] = {
        **body,
        "model": request.model,
        "timeout": request.timeout,
        "max_retries": 0,
        "num_retries": 0,
    }
    if request.provider in compatible:
        # for some of these litellm drops max_retries as unknown to the provider; openai's client then tries three times
        arguments["allowed_openai_params"] = [*arguments.get("allowed_openai_params", []), "max_retries"]
    # null switches off both
    if request.session and request.session_header and request.base_url is None and request.provider in _KEYED:
        arguments.setdefault("prompt_cache_key", request.session)
    read_environment()  # litellm may take a key from there
    if request.base_url is not None:
        arguments["api_base"] = request.base_url
    if request.key_env is not None:
        arguments["api_key"] = read_key(request.key_env)
    elif request.base_url is not None and request.provider == "openai":
        arguments["api_key"] = "none"  # a self-hosted server must not be sent the key of another one
    return arguments


def _for_responses(request: Request) -> dict[str, Any]:
    """The body of a request; parameters of sampling that are not the API's own go apart, or litellm drops them."""
    body = request_body(request)
    apart = {name: body.pop(name) for name in ("presence_penalty", "seed", "stop") if name in body}
    return {**body, "extra_body": {**apart, **(body.get("extra_body") or {})}} if apart else body


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
    """Refuses (InputError) a model whose key is not set: that of ``key_env``, else the provider's usual one; a
    self-hosted endpoint may need none."""
    missing = []
    if key_env is not None:
        missing = [] if read_key(key_env) else [key_env]
    elif base_url is None and not is_own(model):
        missing = import_litellm().validate_environment(model)["missing_keys"]
    if missing:
        raise InputError(f"the model {model!r} needs a key: set {' and '.join(missing)}, or give a key_env.")
