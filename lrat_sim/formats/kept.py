"""What a source's record has that a trajectory does not, so that it can be put back in its place.

Nothing is assumed to survive: the record is written anew from what was read, and whatever comes out otherwise is kept.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.formats.entry import Entry


class FieldChanges(Struct, frozen=True, omit_defaults=True):
    """How an object of the source differs from its rebuilt form: its own fields, and those it does not have."""

    fields: dict[str, Any] = {}
    absent: list[str] = []


class _Kept(Struct, frozen=True, omit_defaults=True):
    """What is kept of a record: its changes, inserted steps and changed ones by their position from 0."""

    record: FieldChanges = FieldChanges()
    inserted: dict[str, dict[str, Any]] = {}
    changed: dict[str, FieldChanges] = {}


def keeping(
    entry: Entry,
    key: str,
    source: dict[str, Any],
    rebuilt: dict[str, Any],
    steps: str,
    inserted: dict[int, dict[str, Any]],
) -> Entry:
    """An entry that keeps in ``extra[key]`` what of its source the rebuilt record does not give back.

    ``steps`` names the field that holds the steps of either; ``inserted`` are those of the source, by their position,
    of which nothing was read.
    """
    positions = [position for position in range(len(source[steps])) if position not in inserted]
    changes = {
        str(position): changes_of(source[steps][position], made)
        for position, made in zip(positions, rebuilt[steps], strict=True)
    }
    kept = _Kept(
        record=changes_of({**source, steps: []}, {**rebuilt, steps: []}),
        inserted={str(position): step for position, step in inserted.items()},
        changed={position: change for position, change in changes.items() if change != FieldChanges()},
    )
    if kept == _Kept():
        return entry
    return entry.changed(extra={**entry.trajectory.extra, key: msgspec.to_builtins(kept)})


def restored(entry: Entry, key: str, record: dict[str, Any], steps: str) -> dict[str, Any]:
    """A record that was written from an entry, with what the entry keeps of its source put back."""
    try:
        kept = msgspec.convert(entry.trajectory.extra.get(key, {}), type=_Kept)
    except msgspec.ValidationError:  # another hand wrote that
        return record
    made, whole = iter(record[steps]), list[Any]()
    while True:
        position = str(len(whole))
        if position in kept.inserted:
            whole.append(kept.inserted[position])
        elif (step := next(made, None)) is not None:
            whole.append(_applied(step, kept.changed.get(position, FieldChanges())))
        else:
            return {**_applied(record, kept.record), steps: whole}


def changes_of(source: dict[str, Any], made: dict[str, Any]) -> FieldChanges:
    """How an object of the source differs from its rebuilt form."""
    fields = {key: value for key, value in source.items() if key not in made or not same_json(value, made[key])}
    return FieldChanges(fields, [key for key in made if key not in source])


def _applied(made: dict[str, Any], changes: FieldChanges) -> dict[str, Any]:
    return {**{key: value for key, value in made.items() if key not in changes.absent}, **changes.fields}


def same_json(value: Any, other: Any) -> bool:
    """Whether two values are the same JSON, up to the order of keys; 1, 1.0 and true are three values."""
    return msgspec.json.encode(value, order="sorted") == msgspec.json.encode(other, order="sorted")
