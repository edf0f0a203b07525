"""ATIF, the agent trajectory interchange format of Harbor: one JSON file a run, written as version 1.8.

A step of the agent is a turn, with its calls and their observations; documents and their scores are in the ``extra``
of a result, errors and seconds in that of a call.  What a trajectory knows beyond that stands in ``extra["lrat_sim"]``
of the file and of its steps; what another writer's file holds beyond a trajectory stands in ``extra["atif"]`` of the
trajectory, and is put back when it is written.  The format names no task: runs that ask the same question are runs of
one task, and several of one agent its samples.  A trajectory of a subagent is a run of its own, whose task is kept
apart from those.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError
from lrat_sim.foreign.values import (
    SourceRecord,
    filled,
    id_in,
    is_number,
    items,
    mapping,
    seconds_of,
    text,
    text_of,
    total_usage,
    usage,
    without_nulls,
)
from lrat_sim.formats.entry import Entry, changes_of, imported, keeping, restored, same_json
from lrat_sim.formats.messages import Refuse, answer_of, prompt_of, read_turn, request_for_answer, transcript
from lrat_sim.formats.observations import opens_documents, ranked
from lrat_sim.formats.output import write_files
from lrat_sim.formats.registry import Format, Notes, record_reader
from lrat_sim.records import Call, Task, Trajectory, Turn, Usage

_VERSION, _READABLE = "ATIF-v1.8", "ATIF-v1."
_SUBAGENTS = "subagent_trajectories"
_DOCIDS = ("document_id", "docid", "doc_id", "source_document_id")  # in the `extra` of a result
_SCORES = ("score", "retrieval_score", "relevance_score")
_OURS = "lrat_sim"  # the key in `extra` that holds what is ours
_TURN: Any = object()  # the key in a step that is being written of its turn's number, which no file can have
_SOURCES = ("system", "user", "agent")


# --- reading


class Fields(Struct, frozen=True):
    """Where a result says which document it is, and its score: paths with dots; None for the usual names."""

    docid: str | None = None
    score: str | None = None


_USUAL = Fields()


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The runs of a file, or of the files below a folder that hold some; InputError where a named field is in none."""
    notes = notes or Notes()
    fields, named = Fields(notes.docid_field, notes.score_field), set[str]()

    def entries(record: Any, source: SourceRecord) -> list[Entry]:
        named.update(path for path in (fields.docid, fields.score) if path and _has(record, path))
        return entries_of(record, source, fields)

    yield from record_reader("atif", _is_atif, entries, is_sampled=lambda one: _ours(one) is not None)(path, notes)
    for wanted in (fields.docid, fields.score):
        if wanted is not None and wanted not in named:
            raise InputError(f"no result in {path} has the field {wanted!r}; name one as a result has it, with dots.")


def _has(record: Any, path: str) -> bool:
    """Whether a result of a run has a field."""
    steps = [mapping(step) for step in items(mapping(record).get("steps"))]
    own = any(_at(result, path) is not None for step in steps for result in _results(step))
    return own or any(_has(other, path) for other in items(mapping(record).get(_SUBAGENTS)))


def entries_of(record: Any, source: SourceRecord, fields: Fields = _USUAL) -> list[Entry]:
    """The run of one file, then those of its subagents; a RecordError names file, step and field."""
    return _entries(record, source.fault, fields)


def entry_of(record: Any, source: SourceRecord) -> Entry:
    """The run of one file without those of its subagents."""
    return entries_of(record, source)[0]


def _entries(record: Any, refuse: Refuse, fields: Fields, parent: Trajectory | None = None) -> list[Entry]:
    if not _is_atif(record) or not record["schema_version"].startswith(_READABLE):
        raise refuse("the field `schema_version` should name a version 1 of ATIF, as ATIF-v1.6 does")
    others = record.get(_SUBAGENTS)
    if isinstance(others, list) and others and all(map(_is_atif, others)):
        record = {key: value for key, value in record.items() if key != _SUBAGENTS}
    else:
        others = []
    main = _entry(record, refuse, fields, parent)
    entries = [main]
    for number, other in enumerate(others, start=1):

        def refuse_other(problem: str, number: int = number) -> Exception:
            return refuse(f"subagent {number}: {problem}")

        entries += _entries(other, refuse_other, fields, main.trajectory)
    return entries


def _entry(record: dict[str, Any], refuse: Refuse, fields: Fields, parent: Trajectory | None) -> Entry:
    read = _Steps(record.get("steps"), refuse, fields)
    entry = _own_entry(record, read) or _foreign_entry(record, read, parent)
    # what is ours is written anew from the entry: it need not be kept a second time as another's
    rebuilt, numbers = _plain_record(entry)
    turns = iter(numbers)
    steps = []
    for position, step in enumerate(read.steps):
        if position not in read.other and (number := next(turns)) is not None:
            step = _without_ours(step, _turn_more(read.turns[number], step, number))
        if type(step.get("step_id")) is int and step["step_id"] == position + 1:  # as it is written anew
            step = {key: value for key, value in step.items() if key != "step_id"}
        steps.append(step)
    kept = {**_without_ours(record, _run_more(entry)), "steps": steps}
    return keeping(entry, "atif", kept, rebuilt, "steps", {position: steps[position] for position in read.other})


class _Steps:
    """The steps, checked and read: prompt, question and turns, and all others by their position (from 0)."""

    def __init__(self, steps: Any, refuse: Refuse, fields: Fields):
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
                self.turns.append(_turn_of(step, len(self.turns), fields))
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
        entry = convert({**ours, "trajectory": trajectory}, Entry).changed(turns=read.turns)
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


def _foreign_entry(record: dict[str, Any], read: _Steps, parent: Trajectory | None) -> Entry:
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
    name = name if parent is None else fingerprint([parent.task_id, name])
    return imported(
        Task(id=name, question=read.question, canary=text(mapping(record.get("extra")).get("canary"))),
        read.turns,
        agent,
        content=record if parent is None else [parent.id, record],
        answer=answer_of(read.turns),
        extra=None if parent is None else {"subagent_of": parent.id},
        usage=used if "total_prompt_tokens" in totals else total_usage([turn.usage for turn in read.turns]),
    )


def _turn_of(step: dict[str, Any], number: int, fields: Fields) -> Turn:
    """A step of the agent as turn ``number`` (from 0), with what of ours it holds."""
    turn = _plain_turn(step, number, fields)
    more, values = dict(mapping(_ours(step))), msgspec.to_builtins(turn)
    known = items(more.pop("calls", values["calls"]))
    if len(known) == len(step.get("tool_calls") or []):  # else another hand changed the calls
        read = values["calls"] if len(values["calls"]) == len(known) else [{} for _ in known]
        more["calls"] = [{**call, **mapping(own)} for call, own in zip(read, known, strict=True)]
    try:
        return convert({**values, **more}, Turn)
    except msgspec.ValidationError:
        return turn


def _plain_turn(step: dict[str, Any], number: int, fields: Fields = _USUAL) -> Turn:
    """The turn of a step of any writer."""
    calls = step.get("tool_calls") or []
    message = {
        "role": "assistant",
        "content": step.get("message"),
        "reasoning_content": step.get("reasoning_content"),
        "tool_calls": calls,
    }
    results = _results_by_call(step, calls)
    outputs = [(name, "\n\n".join(filter(None, (text_of(one.get("content")) for one in own)))) for name, own in results]
    stated = mapping(step.get("metrics"))
    used = usage(
        stated.get("prompt_tokens"),
        stated.get("completion_tokens"),
        mapping(stated.get("extra")).get("reasoning_tokens"),
        stated.get("cost_usd"),
        cached=stated.get("cached_tokens"),
    )
    turn = read_turn(message, outputs, number)
    if len(turn.calls) == len(calls):  # else a text was taken for a call
        ordered = [own for _, own in results]
        by_name = {name: own for name, own in results if name is not None}
        turn.calls[:] = [
            _with_documents(_with_extra(call, given), by_name.get(call.id) or _nth(ordered, place, by_name), fields)
            for place, (call, given) in enumerate(zip(turn.calls, calls, strict=True))
        ]
    return msgspec.structs.replace(turn, usage=used, raw=None)


def _results(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a step; some writers give an observation as one result or one text."""
    observation = step.get("observation")
    results = mapping(observation).get("results")
    results = [{"content": observation}] if isinstance(observation, str) else items(results) or [results]
    return [result for result in results if isinstance(result, dict)]


def _results_by_call(step: dict[str, Any], calls: list[Any]) -> list[tuple[str | None, list[dict[str, Any]]]]:
    """The results of each call, with the call's id where they name it.

    A call may have a result for each of its documents.  Where no result names a call of its step, or several calls have
    one id, the writer goes by their order.
    """
    results, names = _results(step), [text(call.get("tool_call_id")) for call in calls]
    given = [text(result.get("source_call_id")) for result in results]
    if not any(name is not None and name in names for name in given):
        return [(None, [result]) for result in results]
    grouped: list[tuple[str | None, list[dict[str, Any]]]] = []
    for name, result in zip(given, results, strict=True):
        before = next((own for known, own in grouped if known == name and name is not None), None)
        if before is not None and names.count(name) == 1:
            before.append(result)
        else:
            grouped.append((name, [result]))
    return grouped


def _nth(results: list[list[dict[str, Any]]], place: int, named: dict[str, Any]) -> list[dict[str, Any]]:
    return results[place] if not named and place < len(results) else []


def _with_extra(call: Call, given: Any) -> Call:
    """A call with what its ``extra`` says of how it went."""
    more = mapping(mapping(given).get("extra"))
    error, seconds = text(more.get("error")), seconds_of(more.get("seconds"))
    if error is not None:
        call = msgspec.structs.replace(call, error=error, executed=None, hits=None, docid=None)
    return msgspec.structs.replace(call, seconds=seconds)


def _with_documents(call: Call, results: list[dict[str, Any]], fields: Fields) -> Call:
    """A call with the documents that its results name, beside or instead of those in their texts."""
    found = [document for result in results for document in _documents(result, fields)]
    listed = any(isinstance(mapping(result.get("extra")).get("documents"), list) for result in results)
    if call.error is not None or not (found or listed):
        return call
    executed = call.executed if call.executed is not None else mapping(call.arguments)
    if len(found) == 1 and not listed and opens_documents(call.tool):
        return msgspec.structs.replace(call, executed=executed, docid=found[0][0])
    hits = ranked([docid for docid, _ in found], [score for _, score in found])
    return msgspec.structs.replace(call, executed=executed, hits=hits)


def _documents(result: dict[str, Any], fields: Fields) -> list[tuple[str, Any]]:
    """The documents that a result names, with their scores: one, or a list as we write it."""
    extra = mapping(result.get("extra"))
    if fields.docid is None and isinstance(listed := extra.get("documents"), list):
        named = [(id_in(mapping(one), _DOCIDS), mapping(one).get("score")) for one in listed]
    else:
        docid = id_in({"": _at(result, fields.docid)}, [""]) if fields.docid else id_in(extra, _DOCIDS)
        score = _at(result, fields.score) if fields.score else next(filter(is_number, map(extra.get, _SCORES)), None)
        named = [(docid, score)]
    return [(docid, score) for docid, score in named if docid is not None]


def _at(value: Any, path: str) -> Any:
    """What stands at a path with dots."""
    for name in path.split("."):
        value = mapping(value).get(name)
    return value


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
    record, numbers = _plain_record(entry)
    for step, number in zip(record["steps"], numbers, strict=True):
        step[_TURN] = number  # which stays while the steps of the source are put back between them
    record = restored(entry, "atif", record, "steps")
    steps = []
    for place, step in enumerate(record["steps"], start=1):
        number = step.get(_TURN)
        plain = {"step_id": place, **{key: value for key, value in step.items() if key is not _TURN}}
        own = None if number is None else _turn_more(entry.trajectory.turns[number], plain, number)
        steps.append(plain if own is None else _with_ours(plain, own))
    return _with_ours({**record, "steps": steps}, _run_more(entry))


def _with_ours(record: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The record or step with our fields; another tool's value of the same field is kept beside them."""
    extra = record.get("extra")
    extra = dict(extra) if isinstance(extra, dict) else {} if extra is None else {"extra": extra}
    if _OURS in extra:
        extra[f"{_OURS}_source"] = extra[_OURS]
    return {**record, "extra": {**extra, _OURS: own}}


def _plain_record(entry: Entry) -> tuple[dict[str, Any], list[int | None]]:
    """A run as ATIF without what is ours, its steps without numbers; and which turn each step is, from 0."""
    trajectory = entry.trajectory
    agent, used = trajectory.agent, trajectory.usage
    steps: list[dict[str, Any]] = []
    numbers: list[int | None] = []
    turns = 0
    for role, content in transcript(trajectory):
        if isinstance(content, Turn):
            steps.append(_step_of(content))
            numbers.append(turns)
            turns += 1
        elif content:  # there may be no question
            steps.append({"source": role, "message": content})
            numbers.append(None)
    totals = {
        "total_prompt_tokens": used.prompt_tokens,
        "total_completion_tokens": used.completion_tokens,
        "total_cached_tokens": used.cached_tokens,
        "total_cost_usd": used.cost,
    }
    record: dict[str, Any] = {
        "schema_version": _VERSION,
        "session_id": trajectory.id,
        "trajectory_id": trajectory.id,
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
    return record, numbers


def _step_of(turn: Turn) -> dict[str, Any]:
    """A turn as a step, without what is ours and without its number."""
    step: dict[str, Any] = {"source": "agent", "message": turn.text or ""}
    if turn.reasoning is not None:
        step["reasoning_content"] = turn.reasoning
    if turn.calls:
        step["tool_calls"] = [_call_of(call) for call in turn.calls]
        step["observation"] = {"results": [_result_of(call) for call in turn.calls]}
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


def _call_of(call: Call) -> dict[str, Any]:
    arguments = {"unparsed": call.arguments} if isinstance(call.arguments, str) else call.arguments
    made = {"tool_call_id": call.id, "function_name": call.tool, "arguments": arguments}
    more = {"error": call.error, "seconds": call.seconds or None}
    return made if more == {"error": None, "seconds": None} else {**made, "extra": without_nulls(more)}


def _result_of(call: Call) -> dict[str, Any]:
    """A call's output, with the documents that it listed or opened."""
    more: dict[str, Any] = {} if call.docid is None else {"document_id": call.docid}
    if call.hits is not None:
        more["documents"] = [{"document_id": hit.docid, "score": hit.score} for hit in call.hits]
    return {"source_call_id": call.id, "content": call.output, **({"extra": more} if more else {})}


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
    read=read,
    write=lambda entries, path, about: write_files(
        path, ((entry.trajectory.id, record_of(entry)) for entry in entries)
    ),
)
