"""What calls use and cost; what a provider does not say, or what cannot be true, is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from lrat_sim.records import Usage

_MOST_TOKENS = 1_000_000_000
_MOST_DOLLARS = 1_000_000


class Price(Struct, frozen=True):
    """US dollars per token: of a prompt, of a completion, and of the part of a prompt that the provider has in its
    cache (None where that has no price of its own, or none is known)."""

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, prompt: float, completion: float, cached: float = 0.0) -> float:
        """US dollars for so many tokens; ``cached`` of the prompt's were in the provider's cache."""
        rate = self.prompt if self.cached is None else self.cached
        return (prompt - cached) * self.prompt + cached * rate + completion * self.completion


def token_count(value: Any) -> int | None:
    """A number of tokens; None where it is no whole number, or beyond any model's window."""
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


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
    if price is not None:
        cached = _count(usage.get("prompt_tokens_details"), "cached_tokens") or 0
        cost = known_cost(price.cost(prompt, completion, min(cached, prompt)))
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return Usage(prompt_tokens=prompt, completion_tokens=completion, reasoning_tokens=reasoning, cost=cost)


def _count(usage: Any, name: str) -> int | None:
    return token_count(usage.get(name)) if isinstance(usage, Mapping) else None
