"""ATIF, the agent trajectory interchange format of Harbor: one JSON file a run, written as version 1.4.

A step of the agent is a turn, with its calls and their observations; hits and documents are read from these, where they
are certain.  What a trajectory or a turn knows beside that (what ran, why a call failed, times, grades) stands in
``extra["lrat_sim"]`` of the file and of its steps, so that our own trajectories come back as they were.  What a file
of another writer holds beyond a trajectory stands in ``extra["atif"]`` of the trajectory, and is put in its place again
when it is written.

The format names no task: runs that ask the same question are runs of one task, and several of one agent its samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.entry import Entry, ended, imported
from lrat_sim.formats.fields import count, items, mapping, same_json, text, text_of, total_usage, usage
from lrat_sim.formats.kept import Kept, changes_of, kept_of, read_kept, restored
from lrat_sim.formats.messages import answer_of, prompt_of, read_turn, request_for_answer
from lrat_sim.formats.output import write_files
from lrat_sim.formats.registry import About, Format
from lrat_sim.formats.sources import record_reader
from lrat_sim.records import Grade, Task, Trajectory, Turn, Usage, Verdict
from lrat_sim.text import TOKENIZER

_VERSION = "ATIF-v1.4"
_READABLE = "ATIF-v1."
_OURS = "lrat_sim"
"""The key in ``extra`` that holds what is ours."""
_REMEDY = "correct the file, or leave it out"
_SOURCES = ("system", "user", "agent")


class _RunMore(Struct, frozen=True, omit_defaults=True):
    """What is ours of a file: the trajectory without turns, question and prompt, and what is known beside it."""

    trajectory: dict[str, Any]
    task: Task | None = None
    grades: list[Grade] = []
    verdicts: list[Verdict] = []


# --- reading


def entry_of(record: Any, path: Path, line: int = 0) -> Entry:
    """One run from its JSON.

    Raises:
        RecordError: it is no ATIF, or a step of it cannot be read; names file, step and field.
    """
    if not _is_atif(record) or not record["schema_version"].startswith(_READABLE):
        problem = "the field `schema_version` should name a version 1 of ATIF, as ATIF-v1.6 does"
        raise RecordError(path, line, problem, _REMEDY)
    read = _Steps(_checked(record.get("steps"), path, line))
    own = _own_entry(record, read)
    entry = own if own is not None and read.fits(own.trajectory) else _foreign_entry(record, read)
    # the entry is written anew; where the source says it otherwise, that is kept
    made, more = _plain_record(entry)
    source = _without_ours(record, _run_more(entry))
    del source["steps"]
    overlays = iter(more)
    source["result"] = [
        _unnumbered(step if position in read.other else _without_ours(step, next(overlays)), position)
        for position, step in enumerate(read.steps)
    ]
    kept = kept_of(source, made, {position: source["result"][position] for position in read.other})
    if "result" in record:
        fields = {**kept.record.fields, "result": record["result"]}
        kept = msgspec.structs.replace(kept, record=msgspec.structs.replace(kept.record, fields=fields))
    if kept == Kept():
        return entry
    extra = {**entry.trajectory.extra, "atif": msgspec.to_builtins(kept)}
    return msgspec.structs.replace(entry, trajectory=msgspec.structs.replace(entry.trajectory, extra=extra))


def _checked(steps: Any, path: Path, line: int) -> list[dict[str, Any]]:
    if not isinstance(steps, list):
        raise RecordError(path, line, "the field `steps` should be a list", _REMEDY)
    for number, step in enumerate(steps, start=1):
        if not isinstance(step, dict) or step.get("source") not in _SOURCES:
            problem = f"step {number} has no `source` that is one of {', '.join(_SOURCES)}"
            raise RecordError(path, line, problem, _REMEDY)
        if not isinstance(step.get("message"), str | list | None):
            problem = f"step {number}: the field `message` should be a text or a list of parts"
            raise RecordError(path, line, problem, _REMEDY)
        calls = step.get("tool_calls")
        if not isinstance(calls, list | None) or not all(
            text(mapping(call).get("function_name")) is not None for call in calls or ()
        ):
            raise RecordError(path, line, f"step {number}: a call of `tool_calls` names no function", _REMEDY)
    return steps


class _Steps:
    """The steps, read: prompt, question and turns, and all others by their position (from 0)."""

    def __init__(self, steps: list[dict[str, Any]]):
        self.steps = steps
        self.prompt: str | None = None
        self.question: str | None = None
        self.turns: list[Turn] = []
        self.scored = False
        self.other: dict[int, dict[str, Any]] = {}
        for position, step in enumerate(steps):
            said = text_of(step.get("message")) if not self.turns and self.question is None else ""
            copied = step.get("is_copied_context") is True  # it happened in another file's run
            if step["source"] == "agent" and not copied:
                turn, scored = _turn_of(step, len(self.turns))
                self.turns.append(turn)
                self.scored = self.scored or scored
            elif said and step["source"] == "user":
                self.question = said
            elif said and self.prompt is None and step["source"] == "system":
                self.prompt = said
            else:
                self.other[position] = step

    def fits(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory is written with these steps.

        The step that asked for its answer is then none of the others; another hand may have left it out.
        """
        request = request_for_answer(trajectory)
        if request is None:
            return True
        agents = [position for position, step in enumerate(self.steps) if step["source"] == "agent"]
        before = max(agents, default=0) - 1
        step = self.other.get(before, {})
        if step.get("source") != "user" or step.get("message") != request:
            return False
        del self.other[before]
        return True


def _own_entry(record: dict[str, Any], read: _Steps) -> Entry | None:
    """Of a file that we wrote; None of any other."""
    try:
        more = msgspec.convert(_ours(record), type=_RunMore)
        agent = dict(mapping(more.trajectory.get("agent")))
        if text(agent.get("prompt")):  # it has a step of its own
            del agent["prompt"]
        if read.prompt is not None:
            agent["prompt"] = read.prompt
        values = {**more.trajectory, "agent": agent, "question": read.question or "", "turns": []}
        trajectory = msgspec.structs.replace(msgspec.convert(values, type=Trajectory), turns=read.turns)
    except msgspec.ValidationError:
        return None
    return Entry(trajectory=trajectory, task=more.task, grades=more.grades, verdicts=more.verdicts)


def _foreign_entry(record: dict[str, Any], read: _Steps) -> Entry:
    rest = dict(mapping(record.get("agent")))
    agent: dict[str, Any] = {
        "name": text(rest.pop("name", None)) or "unknown",
        "version": text(rest.pop("version", None)),
        "model": text(rest.pop("model_name", None)),
        "prompt": read.prompt,
        "tokenizer": TOKENIZER,
        "atif": rest,
    }
    # the same question has the same id in every file, so that runs of it become samples of one task
    answer, content, question = answer_of(read.turns), fingerprint(record), read.question or ""
    name = fingerprint(question) if question else content
    status, end_reason = ended(answer)
    return imported(
        Task(id=name, question=question, canary=text(mapping(record.get("extra")).get("canary"))),
        agent,
        id=f"{name}.0.{content[:8]}",
        scored=read.scored,
        status=status,
        end_reason=end_reason,
        answer=answer,
        turns=read.turns,
        usage=_run_usage(mapping(record.get("final_metrics")), read.turns),
    )


def _run_usage(totals: dict[str, Any], turns: list[Turn]) -> Usage:
    """As the totals say; of the turns where there are none."""
    if "total_prompt_tokens" not in totals:
        return total_usage([turn.usage for turn in turns])
    prompt, completion = (count(totals.get(f"total_{name}_tokens")) for name in ("prompt", "completion"))
    return usage(prompt, completion, cost=totals.get("total_cost_usd"))


def _turn_of(step: dict[str, Any], number: int) -> tuple[Turn, bool]:
    """A step of the agent as turn ``number`` (from 0), and whether its hits' scores are the source's own."""
    turn, scored = _plain_turn(step, number)
    more, values = dict(mapping(_ours(step))), msgspec.to_builtins(turn)
    known = items(more.pop("calls", values["calls"]))
    if len(known) == len(step.get("tool_calls") or []):  # else another hand changed the calls
        read = values["calls"] if len(values["calls"]) == len(known) else [{} for _ in known]
        more["calls"] = [{**call, **mapping(own)} for call, own in zip(read, known, strict=True)]
    try:
        own = msgspec.convert({**values, **more}, type=Turn)
    except msgspec.ValidationError:
        return turn, scored
    return own, scored or (_ours(step) is not None and any(call.hits for call in own.calls))


def _plain_turn(step: dict[str, Any], number: int) -> tuple[Turn, bool]:
    """As :func:`_turn_of`, of a step of any writer."""
    calls, results = step.get("tool_calls") or [], _results_of(step)
    asked = [
        {
            "id": call.get("tool_call_id"),
            "function": {"name": call["function_name"], "arguments": call.get("arguments")},
        }
        for call in calls
    ]
    message = {
        "role": "assistant",
        "content": step.get("message"),
        "reasoning_content": step.get("reasoning_content"),
        "tool_calls": asked,
    }
    names = {text(call.get("tool_call_id")) for call in calls} - {None}
    given = [text(result.get("source_call_id")) for result in results]
    # where no result names a call of its step, the writer goes by their order
    named = any(name in names for name in given)
    outputs = [
        (name if named else None, text_of(result.get("content"))) for name, result in zip(given, results, strict=True)
    ]
    turn, scored = read_turn(message, outputs, number)
    return msgspec.structs.replace(turn, usage=_step_usage(step), raw=None), scored


def _results_of(step: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a step's observation, which some writers give as one result or one text."""
    observation = step.get("observation")
    if isinstance(observation, str):
        return [{"content": observation}]
    results = mapping(observation).get("results")
    results = [results] if isinstance(results, dict) else items(results)
    return [result for result in results if isinstance(result, dict)]


def _step_usage(step: dict[str, Any]) -> Usage:
    """What a step's ``metrics`` say; nothing where it has none."""
    stated = mapping(step.get("metrics"))
    prompt, completion = (count(stated.get(f"{name}_tokens")) for name in ("prompt", "completion"))
    reasoning = count(mapping(stated.get("extra")).get("reasoning_tokens"))
    return usage(prompt, completion, reasoning, stated.get("cost_usd"))


def _ours(record: dict[str, Any]) -> Any:
    """What of ours a record or a step holds."""
    return mapping(record.get("extra")).get(_OURS)


def _without_ours(record: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """The record or step without what is ours, if that is written anew as it is."""
    if own is None or not same_json(_ours(record), own):
        return dict(record)
    extra = {key: value for key, value in record["extra"].items() if key != _OURS}
    return {**{key: value for key, value in record.items() if key != "extra"}, **({"extra": extra} if extra else {})}


def _unnumbered(step: dict[str, Any], position: int) -> dict[str, Any]:
    """Without its number where that is its position, as it is written anew."""
    right = type(step.get("step_id")) is int and step["step_id"] == position + 1
    return {key: value for key, value in step.items() if key != "step_id"} if right else step


# --- writing


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a folder with one file a run, named for its trajectory."""
    return write_files(path, ((entry.trajectory.id, record_of(entry)) for entry in entries))


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as ATIF."""
    made, more = _plain_record(entry)
    for step, own in zip(made["result"], more, strict=True):
        if own is not None:
            step[_OURS] = own
    kept = read_kept(entry.trajectory.extra, "atif")
    if kept is not None:
        made = restored(made, kept)
    steps = []
    for number, step in enumerate(made.pop("result"), start=1):
        own = step.get(_OURS)
        plain = {"step_id": number, **{key: value for key, value in step.items() if key != _OURS}}
        steps.append(plain if own is None else _with_ours(plain, own))
    # a field of the source may have the name that the steps have until here
    theirs = {key: value for key, value in kept.record.fields.items() if key == "result"} if kept else {}
    return _with_ours({**made, **theirs, "steps": steps}, _run_more(entry))


def _plain_record(entry: Entry) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """A run as ATIF without what is ours, its steps in ``result``; and what is ours of each step."""
    trajectory = entry.trajectory
    agent, used, request = trajectory.agent, trajectory.usage, request_for_answer(trajectory)
    steps: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    if prompt := prompt_of(trajectory):
        steps.append(({"source": "system", "message": prompt}, None))
    if trajectory.question:
        steps.append(({"source": "user", "message": trajectory.question}, None))
    for number, turn in enumerate(trajectory.turns):
        if request is not None and number == len(trajectory.turns) - 1:
            steps.append(({"source": "user", "message": request}, None))
        step = _step_of(turn)
        steps.append((step, _turn_more(turn, step, number)))
    totals = {
        "total_prompt_tokens": used.prompt_tokens,
        "total_completion_tokens": used.completion_tokens,
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
        "final_metrics": {**_known(totals), "total_steps": len(steps)},
        **({} if entry.canary is None else {"extra": {"canary": entry.canary}}),
        "result": [step for step, _ in steps],
    }
    return record, [own for _, own in steps]


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
        step["metrics"] = _known(
            {
                "prompt_tokens": turn.usage.prompt_tokens,
                "completion_tokens": turn.usage.completion_tokens,
                "cost_usd": turn.usage.cost,
                "extra": {"reasoning_tokens": reasoning} if reasoning else None,
            }
        )
    return step


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _turn_more(turn: Turn, step: dict[str, Any], number: int) -> dict[str, Any] | None:
    """What is read otherwise from a step than it is in the turn; None where nothing is."""
    own, made = (msgspec.to_builtins(read) for read in (turn, _plain_turn(step, number)[0]))
    calls, read = own.pop("calls"), made.pop("calls")
    more = changes_of(own, made).fields
    if len(calls) != len(read):  # a text was taken for a call
        more["calls"] = calls
    elif any(known := [changes_of(call, found).fields for call, found in zip(calls, read, strict=True)]):
        more["calls"] = known
    return more or None


def _run_more(entry: Entry) -> dict[str, Any]:
    """What the format has no field for."""
    trajectory = msgspec.to_builtins(entry.trajectory)
    del trajectory["question"], trajectory["turns"]
    trajectory["extra"].pop("atif", None)
    if prompt_of(entry.trajectory):
        del trajectory["agent"]["prompt"]
    more = _RunMore(trajectory=trajectory, task=entry.task, grades=entry.grades, verdicts=entry.verdicts)
    made: dict[str, Any] = msgspec.to_builtins(more)
    return made


def _with_ours(record: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The record or step with what is ours; what stood in its place, by another hand, stands beside it."""
    extra = record.get("extra")
    extra = dict(extra) if isinstance(extra, dict) else {} if extra is None else {"extra": extra}
    if _OURS in extra:
        extra[f"{_OURS}_source"] = extra[_OURS]
    return {**record, "extra": {**extra, _OURS: own}}


def _is_atif(record: Any) -> bool:
    version = text(mapping(record).get("schema_version"))
    return version is not None and version.startswith("ATIF") and "steps" in record


read = record_reader("atif", _is_atif, entry_of, is_sampled=lambda record: _ours(record) is not None)
FORMAT = Format(
    name="atif",
    title="ATIF, Harbor's agent trajectory interchange format, one JSON file a run",
    recognise=lambda head: _is_atif(head.record),
    read=read,
    write=write,
)
