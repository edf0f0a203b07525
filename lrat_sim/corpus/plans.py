"""Plans: how a question falls into hops, what a passage can be read as stating, and comparisons that agents compute.

Names are compared by :func:`lrat_sim.text.normalise`, at word boundaries; brackets of a title may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import NamedTuple

from lrat_sim.dates import Span, parse_date
from lrat_sim.numerals import parse_number
from lrat_sim.records import Hop, Operator
from lrat_sim.text import normalise

REFERENCE = re.compile(r"#(\d+)\b")  # how a later hop names what an earlier one found

_BRACKETS = re.compile(r"\s*\([^()]*\)")


class Passage(NamedTuple):
    """A title and a text, in which facts are read."""

    title: str
    text: str


def reference(subject: str) -> int | None:
    """The hop, from 1, that a subject of the form ``#n`` refers to; None for a name."""
    match = REFERENCE.fullmatch(subject)
    return int(match.group(1)) if match else None


def references(hops: Sequence[Hop], index: int) -> set[int]:
    """The earlier hops, from 1, whose finds hop ``index`` (from 0) is about, or which its phrasings name as ``#n``."""
    texts = hops[index].phrasings
    found = {int(number) for text in texts for number in REFERENCE.findall(text)} | {reference(hops[index].subject)}
    return {place for place in found if place is not None and 0 < place <= index}


def fill(phrasing: str, subject: str, found: Mapping[int, str]) -> str:
    """A query: a phrasing with the subject, and with what earlier hops (from 1) have found in place of ``#n``."""
    query = REFERENCE.sub(lambda match: found.get(int(match[1]), match[0]), phrasing)
    return query.replace("{subject}", subject)


def without_brackets(title: str) -> str:
    """A title without what tells it from its namesakes: "Taxi (1998 film)" gives "Taxi"."""
    return _BRACKETS.sub("", title).strip() or title


def same_name(first: str, second: str) -> bool:
    """Whether two names are equal without case, accents, punctuation and brackets."""
    return normalise(without_brackets(first)) == normalise(without_brackets(second)) != ""


def stands_in(name: str, text: str) -> bool:
    """Whether a text contains a name, normalised, at word boundaries."""
    plain = normalise(name)
    return bool(plain) and f" {plain} " in f" {normalise(text)} "


def states(passage: Passage, subject: str, value: str) -> bool:
    """Whether a passage names the subject in its title or text, and the value in its text."""
    about = same_name(subject, passage.title) or stands_in(subject, f"{passage.title} {passage.text}")
    return about and stands_in(value, passage.text)


def branches(hops: Sequence[Hop]) -> list[tuple[str, list[int]]]:
    """For each name that opens a branch, in order, the indices (from 0) of its hops that no other refers to."""
    referred = set().union(*(references(hops, index) for index in range(len(hops))))
    by_name: dict[str, tuple[str, list[int]]] = {}
    for index, hop in enumerate(hops):
        name = hop.subject
        while (place := reference(name)) is not None:
            name = hops[place - 1].subject
        _, ends = by_name.setdefault(normalise(name), (name, []))
        if index + 1 not in referred:
            ends.append(index)
    return list(by_name.values())


def compare(operator: Operator, branches: Sequence[tuple[str, Sequence[str]]]) -> str | None:
    """Decides a comparison from the values found at the ends of each named branch.

    ``earlier`` and ``later`` use one date (or number) a branch, ``longer`` and ``shorter`` the time between two dates
    or one number; ``same`` asks whether they share a value.  The result is a branch's name, or "yes" or "no" for
    ``same``; None where a value is missing or no date, or two overlap ("1945" and "5 July 1945").
    """
    if len(branches) < 2 or not all(values for _, values in branches):
        return None
    if operator == "same":
        sets = [{normalise(value) for value in values} for _, values in branches]
        return "yes" if set.intersection(*sets) else "no"
    ways = (_only, parse_date) if operator in ("earlier", "later") else (_between, parse_date)
    for measure, parse in (ways, (_only, _number)):
        spans = [(span, name) for name, values in branches if (span := measure(values, parse)) is not None]
        if len(spans) == len(branches):
            break
    else:
        return None
    if operator in ("earlier", "shorter"):
        (first, name), (second, _) = nsmallest(2, spans, key=lambda item: item[0].low)
        return name if first.high < second.low else None
    (first, name), (second, _) = nlargest(2, spans, key=lambda item: item[0].high)
    return name if first.low > second.high else None


def _number(text: str) -> Span | None:
    value = parse_number(text)
    return None if value is None else Span(value, value)


def _only(values: Sequence[str], parse: Callable[[str], Span | None]) -> Span | None:
    return parse(values[0]) if len(values) == 1 else None


def _between(values: Sequence[str], parse: Callable[[str], Span | None]) -> Span | None:
    spans = sorted(span for value in values if (span := parse(value)) is not None)
    if len(values) != 2 or len(spans) != 2:
        return None
    return Span(max(0.0, spans[1].low - spans[0].high), spans[1].high - spans[0].low)
