"""The language-model client.

``litellm`` is imported on first use only: it takes seconds, and importing lrat-sim must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import warnings
from functools import lru_cache
from types import ModuleType


@lru_cache(maxsize=1)
def import_litellm() -> ModuleType:
    """``litellm`` itself, imported without its network access, its prints, its telemetry and its retries.

    Unless ``LITELLM_LOCAL_MODEL_COST_MAP`` is set already, the price map that comes with litellm is used, where
    the import would otherwise fetch one.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    # our retries count and record each try; for embeddings litellm takes a max_retries of 0 for none given
    litellm.DEFAULT_MAX_RETRIES = 0  # type: ignore[attr-defined]  # litellm only imports it there
    # litellm makes a coroutine in a thread; a call that is cancelled meanwhile leaves it behind, not begun and harmless
    warnings.filterwarnings("ignore", r"coroutine '[\w.]*completion' was never awaited", RuntimeWarning)
    # its own log repeats every failed call, which the attempts of a turn record already
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


async def close_connections() -> None:
    """Closes the connections that are kept for the running event loop; to be called before that ends.

    litellm holds its own by the loop's ``id``, so they would leak, and could be handed to a later loop of that id.
    """
    if (direct := sys.modules.get("lrat_sim.models.direct")) is not None:
        await direct.close_direct()
    litellm = sys.modules.get("litellm")
    kept = getattr(litellm, "in_memory_llm_clients_cache", None)
    if kept is None:
        return
    own = f"-{id(asyncio.get_running_loop())}"
    for key in [key for key in kept.cache_dict if key.endswith(own)]:
        client = kept.cache_dict.pop(key)
        kept.ttl_dict.pop(key, None)
        with contextlib.suppress(Exception):  # what a broken connection says on closing helps nobody
            await client.close()
