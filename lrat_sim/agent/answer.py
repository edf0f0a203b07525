r"""The answer that a final message states.

Looked for in this order, each time the last one that is not empty:

1. after a heading ``Exact Answer`` or ``Final Answer`` that begins a line, whatever marks it up, or in a table's column
   of that name;
2. in JSON, under ``exact_answer``, ``final_answer`` or ``answer``; in ``\boxed{}``; after ``Exact Answer:`` in a line;
3. after a heading ``Answer``, and in a sentence that says "the answer is".

A heading's answer is the rest of its line, or else the next line that holds something; of a list there, all items.  A
heading of another part (``Confidence``, ``Explanation``) ends it.  Without any of these the whole text is the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_END = re.compile(r"(?:(?:<\|\w+\|>|<｜[^<>｜]+｜>|</s>|<end_of_turn>)\s*)+\Z")
"""A chat template's end of a turn, which some servers leave in the text."""
_TAG = r"(?:(?:exact|final)[_ -]?)?answer>"
_TAGGED = re.compile(rf"<{_TAG}(.*?)(?:</{_TAG}|(?=<{_TAG})|\Z)", re.DOTALL | re.IGNORECASE)
_GIVES_UP = re.compile(
    r"\b(?:could not|couldn't|cannot|can't|unable to|not able to)\s+(?:be\s+)?(?:\w+\s+)?"
    r"(?:find|found|determine|answer)",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"(?:answer (?:is|remains) )?(?:unknown|undetermined|unclear|i (?:do not|don t) know|n a|no answer(?: found)?"
    r"|not (?:known|found|available|specified|stated|determined)|insufficient (?:information|evidence|data))"
)

_FLAGS = re.IGNORECASE | re.MULTILINE
_BULLETS = r"(?:(?:[-+•‣·*]|\d{1,2}[.)])[^\S\n]+|(?:[#>|]|<\w{1,6}>)[^\S\n]*)*"
_CLOSE = r"(?:[*_`\]”’】]|</\w{1,6}>)*"
_COLON = (
    rf"{_CLOSE}[^\S\n]*(?:(?:\([^()\n]{{0,60}}\)|to (?:the|this|your) question)[^\S\n]*)?"
    rf"(?:is\b|was\b)?{_CLOSE}[^\S\n]*(?:[:：=|→]|[-–—](?=[^\S\n]))"
)
_EXACT = r"(?:exact|final)[\s_-]?answers?\b"


_BREAK = re.compile(r"\r\n?|<br\s?/?>", re.IGNORECASE)
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")


def _heading(name: str) -> re.Pattern[str]:
    start = rf"^[^\S\n]*{_BULLETS}(?P<open>[*_`\[“‘【]*)(?:(?:the|my)[^\S\n]+)?{name}"
    return re.compile(rf"{start}(?:{_COLON}|(?={_CLOSE}[^\S\n]*$))(?P<shut>{_CLOSE})", _FLAGS)


_HEADING = _heading(_EXACT)
_PLAIN_HEADING = _heading(
    r"(?:(?:correct[^\S\n]|short[^\S\n])?answers?|(?:最终|确切|准确)?答案|réponse|respuesta|resposta|risposta|antwort|ответ)\b"
)
_INLINE = re.compile(rf"\b{_EXACT}{_CLOSE}[^\S\n]*(?:is\b)?[^\S\n]*[:：](?P<shut>{_CLOSE})(?P<open>)", re.IGNORECASE)
_OTHER_PART = re.compile(
    rf"[^\S\n]*{_BULLETS}[*_`\[]*(?:confidence|explanation|reasoning|rationale|justification|sources?|references?"
    r"|evidence|notes?)\b(?:[*_`\]]*[^\S\n]*$|[^:：=\n]{0,30}[:：=|])",
    re.IGNORECASE,
)
_PART_IN_LINE = re.compile(
    r"(?:^|[\s|;,(\[])[\s*_]{0,9}(?:confidence|explanation)(?: \w+)?[*_ ]{0,9}[:：=].*", re.IGNORECASE
)
_SENTENCE = re.compile(
    r"(?:^|[.!?:,;]|\b(?:so|thus|hence|therefore|that|and|but))[^\S\n]{0,9}\b"
    r"the (?:exact |final |correct |right )?answer(?: to (?:the|this|your) question)? (?:is|was|must be)\b"
    r"[*_:：]*[^\S\n]+"
    r"(?!(?:un\w+|not|that|given|based|hard|difficult|ambiguous|as follows|available|missing|impossible)\b)([^\n]+)",
    _FLAGS,
)
_SENTENCE_END = re.compile(r"(?<=[\w)\]\"”*][\w)\]\"”*]{2})[.!?](?=\s+[A-Z\"“(])")
_FULL_STOP = re.compile(r"(?<=[a-z)\]\"”*_`]{2}|[\d*]{2})\.\Z")
"""Not that of an abbreviation."""
_EMPTY_LINE = re.compile(r"[>\s]*(?:(?:```+|~~~+)\w*|[*_`]+|\$+|[-=_]{3,}|\|[|:\s-]*)?")
_ITEM = re.compile(r"\s*(?:>\s*)*(?:[-+•‣·]|\*(?!\*))\s+")
_MARGIN = re.compile(r"\A(?:>(?!\s?\d)\s*|#{1,6}\s+|(?:[-+•‣·]|\*(?!\*))\s+)+")
_JSON_KEY = re.compile(r"[\"'](?:exact|final)?[ _-]?answer[\"']\s*:\s*", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LATEX = re.compile(r"\\(?:text\w*|math\w+|operatorname)\s*\{([^{}]*)\}")
_PAIRS = [(mark, mark) for mark in ("```", "``", "`", "***", "**", "*", "__", "_", '"', "'", "$$", "$")]
_OPENS, _CLOSED = ("*", "_", "`", '"', "“"), ("*.", "_.", "`.", '".', "”.")
_PAIRS += [("“", "”"), ("‘", "’"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』")]
_TAGS = re.compile(r"</?(?:b|i|u|em|strong|p|br|span|code|h\d|mark)\s?/?>", re.IGNORECASE)


_READ = 200_000
"""Characters of the beginning and of the end of a message in which an answer is looked for."""
_LAST = 20
"""Of one rule's finds those looked at."""


def states_answer(text: str | None) -> bool:
    """Whether a text states an exact answer, by 1 or 2 above, even if it is empty; else the text is the answer."""
    return next(_explicit(_content(text)[-_READ:]), None) is not None


def read_answer(text: str | None) -> str | None:
    """The answer that a text states, without markup around it; the whole text where it states none.

    Of a text with ``<answer>`` tags only what the last ones hold.

    Returns:
        None where the model gives up: no text, nothing after the heading, that it does not know or could not find it.
    """
    text = _content(text)
    answer = _stated(text)
    if answer is None:
        answer = "" if _GIVES_UP.search(text) else _bare(text)
    elif _GIVES_UP.search(answer):
        return None
    words = " ".join(re.findall(r"\w+", answer[:100].lower()))
    return None if not answer or _NO_ANSWER.fullmatch(words) else answer


def _content(text: str | None) -> str:
    text = _INVISIBLE.sub("", _BREAK.sub("\n", text or ""))
    tagged = [each for each in _TAGGED.findall(text) if each.strip()]
    text = (tagged[-1] if tagged else _TAGGED.sub("", text)).strip()
    return text[:-500] + _END.sub("", text[-500:])


def _stated(text: str) -> str | None:
    """The answer, "" where all that there are are empty, None where none is stated."""
    if len(text) > 2 * _READ:
        text = f"{text[:_READ]}\n{text[-_READ:]}"
    found = None
    for found in _explicit(text):
        if found:
            return found
    if found is not None:
        return found
    plain = [value for match in _last(_PLAIN_HEADING, text) if (value := _after(text, match))]
    if not plain:
        sentences = [_SENTENCE_END.split(match[1].strip())[0] for match in _last(_SENTENCE, text)]
        plain = [_bare(_FULL_STOP.sub("", sentence)) for sentence in sentences]
    return plain[-1] if plain else None


def _explicit(text: str) -> Iterator[str]:
    """By each rule of 1 and 2 that finds any, the last answer that is not empty, else the empty one."""
    for find in (_headed, _tabled, _json, _boxed, _inline):
        if found := list(find(text)):
            yield next((value for value in reversed(found) if value), "")


def _headed(text: str) -> Iterator[str]:
    return (_after(text, match) for match in _last(_HEADING, text))


def _inline(text: str) -> Iterator[str]:
    return (_after(text, match) for match in _last(_INLINE, text))


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    return list(pattern.finditer(text))[-_LAST:]


def _after(text: str, heading: re.Match[str]) -> str:
    """What a heading is followed by: the rest of its line, or the next one that holds something."""
    first, *lines = text[heading.end() :][:20_000].split("\n")[:40]
    opened = heading["open"].strip("“‘【[")
    if opened and opened[0] not in heading["shut"] and first.rstrip().endswith(opened[::-1]):
        first = first.rstrip().removesuffix(opened[::-1])  # the whole line is marked up
    if answer := _bare(_PART_IN_LINE.sub("", first)):
        return answer
    items: list[str] = []
    for line in lines:
        if _OTHER_PART.match(line) or _HEADING.match(line) or (items and not _ITEM.match(line)):
            break
        if not _EMPTY_LINE.fullmatch(line.rstrip()):
            items.append(_bare(_PART_IN_LINE.sub("", line)))
            if not _ITEM.match(line):
                break
    return "; ".join(filter(None, items))


def _tabled(text: str) -> Iterator[str]:
    return map(_bare, table_cells(text, _EXACT))


def table_cells(text: str, name: str) -> Iterator[str]:
    """What stands in the first row of Markdown tables under each head that the pattern ``name`` fits."""
    lines = [line.strip().strip("|").split("|") for line in text.split("\n")] if text.count("|") > 3 else []
    for head, rule, row in zip(lines, lines[1:], lines[2:], strict=False):
        if len(head) == len(rule) == len(row) and all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in rule):
            for title, cell in zip(head, row, strict=True):
                if re.fullmatch(rf"{_CLOSE}{name}{_CLOSE}", title.strip(), re.IGNORECASE):
                    yield cell.strip()


def _json(text: str) -> Iterator[str]:
    for match in _last(_JSON_KEY, text):
        try:
            yield _as_text(json.JSONDecoder(strict=False).raw_decode(text, match.end())[0])
        except (ValueError, RecursionError):  # a Python literal, or cut off
            rest = re.match(r"(['\"])(.*?)(?:\1\s*[,}\n]|\Z)", text[match.end() :][:20_000], re.DOTALL)
            yield _bare(rest[2]) if rest else ""


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(filter(None, map(_as_text, value)))
    return _bare(str(value)) if isinstance(value, str | int | float) else ""


def _boxed(text: str) -> Iterator[str]:
    for match in _last(_BOXED, text):
        depth = 1
        for end in range(match.end(), min(len(text), match.end() + 5_000)):
            depth += (text[end] == "{") - (text[end] == "}")
            if not depth:
                yield _bare(text[match.end() : end])
                break


def _bare(value: str) -> str:
    """An answer without the markup and the quotes around it."""
    before = None
    while before != value:
        before, value = value, _MARGIN.sub("", value.strip()).strip()
        if value[:1] in _OPENS and value[-2:] in _CLOSED:  # a full stop after what is marked up as a whole
            value = value[:-1]
        if "\\" in value:
            value = next(reversed(list(_boxed(value))), value) if _BOXED.search(value) else value
            value = re.sub(r"\\[,;! ]|\\\(|\\\)|\\\[|\\\]", " ", _LATEX.sub(r"\1", value))
            value = re.sub(r"\\([%$&#_{}])", r"\1", value).strip()
        if value.startswith("{") and (found := [one for one in _json(value) if one]):
            value = found[-1]
        value = _TAGS.sub(" ", value).strip().rstrip("\\")
        if value.count("|") > 1 or value.endswith("|"):
            value = value.strip("| ")
        for left, right in _PAIRS:
            inner = value[len(left) : -len(right)]
            if value.startswith(left) and value.endswith(right) and inner.strip() and right not in inner:
                value = inner
                break
        else:
            if value.count("**") % 2:
                value = value.removeprefix("**").removesuffix("**")
            if not value.strip("*_`"):
                value = ""
    return value.strip()
