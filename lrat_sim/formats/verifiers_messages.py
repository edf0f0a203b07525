"""The messages of verifiers in OpenAI's shape.

Its calls have name and arguments beside their id, and the older files hold each call as a text of JSON.
"""

from __future__ import annotations

import json
from typing import Any

from lrat_sim.formats.messages import Said


def said(source: Any, *, own: bool = True) -> Said:
    """One message, as :func:`lrat_sim.formats.messages.conversation` reads it.

    Args:
        source: the message as it was saved.
        own: whether the model wrote it, where it is an assistant's.
    """
    if not isinstance(source, dict):
        return Said(message={}, source={})
    calls = source.get("tool_calls")
    if not isinstance(calls, list):
        return Said(message=source, own=own)
    return Said(message={**source, "tool_calls": [_call(call) for call in calls]}, source=source, own=own)


def _call(call: Any) -> Any:
    if isinstance(call, str):
        try:
            call = json.loads(call)
        except (ValueError, RecursionError):
            return call  # it is refused with its message
    if not isinstance(call, dict) or isinstance(call.get("function"), dict):
        return call
    return {"id": call.get("id"), "function": {"name": call.get("name"), "arguments": call.get("arguments")}}
