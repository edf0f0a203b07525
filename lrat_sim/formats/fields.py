"""Fields as other tools write them, read leniently: what is not of its kind counts as not given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import RecordError
from lrat_sim.foreign.values import json_value
from lrat_sim.records import Usage

_MOST = 1 << 53
"""Beyond it a number is no count, and one that was a float is no longer exact."""


def text(value: Any) -> str | None:
    """A text; None of anything else."""
    return value if isinstance(value, str) else None


def mapping(value: Any) -> dict[str, Any]:
    """An object; an empty one of anything else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list; an empty one of anything else."""
    return value if isinstance(value, list) else []


def filled(record: dict[str, Any], *without: str) -> dict[str, Any]:
    """The fields of a record that hold something, except those named."""
    return {key: value for key, value in record.items() if key not in without and value not in (None, [], {}, "")}


def text_of(content: Any, gap: str = "") -> str:
    """The text of a content: itself, or the texts among its parts, with ``gap`` between them."""
    if isinstance(content, list):
        texts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return gap.join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def texts_in(value: Any) -> Iterator[str]:
    """Every text that stands anywhere in a value, and every number as a text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)
    elif _is_number(value):
        yield str(value)


def parsed(text: str) -> Any:
    """The JSON object or list that a text is; None of any other text."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json_value(text, Path())
    except RecordError:
        return None


def read_arguments(text: str) -> dict[str, Any] | str:
    """A call's arguments as a mapping, or the text itself where it is no JSON of one that a record can hold."""
    try:
        value = msgspec.json.decode(text)
        msgspec.json.encode(value)  # a number of any length can be read, but not kept
    except (msgspec.DecodeError, UnicodeError, OverflowError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def arguments_text(arguments: dict[str, Any] | str, *, ascii: bool = False) -> str:
    """A call's arguments as a text of JSON, as :func:`read_arguments` reads it."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=ascii)


def count(value: Any) -> int | None:
    """A whole number, perhaps written as a float; None of anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def usage(prompt: Any = None, completion: Any = None, reasoning: Any = None, cost: Any = None) -> Usage:
    """Tokens and US dollars, as far as they are known."""
    return Usage(
        prompt_tokens=count(prompt),
        completion_tokens=count(completion),
        reasoning_tokens=count(reasoning),
        cost=float(cost) if _is_number(cost) and 0 <= cost < 1e9 else None,
    )


def total_usage(usages: list[Usage]) -> Usage:
    """The sum; nothing is known of the sum of none."""
    return sum(usages[1:], usages[0]) if usages else Usage()


def seconds_of(value: Any) -> float:
    """Seconds, of a span or since 1970; 0 of anything else."""
    return float(value) if _is_number(value) and 0 <= value < 1e11 else 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
