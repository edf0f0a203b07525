"""Labels at the beginning of a line: ``Thought:``, ``Action:``, ``Action Input:``, ``Observation:`` (Yao et al. 2023).

Protocol ``react`` lives by them; models fall into them in other protocols, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lrat_sim.agent.calls import parse_arguments, read_block, tool_of, tool_taking, unread, value_field
from lrat_sim.models.message import ToolCall

LABEL = re.compile(
    r"^[ \t*_#>-]*(thought|action input|action|tool(?=[ \t*_]*[:\uff1a][ \t*_`\"']*(?:search|get_document)\b)"
    r"|observation|final answer)[ \t*_]*[:\uff1a][ \t*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_BRACKETED = re.compile(r"[`\"']?([\w./-]+(?::\d+)?)[`\"']?[ \t]*([\[(])(.*)", re.DOTALL)
_NAMED = re.compile(r"[`\"']?([\w.-]+)[`\"']?(?:[ \t]*[:\uff1a])?[ \t]*(.*)", re.DOTALL)
_INPUT = re.compile(
    r"\n[ \t*_]*(?:tool[ _])?(?:input|query|arguments?|parameters?|docid)[ \t*_]*[:\uff1a][ \t*_]*", re.IGNORECASE
)
_KEYWORD = re.compile(r"\s*(\w+)\s*=\s*")
_NO_ACTION = ("none", "n/a", "na", "no", "nothing", "finish", "answer")

Part = tuple[str, str]
"""A label and what follows it."""


def labelled_parts(text: str) -> Iterator[Part]:
    """Labels and what follows them, in order; what stands before the first has the label ``""``."""
    labels = list(LABEL.finditer(text))
    yield "", text[: labels[0].start() if labels else len(text)].strip()
    ends = [label.start() for label in labels[1:]] + [len(text)]
    for label, end in zip(labels, ends, strict=False):
        body = text[label.end() : end].strip()
        yield " ".join(label[1].lower().split()).replace("tool", "action"), body


def before_observation(text: str) -> str:
    """The text up to the first observation, which a model can only invent."""
    for label in LABEL.finditer(text):
        if label[1].lower() == "observation":
            return text[: label.start()].rstrip()
    return text


def labelled_calls(parts: list[Part]) -> list[ToolCall]:
    """The actions, each with the input that follows it; one that follows none may tell its tool by its arguments."""
    calls = []
    before = ""
    for (label, body), (after, given) in zip(parts, [*parts[1:], ("", "")], strict=True):
        if label == "action input" and before != "action":
            tool = tool_taking(parse_arguments(body))
            calls.append(ToolCall(id="", name=tool, arguments=body) if tool else unread(body))
        elif label == "action" and body.strip("*`. ").lower() not in _NO_ACTION:
            calls += _action(body, given if after == "action input" else None)
        before = label
    return calls


def _action(body: str, given: str | None) -> list[ToolCall]:
    """The calls of one action: ``search[...]``, ``search(...)``, ``search: ...``, JSON, or a name and its input."""
    if given is None and (own := _INPUT.search(body)) is not None:
        body, given = body[: own.start()], body[own.end() :]
    body = body.strip("*` \t\n")
    if body.startswith(("{", "[")):
        return read_block(body)
    if given is None and (bracketed := _BRACKETED.fullmatch(body)) is not None:
        name, opening, rest = bracketed.groups()
        return [_call(name, _inside(rest, "]" if opening == "[" else ")"))]
    named = _NAMED.fullmatch(body)
    if named is None or (given is None and tool_of(named[1]) is None):
        return [unread(body)]
    return [_call(named[1], named[2] if given is None else given)]


def _inside(rest: str, closing: str) -> str:
    """What stands in brackets that may hold others, or never close: then to the end of the line."""
    line, _, _ = rest.strip().partition("\n")
    end = line.rfind(closing)
    if end < 0 and line[:1] in ("{", "["):  # JSON over several lines
        end, line = rest.rfind(closing), rest
    return line if end < 0 else line[:end]


def _call(name: str, given: str) -> ToolCall:
    """A call whose input is JSON, or a plain text: then its first line, since prose may follow."""
    given = given.strip()
    keyword = _KEYWORD.match(given)
    if keyword is not None and keyword[1].lower() in ("query", "q", "docid", "doc_id", "id", "input"):
        given = given[keyword.end() :]
    if given.startswith(("{", "```")):
        return ToolCall(id="", name=name, arguments=given)
    line = given.partition("\n")[0].strip().rstrip("`").strip()
    if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'`" and line[0] not in line[1:-1]:
        line = line[1:-1]
    field = value_field(tool_of(name))
    return ToolCall(id="", name=name, arguments=json.dumps({field: line} if line else {}, ensure_ascii=False))
