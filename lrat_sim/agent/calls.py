"""Reads the calls that a model writes: tolerant of sloppy ones, strict about what is recorded.

What cannot be read stays as the text that it is, and gets a message from which the model can recover.  How text
becomes a mapping is :mod:`lrat_sim.agent.mending`'s.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.mending import read_mappings, read_strictly
from lrat_sim.foreign.values import recordable
from lrat_sim.models.message import ToolCall
from lrat_sim.retrieval.result_format import BROWSE, SEARCH

_TOOLS = {
    **dict.fromkeys(("search", "websearch", "searchdocuments", "localsearch", "googlesearch", "retrieve"), SEARCH),
    **dict.fromkeys(("getdocument", "getdoc", "visit", "open", "opendocument", "browse", "readdocument"), BROWSE),
}
_FIELD = {SEARCH: "query", BROWSE: "docid"}
_VALUES = {
    SEARCH: ("query", "queries", "q", "searchquery", "searchqueries", "keywords"),
    BROWSE: ("docid", "docids", "documentid", "documentids", "document", "doc", "id", "url", "urls"),
}
_WRAPPERS = ("function", "toolcall", "call", "functioncall", "toolcalls", "tooluses", "calls")
_NAMES = ("name", "tool", "toolname", "function", "functionname", "action", "recipientname")
_ARGUMENTS = (
    *("arguments", "args", "argument", "parameters", "params", "input", "kwargs"),
    *("actioninput", "toolinput", "toolargs", "toolarguments", "functionargs"),
)


class Asked(Struct, frozen=True, kw_only=True):
    """A call as it was understood.

    ``tool`` and ``arguments`` are as the model gave them; ``means`` is the tool of ours and ``value`` its argument,
    or ``problem`` says what is wrong.
    """

    tool: str
    arguments: dict[str, Any] | str
    means: str | None = None
    value: str = ""
    problem: str | None = None


_AROUND = re.compile(
    r"<[^<>]*>?|\b(?:assistant|analysis|commentary|constrain|final|json)\b|\bto=|[:#-]\d+\s*\Z", re.IGNORECASE
)
"""What servers leave around a name: special tokens, gpt-oss's channels, the number of the call."""


def tool_of(name: str) -> str | None:
    """The tool of ours that a name means: ``visit``, ``functions.search:0``, ``search<|channel|>json``."""
    plain = _AROUND.sub(" ", name[:200]).strip().removesuffix(".call")  # Llama 3 calls its built-in tools so
    parts = [part for part in re.split(r"[.:/]|__", plain) if part.strip()]
    return _TOOLS.get(_folded(parts[-1])) if parts else None


def tool_taking(arguments: Any) -> str | None:
    """The tool of ours that takes such arguments, where its name was lost."""
    return {"query": SEARCH, "queries": SEARCH, "docid": BROWSE}.get(" ".join(arguments or ()))


def value_field(tool: str | None) -> str:
    """The name of a tool's one argument."""
    return _FIELD.get(tool or "", "input")


def read_call(call: ToolCall, *, form: str = "") -> Asked:
    """Understands a call; never raises.

    A list of queries runs its first; an id may be a number, a list, or stand behind ``DocID:``.

    Args:
        call: the name and the arguments, as text.
        form: how a call is to be written, for one that has no name.
    """
    parsed = parse_arguments(call.arguments)
    asked = Asked(tool=call.name, arguments=call.arguments if parsed is None else parsed)
    tool = tool_of(call.name)
    if tool is None:
        known = f"the tools are {SEARCH}, which takes a query, and {BROWSE}, which takes a docid"
        if call.name.strip():
            return msgspec.structs.replace(asked, problem=f"there is no tool {call.name[:80]!r}; {known}")
        return msgspec.structs.replace(
            asked, problem=f"the call could not be read; {form or 'give a name and arguments'}; {known}"
        )
    field = _FIELD[tool]
    if parsed is None:
        return msgspec.structs.replace(
            asked, problem=f'the arguments of {tool} are not JSON; write them as {{"{field}": "..."}}'
        )
    value = _first_text(_value(parsed, tool))
    if not value:
        return msgspec.structs.replace(asked, problem=f"{tool} needs a `{field}` that is not empty, a text")
    return msgspec.structs.replace(asked, means=tool, value=value)


def is_mended(text: str) -> bool:
    """Whether the arguments that are read from ``text`` may hold less than it: it is not JSON of one mapping."""
    return read_strictly(text) is None and parse_arguments(text) is not None


def parse_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call as a mapping, None where ``text`` cannot be read as one."""
    if text.strip() in ("", "{}"):
        return {}
    strict = read_strictly(text)
    found = read_mappings(text.strip()) if strict is None else strict
    first = found[0] if isinstance(found, list) else found
    return recordable(first) if isinstance(first, dict) else None


def read_block(body: str) -> list[ToolCall]:
    """The calls that stand in one ``<tool_call>`` block: one or several objects, a list, or tags inside.

    Returns:
        At least one; a block that cannot be read is a call without a name whose arguments are the block's text.
    """
    return stated_calls(read_mappings(body.strip())) or tagged_calls(body) or [unread(body)]


def unread(text: str) -> ToolCall:
    """What is meant as a call and cannot be read: a call without a name, whose arguments are its text."""
    return ToolCall(id="", name="", arguments=text.strip())


def _folded(name: Any) -> str:
    """A name without case, ``_``, ``-`` and spaces."""
    return re.sub(r"[\W_]+", "", str(name)).casefold()


# --- from a mapping to a call ----------------------------------------------------------------------------------------


def stated_calls(found: Any) -> list[ToolCall]:
    """The calls that a mapping or a list of mappings states; none unless each of them is a call."""
    calls: list[ToolCall] = []
    for entry in found if isinstance(found, list) else [found]:
        named = _named(entry) if isinstance(entry, dict) else []
        if not named:
            return []
        calls += named
    return calls


def _named(entry: dict[str, Any]) -> list[ToolCall]:
    """The calls of a mapping: ``{name, arguments}`` by any of their names, flat, or ``{search: {...}}``."""
    keys = {_folded(key): key for key in entry}
    for wrapper in _WRAPPERS:
        if wrapper in keys and isinstance(entry[keys[wrapper]], dict | list):
            return stated_calls(entry[keys[wrapper]])
    for key in (keys[name] for name in _NAMES if name in keys):
        name = entry[key]
        if not isinstance(name, str) or not name.strip():
            continue
        stated = next((keys[each] for each in _ARGUMENTS if each in keys and keys[each] != key), None)
        if stated is not None and _describes(entry[stated]):
            return []
        rest = {other: value for other, value in entry.items() if other != key and _folded(other) not in ("id", "type")}
        if tool_of(name) == BROWSE and stated is None and "id" in keys:
            rest[keys["id"]] = entry[keys["id"]]
        return [make_call(name, rest if stated is None else entry[stated])]
    if len(entry) == 1:
        ((name, given),) = entry.items()
        if tool_of(str(name)) is not None:
            return [make_call(str(name), given)]
    return []


def _describes(arguments: Any) -> bool:
    """Whether these are no arguments but the JSON schema of some, as in a tool's description."""
    return isinstance(arguments, dict) and isinstance(arguments.get("properties"), dict)


def make_call(name: str, given: Any) -> ToolCall:
    """A call of ``name``; a bare text or list is the tool's one argument."""
    if isinstance(given, str) and (_looks_like_json(given) or not given.strip()):
        text = given
    elif isinstance(given, dict):
        text = _json(given)
    else:
        text = "{}" if given is None else _json({value_field(tool_of(name)): given})
    return ToolCall(id="", name=name, arguments=text)


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[", '"', "`")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_NAME = r"""\s*=\s*["']?([^\s"'<>=]{1,80})["']?[^<>]{0,200}>"""
FUNCTION_TAG = r"(?:function|invoke|call|tool|function_call|tool_call)"
_FUNCTION = re.compile(rf"<{FUNCTION_TAG}(?:[^<>=]{{0,40}}\s(?:name|tool))?{_NAME}")
_FUNCTION_END = re.compile(rf"</{FUNCTION_TAG}\b")
_PARAMETER = re.compile(rf"<(?:parameter|param|argument)(?:[^<>=]{{0,40}}\s(?:name|key))?{_NAME}")
_PARAMETER_END = re.compile(rf"</?(?:parameter|param|argument)\b|</{FUNCTION_TAG}\b")
_PAIRED = re.compile(r"<arg_key>(.{0,80}?)</arg_key>\s*<arg_value>(.*?)(?=</arg_value>|<arg_key>|\Z)", re.DOTALL)
_FIELDS = re.compile(r"<(\w{1,40})>(.*?)</\1>", re.DOTALL)


def tagged_calls(body: str) -> list[ToolCall]:
    """Calls written with tags of their own: ``<function=search><parameter=query>``, ``<invoke name="search">`` with
    parameters, fields or JSON inside, or a name and ``<arg_key>``, ``<arg_value>``; closing tags may lack."""
    if functions := list(_FUNCTION.finditer(body)):
        ends = [function.start() for function in functions[1:]] + [len(body)]
        inner = (body[function.end() : end] for function, end in zip(functions, ends, strict=True))
        return [
            make_call(function[1], tagged_arguments(_until(_FUNCTION_END, text)))
            for function, text in zip(functions, inner, strict=True)
        ]
    name = body.partition("<arg_key>")[0].strip()
    if re.fullmatch(r"[\w.:-]+", name) and (pairs := _PAIRED.findall(body)):
        return [make_call(name, {key.strip(): value.strip() for key, value in pairs})]
    return []


def tagged_arguments(body: str) -> dict[str, Any] | str:
    """The arguments inside a function's tags: parameters, fields, JSON, or the bare text of the only one."""
    named = list(_PARAMETER.finditer(body))
    ends = [parameter.start() for parameter in named[1:]] + [len(body)]
    values = {
        parameter[1]: _until(_PARAMETER_END, body[parameter.end() : end], first_line=True)
        for parameter, end in zip(named, ends, strict=False)
    }
    values = values or {key.strip(): value.strip() for key, value in _PAIRED.findall(body)}
    values = values or {key: value.strip() for key, value in _FIELDS.findall(body)}
    return {key: _json_list(value) for key, value in values.items()} or body.strip()


def _until(end: re.Pattern[str], text: str, *, first_line: bool = False) -> str:
    """The text up to its closing tag; without one all of it, or its first line."""
    found = end.search(text)
    text = (text if found is None else text[: found.start()]).strip()
    return text.partition("\n")[0] if first_line and found is None else text


def _json_list(value: str) -> Any:
    if value.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _value(arguments: dict[str, Any], tool: str) -> Any:
    """The tool's argument, by any of its names, perhaps one mapping deeper."""
    folded = {_folded(key): value for key, value in arguments.items()}
    for name in _VALUES[tool]:
        if name in folded:
            return folded[name]
    for name in (*_ARGUMENTS, *(alias for alias, meant in _TOOLS.items() if meant == tool)):
        inner = folded.get(name)
        if isinstance(inner, str):
            inner = parse_arguments(inner) if _looks_like_json(inner) else inner
        if isinstance(inner, dict):
            return next((value for key, value in inner.items() if _folded(key) in _VALUES[tool]), None)
        if inner is not None:
            return inner
    return None


def _first_text(value: Any) -> str:
    """``value`` as a text; of a list the first that is not empty."""
    if isinstance(value, list | tuple):
        return next((text for each in value if (text := _first_text(each))), "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()
