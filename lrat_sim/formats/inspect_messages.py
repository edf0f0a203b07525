"""inspect_ai's chat messages in OpenAI's shape.

Theirs differ in that a call's function is a name, its arguments are a mapping, reasoning and the calls that a
provider ran itself (its own web search) are parts of the content, and a tool's failure stands beside its output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lrat_sim.formats.fields import items, mapping, text
from lrat_sim.formats.messages import Said

_ATTACHED = re.compile(r"attachment://([0-9a-f]+)")


def resolved(value: Any, attachments: dict[str, Any]) -> Any:
    """``value`` with the texts that the log keeps once, under ``attachments``, in their places."""
    if isinstance(value, str):
        found = _ATTACHED.fullmatch(value)
        whole = text(attachments.get(found[1])) if found else None
        return value if whole is None else whole
    if isinstance(value, list):
        return [resolved(item, attachments) for item in value]
    if isinstance(value, dict):
        return {key: resolved(item, attachments) for key, item in value.items()}
    return value


def said(messages: list[Any]) -> Iterator[Said]:
    """The messages as :func:`lrat_sim.formats.messages.conversation` reads them."""
    for source in messages:
        if not isinstance(source, dict):
            yield Said(message={}, source={})
        elif source.get("role") == "assistant":
            yield from _assistant(source)
        else:
            failure = mapping(source.get("error")).get("message") if source.get("role") == "tool" else None
            yield Said(message=source, failure=text(failure) or None)


def _assistant(source: dict[str, Any]) -> Iterator[Said]:
    content = source.get("content")
    parts = items(content)
    ran = [part for part in parts if isinstance(part, dict) and part.get("type") == "tool_use"]
    calls = [{"id": part.get("id"), "function": _function(part.get("name"), part.get("arguments"))} for part in ran]
    asked = source.get("tool_calls")
    if isinstance(asked, list):
        calls += [_call(call) for call in asked]
    elif asked is not None:
        calls = asked  # of no shape that could be read: it is refused
    message = {
        "role": "assistant",
        "content": [_part(part) for part in parts if part not in ran] if parts else content,
        "tool_calls": calls,
    }
    yield Said(message=message, source=source, own=source.get("source") != "input")
    for part in ran:
        name, output, failure = part.get("id"), part.get("result"), part.get("error")
        told = {"role": "tool", "tool_call_id": text(name), "content": text(output)}
        yield Said(message=told, failure=text(failure) or None)


def _call(call: Any) -> Any:
    if not isinstance(call, dict) or isinstance(call.get("function"), dict):
        return call
    return {"id": call.get("id"), "function": _function(call.get("function"), call.get("arguments"))}


def _function(name: Any, arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _part(part: Any) -> Any:
    """Reasoning that a provider gives only in encrypted form is its summary, if there is one."""
    if isinstance(part, dict) and part.get("type") == "reasoning" and part.get("redacted") is True:
        return {"type": "reasoning", "summary": part.get("summary")}
    return part
