"""Plans from the annotations of public question sets: triples as in 2WikiMultihopQA, sub-questions as in MuSiQue.

A plan stands in for a language model's reasoning, so it may hold only what a reader of the question could think of and
what its passages say.  Annotated facts are therefore *laid* on the question's gold passages; the plan is dropped, with
the reason, unless each hop's subject (a name as the question spells it, or ``#n``, what hop n found) and object can be
read in one of them, and the chain, or the comparison of its objects, gives the annotated answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lrat_sim.catalog import read_yaml
from lrat_sim.corpus.plans import (
    REFERENCE,
    Passage,
    branches,
    compare,
    reference,
    same_name,
    stands_in,
    states,
    without_brackets,
)
from lrat_sim.corpus.question import runs
from lrat_sim.records import Hop, Operator, Plan
from lrat_sim.text import normalise

_WORDINGS: dict[str, list[str]] = read_yaml(Path(__file__).with_name("wordings.yaml"))
_OPERATOR_WORDS: list[tuple[Operator, str]] = [
    ("longer", r"longer"),
    ("shorter", r"shorter"),
    ("same", r"same|both|share"),
    ("later", r"later|more recently|more recent|younger|youngest|newer|latest|last"),
    ("earlier", r"earlier|first|older|oldest|earliest|before"),
    ("later", r"more|most|higher|highest|taller|tallest|larger|largest|bigger|biggest|greater"),
    ("earlier", r"fewer|fewest|less|least|lower|lowest|smaller|smallest"),
]
_QUESTION_WORDS = re.compile(
    r"^(?:(?:who|what|when|where|which|whose|how|in|on|at|of|by|the|is|was|did|does)(?:\s+|$))+", re.I
)
_NAME = re.compile(r"(?:[A-Z0-9][\w'’.&-]*)(?:\s+(?:(?:of|the|and|de|von|van|la|du)\s+)*[A-Z0-9][\w'’.&-]*)*")


class NoPlan(Exception):
    """Why annotations give no plan: data, caught by the reader that counts it."""


class Draft(NamedTuple):
    """A hop before it is laid: the spellings its object may have, the annotated one first, and its passages."""

    subject: str
    relation: str
    objects: Sequence[str]
    phrasings: Sequence[str]
    passages: Sequence[Passage]


def lay(drafts: Sequence[Draft], answer: str, operator: Operator | None = None) -> Plan:
    """The plan of drafted hops, each laid on its passages, that lead to the answer; NoPlan where they do not."""

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
        Hop(subject=draft.subject, relation=draft.relation, object=spelling, phrasings=list(draft.phrasings))
        for draft, spelling in zip(drafts, objects, strict=True)
    ]
    if operator is None:
        if normalise(objects[-1]) != normalise(answer):
            raise NoPlan("the facts do not end at the answer")
        return Plan(hops=hops)
    outcome = compare(operator, [(name, [objects[end] for end in ends]) for name, ends in branches(hops)])
    if outcome is None or not same_name(outcome, answer):
        raise NoPlan("the comparison of the facts does not give the answer")
    return Plan(hops=hops, operator=operator)


def plan_from_triples(
    question: str, answer: str, triples: Sequence[Sequence[str]], passages: Sequence[Passage], comparison: bool
) -> Plan:
    """A plan from facts (subject, relation, object) in order of reasoning, or NoPlan.

    Unless branches are compared, each fact is about the object of the one before it, however the annotation spells it.
    """
    if not triples:
        raise NoPlan("no facts are annotated")
    subjects: list[str] = []
    for index, (subject, _, _) in enumerate(triples):
        earlier = [n for n, (_, _, value) in enumerate(triples[:index], start=1) if same_name(subject, value)]
        if not comparison and index:
            subjects.append(f"#{index}")
        else:
            subjects.append(f"#{earlier[0]}" if earlier else _as_in_question(question, triples[index], passages))
    drafts = []
    for index, (subject, relation, value) in enumerate(triples):
        spellings = [value]
        for later, link in zip(triples, subjects, strict=True):
            if reference(link) == index + 1:
                # the two passages may know the bridge by different names: take one that both of them use
                titles = [without_brackets(p.title) for p in passages if stands_in(later[2], p.text)]
                near = [t for t in titles if _share_word(t, value) or _share_word(t, later[0])]
                spellings += [name for name in (later[0], *near) if not same_name(name, subject)]
        drafts.append(Draft(subjects[index], relation, list(dict.fromkeys(spellings)), wordings(relation), passages))
    operator = None
    if comparison:
        operator = operator_of(question, [name for name in subjects if reference(name) is None])
        if operator is None:
            raise NoPlan("the question's wording names no comparison")
    return lay(drafts, answer, operator)


def operator_of(question: str, names: Sequence[str]) -> Operator | None:
    """The comparison that a question asks for, from its wording once the compared names are taken out."""
    plain = f" {normalise(question)} "
    for name in sorted((normalise(name) for name in names), key=len, reverse=True):
        plain = plain.replace(f" {name} ", " ")
    return next((operator for operator, words in _OPERATOR_WORDS if re.search(rf"\b(?:{words})\b", plain)), None)


def _as_in_question(question: str, triple: Sequence[str], passages: Sequence[Passage]) -> str:
    """The name of a triple's subject as the question has it: the longest of its own and its passage's titles."""
    subject, _, value = triple
    own = [passage for passage in passages if same_name(passage.title, subject)]
    near = [
        p
        for p in passages
        if stands_in(value, p.text) and (_share_word(p.title, subject) or stands_in(subject, p.text))
    ]
    names = [subject.strip()]
    for title, _ in own or near:
        names += [title, without_brackets(title)]
    in_question = [name for name in names if stands_in(name, question)]
    if not in_question:
        raise NoPlan("a fact's subject is not in the question")
    return max(in_question, key=lambda name: len(normalise(name)))


def _share_word(first: str, second: str) -> bool:
    return not set(normalise(first).split()).isdisjoint(normalise(second).split())


class SubQuestion(NamedTuple):
    """One step of a decomposition: ``subject >> relation`` or a free question, earlier answers as ``#n``."""

    text: str
    answer: str
    passage: Passage


def plan_from_subquestions(steps: Sequence[SubQuestion], answer: str) -> Plan:
    """The plan of a decomposition of any shape, in which a step may need the answers of several others, or NoPlan."""
    if not steps:
        raise NoPlan("no sub-questions are annotated")
    spellings = [[step.answer] for step in steps]
    for index, step in enumerate(steps):
        title = without_brackets(step.passage.title)
        for place in _needed(step.text, index):
            before = steps[place - 1]
            # the next passage may know it by another name, which the one before uses, too
            if stands_in(title, before.passage.text) and _share_word(title, before.answer):
                spellings[place - 1].append(title)
    drafts = [
        draft_from_subquestion(step, spellings[:index])._replace(objects=list(dict.fromkeys(spellings[index])))
        for index, step in enumerate(steps)
    ]
    return lay(drafts, answer)


def draft_from_subquestion(step: SubQuestion, found: Sequence[Sequence[str]] = ()) -> Draft:
    """One hop from a sub-question, or NoPlan.

    It is about the answer that its passage is seen to be about, or the name in it, or the words that both share; what
    else it refers to stays in its phrasings as ``#n``.

    Args:
        step: the sub-question.
        found: what earlier steps have found, each in the spellings that it may have.
    """
    text, answer, passage = step
    needed = _needed(text, len(found))

    def fits(subject: str) -> bool:
        place = reference(subject)
        return any(states(passage, name, answer) for name in ([subject] if place is None else found[place - 1]))

    head, arrow, relation = (part.strip() for part in text.partition(">>"))
    if arrow and relation and fits(head):
        return Draft(head, _plain(relation), [answer], wordings(relation), [passage])
    text = " ".join(text.replace(">>", " ").replace("{", "(").replace("}", ")").split())
    subjects = [f"#{place}" for place in needed] or _names_in(text, passage.title)
    others = [answer, *(name for place in needed for name in found[place - 1])]
    subjects += runs(REFERENCE.sub(",", text), f"{passage.title} {passage.text}", others)
    if not subjects:
        raise NoPlan("a sub-question names nothing to ask about")
    subject = next(filter(fits, subjects), subjects[0])
    return Draft(subject, _plain(text.replace(subject, "")), [answer], [text.replace(subject, "{subject}")], [passage])


def _plain(text: str) -> str:
    return " ".join(REFERENCE.sub("", text).split()).strip(" ?")


def _needed(text: str, before: int) -> list[int]:
    """The steps, from 1, that a sub-question refers to, in its order."""
    needed = list(dict.fromkeys(map(int, REFERENCE.findall(text))))
    if any(not 0 < place <= before for place in needed):
        raise NoPlan("a sub-question refers to an answer that comes later")
    return needed


def _names_in(text: str, title: str) -> list[str]:
    """What a free question may ask about: the passage's title, or the longest name in the question."""
    for name in (title, without_brackets(title)):
        if match := re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE):
            return [str(match.group())]
    names = [name for match in _NAME.findall(text) if (name := _QUESTION_WORDS.sub("", match))]
    return sorted(names, key=len, reverse=True)[:1]


def wordings(relation: str) -> list[str]:
    """Ways to ask for a relation, such as "date of birth" or "headquarters_location", with ``{subject}`` where the name
    goes; a relation that ``wordings.yaml`` does not have is worded in three general ways."""
    plain = " ".join(relation.replace("_", " ").split())
    if plain.casefold() in _WORDINGS:
        return list(_WORDINGS[plain.casefold()])
    plain = plain.replace("{", "(").replace("}", ")")
    return [f"{{subject}} {plain}", f"{plain} of {{subject}}", f"what is the {plain} of {{subject}}"]
