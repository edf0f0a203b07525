"""Calls that stand in a text: as a model words them, or as a server's parser left them there.

Every wording is a mark (a special token, a tag, a label), a name, and arguments (JSON, keywords in parentheses, tags,
or plain text).  So one reader goes from mark to mark, whatever the model.  What it takes for a call:

- after a mark that stands for nothing else (``<tool_call>``, ``<function=``, ``[TOOL_CALLS]``), always; where nothing
  readable follows, it is an attempt: a call without a name, unless the text states an answer;
- without one (bare or fenced JSON, ``search("...")``), a call of one of our tools that stands alone, at the beginning
  of a line or at the end of the text, and only in a text that states no answer;
- never what stands in `inline code`, and nothing after an output that the model invented.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice
from typing import Any

from msgspec import Struct

from lrat_sim.agent.calls import (
    labelled_calls,
    make_call,
    stated_calls,
    tagged_arguments,
    tagged_calls,
    tool_of,
    tool_taking,
    unread,
)
from lrat_sim.agent.marks import PATTERNS, SAME
from lrat_sim.agent.mending import DECODER, read_mappings
from lrat_sim.models.message import ToolCall
from lrat_sim.retrieval.result_format import OWN_TOOL

_LONGEST = 100_000  # characters in which calls are looked for; nobody writes a call after as many
_MOST = 200  # marks that are looked at
_FAILURES = 5  # marks behind which nothing can be read, until no more are looked at
_WIDEST = 4_000  # characters of a call that is not plain JSON

_Calls = tuple[list[ToolCall], int]  # calls, and where they end
_Span = tuple[list[ToolCall], int, int]  # calls, and where they begin and end


class TextCalls(Struct, frozen=True):
    """What a text says: its calls in order, an attempt at one without a name, and the rest of the text."""

    calls: list[ToolCall]
    text: str

    @property
    def named(self) -> list[ToolCall]:
        """The calls that could be read."""
        return [call for call in self.calls if call.name]


def read_text_calls(text: str) -> TextCalls:
    """The calls in a text that a model wrote, without its reasoning; never raises."""
    whole, text = text, text[:_LONGEST]
    answered = PATTERNS["stated"].search(text) is not None
    if "<" in text:
        for mark, meaning in SAME:
            text = mark.sub(meaning, text)
        text = PATTERNS["quote"].sub(lambda quote: json.dumps(quote[1], ensure_ascii=False), text)
    start = 0
    for end in [*(invented.start() for invented in islice(PATTERNS["invented"].finditer(text), _MOST)), len(text)]:
        reader = _Reader(text[start:end])
        if spans := reader.spans():
            beside = f"{text[:start].strip()}\n{reader.beside(spans)}".strip()
            return TextCalls([call for calls, _, _ in spans for call in calls], beside)
        start = end
    return TextCalls([unread(text)], "") if not answered and _is_unknown_wording(text) else TextCalls([], whole)


def call_start(text: str) -> int | None:
    """The index of the first mark of a call; None without one."""
    marks = (mark.search(text[:_LONGEST]) for mark in (PATTERNS["marker"], *(mark for mark, _ in SAME)))
    return min((mark.start() for mark in marks if mark is not None), default=None)


def _is_unknown_wording(text: str) -> bool:
    """Whether a text is plainly meant as a call, though in no wording that is read: it holds its arguments alone."""
    if '"properties"' in text:  # a description of tools
        return False
    if PATTERNS["meant"].search(PATTERNS["code"].sub(" ", text)) is not None:
        return True
    alone = PATTERNS["mapping"].search(text)
    mapping = read_mappings(text[alone.end() :].strip("` \n")) if alone else None
    fields = {str(key).casefold() for key in mapping} if isinstance(mapping, dict) else set()
    return bool(fields) and fields <= {"query", "queries", "docid", "arguments", "parameters"}


class _Reader:
    """One text, read from mark to mark."""

    def __init__(self, text: str):
        self.text = text
        self.tail = len(text.rstrip("`\n\t .;"))
        self.failures = self.calls = 0
        self.stated = PATTERNS["stated"].search(text) is not None
        self.quoted = [code.span() for code in PATTERNS["code"].finditer(text)]
        fences = [fence.start() for fence in re.finditer("```", text)]
        self.fenced = list(zip(fences[::2], [*fences[1::2], len(text)], strict=False))

    def spans(self) -> list[_Span]:
        """The calls and attempts behind marks, else behind labels, else those without a mark that stand alone."""
        return (
            self._scan(PATTERNS["marker"], self._marked)
            or self._labelled()
            or ([] if self.stated else self._scan(PATTERNS["bare"], self._bare))
        )

    def beside(self, spans: list[_Span]) -> str:
        """The text without its calls and what was left of their marks."""
        begins, ends = [begin for _, begin, _ in spans], [end for _, _, end in spans]
        parts = [self.text[end:begin] for end, begin in zip([0, *ends], [*begins, len(self.text)], strict=True)]
        kept = (re.sub(r"```\w*\s*\Z|\A[\s`)\]}:,;]*\Z", "", PATTERNS["next"].sub("\n", part)) for part in parts)
        return "\n".join(filter(None, (part.strip() for part in kept)))

    def _scan(self, pattern: re.Pattern[str], read: Callable[[re.Match[str], bool], _Span | None]) -> list[_Span]:
        """What ``read`` finds at each match of a pattern; its second argument is whether anything was found before."""
        spans: list[_Span] = []
        position = 0
        for _ in range(_MOST):
            mark = pattern.search(self.text, position)
            if mark is None or self.failures > _FAILURES or self.calls > _MOST:
                break
            position = max(mark.end(), mark.start() + 1)
            if not _within(self.quoted, mark.start()) and (span := read(mark, bool(spans))) is not None:
                spans.append(span)
                position = max(span[2], position)
                self.calls += len(span[0])
        return spans

    def _marked(self, mark: re.Match[str], follows: bool) -> _Span | None:
        """The calls behind a mark, or an attempt at one."""
        if self.stated and _within(self.fenced, mark.start()):
            return None
        start = mark.start()
        if mark[0][0] == "<" or mark[0] == "[ARGS]":  # the name stands before a mark whose opening was lost
            before = self.text[max(0, start - 100) : start]
            if name := PATTERNS["name_before"].search(before):
                start -= len(before) - name.start()
        if (found := self._after(start)) is not None:
            return found[0], start, found[1]
        if self.stated:
            return None
        self.failures += 1
        end = self._next_mark(mark.end(), _LONGEST)
        inside, opens = self.text[mark.end() : end].strip(), self._opens_line(mark.start())
        if inside:  # not prose that names the mark
            attempted = opens or "{" in inside or re.search(OWN_TOOL, inside) is not None
        else:  # not another mark
            attempted = end == len(self.text) and (opens or follows)
        return ([unread(inside)], start, end) if attempted else None

    def _bare(self, start: re.Match[str], follows: bool) -> _Span | None:
        """Calls without a mark, that stand alone; of a tool that is not ours only one that is all that there is."""
        found = self._after(start.end(), loose=False)
        if found is not None and not all(not call.name or tool_of(call.name) for call in found[0]):
            before = self.text[: start.end()].strip("` \t\n[json")
            if before or not PATTERNS["arguments"].search(self.text, start.end(), found[1]):
                found = None
        if found is None:
            self.failures += 1
            return None
        if not self._opens_line(start.start()) and found[1] < self.tail:
            return None
        self.failures += not found[0][-1].name
        return found[0], start.start(), found[1]

    def _labelled(self) -> list[_Span]:
        """Actions at the beginning of lines, of one of our tools or with an input of their own."""
        labels = list(PATTERNS["label"].finditer(self.text))
        first = next((label.start() for label in labels if label[1].lower().startswith(("action", "tool"))), None)
        if first is None or _within(self.fenced, first):
            return []
        calls = labelled_calls(self.text[first:])
        named = any(label[1].lower() in ("thought", "action input") for label in labels)
        if not calls or not (named or any(tool_of(call.name) for call in calls)):
            return []
        return [(calls, first, len(self.text))]

    def _opens_line(self, position: int) -> bool:
        before = self.text[self.text.rfind("\n", 0, position) + 1 : position]
        return not PATTERNS["token"].sub("", before[-200:]).strip(" \t>*-`[")

    def _next_mark(self, position: int, most: int = _WIDEST) -> int:
        """Where the arguments at ``position`` end at the latest: at the next mark, or after ``most`` characters."""
        furthest = min(len(self.text), position + most)
        mark = PATTERNS["next"].search(self.text, position, furthest)
        return furthest if mark is None else mark.start()

    def _after(self, position: int, *, loose: bool = True) -> _Calls | None:
        """The calls that begin at ``position``, after whatever marks stand there; where these say that it is a call
        (``loose``), any text may stand in brackets."""
        text = self.text
        while (tag := PATTERNS["tag"].match(text, position)) is None and (
            after := _past(PATTERNS["between"], text, position)
        ) > position:
            position = after
        if tag is not None:
            return self._tagged(tag)
        position = _past(PATTERNS["fence"], text, position)
        if PATTERNS["broken"].match(text, position):  # quoted from a document that it was shown
            return None
        if text.startswith(("{", "["), position):
            value, end = self._json(position)
            calls = stated_calls(value)
            return (calls, end) if calls else self._python(position, loose=loose)
        return self._python(position, loose=loose) or self._named(position, loose=loose)

    def _tagged(self, tag: re.Match[str]) -> _Calls | None:
        """A function's tags up to their end: its closing tag, another function or the end."""
        text, name = self.text, tag["own"] or ("search" if tag[0].startswith("<|") else None)
        own_end = rf"(?i)</\s{{0,3}}{name}\s{{0,3}}>|<\|end_of_"
        closes = PATTERNS["tags_end"] if name is None else re.compile(own_end)
        close = closes.search(text, tag.end())
        end = min(len(text), tag.end() + _WIDEST) if close is None else close.start()
        if name is None:
            calls = tagged_calls(text[tag.start() : end])
            return (calls, end) if calls else None
        if attributes := dict(PATTERNS["attribute"].findall(tag[0])):
            return [make_call(name, attributes)], tag.end()
        if self.stated or (close is None and not self._opens_line(tag.start())):
            return None
        given = tagged_arguments(text[tag.end() : end])
        if isinstance(given, str) and close is None:
            given = given.partition("\n")[0]
        return ([make_call(name, given)], end) if given else None

    def _json(self, position: int) -> tuple[Any, int]:
        """The mappings that begin at ``position``, and where they end: strictly, else mended up to bracket or mark."""
        with contextlib.suppress(ValueError, RecursionError):
            _, end = DECODER.raw_decode(self.text, position)
            return read_mappings(self.text[position:end]), end
        mark = self._next_mark(position)
        for end in dict.fromkeys((_balanced(self.text, position, mark), mark)):
            if (value := read_mappings(self.text[position:end].strip().removesuffix("```"))) is not None:
                return value, end
        return None, mark

    def _named(self, position: int, *, loose: bool) -> _Calls | None:
        """A name, and behind it JSON, keywords in parentheses, tags or fields."""
        text, name = self.text, PATTERNS["name"].match(self.text, position)
        if name is None:
            return None
        position = name.end()
        for pattern in (PATTERNS["between"], PATTERNS["opened"], PATTERNS["between"], PATTERNS["fence"]):
            position = _past(pattern, text, position)
        if text.startswith("{", position):
            value, end = self._json(position)
            if isinstance(value, dict):
                tool = tool_taking(value) if name[1].isdigit() else name[1]
                return ([make_call(tool, value)], end) if tool else None
            # cut off, or no JSON: where it is plainly a call, the model is told what is wrong with its arguments
            cut = loose or (self._opens_line(name.start()) and text[position + 1 : position + 2] in ('"', "'"))
            return ([make_call(name[1], text[position:end])], end) if cut else None
        if text.startswith("<", position):
            end = self._next_mark(position)
            given = tagged_arguments(text[position:end])
            return ([make_call(name[1], given)], end) if isinstance(given, dict) else None
        return None

    def _python(self, position: int, *, loose: bool) -> _Calls | None:
        """``search(query="...")``, one or a list of them; ``search["..."]`` and ``search[...]`` of our own tools."""
        calls: list[ToolCall] = []
        text = self.text
        position += text.startswith("[", position)
        while len(calls) < _MOST and (name := PATTERNS["python"].match(text, position)) is not None:
            closing = {"(": ")", "[": "]"}[name[2]]
            end = _balanced(text, name.end() - 1, min(len(text), name.end() + _WIDEST))
            inside = text[name.end() : end].rstrip().removesuffix(closing)
            given = _keywords(inside)
            if given is None and text[end - 1] != closing and re.search(r"[\"'=]", inside):
                return ([*calls, unread(text[position:end])], end) if loose or self._opens_line(position) else None
            alone = self._opens_line(position) and not text[end:].partition("\n")[0].strip(" ]`")
            if given is None and (tool_of(name[1]) is None or not (loose or alone)):
                break
            calls.append(make_call(name[1], inside.strip() if given is None else given))
            position = _past(PATTERNS["between"], text, end)
        return (calls, position + text.startswith("]", position)) if calls else None


def _past(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where what the pattern matches at ``position`` ends; ``position`` itself where it does not match."""
    match = pattern.match(text, position)
    return position if match is None else match.end()


def _within(spans: list[tuple[int, int]], position: int) -> bool:
    before = bisect_right(spans, (position, 1 << 60)) - 1
    return before >= 0 and position < spans[before][1]


def _balanced(text: str, position: int, end: int) -> int:
    """Where the bracket at ``position`` closes; at the end of the line where it never does."""
    depth = 0
    for token in PATTERNS["bracket"].finditer(text, position, end):
        depth += (token[0] in "([{") - (token[0] in ")]}")
        if depth == 0:
            return token.end()
    line = text.find("\n", position, end)
    return end if line < 0 else line


def _keywords(inside: str) -> dict[str, Any] | None:
    """The arguments between parentheses, None where they are no literals; the first may have no keyword."""
    if inside.lstrip().startswith("{"):
        mapping = read_mappings(inside.strip())
        return mapping if isinstance(mapping, dict) else None
    given: dict[str, Any] = {}
    position = 0
    while position < len(inside.rstrip()):
        argument = PATTERNS["keyword"].match(inside, position)
        if argument is None or (argument[1] is None and (given or argument[2][0] not in "\"'[")):
            return None
        try:
            value = json.loads(argument[2]) if argument[2][0] == '"' else ast.literal_eval(argument[2])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = argument[2].strip("\"'")
        given[argument[1] or "input"] = value
        position = argument.end()
    return given
