"""What the model calls of one rollout share: how many are in flight, what they may cost, what is known already."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

from msgspec import Meta, structs

from lrat_sim.errors import InputError
from lrat_sim.models.budget import Budget
from lrat_sim.models.cache import CallCache
from lrat_sim.models.call import is_own
from lrat_sim.models.client import Client, close_connections
from lrat_sim.models.limiter import AdaptiveLimiter, RunLimiter
from lrat_sim.models.litellm_model import import_litellm, model_facts
from lrat_sim.settings import Positive, Settings

CACHE = "calls.sqlite"
RUNS_A_CALL = 4
"""Runs that may be under way for each model call that may be in flight; most of them wait to try again."""


class CallOptions(Settings, frozen=True, kw_only=True):
    """How the agents' model calls are sent, and what they may cost together; none of it decides an answer."""

    concurrency: Annotated[
        int, Meta(ge=1, le=100_000, description="Largest number of model calls in flight at once.")
    ] = 20
    adaptive: Annotated[
        bool, Meta(description="Start with 20 calls in flight at most and let the provider's 429s decide from there.")
    ] = True
    max_cost: Annotated[Positive | None, Meta(description="US dollars that all runs may cost together.")] = None
    max_seconds: Annotated[Positive | None, Meta(description="Seconds that all runs may take together.")] = None
    cache: Annotated[
        str | bool,
        Meta(description="File of answers paid for; by default calls.sqlite in each run folder, false for none."),
    ] = True
    otel: Annotated[
        bool, Meta(description="Send runs as OpenTelemetry spans; the OTEL_ environment variables say where to.")
    ] = False

    def budget(self) -> Budget:
        """What all runs may cost and take together, from now on."""
        return Budget(cost=self.max_cost, seconds=self.max_seconds)

    def resolved(self, model: str, folder: Path, budget: Budget | None) -> CallOptions:
        """These options with the limits of a budget, if there is one, and with the file of the cache."""
        max_cost, max_seconds = (budget.cost, budget.seconds) if budget else (self.max_cost, self.max_seconds)
        if max_cost is not None and model_facts(model).price is None:
            raise InputError(f"`max_cost` cannot be kept: the price of {model!r} is unknown; use `limits.tokens`.")
        cache = (not is_own(model) and str(folder / CACHE)) if self.cache is True else self.cache
        return structs.replace(self, max_cost=max_cost, max_seconds=max_seconds, cache=cache)


@asynccontextmanager
async def opened(
    options: CallOptions, model: str, folder: Path, spent: float, budget: Budget | None
) -> AsyncIterator[tuple[Client, RunLimiter | None]]:
    """The client of a rollout, and what lets its runs begin; a model of our own, in this process, needs no limiter.

    ``spent`` is the US dollars that the runs of ``folder`` cost before; ``budget`` is one that several rollouts share.
    """
    async with AsyncExitStack() as stack:
        if not is_own(model):
            stack.push_async_callback(close_connections)
            stack.enter_context(_frozen())
        budget = budget or options.budget()  # its time runs from here on: not while litellm is imported
        budget.include(folder, spent)
        cache = stack.enter_context(CallCache(options.cache)) if isinstance(options.cache, str) else None
        if is_own(model):
            yield Client(budget=budget, cache=cache), None
        else:
            limiter = AdaptiveLimiter(options.concurrency, adaptive=options.adaptive)
            yield Client(limiter=limiter, cache=cache, budget=budget), RunLimiter(limiter, most=RUNS_A_CALL)


@contextmanager
def _frozen() -> Iterator[None]:
    """Spares the garbage collector what imports left behind: litellm's 300,000 objects alone, which it would otherwise
    look through again and again, for about a fifth of the time of a call."""
    import_litellm()
    gc.freeze()  # without a collection first, which would take a second: what is garbage now is freed afterwards
    try:
        yield
    finally:
        gc.unfreeze()
