"""What a model's message says, whatever shape its provider gave it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

_BLOCK = re.compile(r"\s*<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL)
_CLOSE = re.compile(r"</think(?:ing)?>")


class ToolCall(Struct, frozen=True, kw_only=True):
    """One call that the model asks for; ``arguments`` is its text, as it came."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, kw_only=True):
    """A model's message: its reasoning (None where it gave none), its text, its calls.

    ``raw`` is the message as received, where it holds more than that.
    """

    reasoning: str | None
    text: str | None
    calls: list[ToolCall]
    raw: dict[str, Any] | None = None


def read_message(raw: dict[str, Any]) -> Message:
    """Reads an OpenAI-shaped assistant message.

    Reasoning is taken from ``reasoning_content``, ``reasoning``, ``reasoning_details`` or ``thinking_blocks``, and
    from ``<think>`` blocks that open the text, closed or not; a text with a closing tag alone had its opening tag
    in the chat template.  Absent is not the same as empty.

    Args:
        raw: the message as a dictionary.
    """
    raw = recordable(raw)
    text = _plain(raw.get("content"))
    reasoning = _stated_reasoning(raw)
    if text is not None:
        text, inline = _split_inline(text, unopened=reasoning is None)
        if inline is not None:
            reasoning = inline if not reasoning else f"{reasoning}\n{inline}"
    calls = [
        ToolCall(id=call.get("id") or "", name=function.get("name") or "", arguments=function.get("arguments") or "")
        for call in raw.get("tool_calls") or []
        if (function := call.get("function"))
    ]
    more = _holds_more(raw, reasoning)
    return Message(reasoning=reasoning, text=text or None, calls=calls, raw=raw if more else None)


def recordable(value: Any) -> Any:
    """``value`` as a record can hold it: lone surrogates, which JSON can escape but UTF-8 not hold, are replaced,
    and so are numbers beyond 64 bits, by their text."""
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return _mended(value)
    return value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value


def _plain(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content if isinstance(part, dict))


def _stated_reasoning(raw: dict[str, Any]) -> str | None:
    for place in (raw, raw.get("provider_specific_fields") or {}):
        for key in ("reasoning_content", "reasoning"):
            if isinstance(place.get(key), str):
                return str(place[key])
        for key, field in (("thinking_blocks", "thinking"), ("reasoning_details", "text")):
            if isinstance(place.get(key), list):
                return "\n".join(block[field] for block in place[key] if isinstance(block.get(field), str))
    return None


def _split_inline(text: str, *, unopened: bool) -> tuple[str, str | None]:
    """The text without the reasoning that opens it, and that reasoning."""
    blocks, end = [], 0
    while block := _BLOCK.match(text, end):
        blocks.append(block[1].strip())
        end = block.end()
    if blocks:
        return text[end:].strip(), "\n".join(blocks)
    if unopened and (close := _CLOSE.search(text)):
        return text[close.end() :].strip(), text[: close.start()].strip()
    return text, None


_PARSED = {"role", "content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal"}


def _holds_more(raw: dict[str, Any], reasoning: str | None) -> bool:
    """Whether the message has a field with a value that the parsed ones do not repeat."""
    if any(_has_more_than_name(call) for call in raw.get("tool_calls") or []):
        return True
    fields = {**raw, **(raw.get("provider_specific_fields") or {})}
    fields.pop("provider_specific_fields", None)
    extra = {key: value for key, value in fields.items() if key not in _PARSED and value not in (None, [], {}, "")}
    return any(value != reasoning for value in extra.values()) or bool(fields.get("refusal"))


def _has_more_than_name(call: dict[str, Any]) -> bool:
    return any(value for key, value in call.items() if key not in ("id", "type", "function", "index"))
