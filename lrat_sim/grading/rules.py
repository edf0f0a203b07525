"""The rule judge: reads whether an agent clearly rejected the document it has just opened.

It is lexical, lenient and general: a document is relevant unless the agent says, about *this document*, that it is
of no use.  Its word lists are data (``relevance-rules.yaml`` beside this file).  The rules:

1. **Position.** Only the opening counts: the first three statements after questions and statements of intent
   ("let us search ...", "we need ...", "the question asks ...") were passed over.  What an agent writes of the
   document it writes first.
2. **Strong rejections** set the whole document aside: it is unrelated, irrelevant, a dead end; is not what was
   sought; does not help or match; is about someone or something else; is about X, *not the* Y.
3. **Weak rejections** miss something in it: it does not mention, contain, say ...; has no information on ...; no
   mention of ...; we do not find ... here.  The subject must be the document ("he did not mention" is about a
   person).  A weak rejection counts only if no fact was stated before it: an agent that first tells what it read
   has used the document.
4. **Softened or doubtful** statements reject nothing: "does not explicitly mention", "may not be relevant", "if it
   does not say".
5. **Contrast.** A rejection beside a finding rejects nothing: "says X but does not mention Y", "does not mention Y.
   However, it gives X".  What follows "but" is a finding only if the document does something there ("but we
   should search" is none).
6. Everything else is relevant.  Empty reasoning, and reasoning that is not mostly in Latin letters, is unjudged:
   these rules cannot read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lrat_sim.artifact import fingerprint
from lrat_sim.catalog import read_yaml
from lrat_sim.records import VerdictState

_RULES = Path(__file__).with_name("relevance-rules.yaml")

_APOSTROPHE = re.compile("[’‘`]")
_CONTRACTIONS = (
    ("cannot", re.compile(r"\bcannot\b"), "can not"),
    ("can't", re.compile(r"\bcan't\b"), "can not"),
    ("won't", re.compile(r"\bwon't\b"), "will not"),
    ("n't", re.compile(r"n't\b"), " not"),
    ("'s", re.compile(r"\b(it|that|this|there|he|she|what|who|let)'s\b"), r"\1 is"),
    ("let is", re.compile(r"\blet is\b"), "let us"),
    ("'re", re.compile(r"\b(we|they|you)'re\b"), r"\1 are"),
    ("i'm", re.compile(r"\bi'm\b"), "i am"),
)
"""What each needs (most sentences hold none of it, and looking is quick), what it is, and what it stands for."""
_LETTER = re.compile("[a-zA-Z]")
_MARKS = re.compile(r"[*_#>\"“”]+")
_MARKED = re.compile(r"[’‘`'*_#>\"“”]")
# a line break, or a mark that is not after an initial or a common abbreviation ("J. Smith", "St. Ives"); what is one
# of a few characters at the beginning is found quickly
_STATEMENT_END = re.compile(
    r"[!?.\n](?:(?<=\n)\n*|(?<!\b\w\.)(?<!\b(?:st|dr|mr|vs)\.)(?<!\bmrs\.)[\"”’'*_)]*(?:\s+|$))"
)
_WORD = re.compile(r"\w")
_SAMPLE = 200  # characters that tell the script
_INTERJECTION = 3  # words up to which a statement is no fact ("Interesting.", "I read it.")
_OPENING_CHARACTERS = 1200  # a bound, so that very long reasoning costs no more than long reasoning


class RuleVerdict(NamedTuple):
    """A verdict and the words that decided it."""

    state: VerdictState
    reason: str


def judge_by_rules(reasoning: str | None) -> RuleVerdict:
    """The verdict on the document of a browse, from the reasoning right after it, and the statement that decided."""
    if reasoning is None or not reasoning.strip():
        return RuleVerdict("unjudged", "no reasoning")
    head = reasoning[:_OPENING_CHARACTERS]
    if not _is_latin(head[:_SAMPLE]):
        return RuleVerdict("unjudged", "not in Latin letters")
    patterns = _patterns()
    head = head.lower().replace("_", " ")
    opening = _opening(head, patterns)
    if not patterns.may_reject("\n".join(opening)):
        return RuleVerdict("relevant", "no clear rejection")  # as of most
    for position, statement in enumerate(opening):
        if not (patterns.may_reject(statement) and patterns.hint.search(statement)):
            continue
        if not patterns.hint.search(head):
            break
        rejection = patterns.rejects(statement, any(patterns.is_fact(earlier) for earlier in opening[:position]))
        if rejection is None:
            continue
        beside = statement[: rejection.start()] + " ; " + statement[rejection.end() :]
        around = [*opening[:position], *opening[position + 1 :]]
        if patterns.finds(beside) or any(patterns.finds_in_document(other) for other in around):
            return RuleVerdict("relevant", f"in contrast: {statement.strip()}")
        return RuleVerdict("irrelevant", statement.strip())
    return RuleVerdict("relevant", "no clear rejection")


def _is_latin(sample: str) -> bool:
    if sample.isascii():  # most are, and this is quick
        return _LETTER.search(sample) is not None
    letters = [character for character in sample if character.isalpha()]
    return bool(letters) and 2 * sum(character < "ɐ" for character in letters) >= len(letters)


def rules_fingerprint() -> str:
    """The identity of the rules: their word lists, and the version of how they are read."""
    return fingerprint(read_yaml(_RULES))


def _opening(text: str, patterns: _Patterns) -> list[str]:
    """The first statements, without contractions and marks of emphasis; questions and intentions are passed over."""
    statements: list[str] = []
    begin = 0
    for end in _ends(text):
        sentence, begin = text[begin:end].strip(" -•\t\n"), end
        if _MARKED.search(sentence) or "cannot" in sentence or "let is" in sentence:
            sentence = _APOSTROPHE.sub("'", sentence)
            for part, contraction, full in _CONTRACTIONS:
                if part in sentence:
                    sentence = contraction.sub(full, sentence)
            sentence = _MARKS.sub("", sentence)
        statement = patterns.fillers.sub("", sentence + " ").strip()
        if not _WORD.search(statement) or statement.endswith("?") or patterns.intention.match(statement):
            continue
        statements.append(statement.rstrip(".! "))
        if len(statements) == patterns.statements:
            break
    return statements


def _ends(text: str) -> Iterator[int]:
    """Where statements end; the last is the end of the text."""
    for end in _STATEMENT_END.finditer(text):
        yield end.end()
    yield len(text)


def _any(entries: list[str]) -> str:
    return "(?:" + "|".join(entries) + ")"


def _compiled(begin: str, rests: list[str]) -> list[re.Pattern[str]]:
    return [re.compile(begin + rest) for rest in rests]


class _Patterns:
    """The rules compiled from their word lists."""

    def __init__(self, lists: dict[str, Any]):
        adverbs = f"(?:{lists['adverbs']} )*"
        # the subject opens a clause, so that "he won it and did not mention ..." is not about a document
        joint = "(?:and|but|so|that|because|since|as|which|although|while|though) "
        document = f"{_any(lists['documents'] + lists['pronouns'])} "
        subject = rf"(?:^|[,;:(] ?|\b{joint}){document}"
        fails = rf"(?:(?:does|do|did) not {adverbs}|(?:fails|failed) to {adverbs}|never )"
        is_, seems = "(?:is|was|are|were)", r"(?:seems?|appears?|looks?|turns out|turned out)(?: to be| like)?"
        seems_not = rf"(?:does|do|did) not {lists['seem']}(?: to be| like)?"
        useful, useless = _any(lists["useful"]["adjectives"]), _any(lists["useless"])
        about, other = _any(lists["about"]), _any(lists["other"])
        findings = _any(lists["findings"])
        self.statements: int = lists["statements"]
        # of the document, by its subject; and alone
        strong = [
            rf"{fails}{_any(lists['useful']['verbs'])}\b",
            rf"(?:{is_}|{seems}) (?:{lists['degrees']} )*{useless}\b",
            rf"(?:{is_} {adverbs}not|{seems} not|{seems_not}) (?:really |very |at all |to be )*{useful}\b",
            rf"{about} {other}",
            rf"{about} [^,;]{{2,120}}, (?:and )?not (?:about )?(?:the|our|that|what|who)\b",
        ]
        weak = [rf"{fails}{_any(lists['verbs'])}\b", rf"{adverbs}{_any(lists['missing'])}"]
        strong_alone = [rf"{_any(lists['alone']['strong'])}\b"]
        weak_alone = [
            rf"(?:there is )?{_any(lists['alone']['weak'])}\b",
            rf"{_any(lists['misses'])} .*?{lists['inside']}",
        ]
        self.strong = [*_compiled(subject, strong), *_compiled("^", strong_alone)]
        self.weak = [*_compiled(subject, weak), *_compiled("^", weak_alone)]
        # finding a subject is what costs: where there is none, two searches say so, and each begins with one of a few
        # characters, which are found quickly
        any_of_document, any_alone = document + _any([*strong, *weak]), _any([*strong_alone, *weak_alone])
        self._at_mark = re.compile(rf"[\n,;:(](?: ?{any_of_document}|(?<=\n){any_alone})")
        self._at_joint = re.compile(rf"\W{joint}{any_of_document}")
        # every rejection holds one of these words, in the text as written too: most statements are done with here
        negations = ["not", "cannot", "never", "no", "nothing", "little", "fail(?:s|ed)", "lacks?"]
        alone = [*lists["alone"]["strong"], *lists["alone"]["weak"]]
        self.hint = re.compile(rf"n[’‘`']t\b|\b{_any([*negations, *lists['useless'], *lists['other'], *alone])}\b")
        self.doubt = re.compile(rf"\b(?:{lists['softeners']}|{lists['hedges']})\b")
        self.intention = re.compile(rf"{_any(lists['intentions'])}\b")
        self.fillers = re.compile(rf"^(?:{lists['fillers']}[,.!:]* +)+")
        # "mentions a different man" and "says nothing" tell of no finding
        nothing = r"(?! (?:a |an |another |the )?(?:different|other|wrong|no|nothing)\b)"
        self._finding = re.compile(rf"\b{findings}\b{nothing}")
        self._of_document = re.compile(rf"{subject}(?:\w+ ){{0,2}}?{findings}\b{nothing}")
        self._exclamation = re.compile(rf"(?:^|, ){lists['exclamations']}\b")
        self._contrast = re.compile(rf"{lists['contrast']}\b")
        self._negation = re.compile(r"\b(?:not|no|never|nothing|nor|without|fails? to)\b(?: \w+){0,3}")
        self._describes = re.compile(rf"{subject}{about}\b")

    def may_reject(self, lines: str) -> bool:
        """Whether a statement, or one of several, each on a line of its own, has the form of a rejection."""
        lines = "\n" + lines
        return bool(self._at_mark.search(lines) or self._at_joint.search(lines))

    def rejects(self, statement: str, facts_before: bool) -> re.Match[str] | None:
        """The rejection in a statement that may be one, if it is clear."""
        for pattern in self.strong if facts_before else self.strong + self.weak:
            match = pattern.search(statement)
            if match and not self.doubt.search(statement[: match.end() + 40]):
                return match
        return None

    def is_fact(self, statement: str) -> bool:
        """Whether a statement tells something read, rather than what the document is about."""
        return len(statement.split()) > _INTERJECTION and not self._describes.search(statement)

    def finds(self, rest: str) -> bool:
        """Whether the words beside a rejection report a finding."""
        return bool(self._finding.search(self._negation.sub(" ", rest)))

    def finds_in_document(self, statement: str) -> bool:
        """Whether another statement of the opening says that the document gave something."""
        plain = self._negation.sub(" ", statement)
        if self._of_document.search(plain) or self._exclamation.search(plain):
            return True
        return bool(self._contrast.match(plain) and self._finding.search(plain))


@lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    return _Patterns(read_yaml(_RULES))
