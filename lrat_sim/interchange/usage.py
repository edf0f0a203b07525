"""Numbers as other tools write them: counts, money, seconds; what cannot be one is unknown."""

from __future__ import annotations

from typing import Any


def count(value: Any) -> int | None:
    """A whole number, perhaps written as a float; None of anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def known(**values: float | None) -> dict[str, float]:
    """Those that are known."""
    return {name: value for name, value in values.items() if value is not None}


def money(value: Any) -> float | None:
    """US dollars; None of anything else."""
    return float(value) if _is_number(value) and 0 <= value < 1e9 else None


def seconds_of(value: Any) -> float:
    """Seconds, of a span or since 1970; 0 of anything else."""
    return float(value) if _is_number(value) and 0 <= value < 1e11 else 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
