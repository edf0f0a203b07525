"""The items of OpenAI's Responses API, and the chat messages that the loop, the cache and the records hold for them.

A message that came by that API keeps its items, as they came, in the field :data:`ITEMS`.  They are sent again so,
since a model needs its own reasoning (which may be encrypted) and the phases of its messages back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

ITEMS = "output_items"

Item = dict[str, Any]


def is_call(item: Item) -> bool:
    """Whether an item asks for a call that is ours to run."""
    if item.get("type") == "mcp_call":
        # gpt-oss may address a function in a way that its server takes for an MCP server "functions", which nobody runs
        return item.get("output") is None and item.get("error") is None
    return item.get("type") == "function_call"


def as_chat(items: Sequence[Item]) -> dict[str, Any]:
    """What the items say as a chat message; reasoning of which nothing can be read is empty."""
    message: dict[str, Any] = {"role": "assistant", "content": said(items)}
    if thoughts := [_thought(item) for item in items if item.get("type") == "reasoning"]:
        message["reasoning_content"] = "\n".join(filter(None, thoughts))
    if calls := [item for item in items if is_call(item)]:
        message["tool_calls"] = [
            {"id": _call_id(item), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
            for item in calls
        ]
    return message


def is_commentary(items: Sequence[Item]) -> bool:
    """Whether all that is said is commentary on the way, and so no answer."""
    spoken = _spoken(items)
    return bool(spoken) and all(item.get("phase") == "commentary" for item in spoken)


def without_reasoning(items: Sequence[Item]) -> list[Item]:
    """The items without reasoning; nor with ids, by which a server would find that it is missing."""
    kept = [item for item in items if item.get("type") != "reasoning"]
    return [{field: value for field, value in item.items() if field != "id"} for item in kept]


def input_items(messages: Sequence[dict[str, Any]]) -> list[Item]:
    """A conversation of chat messages as the items to send; the items of each message depend on it alone."""
    items: list[Item] = []
    for message in messages:
        if message["role"] == "assistant":
            items += _own_items(message)
        elif message["role"] == "tool":
            output = {"call_id": message["tool_call_id"], "output": message["content"]}
            items.append({"type": "function_call_output", **output})
        else:
            items.append({"role": message["role"], "content": message["content"]})
    return items


def _own_items(message: dict[str, Any]) -> list[Item]:
    """The items of a message of the model's: as they came, but for the text and the calls that the message has now."""
    received, calls = message.get(ITEMS) or [], list(message.get("tool_calls") or [])
    text, ids = message.get("content") or "", {_call_id(item) for item in received if is_call(item)}
    spoken = _spoken(received)
    replaced = set(map(id, spoken)) if text != said(received) else ()
    items: list[Item] = []
    for item in received:
        if is_call(item):
            # a call that is not answered must not be sent; for one of the model's several may have run
            while calls and (calls[0]["id"] not in ids or calls[0]["id"] == _call_id(item)):
                items.append(_call(calls.pop(0), item))
                item = {}
        elif id(item) in replaced:
            if text:
                items.append({**item, "content": [{"type": "output_text", "text": text, "annotations": []}]})
            text = ""
        else:
            items.append(item)
    if text and not spoken:
        items.append({"role": "assistant", "content": text})
    items += [_call(call, {}) for call in calls]
    while items and items[-1].get("type") == "reasoning":  # which is refused without what followed from it
        items.pop()
    return list(map(_sendable, items))


def _call(call: dict[str, Any], item: Item) -> Item:
    own = item if item.get("type") == "function_call" else {}
    return {**own, "type": "function_call", "call_id": call["id"], **call["function"]}


def _sendable(item: Item) -> Item:
    """An item without fields that are null, and without a status of reasoning, which OpenAI refuses."""
    unsent = ("status",) if item.get("type") == "reasoning" else ()
    return {field: value for field, value in item.items() if value is not None and field not in unsent}


def _call_id(item: Item) -> str:
    return str(item.get("call_id") or item.get("id") or "")


def said(items: Sequence[Item]) -> str:
    """The text of the final answer; without one, of all messages."""
    return "\n".join(filter(None, map(_text, _spoken(items))))


def _spoken(items: Sequence[Item]) -> list[Item]:
    messages = [item for item in items if item.get("type") == "message"]
    return [item for item in messages if item.get("phase") == "final_answer" and _text(item)] or messages


def _text(item: Item) -> str:
    return "".join(_texts(item.get("content")))


def _thought(item: Item) -> str:
    """What the model thought; a summary of it only where that is all there is."""
    return "\n".join(_texts(item.get("content"))) or "\n".join(_texts(item.get("summary")))


def _texts(parts: Any) -> Iterator[str]:
    for part in parts if isinstance(parts, list) else [parts]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str) and text:
            yield text
