"""Settings: typed records in which each field is named, described and bounded once, by its annotation.

``rounds: Annotated[Whole, Meta(description="How often to collect, mine and train.")] = 1`` is what YAML files, checks,
command-line options and the reference pages are made from.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# what is beyond these bounds is a mistake, and could neither be recorded nor allocated
Whole = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, keyword arguments only, an unknown field is refused."""
