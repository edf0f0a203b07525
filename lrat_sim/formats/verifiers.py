"""The traces of verifiers: ``results.jsonl`` of its environments before version 1, ``traces.jsonl`` since then.

A result is a rollout, with ``metadata.json`` beside it; a line of traces an episode with a trace for each agent, or a
trace, whose messages are read in the order in which they were made.  A reward is a grade only where its name speaks of
correctness and it is 0 or 1.  All other fields stand in ``extra["verifiers"]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import SourceRecord, filled, id_in, items, mapping, seconds_of, text, total_usage, usage
from lrat_sim.formats.entry import OURS, Entry, RunFacts, imported, model_name, reason_in
from lrat_sim.formats.messages import ChatMessage, Conversation, answer_in, answer_of
from lrat_sim.formats.registry import Format, Notes, record_reader
from lrat_sim.formats.verifiers_written import write_traces
from lrat_sim.grading.replies import stated_confidence
from lrat_sim.records import Failure, Grade, GradeState, Task, Turn, Usage

_METADATA = "metadata.json"
_SETTINGS: tuple[str, ...] = ("env_id", "env_args", "sampling_args")
_CORRECT = re.compile(r"correct|accura|exact_match|judge", re.IGNORECASE)


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The rollouts of a file, or of the files below a folder that hold some."""
    beside: dict[Path, dict[str, Any]] = {}

    def entries(record: Any, source: SourceRecord) -> list[Entry]:
        file = source.path.with_name(_METADATA)
        if file not in beside:
            beside[file] = mapping(next((known.value() for known in records(file)), None)) if file.is_file() else {}
        return entries_of(record, source, beside[file])

    return record_reader("verifiers", _is_rollout, entries, is_sampled=lambda record: False)(path, notes)


def entries_of(record: Any, source: SourceRecord, metadata: dict[str, Any] | None = None) -> list[Entry]:
    """The rollouts of one record, each as the first sample of its example; ``metadata`` is from the file beside it."""
    if not isinstance(record, dict):
        raise source.fault(f"a rollout is a JSON object, not {type(record).__name__}")
    if record.keys() >= {"prompt", "completion"}:
        return [_of_result(record, metadata or {}, source)]
    if isinstance(record.get("nodes"), list):
        return [_of_trace(record, {}, source)]
    traces = record.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise source.fault("neither a result (`prompt`, `completion`) nor an episode (`traces`) of verifiers")
    episode = {key: value for key, value in record.items() if key != "traces"}
    if not traces:  # it broke before an agent ran
        return [_of_trace(episode, {}, source)]
    return [_of_trace(trace, episode, source) for trace in traces]


def _of_result(record: dict[str, Any], metadata: dict[str, Any], source: SourceRecord) -> Entry:
    prompt, completion = (
        # a conversation may be one text, of a model that completes texts
        [{"role": role, "content": record[field]}] if isinstance(record[field], str) else items(record[field])
        for field, role in (("prompt", "user"), ("completion", "assistant"))
    )
    messages = [ChatMessage(message=message, own=False) for message in prompt]
    talk = Conversation([*messages, *(ChatMessage(message=message) for message in completion)], source.fault)
    metrics, error = mapping(record.get("metrics")), record.get("error")
    named = error.get("error_chain_repr") or error.get("error") if isinstance(error, dict) else error
    used = mapping(record.get("token_usage"))
    read = [field for field in ("prompt", "completion") if isinstance(record[field], str | list)]
    # a metric is repeated as a field of the record
    repeated = [key for key, value in metrics.items() if record.get(key) == value]
    return _entry(
        str(record.get("example_id", record.get("id", fingerprint(talk.question)))),
        talk,
        source,
        answer=record.get("answer"),
        model=text(metadata.get("model")),
        settings={key: metadata[key] for key in _SETTINGS if key in metadata},
        rewards={name: value for name, value in metrics.items() if record.get(name, value) == value},
        metrics={"reward": record.get("reward")},
        stop=record.get("stop_condition"),
        failure=None if error in (None, "", {}) else str(named),
        usage=usage(used.get("input_tokens"), used.get("output_tokens")),
        seconds=seconds_of(mapping(record.get("timing")).get("total")),
        canary=mapping(record.get("info")).get("canary"),
        rest=filled(record, *read, *repeated),
    )


def _of_trace(trace: dict[str, Any], episode: dict[str, Any], source: SourceRecord) -> Entry:
    nodes = trace.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise source.fault("the field `nodes` should be a list of objects")
    messages = [ChatMessage(message=node.get("message"), own=node.get("sampled") is not False) for node in nodes]
    talk = Conversation(messages, source.fault)
    calls = [call for call in items(trace.get("calls")) if isinstance(call, dict)]
    spent = [(call.get("node"), _tokens(call["usage"])) for call in calls if isinstance(call.get("usage"), dict)]
    by_node = {node: used for node, used in spent if isinstance(node, int)}
    talk.turns = [
        msgspec.structs.replace(turn, usage=by_node.get(position, turn.usage))
        for turn, position in zip(talk.turns, talk.positions, strict=True)
    ]
    task, agent = mapping(trace.get("task")) or mapping(episode.get("task")), mapping(trace.get("agent"))
    data, config = mapping(task.get("data")), mapping(agent.get("config"))
    name = id_in(data, ("id", "idx")) or str(task.get("key") or fingerprint(data or talk.question))
    talk.question = talk.question or text(data.get("prompt")) or ""
    failures = [error for error in items(trace.get("errors")) + items(episode.get("errors")) if isinstance(error, dict)]
    failed = trace.get("ok") is False and bool(failures)
    timing = mapping(mapping(trace.get("timing")).get("agent"))
    left = [_rest_of(node, position) for position, node in enumerate(nodes)]
    around = {key: value for key, value in episode.items() if key != "task" or value != trace.get("task")}
    return _entry(
        name,
        talk,
        source,
        answer=data.get("answers") or data.get("answer"),
        evidence=data.get("evidence"),
        reply=text(trace.get("root_reply")),
        model=text(config.get("model")) or next(filter(None, (text(call.get("model")) for call in calls)), None),
        settings={"role": agent.get("name"), **config},
        rewards={name: mapping(reward).get("score") for name, reward in mapping(trace.get("rewards")).items()},
        metrics=mapping(trace.get("metrics")),
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
    source: SourceRecord,
    *,
    answer: Any,
    model: str | None,
    settings: dict[str, Any],
    rewards: dict[str, Any],
    metrics: dict[str, Any],
    stop: Any,
    failure: str | None,
    canary: Any,
    rest: dict[str, Any],
    evidence: Any = None,
    reply: str | None = None,
    **fields: Any,
) -> Entry:
    """A rollout of either version; ``answer`` is the accepted one or several, ``rest`` what has no place in a
    trajectory, ``reply`` the root agent's where others have messages in the trace too."""
    answers = [accepted for accepted in (items(answer) or [answer]) if text(accepted)]
    evidence = [docid for docid in items(evidence) if text(docid)]
    error = None if failure is None else Failure(boundary="task", message=failure)
    return imported(
        Task(id=name, question=talk.question, answers=answers, evidence=evidence, canary=text(canary)),
        talk.turns,
        {"name": model_name(model), "model": model, "prompt": talk.system, "verifiers": settings},
        # with its place, since two rollouts of one example may be the same
        content=[name, rest, talk.turns, talk.extra, [source.path.name, source.line]],
        extra={**talk.extra, "verifiers": rest},
        grades=[] if failure is not None else _grades(talk.turns, rewards),
        scores=metrics | rewards,
        **{
            "answer": answer_in(reply) if reply is not None else answer_of(talk.turns),
            "limit": reason_in(text(stop) or "", "verifiers words"),
            "error": error,
            **RunFacts.read(mapping(mapping(rest.get("info")).get(OURS)), error),
            **fields,
        },
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
    prompt, completion, reasoning = (used.get(f"{kind}_tokens") for kind in ("prompt", "completion", "reasoning"))
    cached = used.get("cached_input_tokens")
    return usage(prompt, completion, reasoning, used.get("cost"), cached=cached, left_out=[cached])


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
    title="verifiers' traces.jsonl, an episode a line; its older results.jsonl is read",
    recognise=lambda path, record: _is_rollout(record),
    read=read,
    write=write_traces,
)
