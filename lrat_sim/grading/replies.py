"""Prompts for judges, and what texts state, whatever their form: a judge's verdict, an agent's confidence.

A verdict is read from the line or JSON field that states it, else from a sentence that gives it plainly; through
markup, code fences, any case, and after a thinking block.  A reply that names two different verdicts, or none, has
none.
"""

from __future__ import annotations

import json
import re

from lrat_sim.agent.answer import table_cells
from lrat_sim.errors import InputError
from lrat_sim.models.call import Completion
from lrat_sim.numerals import in_digits

_SLOT = re.compile(r"\{(\w+)\}")
_TAG = re.compile(r"</?(\w+)>")
_THINKING = {
    re.compile(rf"</{tag}>", re.IGNORECASE): re.compile(rf"<{tag}>.*?</{tag}>", re.DOTALL | re.IGNORECASE)
    for tag in ("think", "thinking", "reasoning")
}
_UNOPENED = re.compile(r"^.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_UNCLOSED = re.compile(r"<(?:think|thinking|reasoning)>(.*)\Z", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
_BOXED = re.compile(r"\\(?:boxed|text)\{([^{}]*)\}")
_STATEMENT = re.compile(r"[^\w\n]*\w[\w ]{0,30}\W{0,4}[:=]")
_MARKUP = re.compile(r"[*_`]+")


def reply_text(completion: Completion) -> str:
    """What a judge's model said, as :func:`plain` gives it."""
    message, cut = completion.message, completion.cut_off
    if message.text and message.text.strip():
        return plain(message.text, cut=cut)
    # thinking that was never closed: the client takes all of it for reasoning
    return "" if cut else _closing(message.reasoning or "")


def plain(reply: str, *, cut: bool = False) -> str:
    """A reply without thinking blocks and code fences; ``cut`` says whether it ended at the model's limit.

    Of an unclosed thinking block the lines ``name: value`` that end it are the reply: a model that forgets the tag
    writes them last.  A closing tag alone ends a block that the chat template opened.
    """
    text = reply
    for closing, block in _THINKING.items():
        # no further: each opening tag after the last closing one would cost a search to the end of the text
        end = max((found.end() for found in closing.finditer(text)), default=0)
        text = block.sub("", text[:end]) + text[end:]
    text = _UNOPENED.sub("", text)
    if opened := _UNCLOSED.search(text):
        before = text[: opened.start()]
        text = before if before.strip() or cut else _closing(opened[1])
    return _BOXED.sub(r"\1", _FENCE.sub("", text)).strip()


def _closing(thinking: str) -> str:
    """The lines ``name: value`` at the end of a text."""
    lines = _FENCE.sub("", thinking).strip().splitlines()
    first = len(lines)
    while first and _STATEMENT.match(lines[first - 1]):
        first -= 1
    return "\n".join(lines[first:])


def fill(prompt: str, **values: str) -> str:
    """A prompt with its ``{slots}`` filled in one pass, so that braces inside the values stay as they are.

    A tag of the prompt's own (``</thoughts>``) that stands in a value is defused, so that it cannot end its block.
    """
    missing = [name for name in values if "{" + name + "}" not in prompt]
    if missing:
        raise InputError(f"the judge's prompt has no place for {{{missing[0]}}}; add it to the prompt file.")
    if tags := sorted(set(_TAG.findall(prompt))):
        own = re.compile(rf"<(\s*/?\s*(?:{'|'.join(tags)})\b)", re.IGNORECASE)
        values = {name: own.sub(r"‹\1", value) for name, value in values.items()}
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), prompt)


def stated(reply: str, names: str) -> list[str]:
    """Every value that a reply states by a name (a regular expression): of JSON fields, else of ``name: value``."""
    quoted = rf"""["'](?:{names})["']\s*:\s*("(?:[^"\\]|\\.)*"|'[^'\n]*'|[^\s,}}\]]+)"""
    if fields := re.findall(quoted, reply, re.IGNORECASE):
        return [_unquoted(value) for value in fields]
    line = (
        rf"(?:^|(?<=[.;!?)])[ \t]+)(?:[^\w\n]|_|\d+[.)][ \t]|\b(?:final|my|the)[ \t]){{0,20}}(?:{names})[^\w\n:=]*"
        r"(?::|=|[ \t][-–—][ \t])((?:[ \t*_`]*\n(?![^\n]*[:=]))?[^\n]*)"
    )
    return [value.strip(' \t\n*_`"“”') for value in re.findall(line, reply, re.IGNORECASE | re.MULTILINE)]


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value[0] == '"' else value.strip("'")
    except ValueError:
        return value.strip('"')


_SENTENCE = re.compile(r"[^.!?;\n]+[.!?;\n]?")
_OPEN = re.compile(r"\b(?:whether|if|unless)\b|\?$", re.IGNORECASE)
_CLAUSE = re.compile(r"[,:—–]|\b(?:so|but|and|hence|thus|therefore|because|as|since)\b", re.IGNORECASE)
_DIRECTLY_NOT = re.compile(
    r"(?:\bnot|n['’]t|\bnever)(?: (?:really|very|quite|at all|actually|be|considered))*[ -]$", re.I
)
_NOT = re.compile(
    r"\b(?:no|not|never|nor|neither|none|nothing|hardly|barely|cannot|unable|without)\b|n['’]t\b", re.IGNORECASE
)
_BEFORE = 300  # characters of a clause that are looked at, so that a model gone into a loop costs no time


def polarity(text: str, yes: str, no: str) -> bool | None:
    """Whether the sentences of a text say yes or no (regular expressions); None where they say neither or both.

    "not" right before the word turns it round; a negation elsewhere in its clause ("I do not think that it is
    relevant") leaves it open, as do questions, "whether" and "if".
    """
    word = re.compile(rf"(?P<yes>{yes})|(?P<no>{no})", re.IGNORECASE)
    readings: set[bool] = set()
    for sentence in _SENTENCE.findall(_MARKUP.sub("", text)):
        if _OPEN.search(sentence.strip()):
            continue
        for match in word.finditer(sentence):
            clause = _CLAUSE.split(sentence[max(0, match.start() - _BEFORE) : match.start()])[-1]
            denied = bool(_DIRECTLY_NOT.search(clause))
            if not denied and _NOT.search(clause):
                return None
            readings.add((match["yes"] is not None) != denied)
    return readings.pop() if len(readings) == 1 else None


def one_of(readings: list[bool | None]) -> bool | None:
    """The verdict on which all readings agree; None where one is unclear, they differ, or there are none."""
    return readings[0] if readings and len(set(readings)) == 1 else None


_STATED = re.compile(
    r"confidence\b(?:[^:：=|→\n]{0,30}?(?:[:：=|→]|\s[-–—]\s|\b(?:is|of)\s(?=[^\w\n]*(?:about |around )?\d))"
    r"|[ \t](?=\d)|(?:[ \t](?:level|score))?[*_#\s]*\n)[\s*_`>|]*([^\n]*)",
    re.IGNORECASE,
)
_NUMBER = r"(?<![\w.,−-])(?P<first>\d+(?:[.,]\d+)?|\.\d+)"
_RANGE = r"\s*(?:-|–|—|to\b|and\b)\s*(?P<last>\d+(?:[.,]\d+)?)"
_MARK = r"\s*(?:(?P<mark>%|percent\b)|(?:/|out of\b)\s*(?P<of>\d+))"
_ABOUT = r"\b(?:about|around|approximately|roughly|nearly|almost|over|at least|between)\b"
_PLAIN = re.compile(rf"(?:[^\w\n−-]|{_ABOUT})*{_NUMBER}(?:\s*(?:%|percent\b))?(?:{_RANGE})?(?:{_MARK})?", re.IGNORECASE)
_AFTER_WORDS = re.compile(rf"{_NUMBER}(?:\s*(?:%|percent\b))?(?:{_RANGE})?{_MARK}", re.IGNORECASE)


def stated_confidence(text: str) -> float | None:
    """The confidence that a text states after ``Confidence:``, from 0 to 100; None where it states none.

    ``80%``, ``80/100``, ``8 out of 10``, the share ``0.8`` and ``high (80%)`` are 80, and ``70-80%`` is 75; the last
    statement counts.  A word alone ("high") is none, since its scale would be ours, nor is a bare ``1``, which may be
    of either scale.
    """
    lines = list(table_cells(text, r"confidence\b.*")) or _STATED.findall(text)
    line = in_digits(lines[-1][:1000].replace("\\boxed", "")) if lines else ""
    match = _PLAIN.match(line) or _AFTER_WORDS.search(line)
    if match is None:
        return None
    low, high = (float((digits or match["first"]).replace(",", ".")) for digits in (match["first"], match["last"]))
    value = (low + high) / 2 if high > low else low
    if match["of"]:
        value = 100 * value / float(match["of"]) if float(match["of"]) else -1.0
    elif not re.search(r"%|percent", match[0], re.IGNORECASE) and 0 < value <= 1:
        value = 100 * value if re.search(r"[.,]\d", match[0]) else -1.0
    return round(value, 6) if 0 <= value <= 100 else None
