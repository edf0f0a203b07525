"""inspect_ai's logs, from ``.json`` and from ``.eval`` archives: one trajectory a sample and epoch.

A scorer's ``C``, ``I`` or ``N`` (no answer) is a grade, any other score is not.  ``extra["inspect"]`` keeps what a
trajectory has no place for: the evaluation (``log``) and the sample's other fields.  Agents hand in their answer by a
tool, ``submit`` unless it has another name; ``react`` puts it behind its last message and takes the call out of the
messages, but not of the events.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import reading
from lrat_sim.foreign.files import LARGEST, begins_as_records, records
from lrat_sim.foreign.values import (
    SourceRecord,
    count,
    filled,
    items,
    json_value,
    mapping,
    seconds_of,
    text,
    text_of,
    total_usage,
    usage,
)
from lrat_sim.formats.entry import ENDS, OURS, Entry, RunFacts, imported, model_name
from lrat_sim.formats.inspect_written import write_log
from lrat_sim.formats.messages import ChatMessage, Conversation, answer_in
from lrat_sim.formats.registry import Format, record_reader
from lrat_sim.grading.replies import stated_confidence
from lrat_sim.records import Failure, Grade, Task, Turn, Usage

if sys.version_info >= (3, 14):
    import zipfile
else:  # newer archives are compressed with zstd
    from backports.zstd import zipfile

_REMEDY = "get or write the log again"
_HEADERS = ("header.json", "_journal/start.json")  # the second where the evaluation did not come to its end
_AGENT = ("solver", "solver_args", "model_args", "model_generate_config", "model_base_url", "model_roles")
"""What of the header's ``eval`` decides how the agent runs."""
_ATTACHED = re.compile(r"attachment://([0-9a-f]+)")


# --- files


def _records_in(path: Path) -> Iterator[SourceRecord]:
    """A log as records: its header, then its header with one sample each; of any other JSON file its first record."""
    header: Any
    if path.suffix == ".eval":
        header, samples = _archived(path)
    elif not begins_as_records(path):
        return iter(())
    else:
        header = next((record.value() for record in records(path)), None)
        samples = iter(())
        if _is_log(header):
            listed = header.pop("samples", None)
            if not isinstance(listed, list | None):
                raise RecordError(path, 0, "the field `samples` should be a list", _REMEDY)
            samples = iter(listed or ())
    parts = map(lambda sample: SourceRecord({"header": header, "sample": sample}, path), samples)
    return chain([SourceRecord({"header": header}, path)], parts)


def _archived(path: Path) -> tuple[Any, Iterator[Any]]:
    """The header of an archive and its samples, of which a damaged one raises and the next can still be read."""
    with reading(f"{path} cannot be read as an archive", _REMEDY), zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}

    def member(info: zipfile.ZipInfo) -> Any:
        place = path / info.filename
        if info.file_size > LARGEST:
            raise InputError(f"{place} would have more than {LARGEST >> 30} GB; {_REMEDY}.")
        with reading(f"{place} cannot be read", _REMEDY), zipfile.ZipFile(path) as archive:
            data = archive.read(info)
        return json_value(data, place)

    header = next((member(entries[name]) for name in _HEADERS if name in entries), None)
    if not _is_log(header):
        raise RecordError(path, 0, "no log of inspect_ai: it holds no header", _REMEDY)
    samples = (info for name, info in entries.items() if name.startswith("samples/") and name.endswith(".json"))
    return header, map(member, samples)  # a map goes on after an error, a generator would not


def _is_log(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("eval"), dict) and "version" in record


def _entries_of(record: Any, source: SourceRecord) -> list[Entry]:
    if not _is_log(record["header"]):
        raise source.fault("no log of inspect_ai: the field `version` or `eval` is missing", _REMEDY)
    return [entry_of(record["sample"], record["header"], source)] if "sample" in record else []


# --- samples


def entry_of(sample: Any, header: dict[str, Any], source: SourceRecord) -> Entry:
    """One sample of the log with this header (``eval``, ``plan``); a RecordError names sample and field."""
    if not isinstance(sample, dict) or not isinstance(sample.get("id"), str | int):
        raise source.fault("a sample has no `id`", _REMEDY)
    name, epoch = str(sample["id"]), count(sample.get("epoch")) or 1

    def refuse(problem: str) -> RecordError:
        return source.fault(f"sample {name}, epoch {epoch}: {problem}", _REMEDY)

    given = _resolved(sample.get("messages"), sample)
    if not isinstance(given, list | None):
        raise refuse("the field `messages` should be a list")
    messages = [message for listed in given or [] for message in _messages(listed)]
    talk = Conversation(messages, refuse)
    turns = _measured(talk, messages, sample)
    stated = _resolved(sample.get("input"), sample)
    users = [text_of(message.get("content")) for message in items(stated) if mapping(message).get("role") == "user"]
    question = talk.question or text(stated) or next(reversed(users), "")
    answer = answer_in(_last_words(turns, sample, header, talk.system))
    met, choices = text(mapping(sample.get("limit")).get("type")), items(mapping(sample.get("output")).get("choices"))
    stop = text(mapping(next(iter(choices), None)).get("stop_reason")) if answer is None else None
    limit = ENDS["inspect stops"].get(stop) if met is None else ENDS["inspect limits"].get(met, "gave_up")
    target, evaluation, error = sample.get("target"), header["eval"], sample.get("error")
    answers = [accepted for accepted in (items(target) or [target]) if isinstance(accepted, str) and accepted]
    message = error.get("message") if isinstance(error, dict) else error
    failure, metadata = (
        None if error is None else Failure(boundary="task", message=str(message)),
        sample.get("metadata"),
    )
    evidence = [docid for docid in items(mapping(metadata).get("evidence")) if text(docid)]
    used, models = [turn.usage for turn in turns], mapping(sample.get("model_usage"))
    if not used or Usage() in used:  # of the agent's model, without the scorers' where these have models of their own
        used = [_tokens(mapping(models.get(str(evaluation.get("model")))))]
    return imported(
        Task(
            id=name,
            question=question,
            answers=answers,
            evidence=evidence,
            canary=text(mapping(metadata).get("canary")),
        ),
        turns,
        _agent(header, talk.system),
        content=[evaluation.get("eval_id"), sample],
        sample=epoch - 1,
        grades=_grades(turns, sample, header),
        scores=_scores(sample),
        extra={**talk.extra, "inspect": {"log": _log(header), "sample": _rest(sample, turns, question)}},
        usage=total_usage(used),
        seconds=seconds_of(sample.get("total_time")),
        **{
            "answer": answer,
            "limit": limit,
            "error": failure,
            **RunFacts.read(mapping(mapping(metadata).get(OURS)), failure),
        },
    )


def _resolved(value: Any, sample: dict[str, Any]) -> Any:
    """``value`` with the texts that a sample keeps once, under ``attachments``, in their places."""
    if isinstance(value, str):
        named = _ATTACHED.fullmatch(value)
        whole = text(mapping(sample.get("attachments")).get(named[1])) if named else None
        return value if whole is None else whole
    if isinstance(value, list):
        return [_resolved(item, sample) for item in value]
    if isinstance(value, dict):
        return {key: _resolved(item, sample) for key, item in value.items()}
    return value


def _scores(sample: dict[str, Any]) -> dict[str, Any]:
    """The values by scorer; of a scorer that gives several by ``scorer/value``."""
    scores: dict[str, Any] = {}
    for scorer, score in mapping(sample.get("scores")).items():
        value = mapping(score).get("value")
        parts = {f"{scorer}/{name}": part for name, part in value.items()} if isinstance(value, dict) else None
        scores |= {scorer: value} if parts is None else parts
    return scores


def _grades(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any]) -> list[Grade]:
    """What the scorers say, the log's first one last, since the latest grade counts."""
    confidence = stated_confidence((turns[-1].text if turns else None) or "")
    grades = [
        Grade(
            trajectory_id="",
            state="correct" if score["value"] == "C" else "incorrect",
            judge=f"inspect_ai/{scorer}",
            extracted=text(score.get("answer")),
            confidence=confidence,
            rationale=text(score.get("explanation")),
        )
        for scorer, score in mapping(sample.get("scores")).items()
        if isinstance(score, dict) and score.get("value") in ("C", "I", "N")
    ]
    first = next((mapping(score).get("name") for score in items(mapping(header.get("results")).get("scores"))), None)
    # reversed first, since sorting is stable
    return sorted(reversed(grades), key=lambda grade: grade.judge == f"inspect_ai/{first}")


def _measured(talk: Conversation, messages: list[ChatMessage], sample: dict[str, Any]) -> list[Turn]:
    """The turns with their tokens, by the ids of the messages, and the seconds of calls whose id names one alone."""
    spent: dict[Any, Usage] = {}
    for event in _events(sample, "model"):
        output = mapping(event.get("output"))
        for choice in items(output.get("choices")):
            name = text(mapping(mapping(choice).get("message")).get("id"))
            if name is not None and isinstance(output.get("usage"), dict):
                spent[name] = _tokens(output["usage"])
    ran = [event for event in _events(sample, "tool") if isinstance(event.get("id"), str)]
    often = Counter(event["id"] for event in ran)
    took = {event["id"]: seconds_of(event.get("working_time")) for event in ran if often[event["id"]] == 1}
    return [
        msgspec.structs.replace(
            turn,
            usage=spent.get(text(messages[position].kept.get("id")), turn.usage),
            calls=[msgspec.structs.replace(call, seconds=took.get(call.id, 0.0)) for call in turn.calls],
        )
        for turn, position in zip(talk.turns, talk.positions, strict=True)
    ]


def _tokens(used: dict[str, Any]) -> Usage:
    fresh, read, written = (used.get(f"input_tokens{kind}") for kind in ("", "_cache_read", "_cache_write"))
    output, reasoning = used.get("output_tokens"), used.get("reasoning_tokens")
    return usage(fresh, output, reasoning, used.get("total_cost"), cached=read, left_out=[read, written])


def _events(sample: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in items(sample.get("events")) if mapping(event).get("event") == kind]


def _agent(header: dict[str, Any], prompt: str | None) -> dict[str, Any]:
    evaluation = header["eval"]
    model, config = text(evaluation.get("model")), mapping(evaluation.get("config"))
    settings = {key: evaluation[key] for key in _AGENT if evaluation.get(key)}
    settings["limits"] = {key: value for key, value in config.items() if key.endswith("_limit") and value}
    settings["plan"] = header.get("plan")
    return {"name": model_name(model), "model": model, "prompt": prompt, "inspect": settings}


def _log(header: dict[str, Any]) -> dict[str, Any]:
    """What names the evaluation; without the lists of all samples, which each of them would hold."""
    evaluation = {key: value for key, value in header["eval"].items() if key not in _AGENT}
    for part, lists in (("dataset", "sample_ids"), ("config", "sample_id")):
        if isinstance(evaluation.get(part), dict):
            evaluation[part] = {key: value for key, value in evaluation[part].items() if key != lists}
    return {**evaluation, "status": header.get("status")}


def _rest(sample: dict[str, Any], turns: list[Turn], question: str) -> dict[str, Any]:
    """The sample's fields that have no place in a trajectory or its task."""
    held = {question, *(words for turn in turns for words in (turn.text, turn.reasoning))}
    held |= {call.output for turn in turns for call in turn.calls}
    attached = sample.get("attachments")
    if isinstance(attached, dict):
        attached = {name: whole for name, whole in attached.items() if not isinstance(whole, str) or whole not in held}
    return filled({**sample, "messages": None, "attachments": attached})


# --- messages


def _messages(source: Any) -> Iterator[ChatMessage]:
    """A message in OpenAI's shape, with the outputs of the calls that the provider ran itself (its own web search)."""
    role = mapping(source).get("role")
    if role != "assistant":
        failure = text(mapping(mapping(source).get("error")).get("message")) if role == "tool" else None
        yield ChatMessage(message=source, failure=failure or None)
        return
    content, calls = source.get("content"), source.get("tool_calls")
    ran = [part for part in items(content) if mapping(part).get("type") == "tool_use"]
    message = {
        "role": "assistant",
        "content": [_part(part) for part in content if part not in ran] if isinstance(content, list) else content,
        # a value that is no list is handed on, to be refused
        "tool_calls": [*ran, *(calls or ())] if isinstance(calls, list | None) else calls,
    }
    yield ChatMessage(message=message, source=source, own=source.get("source") != "input")
    for part in ran:
        output = {"role": "tool", "tool_call_id": text(part.get("id")), "content": text(part.get("result"))}
        yield ChatMessage(message=output, failure=text(part.get("error")) or None)


def _part(part: Any) -> Any:
    """Reasoning that a provider gives only in encrypted form is its summary, if there is one."""
    if mapping(part).get("type") == "reasoning" and part.get("redacted") is True:
        return {"type": "reasoning", "summary": part.get("summary")}
    return part


# --- the answer that was handed in


def _submitting(header: dict[str, Any]) -> tuple[str, bool, str]:
    """The tool that hands in an answer, whether the agent appends the answer to its last message, and the delimiter."""
    evaluation = header["eval"]
    steps = [mapping(step) for step in items(mapping(header.get("plan")).get("steps"))]
    for step in (*steps, {"solver": evaluation.get("solver"), "params": evaluation.get("solver_args")}):
        params = mapping(step.get("params"))
        if (text(step.get("solver")) or "").rsplit("/", 1)[-1] == "react":
            options = mapping(params.get("submit"))
            delimiter = text(options.get("answer_delimiter")) or "\n\n"
            return text(options.get("name")) or "submit", params.get("submit") is not False, delimiter
        if named := text(params.get("submit_name")):
            return named, False, "\n\n"
    return "submit", False, "\n\n"


def _last_words(turns: list[Turn], sample: dict[str, Any], header: dict[str, Any], prompt: str | None) -> str | None:
    """What the answer is read from: what was handed in, else the last message or the sample's output."""
    tool, appends, delimiter = _submitting(header)
    handed_in = _submitted(turns, sample, tool)
    completion = text(mapping(sample.get("output")).get("completion"))
    if handed_in is not None or not turns:
        return completion if handed_in is None else handed_in
    words = turns[-1].text
    if not appends and f"{tool}()" not in (prompt or ""):
        return None if turns[-1].calls else words
    # it ends with what was submitted, unless a limit ended the run first
    if not words or sample.get("limit"):
        return None
    # in a log without events the output's completion is the answer alone where the agent was told so; else it holds
    # both with the delimiter between them, which the answer is taken not to hold
    completion = text(_resolved(completion, sample))
    if completion and words != completion and words.endswith(completion):
        return completion
    return (completion or words).rsplit(delimiter, 1)[-1]


def _submitted(turns: list[Turn], sample: dict[str, Any], tool: str) -> str | None:
    """The last answer that was handed in, from the messages or, where it was taken out of them, from the events."""
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


FORMAT = Format(
    name="inspect",
    title="inspect_ai's logs: an archive where the name ends in .eval, else JSON",
    recognise=lambda path, record: path.suffix == ".eval" or any(path.glob("*.eval")) or _is_log(record),
    read=record_reader("inspect", lambda record: _is_log(record["header"]), _entries_of, records_in=_records_in),
    write=write_log,
)
