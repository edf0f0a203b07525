"""ATIF's steps as turns, and back: a step of the agent is a turn, with its calls and their observations.

What a turn knows and a step has no field for stands in the step's ``extra["lrat_sim"]``: hits, what ran, why a call
failed, times, attempts, the count of the reasoning's tokens.  A step of another writer has none of it; there hits and
documents are read from the observations, where they are certain.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.errors import RecordError
from lrat_sim.formats.fields import count, items, mapping, text, usage
from lrat_sim.formats.messages import read_turn
from lrat_sim.records import Attempt, Hit, Turn, Usage

OURS = "lrat_sim"
"""The key in ``extra`` that holds what is ours."""
REMEDY = "correct the file, or leave it out"
_SOURCES = ("system", "user", "agent")


class _CallMore(Struct, frozen=True, omit_defaults=True):
    """What a call knows beside its id, tool, arguments and output; ``unparsed`` where its arguments are a text."""

    executed: dict[str, Any] | None = None
    hits: list[Hit] | None = None
    docid: str | None = None
    error: str | None = None
    seconds: float = 0.0
    unparsed: str | None = None


class _TurnMore(Struct, frozen=True, omit_defaults=True):
    """What a turn knows beside its text, reasoning and calls.

    ``silent`` where its text is none, not an empty one; ``usage`` where the metrics do not say it all.
    """

    silent: bool = False
    reasoning_tokens: int = 0
    finish_reason: str | None = None
    usage: Usage | None = None
    attempts: list[Attempt] = []
    raw: dict[str, Any] | None = None
    calls: list[_CallMore] = []


def check_steps(steps: Any, path: Path, line: int) -> list[dict[str, Any]]:
    """The steps, if they can be read as such.

    Raises:
        RecordError: they are no list of steps; names the step and its field.
    """
    if not isinstance(steps, list):
        raise RecordError(path, line, "the field `steps` should be a list", REMEDY)
    for number, step in enumerate(steps, start=1):
        if not isinstance(step, dict) or step.get("source") not in _SOURCES:
            raise RecordError(path, line, f"step {number} has no `source` that is one of {', '.join(_SOURCES)}", REMEDY)
        if not isinstance(step.get("message"), str | list | None):
            problem = f"step {number}: the field `message` should be a text or a list of parts"
            raise RecordError(path, line, problem, REMEDY)
        calls = step.get("tool_calls")
        if calls is not None and not (isinstance(calls, list) and all(map(_names_function, calls))):
            raise RecordError(path, line, f"step {number}: a call of `tool_calls` names no function", REMEDY)
    return steps


def _names_function(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("function_name"), str)


def turn_of(step: dict[str, Any], number: int) -> tuple[Turn, bool]:
    """A step of the agent as turn ``number`` (from 0), and whether its hits' scores are the source's own."""
    calls = [call for call in step.get("tool_calls") or ()]
    if own := _own_turn(step, calls):
        return own, any(call.hits for call in own.calls)
    message = {
        "role": "assistant",
        "content": step.get("message"),
        "reasoning_content": step.get("reasoning_content"),
        "tool_calls": [
            {"id": call.get("tool_call_id"), "function": {"name": call["function_name"], **_arguments(call)}}
            for call in calls
        ],
    }
    results, names = results_of(step), {text(call.get("tool_call_id")) for call in calls} - {None}
    # where no result names a call of its step, the writer goes by their order
    named = any(text(result.get("source_call_id")) in names for result in results)
    outputs = [
        {"tool_call_id": text(result.get("source_call_id")) if named else None, "content": result.get("content")}
        for result in results
    ]
    turn, scored = read_turn(message, outputs, number)
    return msgspec.structs.replace(turn, usage=usage_of(step.get("metrics")), raw=None), scored


def step_of(turn: Turn) -> dict[str, Any]:
    """A turn as a step, without what is ours (:func:`more_of`) and without its number."""
    step: dict[str, Any] = {"source": "agent", "message": turn.text or ""}
    if turn.reasoning is not None:
        step["reasoning_content"] = turn.reasoning
    if turn.calls:
        step["tool_calls"] = [
            {
                "tool_call_id": call.id,
                "function_name": call.tool,
                "arguments": {"unparsed": call.arguments} if isinstance(call.arguments, str) else call.arguments,
            }
            for call in turn.calls
        ]
        step["observation"] = {
            "results": [{"source_call_id": call.id, "content": call.output} for call in turn.calls],
        }
    if turn.usage != Usage():
        known = {
            "prompt_tokens": turn.usage.prompt_tokens,
            "completion_tokens": turn.usage.completion_tokens,
            "cost_usd": turn.usage.cost,
            "extra": {"reasoning_tokens": turn.usage.reasoning_tokens} if turn.usage.reasoning_tokens else None,
        }
        step["metrics"] = {name: value for name, value in known.items() if value is not None}
    return step


def more_of(turn: Turn) -> dict[str, Any]:
    """What a step has no field for."""
    calls = [
        _CallMore(
            executed=call.executed,
            hits=call.hits,
            docid=call.docid,
            error=call.error,
            seconds=call.seconds,
            unparsed=call.arguments if isinstance(call.arguments, str) else None,
        )
        for call in turn.calls
    ]
    more = _TurnMore(
        silent=turn.text is None,
        reasoning_tokens=turn.reasoning_tokens,
        finish_reason=turn.finish_reason,
        usage=None if usage_of(step_of(turn).get("metrics")) == turn.usage else turn.usage,
        attempts=turn.attempts,
        raw=turn.raw,
        calls=calls,
    )
    made: dict[str, Any] = msgspec.to_builtins(more)
    return made


def results_of(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a step's observation, which some writers give as one result or one text."""
    observation = step.get("observation")
    if isinstance(observation, str):
        return [{"content": observation}]
    results = mapping(observation).get("results")
    return [
        result for result in ([results] if isinstance(results, dict) else items(results)) if isinstance(result, dict)
    ]


def ours(record: dict[str, Any]) -> Any:
    """What of ours a record or a step holds."""
    extra = record.get("extra")
    return extra.get(OURS) if isinstance(extra, dict) else None


def with_ours(record: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The record or step with what is ours; what stood in its place, by another hand, stands beside it."""
    extra = record.get("extra")
    extra = dict(extra) if isinstance(extra, dict) else {} if extra is None else {"extra": extra}
    if OURS in extra:
        extra[f"{OURS}_source"] = extra[OURS]
    return {**record, "extra": {**extra, OURS: own}}


def _own_turn(step: dict[str, Any], calls: list[dict[str, Any]]) -> Turn | None:
    """The turn of a step that we wrote; None of any other, and where another hand changed what belongs together."""
    try:
        more = msgspec.convert(ours(step), type=_TurnMore)
    except msgspec.ValidationError:
        return None
    results = results_of(step)
    same = [result.get("source_call_id") for result in results] == [call.get("tool_call_id") for call in calls]
    if len(more.calls) != len(calls) or not same:
        return None
    try:
        return msgspec.convert(
            {
                "reasoning": step.get("reasoning_content"),
                "reasoning_tokens": more.reasoning_tokens,
                "text": None if more.silent and not step.get("message") else step.get("message"),
                "calls": [_own_call(*each) for each in zip(calls, results, more.calls, strict=True)],
                "usage": msgspec.to_builtins(usage_of(step.get("metrics")) if more.usage is None else more.usage),
                "finish_reason": more.finish_reason,
                "attempts": msgspec.to_builtins(more.attempts),
                "raw": more.raw,
            },
            type=Turn,
        )
    except msgspec.ValidationError:
        return None


def _own_call(call: dict[str, Any], result: dict[str, Any], more: _CallMore) -> dict[str, Any]:
    known = {field: getattr(more, field) for field in ("executed", "docid", "error", "seconds")}
    return {
        **known,
        "hits": msgspec.to_builtins(more.hits),
        "id": call.get("tool_call_id"),
        "tool": call["function_name"],
        "arguments": call.get("arguments") if more.unparsed is None else more.unparsed,
        "output": result.get("content"),
    }


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    return {"arguments": call["arguments"]} if "arguments" in call else {}


def usage_of(metrics: Any) -> Usage:
    """What a step's ``metrics`` say; nothing where they are none."""
    stated = mapping(metrics)
    prompt, completion = (count(stated.get(f"{name}_tokens")) for name in ("prompt", "completion"))
    return usage(
        prompt, completion, count(mapping(stated.get("extra")).get("reasoning_tokens")), stated.get("cost_usd")
    )
