"""A comparison as ``comparison.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import check_version, write_json
from lrat_sim.comparison.record import SCHEMA_VERSION, Comparison
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON


def save(comparison: Comparison, path: Path) -> None:
    """Writes the comparison as indented JSON: every number of the tables, with intervals, counts and definitions.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_json(path, comparison)


def load(path: Path) -> Comparison:
    """Reads what :func:`save` wrote.

    Raises:
        InputError: the file is missing or does not hold a comparison.
    """
    try:
        content: Any = msgspec.json.decode(path.read_bytes())
        if isinstance(content, dict):
            check_version(path, version := content.get("schema_version", 1), SCHEMA_VERSION)
            content = _from_1(content) if version == 1 else content
        return msgspec.convert(content, type=Comparison)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing comparison.") from error
    except NOT_JSON as error:
        raise InputError(f"{path} is not a comparison: {error}; compare the runs again.") from error


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Version 1 paired every arm with the base alone, and did not test."""
    pairings = [{"base": old.get("base"), **each} for each in old.get("pairings", ()) if isinstance(each, dict)]
    return {**old, "schema_version": SCHEMA_VERSION, "pairings": pairings}
