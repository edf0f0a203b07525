"""The traces of verifiers, read: ``results.jsonl`` of its environments before version 1, ``traces.jsonl`` since then.

- ``results.jsonl``: a rollout a line, the conversation in ``prompt`` and ``completion``; ``metadata.json`` beside it
  names the model.
- ``traces.jsonl``: an episode a line with a trace for each of its agents, or a trace a line.  A trace keeps its
  messages as a graph; they are read in the order in which they were made, each once.  Where the history was rewritten
  on the way, the messages that open the new context stand in ``extra["messages"]``.

A reward is no grade by itself, since it may be of a form or a length: one whose name speaks of correctness, and which
is 0 or 1, is.  All rewards, metrics and other fields stand in ``extra["verifiers"]``.  Rollouts of one example are its
samples, by their order in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.foreign.files import records
from lrat_sim.formats.entry import EndWords, Entry, ended, imported, model_name, reason_in
from lrat_sim.formats.fields import count, filled, items, mapping, seconds_of, text, total_usage, usage
from lrat_sim.formats.messages import ChatMessage, Conversation, Refuse, answer_of, conversation
from lrat_sim.formats.registry import Format, Notes
from lrat_sim.formats.sources import record_reader
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.records import Failure, Grade, Task, Turn, Usage, known_sum
from lrat_sim.text import TOKENIZER

_METADATA = "metadata.json"
_SETTINGS: tuple[str, ...] = ("env_id", "env_args", "sampling_args")
_CORRECT = re.compile(r"correct|accura|exact_match|judge", re.IGNORECASE)
_STOPS: EndWords = (
    ("time_limit", ("timeout", "time_limit", "deadline")),
    ("token_limit", ("token", "prompt_too_long", "overlong", "context", "compaction_failed")),
    ("turn_limit", ("max_turns",)),
    ("cost_limit", ("cost", "budget")),
)
"""Words of a stop condition, and which limit it is."""


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The rollouts of a file, or of the files below a folder that hold some.

    Raises:
        InputError: there are none.
        RecordError: a record is none; names file, line and field.
    """
    beside: dict[Path, dict[str, Any]] = {}

    def entries(record: Any, place: Path, line: int) -> list[Entry]:
        file = place.with_name(_METADATA)
        if file not in beside:
            beside[file] = mapping(next((found.value() for found in records(file)), None)) if file.is_file() else {}
        return entries_of(record, place, line, beside[file])

    return record_reader("verifiers", _is_rollout, entries, is_sampled=lambda record: False)(path, notes)


def entries_of(record: Any, path: Path, line: int, metadata: dict[str, Any] | None = None) -> list[Entry]:
    """The rollouts of one record, one or one for each agent of an episode, each as the first sample of its example.

    Args:
        record: the line's object.
        path: the file, for messages.
        line: the line, from 1.
        metadata: what stands beside ``results.jsonl``, of the run as a whole.

    Raises:
        RecordError: it is of neither version, or a message cannot be read.
    """

    def refuse(problem: str) -> RecordError:
        return RecordError(path, line, problem)

    if not isinstance(record, dict):
        raise refuse(f"a rollout is a JSON object, not {type(record).__name__}")
    place = [path.name, line]
    if _is_result(record):
        return [_of_result(record, metadata or {}, place, refuse)]
    if isinstance(record.get("nodes"), list):
        return [_of_trace(record, {}, place, refuse)]
    traces = record.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise refuse("neither a result (`prompt`, `completion`) nor an episode (`traces`) of verifiers")
    episode = {key: value for key, value in record.items() if key != "traces"}
    if not traces:  # what broke before an agent ran
        return [_of_trace({**episode, "nodes": []}, {}, place, refuse)]
    return [_of_trace(trace, episode, place, refuse) for trace in traces]


def _of_result(record: dict[str, Any], metadata: dict[str, Any], place: list[Any], refuse: Refuse) -> Entry:
    messages = [_message(source, own=False) for source in _listed(record.get("prompt"), "user")]
    messages += [_message(source) for source in _listed(record.get("completion"), "assistant")]
    talk = conversation(messages, refuse)
    metrics, error = mapping(record.get("metrics")), record.get("error")
    named = error.get("error_chain_repr") or error.get("error") if isinstance(error, dict) else error
    used = mapping(record.get("token_usage"))
    read = [key for key in ("prompt", "completion") if isinstance(record[key], str | list)]
    # a metric is repeated as a field of the record
    repeated = [key for key, value in metrics.items() if record.get(key) == value]
    return _entry(
        str(record.get("example_id", record.get("id", fingerprint(talk.question)))),
        talk,
        place,
        question=talk.question,
        answer=text(record.get("answer")),
        model=text(metadata.get("model")),
        settings={key: metadata[key] for key in _SETTINGS if key in metadata},
        rewards={name: value for name, value in metrics.items() if record.get(name, value) == value},
        stop=text(record.get("stop_condition")),
        failure=None if error in (None, "", {}) else str(named),
        used=usage(count(used.get("input_tokens")), count(used.get("output_tokens"))),
        seconds=seconds_of(mapping(record.get("timing")).get("total")),
        canary=text(mapping(record.get("info")).get("canary")),
        rest=filled(record, *read, *repeated),
    )


def _of_trace(trace: dict[str, Any], episode: dict[str, Any], place: list[Any], refuse: Refuse) -> Entry:
    nodes = trace.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise refuse("the field `nodes` should be a list of objects")
    talk = conversation([_message(node.get("message"), own=node.get("sampled") is not False) for node in nodes], refuse)
    calls = [call for call in items(trace.get("calls")) if isinstance(call, dict)]
    spent = [(call.get("node"), _tokens(call["usage"])) for call in calls if isinstance(call.get("usage"), dict)]
    task, agent = mapping(trace.get("task")) or mapping(episode.get("task")), mapping(trace.get("agent"))
    data, config = mapping(task.get("data")), mapping(agent.get("config"))
    name = next((data[key] for key in ("id", "idx") if isinstance(data.get(key), str | int)), None)
    failures = [error for error in items(trace.get("errors")) + items(episode.get("errors")) if isinstance(error, dict)]
    failed = trace.get("ok") is False and bool(failures)
    timing = mapping(mapping(trace.get("timing")).get("agent"))
    left = [_rest_of(node, position) for position, node in enumerate(nodes)]
    around = {key: value for key, value in episode.items() if key != "task" or value != trace.get("task")}
    return _entry(
        str(name if name is not None else task.get("key") or fingerprint(data or talk.question)),
        msgspec.structs.replace(talk, turns=_with_usage(talk, spent)),
        place,
        question=talk.question or text(data.get("prompt")) or "",
        answer=text(data.get("answer")),
        model=text(config.get("model")) or next(filter(None, (text(call.get("model")) for call in calls)), None),
        settings={"role": agent.get("name"), **config},
        rewards={name: mapping(reward).get("score") for name, reward in mapping(trace.get("rewards")).items()},
        stop=text(trace.get("stop_condition")),
        failure=": ".join(str(failures[-1].get(key)) for key in ("type", "message")) if failed else None,
        used=total_usage([used for _, used in spent]),
        seconds=max(0.0, seconds_of(timing.get("end")) - seconds_of(timing.get("start"))),
        canary=text(data.get("canary")),
        rest={
            **filled(trace, "nodes"),
            **({"nodes": left} if any(left) else {}),
            **({"episode": around} if episode else {}),
        },
    )


def _entry(
    name: str,
    talk: Conversation,
    place: list[Any],
    *,
    question: str,
    answer: str | None,
    model: str | None,
    settings: dict[str, Any],
    rewards: dict[str, Any],
    stop: str | None,
    failure: str | None,
    used: Usage,
    seconds: float,
    canary: str | None,
    rest: dict[str, Any],
) -> Entry:
    """A rollout of either version; ``answer`` is the accepted one, ``rest`` what has no place in a trajectory."""
    given = answer_of(talk.turns)
    status, end_reason = ("error", "error") if failure is not None else ended(given, reason_in(stop or "", _STOPS))
    # with its place, since two rollouts of one example may be the same
    run = f"{name}.0.{fingerprint([name, rest, talk.turns, talk.extra, place])[:8]}"
    return imported(
        Task(id=name, question=question, answers=[answer] if answer else [], canary=canary),
        {
            "name": model_name(model),
            "model": model,
            "prompt": talk.system,
            "tokenizer": TOKENIZER,
            "verifiers": settings,
        },
        id=run,
        scored=talk.scored,
        status=status,
        end_reason=end_reason,
        answer=given if status == "answered" else None,
        turns=talk.turns,
        usage=used,
        error=None if failure is None else Failure(boundary="task", message=failure),
        seconds=seconds,
        extra={**talk.extra, "verifiers": rest},
        grades=[] if failure is not None else _grades(run, talk.turns, rewards),
    )


def _grades(run: str, turns: list[Turn], rewards: dict[str, Any]) -> list[Grade]:
    """None where rewards that speak of correctness contradict one another."""
    told = {
        name: value
        for name, value in rewards.items()
        if _CORRECT.search(name) and isinstance(value, int | float) and value in (0, 1)
    }
    if len({float(value) for value in told.values()}) != 1:
        return []
    name, value = next(iter(told.items()))
    words = turns[-1].text if turns and not turns[-1].calls else None
    return [
        Grade(
            trajectory_id=run,
            state="correct" if value else "incorrect",
            judge=f"verifiers/{name}",
            confidence=stated_confidence(words or ""),
        )
    ]


def _with_usage(talk: Conversation, spent: list[tuple[Any, Usage]]) -> list[Turn]:
    by_node = {node: used for node, used in spent if isinstance(node, int)}
    return [
        msgspec.structs.replace(turn, usage=by_node.get(position, turn.usage))
        for turn, position in zip(talk.turns, talk.positions, strict=True)
    ]


def _tokens(used: dict[str, Any]) -> Usage:
    """Its ``prompt_tokens`` leave out what came from a cache."""
    prompt = known_sum((count(used.get("prompt_tokens")), count(used.get("cached_input_tokens")) or 0))
    completion, reasoning = (count(used.get(f"{name}_tokens")) for name in ("completion", "reasoning"))
    return usage(prompt, completion, reasoning, used.get("cost"))


def _rest_of(node: dict[str, Any], position: int) -> dict[str, Any]:
    """What a node holds beside its message and its place right after the node before."""
    rest = filled(node, "message")
    if isinstance(rest.get("sampled"), bool):
        del rest["sampled"]
    if rest.get("parent") == position - 1:
        del rest["parent"]
    return rest


def _listed(given: Any, role: str) -> list[Any]:
    """A conversation may be one text, of a model that completes texts."""
    return [{"role": role, "content": given}] if isinstance(given, str) else items(given)


def _message(source: Any, *, own: bool = True) -> ChatMessage:
    """A message in OpenAI's shape: its calls have name and arguments beside their id."""
    calls = mapping(source).get("tool_calls")
    if not isinstance(calls, list):
        return ChatMessage(message=source, own=own)
    return ChatMessage(message={**source, "tool_calls": [_call(call) for call in calls]}, source=source, own=own)


def _call(call: Any) -> Any:
    if isinstance(call, str):  # the older files hold each call as a text of JSON
        try:
            call = json.loads(call)
        except (ValueError, RecursionError):
            return call  # it is refused with its message
    if not isinstance(call, dict) or isinstance(call.get("function"), dict):
        return call
    return {"id": call.get("id"), "function": {"name": call.get("name"), "arguments": call.get("arguments")}}


def _is_result(record: dict[str, Any]) -> bool:
    return "prompt" in record and "completion" in record


def _is_rollout(record: Any) -> bool:
    return isinstance(record, dict) and (
        (_is_result(record) and "reward" in record)
        or (isinstance(record.get("traces"), list) and "task" in record)
        or (isinstance(record.get("nodes"), list) and "calls" in record)
    )


FORMAT = Format(
    name="verifiers",
    title="verifiers' results.jsonl or traces.jsonl (read only)",
    recognise=lambda head: _is_rollout(head.record),
    read=read,
)
