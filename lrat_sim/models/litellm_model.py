"""Models of any provider, through litellm's public interface.

``litellm`` is imported on first use: that takes seconds, and importing lrat-sim must not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from functools import lru_cache
from types import ModuleType
from typing import Any

from lrat_sim.keys import read_environment, read_key
from lrat_sim.models.call import Answer, NoAnswer, Request
from lrat_sim.models.transport import reach_directly
from lrat_sim.models.usage import known_cost, read_usage


@lru_cache(maxsize=1)
def import_litellm() -> ModuleType:
    """``litellm``, without its network access, printing, telemetry and retries.

    The price map that comes with litellm is used, unless ``LITELLM_LOCAL_MODEL_COST_MAP`` is set already.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import fetches the map
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    # our retries count and record each attempt; litellm's embeddings take a max_retries of 0 for none given
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # litellm only imports it there
    # litellm creates a coroutine in a thread; a call that is cancelled meanwhile leaves it behind, never started
    warnings.filterwarnings("ignore", r"coroutine '[\w.]*completion' was never awaited", RuntimeWarning)
    # its own log repeats every failed call, which the attempts of a turn record already
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


class LiteLLMModel:
    """Any model that litellm knows."""

    def __init__(self) -> None:
        import_litellm()  # which takes seconds, and must not count as a call's

    async def answer(self, request: Request) -> Answer:
        """One call of ``litellm.acompletion``."""
        reach_directly(request.base_url)
        response = await import_litellm().acompletion(**_arguments(request))
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
    own_server = request.base_url and request.provider in ("openai", *compatible)
    arguments: dict[str, Any] = {
        **request.parameters(),
        "model": request.model,
        # a list of its own, since litellm may change it
        "messages": with_content(request.messages) if own_server else list(request.messages),
        "timeout": request.timeout,
        "max_retries": 0,
        "num_retries": 0,
    }
    if request.provider in compatible:
        # for some of these litellm drops max_retries as unknown to the provider; openai's client then tries three times
        arguments["allowed_openai_params"] = [*arguments.get("allowed_openai_params", []), "max_retries"]
    read_environment()  # litellm may take a key from there
    if request.base_url is not None:
        arguments["api_base"] = request.base_url
    if request.key_env is not None:
        arguments["api_key"] = read_key(request.key_env)
    elif request.base_url is not None and request.provider == "openai":
        arguments["api_key"] = "none"  # a self-hosted server must not be sent the key of another one
    return arguments
