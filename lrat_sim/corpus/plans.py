"""Plans: how a question falls into hops, laid on what its passages say, and the comparison an agent computes itself.

A plan stands in for a language model's reasoning, so it may hold only what a reader of the question could think of
and what its passages really say.  Annotated facts are therefore *laid* on the question's gold passages, and a plan
is dropped, with the reason, unless every hop can be read there:

* a subject is a name as the question spells it, or ``#n``, what hop n found;
* the subject is the passage's title, or stands in its title or text;
* the object stands literally in its text;
* the chain ends at the annotated answer, or the comparison, computed over the annotated objects, gives it.

Names are compared by :func:`lrat_sim.text.normalise`, at word boundaries; brackets of a title may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lrat_sim.dates import Span, parse_date
from lrat_sim.numerals import parse_number
from lrat_sim.records import Hop, Operator, Plan
from lrat_sim.text import normalise

REFERENCE = re.compile(r"#(\d+)")
"""How a later hop names what an earlier one found."""

_BRACKETS = re.compile(r"\s*\([^()]*\)")


class NoPlan(Exception):
    """Why annotations give no plan: data, caught by the reader that counts it."""


class Passage(NamedTuple):
    """A gold passage, on which facts are laid."""

    title: str
    text: str


class Draft(NamedTuple):
    """A hop before it is laid.

    ``objects`` are the spellings its object may have, the annotated one first; ``passages`` those it may be laid on.
    """

    subject: str
    relation: str
    objects: Sequence[str]
    phrasings: Sequence[str]
    passages: Sequence[Passage]


def reference(subject: str) -> int | None:
    """The hop, from 1, that a subject of the form ``#n`` refers to; None for a name."""
    match = REFERENCE.fullmatch(subject)
    return int(match.group(1)) if match else None


def without_brackets(title: str) -> str:
    """A title without what tells it from its namesakes: "Taxi (1998 film)" gives "Taxi"."""
    return _BRACKETS.sub("", title).strip() or title


def same_name(first: str, second: str) -> bool:
    """Whether two names are equal without case, accents, punctuation and brackets."""
    return normalise(without_brackets(first)) == normalise(without_brackets(second)) != ""


def stands_in(name: str, text: str) -> bool:
    """Whether a name stands in a text, normalised, at word boundaries."""
    plain = normalise(name)
    return bool(plain) and f" {plain} " in f" {normalise(text)} "


def states(passage: Passage, subject: str, value: str) -> bool:
    """Whether a passage can be read as saying something of ``subject`` whose object is ``value``."""
    about = same_name(subject, passage.title) or stands_in(subject, f"{passage.title} {passage.text}")
    return about and stands_in(value, passage.text)


def branches(hops: Sequence[Hop]) -> list[tuple[str, list[int]]]:
    """The branches of a comparison.

    Args:
        hops: a plan's; references point backwards.

    Returns:
        For each name that opens a branch, in order: the name and the indices (from 0) of the hops at the branch's
        ends, those that no other hop refers to.
    """
    referred = {reference(hop.subject) for hop in hops}
    found: dict[str, tuple[str, list[int]]] = {}
    for index, hop in enumerate(hops):
        name = hop.subject
        while (place := reference(name)) is not None:
            name = hops[place - 1].subject
        _, ends = found.setdefault(normalise(name), (name, []))
        if index + 1 not in referred:
            ends.append(index)
    return list(found.values())


def compare(operator: Operator, branches: Sequence[tuple[str, Sequence[str]]]) -> str | None:
    """Decides a comparison from what was found.

    Args:
        operator: see :class:`lrat_sim.records.Plan`.
        branches: for each branch its name and the values found at its ends.  ``earlier`` and ``later`` use one
            date (or number) a branch, ``longer`` and ``shorter`` the time between two dates or one number;
            ``same`` asks whether the branches have a value in common.

    Returns:
        A branch's name, or "yes" or "no" for ``same``; None where the values do not decide it: one is missing or
        no date, or two overlap ("1945" and "5 July 1945").
    """
    if len(branches) < 2 or not all(values for _, values in branches):
        return None
    if operator == "same":
        sets = [{normalise(value) for value in values} for _, values in branches]
        return "yes" if set.intersection(*sets) else "no"
    reading = _moment if operator in ("earlier", "later") else _length
    for parse in (parse_date, _exactly):
        spans = [reading(values, parse) for _, values in branches]
        if not all(spans):
            continue
        known = [(span, name) for span, (name, _) in zip(spans, branches, strict=True) if span]
        for span, name in known:
            others = [other for other, _ in known if other is not span]
            if operator in ("earlier", "shorter") and all(span.high < other.low for other in others):
                return name
            if operator in ("later", "longer") and all(span.low > other.high for other in others):
                return name
        return None
    return None


def _exactly(text: str) -> Span | None:
    value = parse_number(text)
    return None if value is None else Span(value, value)


def _moment(values: Sequence[str], parse: Callable[[str], Span | None]) -> Span | None:
    return parse(values[0]) if len(values) == 1 else None


def _length(values: Sequence[str], parse: Callable[[str], Span | None]) -> Span | None:
    if parse is _exactly:
        return _moment(values, parse)
    if len(values) != 2:
        return None
    first, second = (parse(value) for value in values)
    if first is None or second is None:
        return None
    first, second = sorted((first, second))
    return Span(max(0.0, second.low - first.high), second.high - first.low)


def lay(drafts: Sequence[Draft], answer: str, operator: Operator | None = None) -> Plan:
    """Lays drafted hops on their passages and checks that they lead to the answer.

    Raises:
        NoPlan: no choice of spellings can be read in the passages, or what they lead to is not the answer.
    """

    def choose(index: int, chosen: list[str]) -> list[str] | None:
        if index == len(drafts):
            return chosen
        draft = drafts[index]
        place = reference(draft.subject)
        name = draft.subject if place is None else chosen[place - 1]
        for spelling in draft.objects:
            if any(states(passage, name, spelling) for passage in draft.passages):
                rest = choose(index + 1, [*chosen, spelling])
                if rest is not None:
                    return rest
        return None

    objects = choose(0, [])
    if objects is None:
        raise NoPlan("a fact cannot be read in the gold passages")
    hops = [
        Hop(subject=draft.subject, relation=draft.relation, object=found, phrasings=list(draft.phrasings))
        for draft, found in zip(drafts, objects, strict=True)
    ]
    if operator is None:
        if normalise(objects[-1]) != normalise(answer):
            raise NoPlan("the facts do not end at the answer")
        return Plan(hops=hops)
    outcome = compare(operator, [(name, [objects[end] for end in ends]) for name, ends in branches(hops)])
    if outcome is None or not same_name(outcome, answer):
        raise NoPlan("the comparison of the facts does not give the answer")
    return Plan(hops=hops, operator=operator)
