r"""The answer that a final message states.

Looked for in this order, each time the last one that is not empty:

1. after a heading ``Exact Answer`` or ``Final Answer`` that begins a line, whatever marks it up, or in a table's column
   of that name;
2. in JSON, under ``exact_answer``, ``final_answer`` or ``answer``; in ``\boxed{}``; after ``Exact Answer:`` in a line;
3. after a heading ``Answer``, and in a sentence that says "the answer is".

A heading's answer is the rest of its line, or else the next line that holds something; of a list there, all items.  A
heading of another part (``Confidence``, ``Explanation``) ends it.  Without any of these the whole text is the answer.
The patterns are in answer.yaml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lrat_sim.agent.marks import ANSWERS

_PAIRS = [(mark, mark) for mark in ("```", "``", "`", "***", "**", "*", "__", "_", '"', "'", "$$", "$")]
_PAIRS += [("“", "”"), ("‘", "’"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』")]
_OPENS, _CLOSED = ("*", "_", "`", '"', "“"), ("*.", "_.", "`.", '".', "”.")
_READ = 200_000  # characters of the beginning and of the end of a message in which an answer is looked for
_LAST = 20  # of one rule's finds those looked at


def states_answer(text: str | None) -> bool:
    """Whether a text states an exact answer, by 1 or 2 above, even if it is empty; else the text is the answer."""
    return next(_explicit(_content(text)[-_READ:]), None) is not None


def read_answer(text: str | None) -> str | None:
    """The answer that a text states, without markup; the whole text where it states none; None where the model gives
    up: no text, nothing after the heading, that it does not know or could not find it."""
    text = _content(text)
    answer = _stated(text)
    if answer is None:
        answer = "" if ANSWERS["gives_up"].search(text) else _bare(text)
    elif ANSWERS["gives_up"].search(answer):
        return None
    words = " ".join(re.findall(r"\w+", answer[:100].lower()))
    return None if not answer or ANSWERS["no_answer"].fullmatch(words) else answer


def table_cells(text: str, name: str) -> Iterator[str]:
    """The cells of the first row of Markdown tables below each heading that the pattern ``name`` matches."""
    lines = [line.strip().strip("|").split("|") for line in text.split("\n")] if text.count("|") > 3 else []
    head_cell = re.compile(rf"{ANSWERS['close'].pattern}(?:{name}){ANSWERS['close'].pattern}", re.IGNORECASE)
    for head, rule, row in zip(lines, lines[1:], lines[2:], strict=False):
        if len(head) == len(rule) == len(row) and all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in rule):
            cells = zip(head, row, strict=True)
            yield from (cell.strip() for title, cell in cells if head_cell.fullmatch(title.strip()))


def _content(text: str | None) -> str:
    text = ANSWERS["invisible"].sub("", ANSWERS["break"].sub("\n", text or ""))
    tagged = [answer for answer in ANSWERS["tagged"].findall(text) if answer.strip()]
    text = (tagged[-1] if tagged else ANSWERS["tagged"].sub("", text)).strip()
    return text[:-500] + ANSWERS["end_of_turn"].sub("", text[-500:])


def _stated(text: str) -> str | None:
    """The answer, "" where all that there are are empty, None where none is stated."""
    if len(text) > 2 * _READ:
        text = f"{text[:_READ]}\n{text[-_READ:]}"
    explicit = None
    for explicit in _explicit(text):
        if explicit:
            return explicit
    if explicit is not None:
        return explicit
    plain = [answer for answer in _headed("plain_heading", text) if answer]
    if not plain:
        sentences = [ANSWERS["sentence_end"].split(match[1].strip())[0] for match in _last("sentence", text)]
        plain = [_bare(ANSWERS["full_stop"].sub("", sentence)) for sentence in sentences]
    return plain[-1] if plain else None


def _explicit(text: str) -> Iterator[str]:
    """By each rule of 1 and 2 that finds any, the last answer that is not empty, else the empty one."""
    rules = (
        _headed("heading", text),
        map(_bare, table_cells(text, ANSWERS["exact"].pattern)),
        _json(text),
        _boxed(text),
        _headed("inline", text),
    )
    for rule in rules:
        if answers := list(rule):
            yield next((answer for answer in reversed(answers) if answer), "")


def _last(pattern: str, text: str) -> list[re.Match[str]]:
    return list(ANSWERS[pattern].finditer(text))[-_LAST:]


def _headed(pattern: str, text: str) -> Iterator[str]:
    """What each heading is followed by: the rest of its line, or the next one that holds something."""
    for heading in _last(pattern, text):
        first, *lines = text[heading.end() :][:20_000].split("\n")[:40]
        opened = heading["open"].strip("“‘【[")
        if opened and opened[0] not in heading["shut"] and first.rstrip().endswith(opened[::-1]):
            first = first.rstrip().removesuffix(opened[::-1])  # the whole line is marked up
        yield _bare(ANSWERS["part_in_line"].sub("", first)) or "; ".join(_items(lines))


def _items(lines: list[str]) -> Iterator[str]:
    """The first line that holds something, or all items of a list that begins there, up to another part."""
    item, begun = ANSWERS["item"], False
    for line in lines:
        if ANSWERS["other_part"].match(line) or ANSWERS["heading"].match(line) or (begun and not item.match(line)):
            return
        if not ANSWERS["empty_line"].fullmatch(line.rstrip()):
            if answer := _bare(ANSWERS["part_in_line"].sub("", line)):
                yield answer
            if not item.match(line):
                return
            begun = True


def _json(text: str) -> Iterator[str]:
    for match in _last("json_key", text):
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
    for match in _last("boxed", text):
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
        before, value = value, ANSWERS["margin"].sub("", value.strip()).strip()
        if value[:1] in _OPENS and value[-2:] in _CLOSED:  # a full stop after what is marked up as a whole
            value = value[:-1]
        if "\\" in value:
            value = next(reversed(list(_boxed(value))), value)
            value = ANSWERS["latex_space"].sub(" ", ANSWERS["latex"].sub(r"\1", value))
            value = re.sub(r"\\([%$&#_{}])", r"\1", value).strip()
        if value.startswith("{"):
            value = next((answer for answer in reversed(list(_json(value))) if answer), value)
        value = ANSWERS["tags"].sub(" ", value).strip().rstrip("\\")
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
