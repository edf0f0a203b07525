"""NeMo Gym's rollouts, one a line, with their ``ng_trajectory`` (schema 1.0); such a trajectory may also stand alone.

The conversation of an invocation is items of the Responses API; a subagent's becomes a run of its own, whose task is
kept apart from the rollouts'.  Lines of older versions, without a trajectory, are read by their ``response``.
``resolved``, else a ``reward`` of 0 or 1, is the grade.  All other fields stand in ``extra["record"]`` of the rollout,
but for the history that each turn and each request repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.foreign.values import (
    SourceRecord,
    filled,
    id_in,
    items,
    mapping,
    seconds_of,
    text,
    total_usage,
    usage,
    without_nulls,
)
from lrat_sim.formats.entry import Entry, imported, model_name
from lrat_sim.formats.messages import Conversation, answer_of, tools_of
from lrat_sim.formats.metadata import conversation_entry, is_named, metadata_of
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import Format, record_reader
from lrat_sim.formats.responses import conversation_of, items_of, tokens_of, usage_of
from lrat_sim.records import Call, Failure, Grade, GradeState, Task, Trajectory, Turn, Usage

_KEY, _PARAMS, _ROOT = "ng_trajectory", "responses_create_params", "root"
_ENDED = {"answered": "completed", "unanswered": "incomplete", "error": "failed"}
_TASKS = ("task_id", "problem_id", "instance_id", "_ng_task_index")  # the fields that name a task, as NeMo Gym has it


# --- reading


def entries_of(record: Any, source: SourceRecord) -> list[Entry]:
    """The runs of one line: the rollout, then those of its subagents."""
    if not _is_rollout(record):
        raise source.fault(f"neither a trajectory (`invocations`) nor a rollout of NeMo Gym (`{_PARAMS}`, `response`)")
    held = record if "invocations" in record else mapping(record.get(_KEY)) or _as_trajectory(record)
    invocations = held.get("invocations")
    if not isinstance(invocations, list) or not invocations or not all(isinstance(one, dict) for one in invocations):
        raise source.fault("the field `invocations` should be a list with an object in it")
    names = [text(one.get("invocation_id")) for one in invocations]
    root = next((one for one in invocations if text(one.get("parent_invocation_id")) not in names), invocations[0])
    main = _rollout(record, held, root, source)
    return [main, *(_subagent(main, held, one, source) for one in invocations if one is not root)]


def _as_trajectory(record: dict[str, Any]) -> dict[str, Any]:
    """The trajectory of a line without one: its one invocation is what went in and came out."""
    given = mapping(record.get(_PARAMS)).get("input")
    given = [{"role": "user", "content": given}] if isinstance(given, str) else items(given)
    return {"invocations": [{"conversation": [*given, *items(mapping(record.get("response")).get("output"))]}]}


def _rollout(record: dict[str, Any], held: dict[str, Any], invocation: dict[str, Any], source: SourceRecord) -> Entry:
    talk, own = _talk(held, invocation, source), is_named(record)
    response, calls = mapping(record.get("response")), [mapping(call) for call in items(held.get("model_calls"))]
    used = usage_of(mapping(response.get("usage")))
    models = [*(mapping(call.get("response_metadata")).get("model") for call in calls), response.get("model")]
    model = next(filter(None, map(text, models)), None)
    name = text(mapping(record.get("agent_ref")).get("name")) or model_name(model)
    fields: dict[str, Any] = {
        "agent": {"model": model, **({} if own else {"name": name})},
        "usage": used if used != Usage() else total_usage([_tokens(call) for call in calls]),
        "seconds": _seconds(invocation),
    }
    if invocation.get("status") == "failed" and not own:
        failure = text(invocation.get("error_type")) or "the harness states no reason"
        failed = Failure(boundary="task", message=failure)
        fields |= {"error": failed, "status": "error", "end_reason": "error", "answer": None}
    task = id_in(held, ("task_id",)) or id_in(record, _TASKS) or fingerprint(talk.question)
    left = {"metadata": record["metadata"]} if own else _left(record, held)
    entry = conversation_entry(left, talk, task=task, **fields)
    return msgspec.structs.replace(entry, grades=entry.grades or _grades(record, held, entry.trajectory))


def _left(record: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """A line without what its runs hold."""
    trimmed = dict(held)
    for name, field in (("invocations", "conversation"), ("turns", "question"), ("model_calls", "request")):
        if isinstance(each := held.get(name), list):
            trimmed[name] = [filled(item, field) if isinstance(item, dict) else item for item in each]
    if held is record:
        return trimmed
    if isinstance(record.get(_KEY), dict) and record[_KEY]:
        return {**record, _KEY: trimmed}
    read = ((_PARAMS, "input"), ("response", "output"))
    return {
        **record,
        **{name: filled(record[name], field) for name, field in read if isinstance(record.get(name), dict)},
    }


def _subagent(main: Entry, held: dict[str, Any], invocation: dict[str, Any], source: SourceRecord) -> Entry:
    talk, run = _talk(held, invocation, source), main.trajectory
    agent = {"name": f"{main.agent_name}'s subagent", "model": run.agent.get("model"), "prompt": talk.system}
    return imported(
        Task(id=fingerprint([run.task_id, talk.question]), question=talk.question, canary=main.canary),
        talk.turns,
        agent,
        content=[run.id, invocation],
        answer=answer_of(talk.turns),
        usage=total_usage([turn.usage for turn in talk.turns]),
        seconds=_seconds(invocation),
        extra={**talk.extra, "subagent_of": run.id},
    )


def _talk(held: dict[str, Any], invocation: dict[str, Any], source: SourceRecord) -> Conversation:
    """An invocation's conversation, with what was observed of its calls to models and tools."""
    given, name = invocation.get("conversation", []), invocation.get("invocation_id")
    if not isinstance(given, list):
        raise source.fault("the field `conversation` of an invocation should be a list of items")
    talk = conversation_of(given, source.fault)
    tools = [mapping(tool) for tool in items(held.get("tool_calls"))]
    seen = {text(tool.get("tool_call_id")): tool for tool in tools if tool.get("invocation_id") == name}
    named = {key: call for call in map(mapping, items(held.get("model_calls"))) for key in _names(call)}
    refs = [next(iter(_names(mapping(ref))), None) for ref in items(invocation.get("model_calls"))]
    # a call to the model is a turn; where there are more or fewer, it is not known which is which
    asked = [named.get(str(ref), {}) for ref in refs] if len(refs) == len(talk.turns) else [{} for _ in talk.turns]
    talk.turns = [
        msgspec.structs.replace(
            turn,
            calls=[_observed(call, seen.get(call.id, {})) for call in turn.calls],
            usage=_tokens(call),
            finish_reason=text(mapping(call.get("response_metadata")).get("finish_reason")),
        )
        for turn, call in zip(talk.turns, asked, strict=True)
    ]
    return talk


def _names(call: dict[str, Any]) -> list[str]:
    """What a call to a model is referred to by."""
    metadata = mapping(call.get("response_metadata"))
    return [*filter(None, map(text, (call.get("model_call_id"), call.get("response_id"), metadata.get("response_id"))))]


def _observed(call: Call, seen: dict[str, Any]) -> Call:
    failed = text(seen.get("error_type")) if seen.get("status") not in (None, "completed", "unknown") else None
    changed = (
        {}
        if failed is None or call.error is not None
        else {"error": failed, "executed": None, "hits": None, "docid": None}
    )
    return msgspec.structs.replace(call, seconds=_seconds(seen), **changed)


def _seconds(observed: dict[str, Any]) -> float:
    return seconds_of(observed.get("duration_ms")) / 1000


def _tokens(call: dict[str, Any]) -> Usage:
    stats = mapping(call.get("token_stats"))
    used = (stats.get(f"{kind}_tokens") for kind in ("prompt", "completion", "reasoning"))
    return usage(*used, cached=stats.get("cached_tokens"))


def _grades(record: dict[str, Any], held: dict[str, Any], run: Trajectory) -> list[Grade]:
    """The grade of ``resolved``, else of a reward of 0 or 1; none of a run that broke."""
    turns = [mapping(turn).get("resolved") for turn in items(held.get("turns"))]
    resolved = next((value for value in [record.get("resolved"), *reversed(turns)] if isinstance(value, bool)), None)
    value = record.get("reward") if resolved is None else resolved
    if value not in (0, 1) or run.status == "error":
        return []
    state: GradeState = "correct" if value else "incorrect"
    return [Grade(trajectory_id=run.id, state=state, judge="nemo-gym")]


# --- writing


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as a line with its trajectory."""
    trajectory, state = entry.trajectory, entry.grade.state if entry.grade else "ungraded"
    resolved = None if state == "ungraded" else state == "correct"
    asked, output = items_of(trajectory)
    tools = [{"type": "function", **tool["function"], "strict": False} for tool in tools_of(trajectory)]
    return {
        _PARAMS: filled({"input": asked, "tools": tools}),
        "response": filled({"output": output, "usage": tokens_of(trajectory.usage)}),
        **({} if resolved is None else {"reward": float(resolved), "resolved": resolved}),
        _KEY: _trajectory(trajectory, [*asked, *output], resolved),
        "metadata": metadata_of(entry),
    }


def _trajectory(trajectory: Trajectory, conversation: list[dict[str, Any]], resolved: bool | None) -> dict[str, Any]:
    refs = [{"model_call_id": f"{trajectory.id}/{number}"} for number in range(1, len(trajectory.turns) + 1)]
    invocation = {
        "kind": "agent_invocation",
        "invocation_id": _ROOT,
        "status": _ENDED[trajectory.status],
        "duration_ms": trajectory.seconds * 1000,
        "error_type": trajectory.error and trajectory.error.boundary,
        "model_calls": refs,
        "conversation": conversation,
    }
    model = text(trajectory.agent.get("model"))
    return {
        "schema_version": "1.0",
        "task_id": trajectory.task_id,
        "rollout_id": trajectory.id,
        "invocations": [without_nulls(invocation)],
        "turns": list(_turns(trajectory, refs, resolved)),
        "model_calls": [_model_call(turn, ref, model) for turn, ref in zip(trajectory.turns, refs, strict=True)],
        "tool_calls": [_tool_call(call) for call in trajectory.calls()],
        "gaps": [] if resolved is not None else [{"code": "resolution_unavailable", "invocation_id": _ROOT}],
    }


def _turns(trajectory: Trajectory, refs: list[dict[str, str]], resolved: bool | None) -> Iterator[dict[str, Any]]:
    begun, steps = trajectory.started or 0.0, 0
    for number, (turn, ref) in enumerate(zip(trajectory.turns, refs, strict=True), start=1):
        steps += len(turn.calls)
        said = {
            "invocation_id": _ROOT,
            "task_id": trajectory.task_id,
            "rollout_id": trajectory.id,
            "turn_no": number,
            "timestamp": begun,
            "question": trajectory.question if number == 1 else None,
            "answer": turn.text,
            "reasoning_content": turn.reasoning,
            "resolved": resolved if number == len(refs) else None,
            "step_count": steps,
            "model_calls": [ref],
        }
        yield without_nulls(said)
        begun += sum(attempt.seconds for attempt in turn.attempts)
        begun += max((call.seconds for call in turn.calls), default=0.0)


def _model_call(turn: Turn, ref: dict[str, str], model: str | None) -> dict[str, Any]:
    used = turn.usage
    stats = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "reasoning_tokens": used.reasoning_tokens,
        "total_tokens": used.tokens,
        "cached_tokens": used.cached_tokens,
    }
    return {
        **ref,
        "duration_ms": sum(attempt.seconds for attempt in turn.attempts) * 1000,
        "response_metadata": without_nulls({"model": model, "finish_reason": turn.finish_reason}),
        "token_stats": without_nulls(stats),
    }


def _tool_call(call: Call) -> dict[str, Any]:
    return {
        "kind": "tool_call",
        "invocation_id": _ROOT,
        "tool_call_id": call.id,
        "tool_name": call.tool,
        "duration_ms": call.seconds * 1000,
        "timing_source": "executor",
        "status": "completed" if call.error is None else "failed",
        **({} if call.error is None else {"error_type": call.error}),
        "output": call.output,
    }


def _is_rollout(record: Any) -> bool:
    record = mapping(record)
    return (isinstance(record.get("invocations"), list) and "rollout_id" in record) or (
        isinstance(record.get(_PARAMS), dict) and ("response" in record or _KEY in record)
    )


FORMAT = Format(
    name="nemo-gym",
    title="NeMo Gym's rollouts with ng_trajectory, one a line",
    recognise=lambda path, record: _is_rollout(record),
    read=record_reader("nemo-gym", _is_rollout, entries_of, is_sampled=is_named),
    write=lambda entries, path, about: write_lines(path, map(record_of, entries)),
)
