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

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.foreign.files import records
from lrat_sim.formats.entry import EndWords, Entry, imported, model_name, reason_in
from lrat_sim.formats.fields import count, filled, items, mapping, seconds_of, text, total_usage, usage
from lrat_sim.formats.messages import ChatMessage, Conversation, Refuse, answer_of
from lrat_sim.formats.registry import Format, Notes
from lrat_sim.formats.sources import record_reader
from lrat_sim.grading.replies import stated_confidence
from lrat_sim.records import Failure, Grade, GradeState, Task, Turn, Usage, known_sum

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
    """The rollouts of a file, or of the files below a folder that hold some."""
    beside: dict[Path, dict[str, Any]] = {}

    def entries(record: Any, place: Path, line: int) -> list[Entry]:
        file = place.with_name(_METADATA)
        if file not in beside:
            beside[file] = mapping(next((found.value() for found in records(file)), None)) if file.is_file() else {}
        return entries_of(record, place, line, beside[file])

    return record_reader("verifiers", _is_rollout, entries, is_sampled=lambda record: False)(path, notes)


def entries_of(record: Any, path: Path, line: int, metadata: dict[str, Any] | None = None) -> list[Entry]:
    """The rollouts of one record, one or one for each agent of an episode, each as the first sample of its example.

    ``metadata`` is what stands beside ``results.jsonl``, of the run as a whole.  A RecordError names line and field.
    """

    def refuse(problem: str) -> RecordError:
        return RecordError(path, line, problem)

    if not isinstance(record, dict):
        raise refuse(f"a rollout is a JSON object, not {type(record).__name__}")
    place = [path.name, line]
    if record.keys() >= {"prompt", "completion"}:
        return [_of_result(record, metadata or {}, place, refuse)]
    if isinstance(record.get("nodes"), list):
        return [_of_trace(record, {}, place, refuse)]
    traces = record.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise refuse("neither a result (`prompt`, `completion`) nor an episode (`traces`) of verifiers")
    episode = {key: value for key, value in record.items() if key != "traces"}
    if not traces:  # it broke before an agent ran
        return [_of_trace(episode, {}, place, refuse)]
    return [_of_trace(trace, episode, place, refuse) for trace in traces]


def _of_result(record: dict[str, Any], metadata: dict[str, Any], place: list[Any], refuse: Refuse) -> Entry:
    prompt, completion = (
        # a conversation may be one text, of a model that completes texts
        [{"role": role, "content": record[field]}] if isinstance(record[field], str) else items(record[field])
        for field, role in (("prompt", "user"), ("completion", "assistant"))
    )
    messages = [ChatMessage(message=message, own=False) for message in prompt]
    talk = Conversation([*messages, *(ChatMessage(message=message) for message in completion)], refuse)
    metrics, error = mapping(record.get("metrics")), record.get("error")
    named = error.get("error_chain_repr") or error.get("error") if isinstance(error, dict) else error
    used = mapping(record.get("token_usage"))
    read = [field for field in ("prompt", "completion") if isinstance(record[field], str | list)]
    # a metric is repeated as a field of the record
    repeated = [key for key, value in metrics.items() if record.get(key) == value]
    return _entry(
        str(record.get("example_id", record.get("id", fingerprint(talk.question)))),
        talk,
        place,
        answer=record.get("answer"),
        model=text(metadata.get("model")),
        settings={key: metadata[key] for key in _SETTINGS if key in metadata},
        rewards={name: value for name, value in metrics.items() if record.get(name, value) == value},
        stop=record.get("stop_condition"),
        failure=None if error in (None, "", {}) else str(named),
        usage=usage(used.get("input_tokens"), used.get("output_tokens")),
        seconds=seconds_of(mapping(record.get("timing")).get("total")),
        canary=mapping(record.get("info")).get("canary"),
        rest=filled(record, *read, *repeated),
    )


def _of_trace(trace: dict[str, Any], episode: dict[str, Any], place: list[Any], refuse: Refuse) -> Entry:
    nodes = trace.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise refuse("the field `nodes` should be a list of objects")
    messages = [ChatMessage(message=node.get("message"), own=node.get("sampled") is not False) for node in nodes]
    talk = Conversation(messages, refuse)
    calls = [call for call in items(trace.get("calls")) if isinstance(call, dict)]
    spent = [(call.get("node"), _tokens(call["usage"])) for call in calls if isinstance(call.get("usage"), dict)]
    by_node = {node: used for node, used in spent if isinstance(node, int)}
    talk.turns = [
        msgspec.structs.replace(turn, usage=by_node.get(position, turn.usage))
        for turn, position in zip(talk.turns, talk.positions, strict=True)
    ]
    task, agent = mapping(trace.get("task")) or mapping(episode.get("task")), mapping(trace.get("agent"))
    data, config = mapping(task.get("data")), mapping(agent.get("config"))
    name = next((data[key] for key in ("id", "idx") if isinstance(data.get(key), str | int)), None)
    name = str(name if name is not None else task.get("key") or fingerprint(data or talk.question))
    talk.question = talk.question or text(data.get("prompt")) or ""
    failures = [error for error in items(trace.get("errors")) + items(episode.get("errors")) if isinstance(error, dict)]
    failed = trace.get("ok") is False and bool(failures)
    timing = mapping(mapping(trace.get("timing")).get("agent"))
    left = [_rest_of(node, position) for position, node in enumerate(nodes)]
    around = {key: value for key, value in episode.items() if key != "task" or value != trace.get("task")}
    return _entry(
        name,
        talk,
        place,
        answer=data.get("answer"),
        model=text(config.get("model")) or next(filter(None, (text(call.get("model")) for call in calls)), None),
        settings={"role": agent.get("name"), **config},
        rewards={name: mapping(reward).get("score") for name, reward in mapping(trace.get("rewards")).items()},
        stop=trace.get("stop_condition"),
        failure=": ".join(str(failures[-1].get(key)) for key in ("type", "message")) if failed else None,
        usage=total_usage([used for _, used in spent]),
        seconds=max(0.0, seconds_of(timing.get("end")) - seconds_of(timing.get("start"))),
        canary=data.get("canary"),
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
    answer: Any,
    model: str | None,
    settings: dict[str, Any],
    rewards: dict[str, Any],
    stop: Any,
    failure: str | None,
    canary: Any,
    rest: dict[str, Any],
    **fields: Any,
) -> Entry:
    """A rollout of either version; ``answer`` is the accepted one, ``rest`` what has no place in a trajectory."""
    answers = [answer] if text(answer) else []
    return imported(
        Task(id=name, question=talk.question, answers=answers, canary=text(canary)),
        talk.turns,
        {"name": model_name(model), "model": model, "prompt": talk.system, "verifiers": settings},
        # with its place, since two rollouts of one example may be the same
        content=[name, rest, talk.turns, talk.extra, place],
        answer=answer_of(talk.turns),
        limit=reason_in(text(stop) or "", _STOPS),
        error=None if failure is None else Failure(boundary="task", message=failure),
        extra={**talk.extra, "verifiers": rest},
        grades=[] if failure is not None else _grades(talk.turns, rewards),
        **fields,
    )


def _grades(turns: list[Turn], rewards: dict[str, Any]) -> list[Grade]:
    """The grade of the rewards that speak of correctness; none where they contradict one another."""
    stated = {
        name: float(value)
        for name, value in rewards.items()
        if _CORRECT.search(name) and isinstance(value, int | float) and value in (0, 1)
    }
    if len(set(stated.values())) != 1:
        return []
    name, value = next(iter(stated.items()))
    words = turns[-1].text if turns and not turns[-1].calls else None
    state: GradeState = "correct" if value else "incorrect"
    return [Grade(trajectory_id="", state=state, judge=f"verifiers/{name}", confidence=stated_confidence(words or ""))]


def _tokens(used: dict[str, Any]) -> Usage:
    """Its ``prompt_tokens`` leave out what came from a cache."""
    prompt = known_sum((count(used.get("prompt_tokens")), count(used.get("cached_input_tokens")) or 0))
    return usage(prompt, used.get("completion_tokens"), used.get("reasoning_tokens"), used.get("cost"))


def _rest_of(node: dict[str, Any], position: int) -> dict[str, Any]:
    """What a node holds beside its message and its place right after the node before."""
    rest = filled(node, "message")
    if isinstance(rest.get("sampled"), bool):
        del rest["sampled"]
    if rest.get("parent") == position - 1:
        del rest["parent"]
    return rest


def _is_rollout(record: Any) -> bool:
    return isinstance(record, dict) and (
        record.keys() >= {"prompt", "completion", "reward"}
        or (isinstance(record.get("traces"), list) and "task" in record)
        or (isinstance(record.get("nodes"), list) and "calls" in record)
    )


FORMAT = Format(
    name="verifiers",
    title="verifiers' results.jsonl or traces.jsonl (read only)",
    recognise=lambda path, record: _is_rollout(record),
    read=read,
)
