"""How people word a relation in a query, with ``{subject}`` where the name goes; the table is ``wordings.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lrat_sim.catalog import read_yaml


def wordings(relation: str) -> list[str]:
    """Ways to ask for a relation, each with the placeholder ``{subject}``.

    Args:
        relation: its name, for example "date of birth" or "headquarters_location"; where the table has none, the
            name itself is worded in three general ways.
    """
    plain = " ".join(relation.replace("_", " ").split())
    known = _table().get(plain.casefold())
    if known is not None:
        return list(known)
    plain = plain.replace("{", "(").replace("}", ")")
    return [f"{{subject}} {plain}", f"{plain} of {{subject}}", f"what is the {plain} of {{subject}}"]


@cache
def _table() -> dict[str, list[str]]:
    return read_yaml(Path(__file__).with_suffix(".yaml"))
