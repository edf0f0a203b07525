"""inspect_ai's logs, read only, from ``.json`` and from ``.eval`` archives: one trajectory a sample and epoch.

A sample's target is the task's accepted answers; a scorer's ``C`` or ``I`` is a grade, any other score is not.  What a
trajectory has no place for stands in ``extra["inspect"]``: ``log`` names the evaluation, ``sample`` keeps the sample's
other fields, its events among them.  Results of the log as a whole are left out, since they follow from its samples.
A text that a sample keeps under ``attachments`` and that stands in a turn is not kept a second time.

Agents hand in their answer by a tool, ``submit`` unless it was given another name.  The agent ``react`` puts what was
submitted behind its last message, and then takes the tool's calls out of the messages, unless it is told to keep
them; the events of the sample still have them.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import reading
from lrat_sim.foreign.files import LARGEST, begins_as_records, records
from lrat_sim.foreign.values import json_value
from lrat_sim.formats.entry import Entry, ended, imported, model_name
from lrat_sim.formats.fields import (
    count,
    filled,
    items,
    mapping,
    seconds_of,
    text,
    text_of,
    total_usage,
    usage,
)
from lrat_sim.formats.messages import ChatMessage, Conversation, answer_in, conversation
from lrat_sim.formats.registry import Format, Notes
from lrat_sim.formats.sources import files_of
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.records import EndReason, Failure, Grade, Status, Task, Turn, Usage, known_sum
from lrat_sim.text import TOKENIZER

if sys.version_info >= (3, 14):
    import zipfile
else:  # newer archives are compressed with zstd
    from backports.zstd import zipfile

_REMEDY = "get or write the log again"
_HEADERS = ("header.json", "_journal/start.json")
"""Where an archive's header stands; the second where the evaluation did not come to its end."""
_LIMITS: dict[str, EndReason] = {
    "context": "token_limit",
    "token": "token_limit",
    "time": "time_limit",
    "working": "time_limit",
    "message": "turn_limit",
    "turn": "turn_limit",
    "cost": "cost_limit",
}
_STOPS: dict[str, EndReason] = {
    "max_tokens": "length",
    "model_length": "token_limit",
    "content_filter": "content_filter",
}
_AGENT = ("solver", "solver_args", "model_args", "model_generate_config", "model_base_url", "model_roles")
"""What of the header's ``eval`` decides how the agent runs."""
_ATTACHED = re.compile(r"attachment://([0-9a-f]+)")
_END = object()


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The samples of a log, or of all the logs below a folder in the order of their names.

    Raises:
        InputError: there are none, or a log cannot be read.
        RecordError: a sample is not one; names the sample and the field.
    """
    notes, found = notes or Notes(), False
    for log in files_of(path):
        try:
            opened = _open_log(log) if log == path or log.suffix == ".eval" or begins_as_records(log) else None
            if opened is None and log == path:
                raise RecordError(path, 0, "no log of inspect_ai: the field `version` or `eval` is missing", _REMEDY)
        except InputError as error:
            notes.refuse(error)
            continue
        if opened is None:
            notes.left_out.append(log.relative_to(path).as_posix())
            continue
        header, samples = opened
        while True:
            try:
                sample = next(samples, _END)
                if sample is _END:
                    break
                found = True
                yield entry_of(sample, header, log)
            except InputError as error:
                notes.refuse(error)
    if not found and not notes.unread:
        raise InputError(f"{path} holds no samples of inspect_ai; give a log that was written with its samples.")


# --- files


def _is_log(record: Any) -> bool:
    """Whether a JSON object is a log, or the header of one."""
    return isinstance(record, dict) and isinstance(record.get("eval"), dict) and "version" in record


def _open_log(path: Path) -> tuple[dict[str, Any], Iterator[Any]] | None:
    """A log's header and its samples, which may raise where one is damaged; None of a JSON file of something else."""
    if path.suffix != ".eval":
        record: Any = next((found.value() for found in records(path)), None)
        if not _is_log(record):
            return None
        samples = record.pop("samples", None)
        if not isinstance(samples, list | None):
            raise RecordError(path, 0, "the field `samples` should be a list", _REMEDY)
        return record, iter(samples or ())
    with reading(f"{path} cannot be read as an archive", _REMEDY), zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
    name = next((name for name in _HEADERS if name in entries), None)
    header: Any = _archived(path, entries[name]) if name is not None else None
    if not _is_log(header):
        raise RecordError(path, 0, "no log of inspect_ai: it holds no header", _REMEDY)
    files = (info for name, info in entries.items() if name.startswith("samples/") and name.endswith(".json"))
    return header, map(partial(_archived, path), files)  # a map goes on after a damaged one, a generator would not


def _archived(path: Path, info: zipfile.ZipInfo) -> Any:
    place = path / info.filename
    if info.file_size > LARGEST:
        raise InputError(f"{place} would have more than {LARGEST >> 30} GB; {_REMEDY}.")
    with reading(f"{place} cannot be read", _REMEDY), zipfile.ZipFile(path) as archive:
        data = archive.read(info)
    return json_value(data, place)


# --- samples


def entry_of(sample: Any, header: dict[str, Any], path: Path) -> Entry:
    """One sample.

    Args:
        sample: its JSON.
        header: the log's, with ``eval`` and ``plan``.
        path: where it stands, for messages.

    Raises:
        RecordError: it cannot be read.
    """
    if not isinstance(sample, dict) or not isinstance(sample.get("id"), str | int):
        raise RecordError(path, 0, "a sample has no `id`", _REMEDY)
    name, epoch = str(sample["id"]), count(sample.get("epoch")) or 1

    def refuse(problem: str) -> RecordError:
        return RecordError(path, 0, f"sample {name}, epoch {epoch}: {problem}", _REMEDY)

    given = _resolved(sample.get("messages"), sample)
    if not isinstance(given, list | None):
        raise refuse("the field `messages` should be a list")
    messages = [message for source in given or [] for message in _messages(source)]
    talk = conversation(messages, refuse)
    turns = _with_seconds(_with_usage(talk, messages, sample), sample)
    question = talk.question or _question(_resolved(sample.get("input"), sample))
    answer = answer_in(_last_words(turns, sample, header, talk.system))
    status, end_reason, failure = _ended(sample, answer)
    answers = sample.get("target")
    answers = [answers] if isinstance(answers, str) else items(answers)
    answers = [accepted for accepted in answers if isinstance(accepted, str) and accepted]
    run = f"{name}.{epoch - 1}.{fingerprint([header['eval'].get('eval_id'), sample])[:8]}"
    return imported(
        Task(
            id=name,
            question=question,
            answers=answers,
            canary=text(mapping(sample.get("metadata")).get("canary")),
        ),
        _agent(header, talk.system),
        id=run,
        sample=epoch - 1,
        scored=talk.scored,
        status=status,
        end_reason=end_reason,
        answer=answer if status == "answered" else None,
        turns=turns,
        usage=_usage(turns, sample, header),
        error=failure,
        seconds=seconds_of(sample.get("total_time")),
        extra={**talk.extra, "inspect": {"log": _log(header), "sample": _rest(sample, turns, question)}},
        grades=_grades(run, turns, sample, header),
    )


def _resolved(value: Any, sample: dict[str, Any]) -> Any:
    """``value`` with the texts that a sample keeps once, under ``attachments``, in their places."""
    if isinstance(value, str):
        found = _ATTACHED.fullmatch(value)
        whole = text(mapping(sample.get("attachments")).get(found[1])) if found else None
        return value if whole is None else whole
    if isinstance(value, list):
        return [_resolved(item, sample) for item in value]
    if isinstance(value, dict):
        return {key: _resolved(item, sample) for key, item in value.items()}
    return value


def _ended(sample: dict[str, Any], answer: str | None) -> tuple[Status, EndReason, Failure | None]:
    error, limit = sample.get("error"), text(mapping(sample.get("limit")).get("type"))
    if error is not None:
        message = error.get("message") if isinstance(error, dict) else error
        return "error", "error", Failure(boundary="task", message=str(message))
    reason = _LIMITS.get(limit, "gave_up") if limit is not None else None
    if reason is None and answer is None:
        last = mapping(next(iter(items(mapping(sample.get("output")).get("choices"))), None))
        reason = _STOPS.get(text(last.get("stop_reason")) or "")
    return *ended(answer, reason), None


def _grades(run: str, turns: list[Turn], sample: dict[str, Any], header: dict[str, Any]) -> list[Grade]:
    """What the scorers say, the log's first one last, since the latest grade counts."""
    said_last = turns[-1].text if turns else None
    grades = [
        Grade(
            trajectory_id=run,
            state="correct" if score["value"] == "C" else "incorrect",
            judge=f"inspect_ai/{scorer}",
            extracted=text(score.get("answer")),
            confidence=stated_confidence(said_last or ""),
            rationale=text(score.get("explanation")),
        )
        for scorer, score in mapping(sample.get("scores")).items()
        if isinstance(score, dict) and score.get("value") in ("C", "I")
    ]
    first = next((mapping(score).get("name") for score in items(mapping(header.get("results")).get("scores"))), None)
    # reversed first, since sorting is stable
    return sorted(reversed(grades), key=lambda grade: grade.judge == f"inspect_ai/{first}")


def _with_usage(talk: Conversation, messages: list[ChatMessage], sample: dict[str, Any]) -> list[Turn]:
    """The turns with the tokens of their calls, by the ids of the messages that the events name."""
    spent: dict[Any, Usage] = {}
    for event in _events(sample, "model"):
        output = mapping(event.get("output"))
        for choice in items(output.get("choices")):
            name = text(mapping(mapping(choice).get("message")).get("id"))
            if name is not None and isinstance(output.get("usage"), dict):
                spent[name] = _tokens(output["usage"])
    names = [text(messages[position].kept.get("id")) for position in talk.positions]
    return [
        msgspec.structs.replace(turn, usage=spent.get(name, turn.usage))
        for turn, name in zip(talk.turns, names, strict=True)
    ]


def _with_seconds(turns: list[Turn], sample: dict[str, Any]) -> list[Turn]:
    """The turns with the times of their calls, where an id names one call alone."""
    events = [event for event in _events(sample, "tool") if isinstance(event.get("id"), str)]
    often = Counter(event["id"] for event in events)
    took = {event["id"]: seconds_of(event.get("working_time")) for event in events if often[event["id"]] == 1}
    return [
        msgspec.structs.replace(
            turn, calls=[msgspec.structs.replace(call, seconds=took.get(call.id, 0.0)) for call in turn.calls]
        )
        for turn in turns
    ]


def _usage(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any]) -> Usage:
    """Of the agent's model, without the scorers' where these have models of their own."""
    if turns and all(turn.usage != Usage() for turn in turns):
        return total_usage([turn.usage for turn in turns])
    return _tokens(mapping(mapping(sample.get("model_usage")).get(str(header["eval"].get("model")))))


def _tokens(used: dict[str, Any]) -> Usage:
    fresh, *cached = (count(used.get(f"input_tokens{kind}")) for kind in ("", "_cache_read", "_cache_write"))
    written, thought = count(used.get("output_tokens")), count(used.get("reasoning_tokens"))
    return usage(known_sum((fresh, *(tokens or 0 for tokens in cached))), written, thought, used.get("total_cost"))


def _events(sample: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in items(sample.get("events")) if mapping(event).get("event") == kind]


def _agent(header: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    evaluation = header["eval"]
    model = text(evaluation.get("model"))
    settings = {key: evaluation[key] for key in _AGENT if evaluation.get(key)}
    limits = {
        key: value for key, value in mapping(evaluation.get("config")).items() if key.endswith("_limit") and value
    }
    return {
        "name": model_name(model),
        "model": model,
        "prompt": prompt,
        "tokenizer": TOKENIZER,
        "inspect": {**settings, "limits": limits, "plan": header.get("plan")},
    }


def _log(header: dict[str, Any]) -> dict[str, Any]:
    """What names the evaluation; without the lists of all samples, which each of them would hold."""
    evaluation = {key: value for key, value in header["eval"].items() if key not in _AGENT}
    for part, lists in (("dataset", "sample_ids"), ("config", "sample_id")):
        if isinstance(evaluation.get(part), dict):
            evaluation[part] = {key: value for key, value in evaluation[part].items() if key != lists}
    return {**evaluation, "status": header.get("status")}


def _rest(sample: dict[str, Any], turns: list[Turn], question: str) -> dict[str, Any]:
    """The sample's fields that have no place in a trajectory or its task."""
    held = {question, *(said for turn in turns for said in (turn.text, turn.reasoning))}
    held |= {call.output for turn in turns for call in turn.calls}
    attached = sample.get("attachments")
    if isinstance(attached, dict):
        attached = {name: whole for name, whole in attached.items() if not isinstance(whole, str) or whole not in held}
    return filled({**sample, "messages": None, "attachments": attached})


def _question(given: Any) -> str:
    """The sample's input, where its messages are missing."""
    if isinstance(given, list):
        users = [message for message in given if mapping(message).get("role") == "user"]
        given = text_of(users[-1].get("content")) if users else ""
    return text(given) or ""


# --- messages


def _messages(source: Any) -> Iterator[ChatMessage]:
    """A message in OpenAI's shape, with the outputs of the calls that the provider ran itself (its own web search).

    Theirs differ in that a call's function is a name, its arguments are a mapping, reasoning and the provider's own
    calls are parts of the content, and a tool's failure stands beside its output.
    """
    if mapping(source).get("role") != "assistant":
        failed = mapping(mapping(source).get("error")).get("message")
        is_tool = mapping(source).get("role") == "tool"
        yield ChatMessage(message=source, failure=(text(failed) or None) if is_tool else None)
        return
    content, asked = source.get("content"), source.get("tool_calls")
    parts = items(content)
    ran = [part for part in parts if mapping(part).get("type") == "tool_use"]
    calls = [_call(part.get("id"), part.get("name"), part.get("arguments")) for part in ran]
    message = {
        "role": "assistant",
        "content": [_part(part) for part in parts if part not in ran] if parts else content,
        # a list of no shape that could be read is handed on, to be refused
        "tool_calls": asked if not isinstance(asked, list | None) else [*calls, *map(_plain_call, asked or ())],
    }
    yield ChatMessage(message=message, source=source, own=source.get("source") != "input")
    for part in ran:
        told = {"role": "tool", "tool_call_id": text(part.get("id")), "content": text(part.get("result"))}
        yield ChatMessage(message=told, failure=text(part.get("error")) or None)


def _plain_call(call: Any) -> Any:
    if not isinstance(call, dict) or isinstance(call.get("function"), dict):
        return call
    return _call(call.get("id"), call.get("function"), call.get("arguments"))


def _call(name: Any, function: Any, arguments: Any) -> dict[str, Any]:
    return {"id": name, "function": {"name": function, "arguments": arguments}}


def _part(part: Any) -> Any:
    """Reasoning that a provider gives only in encrypted form is its summary, if there is one."""
    if mapping(part).get("type") == "reasoning" and part.get("redacted") is True:
        return {"type": "reasoning", "summary": part.get("summary")}
    return part


# --- the answer that was handed in


class _Submitting(Struct, frozen=True):
    """How an evaluation's agent hands in: by which tool, and whether and behind what it appends the answer."""

    tool: str = "submit"
    appends: bool = False
    delimiter: str = "\n\n"


def _last_words(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any], prompt: str | None) -> str | None:
    """What the answer is read from: what was handed in, else the last message or the sample's output."""
    agent = _submitting(header)
    handed_in = _submitted(turns, sample, agent.tool)
    if handed_in is not None:
        return handed_in
    if not turns:
        return text(mapping(sample.get("output")).get("completion"))
    words = turns[-1].text
    if agent.appends or f"{agent.tool}()" in (prompt or ""):
        # it ends with what was submitted, unless a limit ended the run first
        return _appended(words, sample, agent.delimiter) if words and not sample.get("limit") else None
    return None if turns[-1].calls else words


def _submitting(header: dict[str, Any]) -> _Submitting:
    """What the header of a log says of it."""
    evaluation = mapping(header.get("eval"))
    steps = [mapping(step) for step in items(mapping(header.get("plan")).get("steps"))]
    steps.append({"solver": evaluation.get("solver"), "params": evaluation.get("solver_args")})
    for step in steps:
        name = (text(step.get("solver")) or "").rsplit("/", 1)[-1]
        params = mapping(step.get("params"))
        if name == "react":
            options = mapping(params.get("submit"))
            return _Submitting(
                tool=text(options.get("name")) or "submit",
                appends=params.get("submit") is not False,
                delimiter=text(options.get("answer_delimiter")) or "\n\n",
            )
        if named := text(params.get("submit_name")):
            return _Submitting(tool=named)
    return _Submitting()


def _submitted(turns: list[Turn], sample: dict[str, Any], tool: str) -> str | None:
    """The last answer that was handed in, of the messages or, where it was taken out of them, of the events."""
    for turn in reversed(turns):
        for call in reversed(turn.calls):
            if call.tool == tool and (call.executed is not None or not call.output):  # a failure has an output
                return call.output or _stated(call.arguments)
    for event in reversed(_events(sample, "tool")):
        if event.get("function") == tool and event.get("error") is None:
            answer = text_of(_resolved(event.get("result"), sample))
            if answer := answer or _stated(_resolved(event.get("arguments"), sample)):
                return answer
    return None


def _stated(arguments: Any) -> str:
    values = mapping(arguments)
    return text(values.get("answer")) or next(filter(None, map(text, values.values())), "")


def _appended(words: str, sample: dict[str, Any], delimiter: str) -> str:
    """What stands behind an agent's own words in its last message, in a log without events.

    The output's completion is the answer alone where the agent was told so; else it holds both with ``delimiter``
    between them, which the answer is taken not to hold.
    """
    completion = text(_resolved(mapping(sample.get("output")).get("completion"), sample))
    if completion and words != completion and words.endswith(completion):
        return completion
    return (completion or words).rsplit(delimiter, 1)[-1]


FORMAT = Format(
    name="inspect",
    title="inspect_ai's logs, .eval or .json (read only)",
    recognise=lambda head: (
        any(name.endswith(".eval") for name in (head.path.name, *head.names)) or _is_log(head.record)
    ),
    read=read,
)
