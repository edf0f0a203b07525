"""How the templates word numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def number(value: float | None, digits: int = 0) -> str:
    """A number with commas; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """A share in per cent, to a tenth."""
    return "–" if value is None else f"{value:.1%}"


def seconds(value: float) -> str:
    """A time, as long as it needs."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def dollars(value: float | None) -> str:
    """A cost."""
    if value is None:
        return "unknown"
    return f"${value:,.2f}" if value == 0 or value >= 1 else f"${value:.4f}"


def many(count: int, word: str, plural: str = "") -> str:
    """A count with its word: 1 turn, 2 turns."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


def last(path: str) -> str:
    """The last part of a run's name."""
    return path.rpartition("/")[2]


def before_last(path: str) -> str:
    """The other parts of a run's name, with the slash."""
    head, slash, _ = path.rpartition("/")
    return head + slash


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "percent": percent,
    "seconds": seconds,
    "dollars": dollars,
    "many": many,
    "last": last,
    "before_last": before_last,
}
