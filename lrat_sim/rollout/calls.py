"""What the model calls of one rollout share: how many are in flight, what they may cost, what is known already."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.models import close_connections, import_litellm
from lrat_sim.models.budget import Budget
from lrat_sim.models.cache import CallCache
from lrat_sim.models.client import Client
from lrat_sim.models.facts import in_process, model_facts
from lrat_sim.models.gate import Admission, Gate
from lrat_sim.models.workers import Workers

CACHE = "calls.sqlite"
_RUNS_A_CALL = 4


class CallSettings(Struct, frozen=True, kw_only=True):
    """How the calls of one rollout are sent; none of it decides an answer.

    ``cache`` is the file of answers, None for none; the rest as :func:`~lrat_sim.rollout.run.rollout` takes it.
    """

    concurrency: int
    adaptive: bool
    processes: int
    cost: float | None
    seconds: float | None
    cache: str | None


def call_settings(
    model: str,
    folder: Path,
    *,
    concurrency: int,
    adaptive: bool,
    processes: int,
    cost: float | None,
    seconds: float | None,
    cache: Path | str | bool,
) -> CallSettings:
    """The settings of a rollout's calls, checked; without a cache of its own where answers are computed here.

    Raises:
        InputError: a number is out of its range, or a limit cannot be kept.
    """
    if processes < 0:
        raise InputError(f"processes is {processes}; give 1 or more, or 0 for this process alone.")
    Budget(cost=cost, seconds=seconds)  # says what is wrong with a limit
    if cost is not None and not model_facts(model).priced:
        raise InputError(f"`cost` cannot be kept: the price of {model!r} is unknown; limit `limits.tokens` instead.")
    here = in_process(model)
    own = str(folder / CACHE) if not here else None
    return CallSettings(
        concurrency=concurrency,
        adaptive=adaptive,
        processes=0 if here else processes,
        cost=cost,
        seconds=seconds,
        cache=(own if cache else None) if isinstance(cache, bool) else str(cache),
    )


class Calls:
    """What is open while the runs are under way.

    Args:
        settings: how the calls are sent.
        client: through which they go.
        budget: the client's.
        admission: lets runs begin; None where there is no reason to wait.
    """

    def __init__(self, settings: CallSettings, client: Client, budget: Budget, admission: Admission | None):
        self.settings, self.client, self.budget, self._admission = settings, client, budget, admission

    @property
    def runs(self) -> int:
        """How many runs may be drawn at once."""
        return self.settings.concurrency * (1 if self._admission is None else _RUNS_A_CALL)

    def admitted(self) -> Any:
        """An async context manager around one run; those that wait are let in in the order of coming."""
        return nullcontext() if self._admission is None else self._admission.place()

    def fields(self) -> dict[str, str]:
        """How the calls go now, by heading."""
        if self.client.gate is None:
            return {}
        return {
            "calls": f"{self.client.gate.in_flight}/{self.client.gate.limit}",
            "retries": f"{self.client.retried:,}",
        }


@asynccontextmanager
async def opened(
    settings: CallSettings, model: str, folder: Path, *, spent: float, budget: Budget | None = None
) -> AsyncIterator[Calls]:
    """Opens cache, processes and gate, and closes them.

    Args:
        settings: of the calls.
        model: litellm's name of it; one whose answers are computed in this process needs no gate.
        folder: the run folder.
        spent: US dollars that its runs cost before.
        budget: one that several rollouts share; by default that of the settings, whose time begins now.
    """
    async with AsyncExitStack() as stack:
        if not in_process(model):
            stack.push_async_callback(close_connections)
            stack.enter_context(_frozen())
        # from here on its time runs
        budget = budget or Budget(cost=settings.cost, seconds=settings.seconds)
        budget.include(folder, spent)
        cache = stack.enter_context(CallCache(settings.cache)) if settings.cache is not None else None
        if in_process(model):
            yield Calls(settings, Client(budget=budget, cache=cache), budget, None)
            return
        gate = Gate(settings.concurrency, adaptive=settings.adaptive)
        processes = await stack.enter_async_context(Workers(settings.processes)) if settings.processes else None
        client = Client(gate=gate, cache=cache, budget=budget, processes=processes)
        yield Calls(settings, client, budget, Admission(gate, most=_RUNS_A_CALL))


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
