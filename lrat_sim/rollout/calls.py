"""What the model calls of one rollout share: how many are in flight, what they may cost, what is known already."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.models.budget import Budget
from lrat_sim.models.cache import CallCache
from lrat_sim.models.call import is_own
from lrat_sim.models.client import Client, close_connections
from lrat_sim.models.facts import model_facts
from lrat_sim.models.limiter import AdaptiveLimiter, RunLimiter
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.settings import Positive, Settings

CACHE = "calls.sqlite"
_RUNS_A_CALL = 4


class CallOptions(Settings, frozen=True, kw_only=True):
    """How the agents' model calls are sent, and what all of them may cost together; none of it decides an answer."""

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

    def budget(self) -> Budget:
        """What all runs may cost and take together, from now on."""
        return Budget(cost=self.max_cost, seconds=self.max_seconds)

    def resolved(self, model: str, folder: Path) -> CallOptions:
        """These options, checked, with the file of the cache; a model of our own needs none of its own.

        Raises:
            InputError: a limit cannot be kept.
        """
        if self.max_cost is not None and model_facts(model).price is None:
            raise InputError(f"`max_cost` cannot be kept: the price of {model!r} is unknown; use `limits.tokens`.")
        own = not is_own(model) and str(folder / CACHE)
        return msgspec.structs.replace(self, cache=own if self.cache is True else self.cache)


class Calls:
    """What is open while the runs are under way.

    Args:
        settings: how the calls are sent.
        client: through which they go.
        budget: the client's.
        runs: lets runs begin; None where there is no reason to wait.
    """

    def __init__(self, settings: CallOptions, client: Client, budget: Budget, runs: RunLimiter | None):
        self.settings, self.client, self.budget, self._runs = settings, client, budget, runs

    @property
    def runs(self) -> int:
        """How many runs may be drawn at once."""
        return self.settings.concurrency * (1 if self._runs is None else _RUNS_A_CALL)

    def admitted(self) -> Any:
        """An async context manager around one run; those that wait are let in in the order of coming."""
        return nullcontext() if self._runs is None else self._runs.slot()

    def fields(self) -> dict[str, str]:
        """How the calls go now, by heading."""
        limiter = self.client.limiter
        if limiter is None:
            return {}
        return {
            "calls": f"{limiter.taken}/{limiter.limit}",
            "retries": f"{self.client.retried:,}",
        }


@asynccontextmanager
async def opened(
    settings: CallOptions, model: str, folder: Path, *, spent: float, budget: Budget | None = None
) -> AsyncIterator[Calls]:
    """Opens the cache and the limiters, and closes them.

    Args:
        settings: of the calls.
        model: litellm's name of it; one of our own, in this process, needs no limiter.
        folder: the run folder.
        spent: US dollars that its runs cost before.
        budget: one that several rollouts share; by default that of the settings, whose time begins now.
    """
    async with AsyncExitStack() as stack:
        if not is_own(model):
            stack.push_async_callback(close_connections)
            stack.enter_context(_frozen())
        # from here on its time runs
        budget = budget or settings.budget()
        budget.include(folder, spent)
        cache = stack.enter_context(CallCache(settings.cache)) if isinstance(settings.cache, str) else None
        if is_own(model):
            yield Calls(settings, Client(budget=budget, cache=cache), budget, None)
            return
        limiter = AdaptiveLimiter(settings.concurrency, adaptive=settings.adaptive)
        client = Client(limiter=limiter, cache=cache, budget=budget)
        yield Calls(settings, client, budget, RunLimiter(limiter, most=_RUNS_A_CALL))


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
