"""What a source's record has that a trajectory does not, so that it can be put back in its place."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.formats.fields import same_json


class FieldChanges(Struct, frozen=True, omit_defaults=True):
    """How an object of the source differs from its rebuilt form: its own fields, and those it does not have."""

    fields: dict[str, Any] = {}
    absent: list[str] = []


class Kept(Struct, frozen=True, omit_defaults=True):
    """What is kept of a record: its changes, inserted steps and changed ones by their position from 0."""

    record: FieldChanges = FieldChanges()
    inserted: dict[str, dict[str, Any]] = {}
    changed: dict[str, FieldChanges] = {}


def kept_of(record: dict[str, Any], rebuilt: dict[str, Any], inserted: dict[int, dict[str, Any]]) -> Kept:
    """What of a record its rebuilt form does not give back.

    Args:
        record: the source's, with its steps in ``result``.
        rebuilt: the same written from what was read of it.
        inserted: steps of the source, by position, of which nothing was read.
    """
    positions = [number for number in range(len(record["result"])) if number not in inserted]
    pairs = zip(positions, rebuilt["result"], strict=True)
    changes = {str(position): changes_of(record["result"][position], made) for position, made in pairs}
    return Kept(
        record=changes_of({**record, "result": []}, {**rebuilt, "result": []}),
        inserted={str(position): step for position, step in inserted.items()},
        changed={position: found for position, found in changes.items() if found != FieldChanges()},
    )


def changes_of(source: dict[str, Any], made: dict[str, Any]) -> FieldChanges:
    """How an object of the source differs from its rebuilt form."""
    fields = {key: value for key, value in source.items() if key not in made or not same_json(value, made[key])}
    return FieldChanges(fields, [key for key in made if key not in source])


def _applied(made: dict[str, Any], changes: FieldChanges) -> dict[str, Any]:
    return {**{key: value for key, value in made.items() if key not in changes.absent}, **changes.fields}


def read_kept(extra: dict[str, Any], name: str) -> Kept | None:
    """What stands in ``extra[name]`` of a trajectory; None where another hand wrote that."""
    try:
        return msgspec.convert(extra.get(name, {}), type=Kept)
    except msgspec.ValidationError:
        return None


def restored(record: dict[str, Any], kept: Kept) -> dict[str, Any]:
    """A record that was written anew, with what was kept of its source put back."""
    made = iter(record["result"])
    steps: list[Any] = []
    while True:
        position = str(len(steps))
        if position in kept.inserted:
            steps.append(kept.inserted[position])
            continue
        step = next(made, None)
        if step is None:
            return {**_applied(record, kept.record), "result": steps}
        steps.append(_applied(step, kept.changed.get(position, FieldChanges())))
