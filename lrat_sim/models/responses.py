"""OpenAI's Responses API: what is sent for a request, and the answer that a response holds.

The server is asked to store nothing (``store: false``): each request holds the whole conversation, with the reasoning
of earlier turns, which is asked for in its encrypted form where the provider does not show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lrat_sim.models.call import Answer, NoAnswer, Request
from lrat_sim.models.items import ITEMS, input_items, is_call
from lrat_sim.records import Usage

_STATELESS = {"store": False, "include": ["reasoning.encrypted_content"]}
_STATUS = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "invalid_prompt": 400}  # others may pass


class ResponseFailed(Exception):
    """A response of the status ``failed``, which comes with HTTP's 200; it has the status that its error stands for."""

    def __init__(self, error: Any):
        error = error if isinstance(error, Mapping) else {"message": error}
        code = str(error.get("code") or "no code")
        self.status_code = _STATUS.get(code, 500)
        super().__init__(f"{error.get('message') or 'no reason is given'} ({code})")


def request_body(request: Request) -> dict[str, Any]:
    """What is sent beside the model's name: the conversation as items, the parameters by their names of this API."""
    parameters, messages = request.parameters(), request.messages
    if "max_tokens" in parameters:
        parameters["max_output_tokens"] = parameters.pop("max_tokens")
    if "reasoning_effort" in parameters:
        effort = parameters.pop("reasoning_effort")
        parameters["reasoning"] = {"effort": effort, **(parameters.get("reasoning") or {})}
    if request.tools:
        # left unsaid it is true, and a strict schema must require all its fields
        parameters["tools"] = [{"type": "function", **tool["function"], "strict": False} for tool in request.tools]
    if messages[0]["role"] == "system":
        parameters["instructions"], messages = messages[0]["content"], messages[1:]
    return {**_STATELESS, "input": input_items(messages), **parameters}


def read_response(reply: Any, usage: Callable[[Any], Usage]) -> Answer:
    """The answer that a response holds; ``usage`` reads its usage, under the names of chat completions.

    Raises:
        ResponseFailed: the model failed, as the response says.
        NoAnswer: it holds no items, or it is not finished.
    """
    reply = reply if isinstance(reply, Mapping) else {}
    status, output = reply.get("status") or "completed", reply.get("output")
    if status == "failed":
        raise ResponseFailed(reply.get("error"))
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    if status not in ("completed", "incomplete") or not (items or status == "incomplete"):
        raise NoAnswer(f"the response is {status} and has {len(items)} items")
    reason = "tool_calls" if any(map(is_call, items)) else "stop"
    if status == "incomplete":
        details = reply.get("incomplete_details")
        reason = str((details.get("reason") if isinstance(details, Mapping) else None) or "length")
    message = {"role": "assistant", ITEMS: items}
    return Answer(message=message, usage=usage(_as_chat(reply.get("usage"))), finish_reason=reason)


def _as_chat(usage: Any) -> dict[str, Any]:
    """A usage under the names of chat completions."""
    given = usage if isinstance(usage, Mapping) else {}
    return {field.replace("input", "prompt").replace("output", "completion"): given[field] for field in given}
