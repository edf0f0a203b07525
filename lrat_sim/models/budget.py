"""What calls use and cost, and the limit on what many may cost together and on the time that they may take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.errors import InputError, LratSimError
from lrat_sim.records import Usage
from lrat_sim.tables import dollars

Limit = Literal["cost", "seconds"]
# what is beyond these cannot be true
_MOST_TOKENS = 1_000_000_000
_MOST_DOLLARS = 1_000_000


class Price(Struct, frozen=True):
    """US dollars per token."""

    prompt: float
    completion: float
    cached: float | None = None  # of a prompt's part in the provider's cache; None without a price of its own

    def cost(self, prompt: float, completion: float, cached: float = 0.0) -> float:
        """US dollars for so many tokens; ``cached`` of the prompt's were in the provider's cache."""
        rate = self.prompt if self.cached is None else self.cached
        return (prompt - cached) * self.prompt + cached * rate + completion * self.completion


def known_cost(value: Any) -> float | None:
    """US dollars of one call; None where they are not known, or cannot be true."""
    # zero is what litellm says of some models whose price it does not know
    return float(value) if isinstance(value, int | float) and 0 < value < _MOST_DOLLARS else None


def read_usage(usage: Any, *, cost: float | None = None, price: Price | None = None) -> Usage:
    """An OpenAI-shaped ``usage``, with the ``cost`` of the call in US dollars where it or the ``price`` is known."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    # litellm fills in zeros where a provider says nothing; no prompt has none
    if not prompt or completion is None:
        return Usage()
    cached = _cached(usage)
    cached = None if cached is None else min(cached, prompt)
    if price is not None:
        cost = known_cost(price.cost(prompt, completion, cached or 0))
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, reasoning_tokens=reasoning, cached_tokens=cached, cost=cost
    )


def _cached(usage: Any) -> int | None:
    """The prompt's tokens that were in the provider's cache: in OpenAI's place, in Moonshot's, or in DeepSeek's."""
    places = (
        (usage.get("prompt_tokens_details"), "cached_tokens"),
        (usage, "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
    )
    return next((count for place, name in places if (count := _count(place, name)) is not None), None)


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return count if type(count) is int and 0 <= count <= _MOST_TOKENS else None


class LimitReached(LratSimError):
    """The budget of many calls is spent.  It belongs to no task, so nothing is recorded for the one that met it."""

    def __init__(self, limit: Limit, message: str):
        self.limit = limit
        super().__init__(message)

    def __reduce__(self) -> tuple[type[LimitReached], tuple[Limit, str]]:
        """By its arguments, so that it survives the way back from another process."""
        return type(self), (self.limit, str(self))


class Budget:
    """Counts what calls cost, and ends them when it is spent; by default there is no limit.

    ``cost`` is in US dollars, of which ``spent`` count as spent already; ``seconds`` are from now on.  Calls under way
    when a limit is reached are no longer counted, so a provider's bill may be higher by those.
    """

    def __init__(self, *, cost: float | None = None, seconds: float | None = None, spent: float = 0.0):
        for name, limit in (("cost", cost), ("seconds", seconds)):
            if limit is not None and not limit > 0:
                raise InputError(f"{name} is {limit}; give a number above 0, or none for no limit.")
        self.cost, self.seconds, self.spent = cost, seconds, spent
        self.ends = None if seconds is None else time.monotonic() + seconds
        self._included: set[Path] = set()
        self._dearest = 0.0
        self._unpriced = False

    def check(self) -> None:
        """Raises :class:`LimitReached` where the money is spent or the time is over; called before each attempt."""
        if self.cost is not None and self.spent >= self.cost:
            problem = f"is reached: {dollars(self.spent)} are spent"
            raise LimitReached("cost", f"the limit of {dollars(self.cost)} {problem}")
        if self.cost is not None and self._unpriced and not self._dearest:
            problem = "cannot be kept: calls come without a price or usage"
            raise LimitReached("cost", f"the limit of {dollars(self.cost)} {problem}")
        if self.ends is not None and time.monotonic() >= self.ends:
            raise self.late()

    def late(self) -> LimitReached:
        """The error that says that the time is over."""
        seconds = self.seconds or 0.0
        written = f"{seconds:.2g}" if seconds < 9.5 else f"{seconds:,.0f}"
        return LimitReached("seconds", f"the limit of {written} seconds is reached")

    def spend(self, cost: float | None) -> None:
        """Counts the cost of an answer; one without a price among others counts as the most expensive of them."""
        self._unpriced = self._unpriced or cost is None
        cost = self._dearest if cost is None else cost
        self._dearest = max(self._dearest, cost)
        self.spent += cost

    def include(self, folder: Path, spent: float) -> None:
        """Adds what the runs of a folder have cost so far, once a folder; later costs are added as they occur."""
        if folder not in self._included:
            self._included.add(folder)
            self.spent += spent

    def take_back(self, cost: float | None) -> None:
        """Subtracts a cost that will be counted again, since its answers are in a cache."""
        self.spent -= cost or 0.0
