"""What the retrievers of a comparison should have in common, and where they do not.

A text that is cut at 96 tokens ranks differently from one cut at 256, and so does one with a prompt before it.  Where
arms differ in such a setting, too, their results do not compare the retrievers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Described = Mapping[str, Any]
"""What a retriever says of itself: :meth:`lrat_sim.retrieval.base.Retriever.describe`."""

LENGTH, QUERY_LENGTH = "text length in tokens", "query length in tokens"

_SHARED = {
    "max_length": LENGTH,
    "max_query_length": QUERY_LENGTH,
    "query_prompt": "query prompt",
    "document_prompt": "document prompt",
    "dtype": "vector precision",
    "corpus": "corpus",
}
_MOST = 40
"""Characters of a value that are shown."""


def text_lengths(arms: Mapping[str, Described]) -> dict[str, int]:
    """How many tokens of a text each arm's encoder reads; arms that cut no text are left out."""
    lengths = {arm: _settings(described).get(LENGTH, ()) for arm, described in arms.items()}
    return {arm: max(values) for arm, values in lengths.items() if values}


def differences(arms: Mapping[str, Described], others: Mapping[str, Mapping[str, Any]] | None = None) -> str | None:
    """A sentence on what differs between arms beside their retriever; None where nothing does.

    A setting that an arm does not have, such as an encoder's prompt in BM25, does not count.

    Args:
        arms: name to what its retriever says of itself.
        others: name to further settings that the arm was run with, by name; one that an arm lacks is ``none``.
    """
    by_arm = {arm: _settings(described) for arm, described in arms.items()}
    for what in dict.fromkeys(key for settings in (others or {}).values() for key in settings):
        for arm, settings in by_arm.items():
            settings[what] = {(others or {}).get(arm, {}).get(what)}
    if all(settings.get(QUERY_LENGTH) == settings.get(LENGTH) for settings in by_arm.values()):
        for settings in by_arm.values():  # one limit holds for both
            settings.pop(QUERY_LENGTH, None)
    parts = []
    for what in dict.fromkeys(what for settings in by_arm.values() for what in settings):
        by_value: dict[str, list[str]] = {}
        for arm, settings in by_arm.items():
            if what in settings:
                by_value.setdefault(" and ".join(map(_shown, sorted(settings[what], key=str))), []).append(arm)
        if len(by_value) > 1:
            told = (f"{', '.join(names)}: {value}" for value, names in by_value.items())
            parts.append(f"{what} ({'; '.join(told)})")
    return f"The arms differ in more than their retriever: {', '.join(parts)}." if parts else None


def _settings(described: Described) -> dict[str, set[Any]]:
    settings: dict[str, set[Any]] = {}
    for part in _parts(described):
        for key, what in _SHARED.items():
            value = part.get(key, part.get("max_length") if key == "max_query_length" else None)
            if isinstance(value, str | int) and part.get("kind") != "rerank":  # whose length is that of a pair
                settings.setdefault(what, set()).add(value)
    return settings


def _parts(described: Any) -> Iterator[Described]:
    """A retriever's description, and those of the retrievers that it is made of."""
    if isinstance(described, Mapping):
        yield described
        for value in described.values():
            yield from _parts(value)
    elif isinstance(described, list | tuple):
        for value in described:
            yield from _parts(value)


def _shown(value: Any) -> str:
    if isinstance(value, str) and value:
        return repr(value if len(value) <= _MOST else f"{value[: _MOST - 3]}...")
    return "none" if value in (None, "") else str(value)
