"""Identity of artefacts: the same content has the same fingerprint, on any machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import FingerprintMismatch


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for ``value``.

    Args:
        value: anything JSON can hold, or a msgspec struct; the order of keys does not matter.
    """
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def fingerprint_file(path: Path) -> str:
    """The fingerprint of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def check_fingerprint(what: str, recorded: dict[str, Any], current: dict[str, Any], remedy: str) -> None:
    """Refuses an artefact whose recorded identity differs from the current one.

    Args:
        what: the artefact, for the message ("the index at runs/a/index").
        recorded: its identity when it was made, field by field.
        current: what it is to be used with now.
        remedy: what the user should do.

    Raises:
        FingerprintMismatch: naming each field that differs, with both values.
    """
    differing = [key for key in sorted({*recorded, *current}) if recorded.get(key) != current.get(key)]
    if differing:
        shown = ", ".join(f"{key} was {recorded.get(key)!r} and is now {current.get(key)!r}" for key in differing)
        raise FingerprintMismatch(f"{what} does not fit: {shown}; {remedy}.")
