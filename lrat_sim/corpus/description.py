"""The files of ``corpora/``: one YAML a corpus or task set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.catalog import load


class Description(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of ``corpora/``: what a corpus or task set is, its licence, how to get it and how to read it.

    Attributes:
        reader: a name from :mod:`lrat_sim.corpus.formats`.
        folder: its folder below ``$LRAT_SIM_DATA``, where the local copy is looked for by default.
        layout: the files of the local copy.
        options: of the reader, with their values for this set.
    """

    name: str
    title: str
    licence: str
    url: str
    get: str
    reader: str
    folder: str | None = None
    layout: list[str] = []
    options: dict[str, Any] = {}
    notes: list[str] = []


def describe(name: str, options: dict[str, Any] | None = None) -> Description:
    """The description of a corpus or task set by name or path, with single options overridden.

    Raises:
        UnknownName: nothing answers to the name.
        InputError: the file has an unknown field or a wrong value.
    """
    overrides = {f"options.{key}": value for key, value in (options or {}).items()}
    return load("corpora", name, Description, overrides)


def local_copy(description: Description) -> Path | None:
    """Where the local copy is looked for when no source is given: below ``$LRAT_SIM_DATA``, or nowhere."""
    data = os.environ.get("LRAT_SIM_DATA")
    return Path(data) / description.folder if data and description.folder else None
