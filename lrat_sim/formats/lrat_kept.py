"""What an LRAT record has that a trajectory does not, so that it can be put back in its place."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from lrat_sim.formats.fields import same_json


class Difference(Struct, frozen=True, omit_defaults=True):
    """What an object of the source has otherwise than its rebuilt form: fields, and those it does not have."""

    fields: dict[str, Any] = {}
    absent: list[str] = []


class Kept(Struct, frozen=True, omit_defaults=True):
    """``extra["lrat"]``: what a record has otherwise, steps of other types and changed ones by their place from 0."""

    record: Difference = Difference()
    inserted: dict[str, dict[str, Any]] = {}
    changed: dict[str, Difference] = {}


def kept_of(record: dict[str, Any], rebuilt: dict[str, Any], inserted: dict[int, dict[str, Any]]) -> Kept:
    """What of a record its rebuilt form does not give back.

    Args:
        record: the source's, with its steps in ``result``.
        rebuilt: the same written from what was read of it.
        inserted: steps of the source, by place, of which nothing was read.
    """
    places = [number for number in range(len(record["result"])) if number not in inserted]
    pairs = zip(places, rebuilt["result"], strict=True)
    differences = {str(place): _difference(record["result"][place], made) for place, made in pairs}
    return Kept(
        record=_difference({**record, "result": []}, {**rebuilt, "result": []}),
        inserted={str(place): step for place, step in inserted.items()},
        changed={place: found for place, found in differences.items() if found != Difference()},
    )


def _difference(source: dict[str, Any], made: dict[str, Any]) -> Difference:
    fields = {key: value for key, value in source.items() if key not in made or not same_json(value, made[key])}
    return Difference(fields, [key for key in made if key not in source])


def _applied(made: dict[str, Any], difference: Difference) -> dict[str, Any]:
    return {**{key: value for key, value in made.items() if key not in difference.absent}, **difference.fields}


def restored(record: dict[str, Any], kept: Kept) -> dict[str, Any]:
    """A record that was written anew, with what was kept of its source put back."""
    made = iter(record["result"])
    steps: list[Any] = []
    while True:
        place = str(len(steps))
        if place in kept.inserted:
            steps.append(kept.inserted[place])
            continue
        step = next(made, None)
        if step is None:
            return {**_applied(record, kept.record), "result": steps}
        steps.append(_applied(step, kept.changed.get(place, Difference())))
