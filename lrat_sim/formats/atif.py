"""ATIF, the agent trajectory interchange format of Harbor: one JSON file a run, written as version 1.4.

A step of the agent is a turn, with its calls and their observations.  What a trajectory knows beyond that stands in
``extra["lrat_sim"]`` of the file and of its steps; what another writer's file holds beyond a trajectory stands in
``extra["atif"]`` of the trajectory, and is put back when it is written.  The format names no task: runs that ask the
same question are runs of one task, and several of one agent its samples.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.foreign.values import (
    SourceRecord,
    filled,
    items,
    mapping,
    text,
    text_of,
    total_usage,
    usage,
    without_nulls,
)
from lrat_sim.formats.entry import Entry, changes_of, imported, keeping, restored, same_json
from lrat_sim.formats.messages import Refuse, answer_of, prompt_of, read_turn, request_for_answer, transcript
from lrat_sim.formats.output import write_files
from lrat_sim.formats.registry import Format, record_reader
from lrat_sim.records import Task, Turn, Usage

_VERSION, _READABLE = "ATIF-v1.4", "ATIF-v1."
_OURS = "lrat_sim"  # the key in `extra` that holds what is ours
_SOURCES = ("system", "user", "agent")


# --- reading


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """One run from its JSON; a RecordError names file, step and field."""
    if not _is_atif(record) or not record["schema_version"].startswith(_READABLE):
        raise source.fault("the field `schema_version` should name a version 1 of ATIF, as ATIF-v1.6 does")
    read = _Steps(record.get("steps"), source.fault)
    entry = _own_entry(record, read) or _foreign_entry(record, read)
    # what is ours is written anew from the entry: it need not be kept a second time as another's
    rebuilt, more = _plain_record(entry)
    overlays = iter(more)
    steps = []
    for position, step in enumerate(read.steps):
        step = step if position in read.other else _without_ours(step, next(overlays))
        if type(step.get("step_id")) is int and step["step_id"] == position + 1:  # as it is written anew
            step = {key: value for key, value in step.items() if key != "step_id"}
        steps.append(step)
    kept = {**_without_ours(record, _run_more(entry)), "steps": steps}
    return keeping(entry, "atif", kept, rebuilt, "steps", {position: steps[position] for position in read.other})


class _Steps:
    """The steps, checked and read: prompt, question and turns, and all others by their position (from 0)."""

    def __init__(self, steps: Any, refuse: Refuse):
        if not isinstance(steps, list):
            raise refuse("the field `steps` should be a list")
        self.steps = steps
        self.prompt: str | None = None
        self.question = ""
        self.turns: list[Turn] = []
        self.other: dict[int, dict[str, Any]] = {}
        for position, step in enumerate(steps):
            if not isinstance(step, dict) or step.get("source") not in _SOURCES:
                raise refuse(f"step {position + 1} has no `source` that is one of {', '.join(_SOURCES)}")
            if not isinstance(step.get("message"), str | list | None):
                raise refuse(f"step {position + 1}: the field `message` should be a text or a list of parts")
            calls = step.get("tool_calls")
            names = [text(mapping(call).get("function_name")) for call in items(calls)]
            if not isinstance(calls, list | None) or None in names:
                raise refuse(f"step {position + 1}: a call of `tool_calls` names no function")
            words = text_of(step.get("message")) if not self.turns and not self.question else ""
            copied = step.get("is_copied_context") is True  # it happened in another file's run
            if step["source"] == "agent" and not copied:
                self.turns.append(_turn_of(step, len(self.turns)))
            elif words and step["source"] == "user":
                self.question = words
            elif words and self.prompt is None and step["source"] == "system":
                self.prompt = words
            else:
                self.other[position] = step


def _own_entry(record: dict[str, Any], read: _Steps) -> Entry | None:
    """The entry of a file that we wrote; None for any other, or where the step that asked for its answer is gone."""
    ours = mapping(_ours(record))
    known = mapping(ours.get("trajectory"))
    agent = dict(mapping(known.get("agent")))
    if text(agent.get("prompt")):  # it has a step of its own
        del agent["prompt"]
    if read.prompt is not None:
        agent["prompt"] = read.prompt
    trajectory = {**known, "agent": agent, "question": read.question, "turns": []}
    try:
        entry = msgspec.convert({**ours, "trajectory": trajectory}, type=Entry).changed(turns=read.turns)
    except msgspec.ValidationError:
        return None
    request = request_for_answer(entry.trajectory)
    if request is not None:  # its step is written anew, so it is none of the others
        before = max((position for position, step in enumerate(read.steps) if step["source"] == "agent"), default=0) - 1
        step = read.other.get(before, {})
        if step.get("source") != "user" or step.get("message") != request:
            return None
        del read.other[before]
    return entry


def _foreign_entry(record: dict[str, Any], read: _Steps) -> Entry:
    rest = dict(mapping(record.get("agent")))
    agent = {
        "name": text(rest.pop("name", None)) or "unknown",
        "version": text(rest.pop("version", None)),
        "model": text(rest.pop("model_name", None)),
        "prompt": read.prompt,
        "atif": rest,
    }
    totals = mapping(record.get("final_metrics"))
    prompt, completion = (totals.get(f"total_{name}_tokens") for name in ("prompt", "completion"))
    used = usage(prompt, completion, cost=totals.get("total_cost_usd"), cached=totals.get("total_cached_tokens"))
    # the same question has the same id in every file, so that runs of it become samples of one task
    name = fingerprint(read.question or record)
    return imported(
        Task(id=name, question=read.question, canary=text(mapping(record.get("extra")).get("canary"))),
        read.turns,
        agent,
        content=record,
        answer=answer_of(read.turns),
        usage=used if "total_prompt_tokens" in totals else total_usage([turn.usage for turn in read.turns]),
    )


def _turn_of(step: dict[str, Any], number: int) -> Turn:
    """A step of the agent as turn ``number`` (from 0), with what of ours it holds."""
    turn = _plain_turn(step, number)
    more, values = dict(mapping(_ours(step))), msgspec.to_builtins(turn)
    known = items(more.pop("calls", values["calls"]))
    if len(known) == len(step.get("tool_calls") or []):  # else another hand changed the calls
        read = values["calls"] if len(values["calls"]) == len(known) else [{} for _ in known]
        more["calls"] = [{**call, **mapping(own)} for call, own in zip(read, known, strict=True)]
    try:
        return msgspec.convert({**values, **more}, type=Turn)
    except msgspec.ValidationError:
        return turn


def _plain_turn(step: dict[str, Any], number: int) -> Turn:
    """The turn of a step of any writer."""
    calls = step.get("tool_calls") or []
    message = {
        "role": "assistant",
        "content": step.get("message"),
        "reasoning_content": step.get("reasoning_content"),
        "tool_calls": calls,
    }
    # some writers give an observation as one result or one text
    observation = step.get("observation")
    results = mapping(observation).get("results")
    results = [{"content": observation}] if isinstance(observation, str) else items(results) or [results]
    results = [result for result in results if isinstance(result, dict)]
    # where no result names a call of its step, the writer goes by their order
    names = {text(call.get("tool_call_id")) for call in calls} - {None}
    given = [text(result.get("source_call_id")) for result in results]
    named = any(name in names for name in given)
    outputs = [
        (name if named else None, text_of(result.get("content"))) for name, result in zip(given, results, strict=True)
    ]
    stated = mapping(step.get("metrics"))
    used = usage(
        stated.get("prompt_tokens"),
        stated.get("completion_tokens"),
        mapping(stated.get("extra")).get("reasoning_tokens"),
        stated.get("cost_usd"),
        cached=stated.get("cached_tokens"),
    )
    return msgspec.structs.replace(read_turn(message, outputs, number), usage=used, raw=None)


def _ours(record: dict[str, Any]) -> Any:
    return mapping(record.get("extra")).get(_OURS)


def _without_ours(record: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """The record or step without what is ours, if that is written anew as it is."""
    if own is None or not same_json(_ours(record), own):
        return record
    extra = {key: value for key, value in record["extra"].items() if key != _OURS}
    return {**{key: value for key, value in record.items() if key != "extra"}, **({"extra": extra} if extra else {})}


# --- writing


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as ATIF."""
    record, more = _plain_record(entry)
    for step, own in zip(record["steps"], more, strict=True):
        if own is not None:
            step[_OURS] = own
    record = restored(entry, "atif", record, "steps")
    steps = []
    for number, step in enumerate(record["steps"], start=1):
        plain = {"step_id": number, **{key: value for key, value in step.items() if key != _OURS}}
        steps.append(_with_ours(plain, step[_OURS]) if _OURS in step else plain)
    return _with_ours({**record, "steps": steps}, _run_more(entry))


def _with_ours(record: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The record or step with our fields; another tool's value of the same field is kept beside them."""
    extra = record.get("extra")
    extra = dict(extra) if isinstance(extra, dict) else {} if extra is None else {"extra": extra}
    if _OURS in extra:
        extra[f"{_OURS}_source"] = extra[_OURS]
    return {**record, "extra": {**extra, _OURS: own}}


def _plain_record(entry: Entry) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """A run as ATIF without what is ours, its steps without numbers; and what is ours of each step."""
    trajectory = entry.trajectory
    agent, used = trajectory.agent, trajectory.usage
    steps: list[dict[str, Any]] = []
    more: list[dict[str, Any] | None] = []
    turns = 0
    for role, content in transcript(trajectory):
        if isinstance(content, Turn):
            steps.append(_step_of(content))
            more.append(_turn_more(content, steps[-1], turns))
            turns += 1
        elif content:  # there may be no question
            steps.append({"source": role, "message": content})
            more.append(None)
    totals = {
        "total_prompt_tokens": used.prompt_tokens,
        "total_completion_tokens": used.completion_tokens,
        "total_cached_tokens": used.cached_tokens,
        "total_cost_usd": used.cost,
    }
    record: dict[str, Any] = {
        "schema_version": _VERSION,
        "session_id": trajectory.id,
        "agent": mapping(agent.get("atif"))
        | {
            "name": text(agent.get("name")) or "unknown",
            "version": text(agent.get("version")) or text(agent.get("fingerprint")) or "unknown",
            "model_name": text(agent.get("model")),
        },
        "steps": steps,
        "final_metrics": {**without_nulls(totals), "total_steps": len(steps)},
        **({} if entry.canary is None else {"extra": {"canary": entry.canary}}),
    }
    return record, more


def _step_of(turn: Turn) -> dict[str, Any]:
    """A turn as a step, without what is ours and without its number."""
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
        step["observation"] = {"results": [{"source_call_id": call.id, "content": call.output} for call in turn.calls]}
    if turn.usage != Usage():
        reasoning = turn.usage.reasoning_tokens
        stated = {
            "prompt_tokens": turn.usage.prompt_tokens,
            "completion_tokens": turn.usage.completion_tokens,
            "cached_tokens": turn.usage.cached_tokens,
            "cost_usd": turn.usage.cost,
            "extra": {"reasoning_tokens": reasoning} if reasoning else None,
        }
        step["metrics"] = without_nulls(stated)
    return step


def _turn_more(turn: Turn, step: dict[str, Any], number: int) -> dict[str, Any] | None:
    """How a turn differs from what is read from its step; None where it does not."""
    own, read = (msgspec.to_builtins(version) for version in (turn, _plain_turn(step, number)))
    calls, read_calls = own.pop("calls"), read.pop("calls")
    more = changes_of(own, read).fields
    if len(calls) != len(read_calls):  # a text was taken for a call
        more["calls"] = calls
    elif any(known := [changes_of(call, other).fields for call, other in zip(calls, read_calls, strict=True)]):
        more["calls"] = known
    return more or None


def _run_more(entry: Entry) -> dict[str, Any]:
    """What the format has no field for: the trajectory without turns, question and prompt, and what is beside it."""
    more = filled(msgspec.to_builtins(entry))
    trajectory = more["trajectory"]
    del trajectory["question"], trajectory["turns"]
    trajectory["extra"].pop("atif", None)
    if prompt_of(entry.trajectory):
        del trajectory["agent"]["prompt"]
    return more


def _is_atif(record: Any) -> bool:
    version = text(mapping(record).get("schema_version"))
    return version is not None and version.startswith("ATIF") and "steps" in record


FORMAT = Format(
    name="atif",
    title="ATIF, Harbor's agent trajectory interchange format, one JSON file a run",
    recognise=lambda path, record: _is_atif(record),
    read=record_reader("atif", _is_atif, entry_of, is_sampled=lambda record: _ours(record) is not None),
    write=lambda entries, path, about: write_files(
        path, ((entry.trajectory.id, record_of(entry)) for entry in entries)
    ),
)
