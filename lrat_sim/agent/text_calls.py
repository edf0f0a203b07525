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
from itertools import islice
from typing import Any

from msgspec import Struct

from lrat_sim.agent import marks
from lrat_sim.agent.calls import (
    make_call,
    stated_calls,
    tagged_arguments,
    tagged_calls,
    tool_of,
    tool_taking,
    unread,
)
from lrat_sim.agent.labels import LABEL, before_observation, labelled_calls, labelled_parts
from lrat_sim.agent.mending import read_mappings
from lrat_sim.models.message import ToolCall
from lrat_sim.retrieval.control_tokens import OWN_TOOL

_LONGEST = 100_000
"""Characters in which calls are looked for; nobody writes a call after as many, and looking takes time."""
_MOST = 200
"""Marks that are looked at."""
_FAILURES = 5
"""Marks behind which nothing can be read, until no more are looked at."""
_WIDEST = 4_000
"""Characters of a call that is not plain JSON."""


class TextCalls(Struct, frozen=True):
    """What a text says: its calls in order, an attempt at one without a name, and what stands beside them."""

    calls: list[ToolCall]
    text: str

    @property
    def named(self) -> list[ToolCall]:
        """The calls that could be read."""
        return [call for call in self.calls if call.name]


def read_text_calls(text: str) -> TextCalls:
    """The calls in a text; never raises.

    Args:
        text: what the model wrote, without its reasoning.
    """
    whole, text = text, text[:_LONGEST]
    answered = marks.STATED.search(text) is not None
    if "<" in text:
        for mark, meant in marks.SAME:
            text = mark.sub(meant, text)
        text = marks.QUOTE.sub(lambda found: json.dumps(found[1], ensure_ascii=False), text)
    start = 0
    for end in [*(invented.start() for invented in islice(marks.INVENTED.finditer(text), _MOST)), len(text)]:
        reader = _Reader(text[start:end])
        if found := reader.marked() or reader.labelled() or ([] if reader.stated else reader.bare()):
            beside = f"{text[:start].strip()}\n{reader.beside(found)}".strip()
            return TextCalls([call for calls, _, _ in found for call in calls], beside)
        start = end
    return TextCalls([unread(text)], "") if not answered and _meant(text) else TextCalls([], whole)


def call_start(text: str) -> int | None:
    """Where the first mark of a call stands; None without one."""
    mark = marks.MARKER.search(text[:_LONGEST])
    return None if mark is None else mark.start()


def _meant(text: str) -> bool:
    if '"properties"' in text:  # a description of tools
        return False
    found = marks.MEANT.search(marks.CODE.sub(" ", text))
    alone = re.search(r"^[ \t]*(?:```\w{0,20}\s{0,3})?(?=\{(?!\\))", text, re.MULTILINE)
    mapping = read_mappings(text[alone.end() :].strip("` \n")) if alone and not found else None
    fields = {str(key).casefold() for key in mapping} if isinstance(mapping, dict) else set()
    return found is not None or (bool(fields) and fields <= {"query", "queries", "docid", "arguments", "parameters"})


_DECODER = json.JSONDecoder(strict=False)

_Span = tuple[list[ToolCall], int, int]
"""Calls, and where they begin and end."""


class _Reader:
    """One text, read from mark to mark."""

    def __init__(self, text: str):
        self.text, self.end, self.failures, self.calls = text, len(text), 0, 0
        self.stated = marks.STATED.search(text) is not None
        self.quoted = [(found.start(), found.end()) for found in marks.CODE.finditer(text)]
        fences = [found.start() for found in re.finditer("```", text)]
        self.fenced = list(zip(fences[::2], [*fences[1::2], len(text)], strict=False))

    def marked(self) -> list[_Span]:
        """Calls, and attempts, behind marks."""
        spans: list[_Span] = []
        position = 0
        for _ in range(_MOST):
            mark = marks.MARKER.search(self.text, position, self.end)
            if mark is None or self.failures > _FAILURES or self.calls > _MOST:
                break
            position = mark.end()
            if _within(self.quoted, mark.start()) or (self.stated and _within(self.fenced, mark.start())):
                continue
            start = self._name_before(mark.start()) if mark[0][0] == "<" or mark[0] == "[ARGS]" else mark.start()
            found = self._after(mark.start() if start == mark.start() else start)
            if found is None and not self.stated:
                until = marks.NEXT.search(self.text, mark.end(), self.end)
                end = self.end if until is None else until.start()
                found = ([unread(self.text[mark.end() : end])], end) if self._is_attempt(mark, end, spans) else None
                self.failures += 1
            if found is not None:
                spans.append((found[0], start, found[1]))
                position = max(found[1], mark.end())
                self.calls += len(found[0])
        return spans

    def _is_attempt(self, mark: re.Match[str], end: int, spans: list[_Span]) -> bool:
        """Whether what follows a mark without a call is one that failed: not another mark, nor prose that names it."""
        inside, opens = self.text[mark.end() : end].strip(), self._opens_line(mark.start())
        if not inside:
            return end == self.end and (opens or bool(spans))
        return opens or "{" in inside or re.search(OWN_TOOL, inside) is not None

    def _opens_line(self, position: int) -> bool:
        before = self.text[self.text.rfind("\n", 0, position) + 1 : position]
        return not re.sub(marks.TOKEN, "", before[-200:]).strip(" \t>*-`[")

    def _name_before(self, position: int) -> int:
        """Where the name begins that stands before a mark whose opening was lost; else the mark's own."""
        found = re.search(
            rf"(?<![\w.]){OWN_TOOL}(?::\d{{1,6}})?\s{{0,3}}\Z", self.text[max(0, position - 100) : position]
        )
        return position if found is None else max(0, position - 100) + found.start()

    def _after(self, position: int, *, loose: bool = True) -> tuple[list[ToolCall], int] | None:
        """The calls that begin at ``position``, after whatever marks stand there, and their end.

        ``loose`` where a mark says that it is a call: in brackets may then stand any text.
        """
        text = self.text
        while (tag := marks.TAG.match(text, position, self.end)) is None and (
            after := _past(marks.BETWEEN, text, position)
        ) > position:
            position = after
        if tag is not None:
            return self._tagged(tag)
        position = _past(marks.FENCE, text, position)
        if marks.BROKEN.match(text, position):  # quoted from a document that it was shown
            return None
        if text.startswith(("{", "["), position):
            value, end = self._json(position)
            calls = stated_calls(value)
            return (calls, end) if calls else self._python(position, loose=loose)
        return self._python(position, loose=loose) or self._named(position, loose=loose)

    def _tagged(self, tag: re.Match[str]) -> tuple[list[ToolCall], int] | None:
        """A function's tags up to their end: its closing tag, another function or the end."""
        text, name = self.text, tag["own"] or ("search" if tag[0].startswith("<|") else None)
        closes = re.compile(rf"</\s{{0,3}}{name}\s{{0,3}}>|<\|end_of_" if name else marks.FUNCTION_ENDS, re.IGNORECASE)
        close = closes.search(text, tag.end(), self.end)
        if name is None:
            end = min(self.end, tag.end() + _WIDEST) if close is None else close.start()
            calls = tagged_calls(text[tag.start() : end])
            return (calls, end) if calls else None
        attributes = dict(marks.ATTRIBUTE.findall(tag[0]))
        if attributes:
            return [make_call(name, attributes)], tag.end()
        if self.stated or (close is None and not self._opens_line(tag.start())):
            return None
        end = min(self.end, tag.end() + _WIDEST) if close is None else close.start()
        given = tagged_arguments(text[tag.end() : end])
        if isinstance(given, str) and close is None:
            given = given.partition("\n")[0]
        return ([make_call(name, given)], end) if given else None

    def _json(self, position: int) -> tuple[Any, int]:
        """The mappings that begin at ``position``, and where they end: strictly, else mended up to bracket or mark."""
        with contextlib.suppress(ValueError, RecursionError):
            _, end = _DECODER.raw_decode(self.text, position)
            return read_mappings(self.text[position:end]), end
        furthest = min(self.end, position + _WIDEST)
        mark = marks.NEXT.search(self.text, position, furthest)
        whole = furthest if mark is None else mark.start()
        for end in dict.fromkeys((_balanced(self.text, position, whole), whole)):
            if (value := read_mappings(self.text[position:end].strip().removesuffix("```"))) is not None:
                return value, end
        return None, whole

    def _named(self, position: int, *, loose: bool) -> tuple[list[ToolCall], int] | None:
        """A name, and behind it JSON, keywords in parentheses, tags or fields."""
        text, name = self.text, marks.NAME.match(self.text, position, self.end)
        if name is None:
            return None
        position = name.end()
        for pattern in (marks.BETWEEN, marks.OPENED, marks.BETWEEN, marks.FENCE):
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
            furthest = min(self.end, position + _WIDEST)
            until = marks.NEXT.search(text, position, furthest)
            end = furthest if until is None else until.start()
            given = tagged_arguments(text[position:end])
            return ([make_call(name[1], given)], end) if isinstance(given, dict) else None
        return None

    def _python(self, position: int, *, loose: bool) -> tuple[list[ToolCall], int] | None:
        """``search(query="...")``, one or a list of them; ``search["..."]`` and ``search[...]`` of our own tools."""
        calls: list[ToolCall] = []
        position += self.text.startswith("[", position)
        while len(calls) < _MOST and (name := marks.PYTHON.match(self.text, position, self.end)) is not None:
            end = _balanced(self.text, name.end() - 1, min(self.end, name.end() + _WIDEST))
            inside = self.text[name.end() : end].rstrip().removesuffix(marks.CLOSES[name[2]])
            given = _keywords(inside)
            if given is None and self.text[end - 1] != marks.CLOSES[name[2]] and marks.QUOTED.search(inside):
                return ([*calls, unread(self.text[position:end])], end) if loose or self._opens_line(position) else None
            alone = self._opens_line(position) and not self.text[end:].partition("\n")[0].strip(" ]`")
            if given is None and (tool_of(name[1]) is None or not (loose or alone)):
                break
            calls.append(make_call(name[1], inside.strip() if given is None else given))
            position = _past(marks.BETWEEN, self.text, end)
        return (calls, position + self.text.startswith("]", position)) if calls else None

    def labelled(self) -> list[_Span]:
        """Actions at the beginning of lines, of one of our tools or with an input of their own."""
        actions = (found for found in LABEL.finditer(self.text) if found[1].lower().startswith(("action", "tool")))
        first = next(actions, None)
        if first is None or _within(self.fenced, first.start()):
            return []
        written = before_observation(self.text[first.start() : self.end])
        parts = list(labelled_parts(written))
        calls = labelled_calls(parts)
        told = any(label in ("thought", "action input") for label, _ in labelled_parts(self.text))
        if not calls or not (told or any(tool_of(call.name) for call in calls)):
            return []
        return [(calls, first.start(), self.end)]

    def bare(self) -> list[_Span]:
        """Calls without a mark, that stand alone."""
        spans: list[_Span] = []
        position, tail = 0, len(self.text[: self.end].rstrip("`\n\t .;"))
        for _ in range(_MOST):
            start = marks.BARE.search(self.text, position, self.end)
            if start is None or self.failures > _FAILURES or self.calls > _MOST:
                break
            position = max(start.end(), start.start() + 1)
            if _within(self.quoted, start.start()):
                continue
            found = self._after(start.end(), loose=False)
            if found is None or not (all(map(_ours, found[0])) or self._alone(start, found[1])):
                self.failures += 1
                continue
            if self._opens_line(start.start()) or found[1] >= tail:
                self.failures += not found[0][-1].name
                spans.append((found[0], start.start(), found[1]))
                position = max(found[1], position)
                self.calls += len(found[0])
        return spans

    def _alone(self, start: re.Match[str], end: int) -> bool:
        """Whether a call is all that there is and says what its arguments are: one of a tool that is not ours."""
        before = self.text[: start.end()].strip("` \t\n[json")
        return not before and marks.ARGUMENTS.search(self.text, start.end(), end) is not None

    def beside(self, spans: list[_Span]) -> str:
        """The text without its calls, what was left of their marks, and what follows an invented output."""
        parts, position = [], 0
        for _, start, end in spans:
            parts.append(self.text[position:start])
            position = end
        parts.append(self.text[position : self.end])
        kept = (re.sub(r"```\w*\s*\Z|\A[\s`)\]}:,;]*\Z", "", marks.NEXT.sub("\n", part)) for part in parts)
        return "\n".join(filter(None, (part.strip() for part in kept)))


def _ours(call: ToolCall) -> bool:
    return not call.name or tool_of(call.name) is not None


def _past(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Where what the pattern matches at ``position`` ends; ``position`` itself where it does not match."""
    found = pattern.match(text, position)
    return position if found is None else found.end()


def _within(spans: list[tuple[int, int]], position: int) -> bool:
    before = bisect_right(spans, (position, 1 << 60)) - 1
    return before >= 0 and position < spans[before][1]


def _balanced(text: str, position: int, end: int) -> int:
    """Where the bracket at ``position`` closes; at the end of the line where it never does."""
    depth = 0
    for found in marks.BRACKET.finditer(text, position, end):
        depth += (found[0] in "([{") - (found[0] in ")]}")
        if depth == 0:
            return found.end()
    line = text.find("\n", position, end)
    return end if line < 0 else line


def _keywords(inside: str) -> dict[str, Any] | None:
    """The arguments between parentheses, None where they are no literals; the first may have no keyword."""
    if inside.lstrip().startswith("{"):
        found = read_mappings(inside.strip())
        return found if isinstance(found, dict) else None
    given: dict[str, Any] = {}
    position = 0
    while position < len(inside.rstrip()):
        found = marks.KEYWORD.match(inside, position)
        if found is None or (found[1] is None and (given or found[2][0] not in "\"'[")):
            return None
        try:
            value = json.loads(found[2]) if found[2][0] == '"' else ast.literal_eval(found[2])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = found[2].strip("\"'")
        given[found[1] or "input"] = value
        position = found.end()
    return given
