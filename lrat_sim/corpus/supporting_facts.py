"""Plans from the supporting facts of HotpotQA: two gold passages, and a question that leads through both.

No fact is annotated, so a plan is read out of the passages: what the first calls the second is the bridge, and the
answer stands in the second.  Which of the two is first follows from that and from what the question names.  Queries are
the question's own words, and hold no name or answer that is still to be found.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from itertools import chain, product, takewhile

from lrat_sim.corpus.annotations import Draft, NoPlan, lay, operator_of
from lrat_sim.corpus.plans import Passage, compare, same_name, stands_in, without_brackets
from lrat_sim.corpus.question import in_place, keywords, part_about, phrasings, runs, stems, without
from lrat_sim.records import Operator, Plan
from lrat_sim.text import normalise

Steps = tuple[list[Draft], Operator | None]

_LEAD = re.compile(r"[\"“]?([A-Z][^()\[\],;:]{2,60}?)[\"”]?,? (?:\(|is |was |are |were )")
_SHORT_FORM = re.compile(r"\(([A-Z]{2,6})\)")
_KIND = re.compile(r"\b(?:is|was|are|were) (?:an?|the|one of the) ((?:[\w'’-]+ ?){1,4})")
_VALUE = re.compile(
    r"(?:\d{1,2} )?[A-Z][a-z]+ (?:\d{1,2}, )?\d{4}\b|\d[\d,.]*\d(?: (?:million|billion))?|\d"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b"
)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
_VALUES = 12  # dates and numbers of a passage that a comparison tries
_RUNS = 3  # stretches of a question that are tried in place of a name


def plan_from_supporting_facts(question: str, answer: str, passages: Sequence[Passage], comparison: bool) -> Plan:
    """The plan of a question over two gold passages, or NoPlan with the reason.

    Args:
        question: as it is asked.
        answer: the annotated one; it has to be read in a passage, or come out of a comparison.
        passages: the two gold ones, in any order.
        comparison: whether both are named in the question and compared, rather than one leading to the other.
    """
    if len(passages) != 2:
        raise NoPlan("the question has not two gold passages")
    question = re.sub(r"#\s*(?=\d)", "number ", question)  # "#1" would be what hop 1 finds
    first, second = (Passage(html.unescape(title), text) for title, text in passages)
    if comparison:
        candidates = _compared(question, answer, first, second)
    else:
        if not any(stands_in(answer, passage.text) for passage in (first, second)):
            raise NoPlan("the answer cannot be read in the gold passages")
        candidates = chain(_bridged(question, answer, first, second), _compared(question, answer, first, second))
    for drafts, operator in candidates:
        try:
            return _without_spoilers(lay(drafts, answer, operator), question)
        except NoPlan:
            continue
    raise NoPlan("the compared facts cannot be read" if comparison else "no way leads from the question to the answer")


def _without_spoilers(plan: Plan, question: str) -> Plan:
    """The plan without wordings that hold what a hop is to find, unless the question itself holds it."""
    objects = [hop.object for hop in plan.hops if not stands_in(hop.object, question)]

    def spoils(text: str) -> bool:
        return any(stands_in(value, text) for value in objects)

    hops = []
    for hop in plan.hops:
        wordings = [text for text in hop.phrasings if not spoils(text)] or ["{subject}"]
        relation = "description" if spoils(hop.relation) else hop.relation
        hops.append(type(hop)(subject=hop.subject, relation=relation, object=hop.object, phrasings=wordings))
    return Plan(hops=hops, operator=plan.operator)


# --- one passage leads to the other


def _bridged(question: str, answer: str, first: Passage, second: Passage) -> Iterator[Steps]:
    orders = [(first, second), (second, first)]
    orders.sort(key=lambda order: (not named(order[0], question), bool(named(order[1], question))))
    for make in (_chain, _confirmed, _side_by_side):
        for own, other in orders:
            yield from ((drafts, None) for drafts in make(question, answer, own, other))


def _chain(question: str, answer: str, own: Passage, other: Passage) -> Iterator[list[Draft]]:
    """The first passage names the second, which has the answer."""
    for bridge in called(other, own.text):
        if stands_in(bridge, question) or stands_in(answer, bridge) or stands_in(bridge, answer):
            continue
        for subject in _subjects(question, own, [bridge, answer]):
            part, rest = part_about(question, subject, _whole(own), _whole(other))
            asked = in_place(question, subject)
            yield [_hop(subject, part, asked, bridge, own), _hop("#1", rest, asked, answer, other)]


def _confirmed(question: str, answer: str, own: Passage, other: Passage) -> Iterator[list[Draft]]:
    """The first passage names the answer, and the second, which is about it, fits the rest of the question."""
    if not any(stands_in(answer, name) or stands_in(name, answer) for name in names(other)):
        return
    for subject in _subjects(question, own, [answer]):
        part, _ = part_about(question, subject, _whole(own), _whole(other))
        fitting = runs(question, other.text, [subject, answer])
        for run in sorted(fitting, key=lambda run: stands_in(run, own.text))[:_RUNS]:
            about, _ = part_about(question, run, _whole(other), _whole(own))
            last = _hop(run, about, in_place(question, run), answer, other)
            last = last._replace(phrasings=[f"#1 {phrasing}" for phrasing in last.phrasings])
            yield [_hop(subject, part, in_place(question, subject), answer, own), last]


def _side_by_side(question: str, answer: str, own: Passage, other: Passage) -> Iterator[list[Draft]]:
    """The question leads to both passages: to the answer in the second, and to what it says of the first."""
    name, second = named(own, question), named(other, question)
    found = runs(question, own.text, [name or "", answer, second or ""])[:_RUNS]
    if name:
        pairs = [(name, value) for value in (*found, answer, *called(other, own.text))]
    else:
        pairs = [(run, value) for run, value in product(found, names(own)) if not stands_in(answer, value)]
    for subject, value in pairs:
        part, _ = part_about(question, subject, _whole(own), _whole(other))
        for last in _subjects(question, other, [answer, subject]):
            rest, _ = part_about(question, last, _whole(other), _whole(own))
            yield [
                _hop(subject, part, in_place(question, subject), value, own),
                _hop(last, rest, in_place(question, last), answer, other),
            ]


def _hop(subject: str, part: str, asked: str, value: str, passage: Passage) -> Draft:
    """A hop that is asked for in words of the question, without what it is to find: a part, else all that is asked."""
    part, asked = without(part, value), without(asked, value)
    relation = " ".join(keywords(part) or keywords(asked)) or "description"
    return Draft(subject, relation, [value], phrasings(part, asked), [passage])


def _subjects(question: str, passage: Passage, avoid: Sequence[str]) -> list[str]:
    """What a question gives to find a passage by: its name, else the words that they share."""
    name = named(passage, question)
    return [name] if name and name not in avoid else runs(question, passage.text, avoid)[:_RUNS]


# --- both are named, and compared


def _compared(question: str, answer: str, first: Passage, second: Passage) -> Iterator[Steps]:
    subjects = [_compared_name(question, answer, passage) for passage in (first, second)]
    if None in subjects or subjects[0] == subjects[1]:
        return
    branches = list(zip([name for name in subjects if name], (first, second), strict=True))
    asked = question
    for name, _ in sorted(branches, key=lambda branch: -len(branch[0])):
        asked = in_place(asked, name).replace("{subject}", " ")
    if normalise(answer) in ("yes", "no"):
        pairs: Iterator[tuple[str, str]] = (
            _alike(asked, branches) if normalise(answer) == "yes" else _unlike(asked, branches)
        )
        yield from (([*_branches(asked, branches, values)], "same") for values in pairs)
        return
    if any(same_name(name, answer) for name, _ in branches):
        operator = operator_of(question, [name for name, _ in branches])
        if operator is not None:
            for values in _values(operator, answer, branches):
                yield [*_branches(asked, branches, values)], operator
        yield from (([*drafts], None) for drafts in _chosen(asked, answer, branches))
        return
    ordered = sorted(branches, key=lambda branch: stands_in(answer, branch[1].text))
    if stands_in(answer, ordered[0][1].text):
        yield [*_branches(asked, ordered, (answer, answer))], None
    for value in _about(asked, ordered[0], ordered[1][1]):
        yield [*_branches(asked, ordered, (value, answer))], None


Branch = tuple[str, Passage]


def _branches(asked: str, branches: Sequence[Branch], values: Sequence[str]) -> Iterator[Draft]:
    for (name, passage), value in zip(branches, values, strict=True):
        yield _hop(name, "{subject} " + " ".join(keywords(asked)), asked, value, passage)


def _compared_name(question: str, answer: str, passage: Passage) -> str | None:
    name = named(passage, question)
    # the answer may spell the name as the question does, and the title otherwise
    longer = name and stands_in(name, answer) and stands_in(answer, question) and stands_in(answer, passage.text)
    return answer if longer else name


def _alike(asked: str, branches: Sequence[Branch]) -> Iterator[tuple[str, str]]:
    """What both passages say, that which the question asks for first."""
    (first, one), (second, other) = branches
    shared = runs(one.text, other.text, [first, second])
    for run in sorted(shared, key=lambda run: -len(stems(run) & stems(asked))):
        yield run, run


def _unlike(asked: str, branches: Sequence[Branch]) -> Iterator[tuple[str, str]]:
    """What each passage says and the other does not."""
    one, other = branches
    yield from product(_about(asked, one, other[1]), _about(asked, other, one[1]))


def _about(asked: str, branch: Branch, other: Passage) -> list[str]:
    """What a passage says of its subject and the other passage does not of its own: in words of the question, or what
    kind of thing it is."""
    name, passage = branch
    kinds = [" ".join(takewhile(stems, match.split())) for match in _KIND.findall(passage.text)]
    said = [*runs(asked, passage.text, [name])[:_RUNS], *kinds, *_NAME.findall(passage.text)]
    return [value for value in said if not stands_in(value, f"{other.text} {name}")][:_RUNS]


def _values(operator: Operator, answer: str, branches: Sequence[Branch]) -> Iterator[tuple[str, str]]:
    """The dates or numbers of the two passages of which the comparison gives the answer, those that stand first."""
    (first, one), (second, other) = branches
    found = [_VALUE.findall(passage.text)[:_VALUES] for passage in (one, other)]
    places = product(*(range(len(values)) for values in found))
    for left, right in sorted(places, key=lambda pair: (max(pair), sum(pair))):
        values = found[0][left], found[1][right]
        outcome = compare(operator, [(first, [values[0]]), (second, [values[1]])])
        if outcome is not None and same_name(outcome, answer):
            yield values


def _chosen(asked: str, answer: str, branches: Sequence[Branch]) -> Iterator[Iterator[Draft]]:
    """The one of the two whose passage alone has what the question asks for."""
    loser, winner = sorted(branches, key=lambda branch: same_name(branch[0], answer))
    fitting = [run for run in runs(asked, winner[1].text, [loser[0], winner[0]]) if not stands_in(run, loser[1].text)]
    for value, run in product(_about(asked, loser, winner[1]), fitting[:_RUNS]):
        last = _hop(run, in_place(asked, run), asked, answer, winner[1])
        last = last._replace(phrasings=[f"{winner[0]} {phrasing}" for phrasing in last.phrasings])
        yield iter([*_branches(asked, [loser], [value]), last])


# --- what a passage is called


def names(passage: Passage) -> list[str]:
    """What people call what a passage is about: its title with and without brackets, the name that its text begins
    with, a short form, and of a longer name the first and the last word."""
    base = without_brackets(passage.title)
    found = [passage.title, base, base.split(",")[0]]
    if lead := _LEAD.match(passage.text):
        found.append(lead[1].strip())
    if short := _SHORT_FORM.search(passage.text[:200]):
        found.append(short[1])
    for name in found[1:]:
        words = name.split()
        if len(words) > 2 and all(word[0].isupper() for word in words) and name.replace(" ", "").isalpha():
            found.append(f"{words[0]} {words[-1]}")
    return [name for name in dict.fromkeys(found) if normalise(name)]


def named(passage: Passage, question: str) -> str | None:
    """The longest name of a passage that stands in a question; one word only where it is capitalised alike."""
    standing = [name for name in names(passage) if _names(name, question)]
    return max(standing, key=lambda name: len(normalise(name)), default=None)


def called(passage: Passage, text: str) -> list[str]:
    """What a text calls what a passage is about, the fullest name first: one of its names, else a part of its title."""
    found = [name for name in names(passage) if _names(name, text)]
    parts = [run for run in runs(without_brackets(passage.title), text) if " " in run or run.istitle()]
    return list(dict.fromkeys([*found, *parts]))


def _names(name: str, text: str) -> bool:
    return stands_in(name, text) and (
        " " in name.strip() or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None
    )


def _whole(passage: Passage) -> str:
    return f"{passage.title} {passage.text}"
