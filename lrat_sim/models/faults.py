"""Faults of an OpenAI-compatible server's reply that litellm would take for no reply at all."""

from __future__ import annotations

from typing import Any

PARTS = "content_parts"
"""The field in which a content that is no text passes through litellm, which hands on what it does not know."""

_MOST_TOKENS = 1_000_000_000
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")


def without_faults(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply as litellm can read it: a usage that holds no counts and a choice without a message are left out, and a
    content that is no text stands in :data:`PARTS`.

    Args:
        reply: the body, as JSON gives it.
    """
    reply = {**reply, "usage": _readable(reply.get("usage"))}
    if type(reply.get("created")) is not int:
        reply["created"] = 0
    if isinstance(choices := reply.get("choices"), list):
        there = (choice for choice in choices if not isinstance(choice, dict) or choice.get("message") is not None)
        reply["choices"] = [_choice(choice) for choice in there]
    return reply


def restored(message: dict[str, Any]) -> dict[str, Any]:
    """A message that came through litellm, with the content that it had."""
    beside = message.get("provider_specific_fields")
    if not isinstance(beside, dict) or PARTS not in beside:
        return message
    rest = {key: value for key, value in beside.items() if key != PARTS}
    return {**message, "content": beside[PARTS], "provider_specific_fields": rest}


def token_count(value: Any) -> int | None:
    """A number of tokens; None of what is none, or is beyond any model's window."""
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _choice(choice: Any) -> Any:
    message: Any = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or content is None or isinstance(content, str):
        return choice
    return {**choice, "message": {**message, "content": None, PARTS: content}}


def _readable(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    counts = [token_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    if None in counts:
        return None
    details = {
        name: {key: value for key, value in found.items() if token_count(value) is not None}
        for name in _DETAILS
        if isinstance(found := usage.get(name), dict)
    }
    rest = {key: value for key, value in usage.items() if key not in _DETAILS}
    return {**rest, **details, "total_tokens": sum(count or 0 for count in counts)}
