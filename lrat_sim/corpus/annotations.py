"""Plans from the annotations of public question sets: triples as in 2WikiMultihopQA, sub-questions as in MuSiQue."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lrat_sim.corpus.plans import (
    REFERENCE,
    Draft,
    NoPlan,
    Passage,
    lay,
    reference,
    same_name,
    stands_in,
    without_brackets,
)
from lrat_sim.corpus.wordings import wordings
from lrat_sim.records import Operator, Plan
from lrat_sim.text import normalise

_OPERATOR_WORDS: list[tuple[Operator, str]] = [
    ("longer", r"longer"),
    ("shorter", r"shorter"),
    ("same", r"same|both|share"),
    ("later", r"later|more recently|more recent|younger|youngest|newer|latest|last"),
    ("earlier", r"earlier|first|older|oldest|earliest|before"),
]


def operator_of(question: str, names: Sequence[str]) -> Operator | None:
    """The comparison that a question asks for, from its wording once the compared names are taken out."""
    plain = f" {normalise(question)} "
    for name in sorted((normalise(name) for name in names), key=len, reverse=True):
        plain = plain.replace(f" {name} ", " ")
    for operator, words in _OPERATOR_WORDS:
        if re.search(rf"\b(?:{words})\b", plain):
            return operator
    return None


def plan_from_triples(
    question: str, answer: str, triples: Sequence[Sequence[str]], passages: Sequence[Passage], comparison: bool
) -> Plan:
    """A plan from facts in the manner of 2WikiMultihopQA.

    Args:
        question, answer: as annotated.
        triples: (subject, relation, object), in order of reasoning.
        passages: the question's gold passages.
        comparison: whether branches are compared; otherwise each triple speaks of what the one before it found,
            even where the annotation spells it in another way.

    Raises:
        NoPlan: with the reason.
    """
    if not triples:
        raise NoPlan("no facts are annotated")
    subjects: list[str] = []
    for index, (subject, _, _) in enumerate(triples):
        earlier = [n for n, (_, _, found) in enumerate(triples[:index], start=1) if same_name(subject, found)]
        if not comparison and index:
            subjects.append(f"#{index}")
        else:
            subjects.append(f"#{earlier[0]}" if earlier else _as_asked(question, triples[index], passages))
    drafts = []
    for index, (subject, relation, found) in enumerate(triples):
        spellings = [found]
        for later, link in zip(triples, subjects, strict=True):
            if reference(link) == index + 1:
                # the two passages may know the bridge by different names: take one that both of them use
                titles = [without_brackets(p.title) for p in passages if stands_in(later[2], p.text)]
                near = [t for t in titles if _share_word(t, found) or _share_word(t, later[0])]
                spellings += [name for name in (later[0], *near) if not same_name(name, subject)]
        drafts.append(Draft(subjects[index], relation, list(dict.fromkeys(spellings)), wordings(relation), passages))
    operator = None
    if comparison:
        operator = operator_of(question, [name for name in subjects if reference(name) is None])
        if operator is None:
            raise NoPlan("the question's wording names no comparison")
    return lay(drafts, answer, operator)


def _share_word(first: str, second: str) -> bool:
    return not set(normalise(first).split()).isdisjoint(normalise(second).split())


def _as_asked(question: str, triple: Sequence[str], passages: Sequence[Passage]) -> str:
    """The name of a triple's subject as the question has it: the longest of its own and its passage's titles."""
    subject, _, found = triple
    own = [passage for passage in passages if same_name(passage.title, subject)]
    near = [
        p
        for p in passages
        if stands_in(found, p.text) and (_share_word(p.title, subject) or stands_in(subject, p.text))
    ]
    names = [subject.strip()]
    for title, _ in own or near:
        names += [title, without_brackets(title)]
    asked = [name for name in names if stands_in(name, question)]
    if not asked:
        raise NoPlan("a fact's subject is not in the question")
    return max(asked, key=lambda name: len(normalise(name)))


_QUESTION_WORD = re.compile(
    r"^(?:who|what|when|where|which|whose|how|in|on|at|of|by|the|is|was|did|does)(?:\s+|$)", re.I
)
_NAME = re.compile(r"(?:[A-Z0-9][\w'’.&-]*)(?:\s+(?:(?:of|the|and|de|von|van|la|du)\s+)*[A-Z0-9][\w'’.&-]*)*")


def draft_from_subquestion(text: str, found: str, passage: Passage) -> Draft:
    """One hop of a decomposition in the manner of MuSiQue.

    Args:
        text: ``subject >> relation``, or a free question; earlier answers are ``#n``.
        found: the answer to it.
        passage: the paragraph that supports it.

    Raises:
        NoPlan: it refers to two answers at once, or names nothing to ask about.
    """
    subject, arrow, relation = (part.strip() for part in text.partition(">>"))
    if arrow:
        if len(REFERENCE.findall(text)) > 1 or not subject or not relation:
            raise NoPlan("a sub-question refers to more than one answer")
        return Draft(subject, relation, [found], wordings(relation), [passage])
    references = set(REFERENCE.findall(text))
    if len(references) > 1:
        raise NoPlan("a sub-question refers to more than one answer")
    subject = f"#{references.pop()}" if references else _named(text, passage.title)
    phrasing = _one_line(text.replace("{", "(").replace("}", ")").replace(subject, "{subject}"))
    return Draft(subject, _one_line(text.replace(subject, "")).strip(" ?"), [found], [phrasing], [passage])


def _named(text: str, title: str) -> str:
    for name in (title, without_brackets(title)):
        match = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        if match:
            return str(match.group())
    names: list[str] = [name for name in map(_without_question_word, _NAME.findall(text)) if name]
    if not names:
        raise NoPlan("a sub-question names nothing to ask about")
    return max(names, key=len)


def _without_question_word(name: str) -> str:
    while match := _QUESTION_WORD.match(name):
        name = name[match.end() :]
    return name


def _one_line(text: str) -> str:
    return " ".join(text.split())
