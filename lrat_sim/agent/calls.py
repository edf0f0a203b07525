"""Reads the calls that a model writes: tolerant of sloppy ones; what cannot be read stays the text that it is."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.agent.marks import NAMES, PATTERNS
from lrat_sim.agent.mending import read_mappings, read_strictly
from lrat_sim.agent.tool import DEFAULT_TOOLS, Tool, open_tools
from lrat_sim.foreign.values import recordable
from lrat_sim.models.message import ToolCall
from lrat_sim.retrieval.result_format import BROWSE, SEARCH

_TOOLS = {name: tool for tool, names in NAMES["tools"].items() for name in names}
_FIELD = {SEARCH: "query", BROWSE: "docid"}
_VALUES = {_FIELD[tool]: names for tool, names in NAMES["values"].items()}
_ASKED = {"string": "that is not empty, a text", "integer": "that is a whole number"}


class ParsedCall(Struct, frozen=True, kw_only=True):
    """A call as it was understood, or the ``problem`` with it."""

    tool: str  # as the model gave it, like `arguments`
    arguments: dict[str, Any] | str
    means: str | None  # the tool that the agent has
    values: dict[str, Any]  # the tool's arguments, as it declares them
    problem: str | None

    @property
    def value(self) -> Any:
        """The first of the arguments; an empty text without any."""
        return next(iter(self.values.values()), "")


def tool_of(name: str, known: Collection[str] = (SEARCH, BROWSE)) -> str | None:
    """The known tool that a name means: ``visit``, ``functions.search:0``, ``search<|channel|>json``."""
    plain = PATTERNS["around"].sub(" ", name[:200]).strip().removesuffix(".call")  # Llama 3 calls its built-in tools so
    parts = [part for part in re.split(r"[.:/]|__", plain) if part.strip()]
    if not parts:
        return None
    folded = _folded(parts[-1])
    own = next((tool for tool in known if _folded(tool) == folded), _TOOLS.get(folded))
    return own if own in known else None


def tool_taking(arguments: Any) -> str | None:
    """The tool of ours that takes such arguments, where its name was lost."""
    return {"query": SEARCH, "queries": SEARCH, "docid": BROWSE}.get(" ".join(arguments or ()))


def read_call(call: ToolCall, *, form: str = "", tools: Sequence[Tool] | None = None) -> ParsedCall:
    """Understands a call of one of the tools, by default search and get_document; never raises.  ``form`` tells a model
    whose call has no name how to write one."""
    tools = open_tools(DEFAULT_TOOLS) if tools is None else tools
    arguments, name = parse_arguments(call.arguments), tool_of(call.name, [tool.name for tool in tools])
    tool = next((tool for tool in tools if tool.name == name), None)
    values: dict[str, Any] = {}
    problem = None
    if tool is None:
        lost = f"the call could not be read; {form or 'give a name and arguments'}"
        unknown = f"there is no tool {call.name[:80]!r}" if call.name.strip() else lost
        problem = f"{unknown}; {_offered(tools)}"
    elif arguments is None:
        written = ", ".join(f'"{field}": "..."' for field in tool.required())
        problem = f"the arguments of {name} are not JSON; write them as {{{written}}}"
    else:
        values = _values(arguments, tool)
        lacking = next((field for field in tool.required() if field not in values), None)
        if lacking is not None:
            asked = _ASKED.get(tool.parameters["properties"][lacking].get("type"), "")
            problem = f"{name} needs a `{lacking}` {asked}".rstrip()
    return ParsedCall(
        tool=call.name,
        arguments=call.arguments if arguments is None else arguments,
        means=None if problem else name,
        values=values,
        problem=problem,
    )


def _offered(tools: Sequence[Tool]) -> str:
    """The tools that there are, and what each takes."""
    *others, last = [f"{tool.name}, which takes {_taken(tool)}" for tool in tools]
    return f"the tools are {', '.join(others)}, and {last}" if others else f"the one tool is {last}"


def _taken(tool: Tool) -> str:
    return " and ".join(f"a {name}" for name in tool.required()) or "no arguments"


def is_mended(text: str) -> bool:
    """Whether the arguments that are read from ``text`` may hold less than it: it is not JSON of one mapping."""
    return read_strictly(text) is None and parse_arguments(text) is not None


def parse_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call as a mapping, None where ``text`` cannot be read as one."""
    if text.strip() in ("", "{}"):
        return {}
    mapping = read_strictly(text)
    if mapping is None:
        mapping = read_mappings(text.strip())
    first = mapping[0] if isinstance(mapping, list) else mapping
    return recordable(first) if isinstance(first, dict) else None


def read_block(body: str) -> list[ToolCall]:
    """The calls of one ``<tool_call>`` block: objects, a list, or tags; one without a name where it cannot be read."""
    return stated_calls(read_mappings(body.strip())) or tagged_calls(body) or [unread(body)]


def unread(text: str) -> ToolCall:
    """What is meant as a call and cannot be read: a call without a name, whose arguments are its text."""
    return ToolCall(id="", name="", arguments=text.strip())


def _folded(name: Any) -> str:
    """A name without case, ``_``, ``-`` and spaces."""
    return re.sub(r"[\W_]+", "", str(name)).casefold()


def one_query_each(call: ToolCall) -> list[ToolCall]:
    """A search for a list of queries as a search for each of them, in order; any other call alone, as it is."""
    arguments = parse_arguments(call.arguments) if tool_of(call.name) == SEARCH else None
    queries = _value(arguments, "query", SEARCH) if arguments else None
    texts = list(filter(None, map(_first_text, queries))) if isinstance(queries, list) else []
    if len(texts) < 2:
        return [call]
    return [msgspec.structs.replace(call, arguments=json.dumps({"query": text}, ensure_ascii=False)) for text in texts]


# --- from a mapping to a call ----------------------------------------------------------------------------------------


def stated_calls(value: Any) -> list[ToolCall]:
    """The calls that a mapping or a list of mappings states; none unless each of them is a call."""
    calls: list[ToolCall] = []
    for entry in value if isinstance(value, list) else [value]:
        stated = _stated(entry) if isinstance(entry, dict) else []
        if not stated:
            return []
        calls += stated
    return calls


def _stated(entry: dict[str, Any]) -> list[ToolCall]:
    """The calls of a mapping: ``{name, arguments}`` by any of their names, flat, or ``{search: {...}}``."""
    keys = {_folded(key): key for key in entry}
    for wrapper in NAMES["wrappers"]:
        if wrapper in keys and isinstance(entry[keys[wrapper]], dict | list):
            return stated_calls(entry[keys[wrapper]])
    stated = next((keys[field] for field in NAMES["arguments"] if field in keys), None)
    for key in (keys[field] for field in NAMES["tool"] if field in keys):
        name = entry[key]
        if not isinstance(name, str) or not name.strip():
            continue
        if stated is not None:
            given = entry[stated]
            described = isinstance(given, dict) and isinstance(given.get("properties"), dict)  # by a JSON schema
            return [] if described else [make_call(name, given)]
        rest = {other: value for other, value in entry.items() if other != key and _folded(other) not in ("id", "type")}
        if tool_of(name) == BROWSE and "id" in keys:
            rest[keys["id"]] = entry[keys["id"]]
        return [make_call(name, rest)]
    if len(entry) == 1:
        ((name, given),) = entry.items()
        if tool_of(str(name)) is not None:
            return [make_call(str(name), given)]
    return []


def make_call(name: str, given: Any) -> ToolCall:
    """A call of ``name``; a bare text or list is the tool's one argument."""
    if isinstance(given, str) and (_looks_like_json(given) or not given.strip()):
        return ToolCall(id="", name=name, arguments=given)
    if not isinstance(given, dict):
        given = {} if given is None else {_FIELD.get(tool_of(name) or "", "input"): given}
    return ToolCall(id="", name=name, arguments=json.dumps(given, ensure_ascii=False, default=str))


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[", '"', "`")


# --- from tags to a call ---------------------------------------------------------------------------------------------


def tagged_calls(body: str) -> list[ToolCall]:
    """Calls in tags of their own (``<function=search>``, ``<invoke name="search">``, ``<arg_key>``), closed or not."""
    _, *functions = PATTERNS["function_tag"].split(body)
    if functions:
        return [
            make_call(name, tagged_arguments(PATTERNS["function_end"].split(inner, maxsplit=1)[0].strip()))
            for name, inner in zip(functions[::2], functions[1::2], strict=True)
        ]
    name = body.partition("<arg_key>")[0].strip()
    if re.fullmatch(r"[\w.:-]+", name) and (pairs := PATTERNS["pair"].findall(body)):
        return [make_call(name, {key.strip(): value.strip() for key, value in pairs})]
    return []


def tagged_arguments(body: str) -> dict[str, Any] | str:
    """The arguments inside a function's tags: parameters, fields, JSON, or the bare text of the only one."""
    _, *parameters = PATTERNS["parameter"].split(body)
    values = dict(zip(parameters[::2], map(_parameter, parameters[1::2]), strict=True))
    values = values or {key.strip(): value.strip() for key, value in PATTERNS["pair"].findall(body)}
    values = values or {key: value.strip() for key, value in PATTERNS["field"].findall(body)}
    return {key: _json_list(value) for key, value in values.items()} or body.strip()


def _parameter(text: str) -> str:
    """A parameter's text up to its closing tag; without one its first line."""
    value, *closed = PATTERNS["parameter_end"].split(text, maxsplit=1)
    return value.strip() if closed else value.strip().partition("\n")[0]


def _json_list(value: str) -> Any:
    if value.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


# --- from labels to a call: Thought, Action, Action Input, Observation (Yao et al. 2023) -----------------------------


def labelled_parts(text: str) -> list[tuple[str, str]]:
    """Labels and what follows them, in order; the text before the first has the label ``""``."""
    head, *rest = PATTERNS["label"].split(text)
    labels = (" ".join(label.lower().split()).replace("tool", "action") for label in rest[::2])
    return [("", head.strip()), *zip(labels, map(str.strip, rest[1::2]), strict=True)]


def before_observation(text: str) -> str:
    """The text up to the first observation, which a model can only invent."""
    for label in PATTERNS["label"].finditer(text):
        if label[1].lower() == "observation":
            return text[: label.start()].rstrip()
    return text


def labelled_calls(text: str) -> list[ToolCall]:
    """The actions up to the first observation, each with the input that follows it; one alone may tell its tool."""
    parts = labelled_parts(before_observation(text))
    calls: list[ToolCall] = []
    before = ""
    for (label, body), (after, given) in zip(parts, [*parts[1:], ("", "")], strict=True):
        if label == "action input" and before != "action":
            tool = tool_taking(parse_arguments(body))
            calls.append(ToolCall(id="", name=tool, arguments=body) if tool else unread(body))
        elif label == "action" and body.strip("*`. ").lower() not in NAMES["no_action"]:
            calls += _action(body, given if after == "action input" else None)
        before = label
    return calls


def _action(body: str, given: str | None) -> list[ToolCall]:
    """The calls of one action: ``search[...]``, ``search(...)``, ``search: ...``, JSON, or a name and its input."""
    if given is None and (own := PATTERNS["label_input"].search(body)) is not None:
        body, given = body[: own.start()], body[own.end() :]
    body = body.strip("*` \t\n")
    if body.startswith(("{", "[")):
        return read_block(body)
    if given is None and (bracketed := PATTERNS["label_bracketed"].fullmatch(body)) is not None:
        name, opening, rest = bracketed.groups()
        line, closing = rest.strip().partition("\n")[0], "]" if opening == "[" else ")"
        end = line.rfind(closing)  # the brackets may hold others, or never close: then to the end of the line
        if end < 0 and line[:1] in ("{", "["):  # JSON over several lines
            end, line = rest.rfind(closing), rest
        return [_with_input(name, line if end < 0 else line[:end])]
    named = PATTERNS["label_named"].fullmatch(body)
    if named is None or (given is None and tool_of(named[1]) is None):
        return [unread(body)]
    return [_with_input(named[1], named[2] if given is None else given)]


def _with_input(name: str, given: str) -> ToolCall:
    """A call whose input is JSON, or a plain text: then its first line, since prose may follow."""
    given = given.strip()
    if keyword := PATTERNS["label_keyword"].match(given):
        given = given[keyword.end() :]
    if given.startswith(("{", "```")):
        return make_call(name, given)
    line = given.partition("\n")[0].strip().rstrip("`").strip()
    if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'`" and line[0] not in line[1:-1]:
        line = line[1:-1]
    return make_call(name, {_FIELD.get(tool_of(name) or "", "input"): line} if line else {})


# --- from arguments to a value ---------------------------------------------------------------------------------------


def _values(arguments: dict[str, Any], tool: Tool) -> dict[str, Any]:
    """The tool's arguments, as far as they are there and of their type."""
    properties = tool.parameters["properties"]
    only = len(properties) == 1
    values: dict[str, Any] = {}
    for field, schema in properties.items():
        value = _value(arguments, field, tool.name if only else None)
        kind = schema.get("type") if isinstance(schema, dict) else None
        if kind in _ASKED:
            text = _first_text(value)
            value = (text or None) if kind == "string" else _whole(text)
        if value is not None:
            values[field] = value
    return values


def _value(arguments: dict[str, Any], field: str, only_of: str | None) -> Any:
    """An argument, by any of its names; the only one of a tool perhaps one mapping deeper."""
    names = _VALUES.get(field, [_folded(field)])
    folded = {_folded(key): value for key, value in arguments.items()}
    for name in names:
        if name in folded:
            return folded[name]
    if only_of is None:
        return None
    for name in (*NAMES["arguments"], *(alias for alias, meant in _TOOLS.items() if meant == only_of)):
        inner = folded.get(name)
        if isinstance(inner, str) and _looks_like_json(inner):
            inner = parse_arguments(inner)
        if isinstance(inner, dict):
            return next((value for key, value in inner.items() if _folded(key) in names), None)
        if inner is not None:
            return inner
    return None


def _whole(text: str) -> int | None:
    """A whole number that a text states."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,15}", text) else None


def _first_text(value: Any) -> str:
    """``value`` as a text; of a list the first that is not empty."""
    if isinstance(value, list | tuple):
        return next((text for inner in value if (text := _first_text(inner))), "")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()
