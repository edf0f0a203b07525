"""The rollouts of verifiers, of either version, in one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.fields import count, items, mapping, seconds_of, text, usage
from lrat_sim.formats.messages import Conversation, conversation
from lrat_sim.formats.verifiers_messages import said
from lrat_sim.records import Turn, Usage, known_sum
from lrat_sim.text import TOKENIZER

_Refuse = Callable[[str], Exception]


class Rollout(Struct, frozen=True, kw_only=True):
    """A rollout, before it is a trajectory.

    Attributes:
        task: its example's name.
        question: what was asked, if that is a text.
        answer: the accepted one, if that is a text.
        agent: what decides how the agent runs.
        talk: the conversation.
        rewards: by name.
        stop: the stop condition.
        failure: why it broke; None where it did not.
        usage: tokens of the agent's calls.
        seconds: it took.
        canary: of the benchmark, if that is a text.
        rest: what has no place above.
    """

    task: str
    question: Any
    answer: Any
    agent: dict[str, Any]
    talk: Conversation
    rewards: dict[str, Any]
    stop: Any
    failure: str | None
    usage: Usage
    seconds: float
    canary: Any
    rest: dict[str, Any]


def rollouts(record: dict[str, Any], metadata: dict[str, Any], path: Path, line: int) -> list[Rollout]:
    """The rollouts of one line: one, or one for each agent of an episode.

    Args:
        record: the line's object.
        metadata: what stands beside ``results.jsonl``, of the run as a whole.
        path: the file, for messages.
        line: the line, from 1.

    Raises:
        RecordError: it is of neither version, or a message cannot be read.
    """

    def refuse(problem: str) -> RecordError:
        return RecordError(path, line, problem)

    if is_result(record):
        return [_of_result(record, metadata, refuse)]
    if isinstance(record.get("nodes"), list):
        return [_of_trace(record, {}, refuse)]
    traces = record.get("traces")
    if not isinstance(traces, list) or not all(isinstance(trace, dict) for trace in traces):
        raise refuse("neither a result (`prompt`, `completion`) nor an episode (`traces`) of verifiers")
    episode = {key: value for key, value in record.items() if key != "traces"}
    if not traces:  # what broke before an agent ran
        return [_of_trace({**episode, "nodes": []}, {}, refuse)]
    return [_of_trace(trace, episode, refuse) for trace in traces]


def _of_result(record: dict[str, Any], metadata: dict[str, Any], refuse: _Refuse) -> Rollout:
    prompt = [said(message, own=False) for message in _messages(record.get("prompt"), "user")]
    told = [*prompt, *(said(message) for message in _messages(record.get("completion"), "assistant"))]
    talk = conversation(told, refuse)
    metrics, error = mapping(record.get("metrics")), record.get("error")
    named = error.get("error_chain_repr") or error.get("error") if isinstance(error, dict) else error
    model = text(metadata.get("model"))
    used = mapping(record.get("token_usage"))
    read = {key for key in ("prompt", "completion") if isinstance(record[key], str | list)}
    known = {*read, *metrics, *(key for key, value in record.items() if value in (None, [], {}, ""))}
    return Rollout(
        task=str(record.get("example_id", record.get("id", fingerprint(talk.question)))),
        question=talk.question,
        answer=record.get("answer"),
        agent={
            "name": _name(model),
            "model": model,
            "prompt": talk.system,
            "tokenizer": TOKENIZER,
            "verifiers": {key: metadata[key] for key in ("env_id", "env_args", "sampling_args") if key in metadata},
        },
        talk=talk,
        rewards={name: value for name, value in metrics.items() if record.get(name, value) == value},
        stop=record.get("stop_condition"),
        failure=None if error in (None, "", {}) else str(named),
        usage=usage(count(used.get("input_tokens")), count(used.get("output_tokens"))),
        seconds=seconds_of(mapping(record.get("timing")).get("total")),
        canary=mapping(record.get("info")).get("canary"),
        rest={
            key: value
            for key, value in record.items()
            if key not in known or (key in metrics and metrics[key] != value)
        },
    )


def _of_trace(trace: dict[str, Any], episode: dict[str, Any], refuse: _Refuse) -> Rollout:
    nodes = trace.get("nodes", [])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise refuse("the field `nodes` should be a list of objects")
    told = [said(node.get("message"), own=node.get("sampled") is not False) for node in nodes]
    talk = conversation(told, refuse)
    calls = [call for call in items(trace.get("calls")) if isinstance(call, dict)]
    task, named = mapping(trace.get("task")) or mapping(episode.get("task")), mapping(trace.get("agent"))
    data, config = mapping(task.get("data")), mapping(named.get("config"))
    name = next((data[key] for key in ("id", "idx") if isinstance(data.get(key), str | int)), None)
    model = text(config.get("model")) or next((call["model"] for call in calls if text(call.get("model"))), None)
    failures = [error for error in items(trace.get("errors")) + items(episode.get("errors")) if isinstance(error, dict)]
    failed = trace.get("ok") is False and bool(failures)
    rewards = mapping(trace.get("rewards")).items()
    timing = mapping(mapping(trace.get("timing")).get("agent"))
    rest = {key: value for key, value in trace.items() if key != "nodes" and value not in (None, [], {}, "")}
    left = [_rest_of(node) for node in nodes]
    return Rollout(
        task=str(name if name is not None else task.get("key") or fingerprint(data or talk.question)),
        question=talk.question or data.get("prompt"),
        answer=data.get("answer"),
        agent={
            "name": _name(model),
            "model": model,
            "prompt": talk.system,
            "tokenizer": TOKENIZER,
            "verifiers": {"role": named.get("name"), **config},
        },
        talk=msgspec.structs.replace(talk, turns=_with_usage(talk, calls)),
        rewards={name: reward.get("score") for name, reward in rewards if isinstance(reward, dict)},
        stop=trace.get("stop_condition"),
        failure=": ".join(str(failures[-1].get(key)) for key in ("type", "message")) if failed else None,
        usage=_sum(_tokens(call.get("usage")) for call in calls if isinstance(call.get("usage"), dict)),
        seconds=max(0.0, seconds_of(timing.get("end")) - seconds_of(timing.get("start"))),
        canary=data.get("canary"),
        rest={
            **rest,
            **({"nodes": left} if any(left) else {}),
            **({"episode": _without(episode, trace)} if episode else {}),
        },
    )


def _with_usage(talk: Conversation, calls: list[dict[str, Any]]) -> list[Turn]:
    used = [call for call in calls if isinstance(call.get("usage"), dict) and isinstance(call.get("node"), int)]
    spent = {call["node"]: _tokens(call["usage"]) for call in used}
    return [
        msgspec.structs.replace(turn, usage=spent.get(place, turn.usage))
        for turn, place in zip(talk.turns, talk.places, strict=True)
    ]


def _tokens(used: Any) -> Usage:
    """Its ``prompt_tokens`` leave out what came from a cache."""
    prompt = known_sum((count(used.get("prompt_tokens")), count(used.get("cached_input_tokens")) or 0))
    completion, reasoning = (count(used.get(f"{name}_tokens")) for name in ("completion", "reasoning"))
    return usage(prompt, completion, reasoning, used.get("cost"))


def _sum(usages: Iterator[Usage]) -> Usage:
    return sum(usages, next(usages, Usage()))


def _rest_of(node: dict[str, Any]) -> dict[str, Any]:
    """What a node holds beside its message and its place in a conversation without branches."""
    rest = {key: value for key, value in node.items() if key != "message" and value not in (None, [], {}, "")}
    for key, kind in (("sampled", bool), ("parent", int)):
        if isinstance(rest.get(key), kind):
            del rest[key]
    return rest


def _without(episode: dict[str, Any], trace: dict[str, Any]) -> dict[str, Any]:
    """An episode without the task, which its traces repeat."""
    return {key: value for key, value in episode.items() if key != "task" or value != trace.get("task")}


def _messages(given: Any, role: str) -> list[Any]:
    """A conversation may be one text, of a model that completes texts."""
    if isinstance(given, str):
        return [{"role": role, "content": given}]
    return items(given)


def is_result(record: dict[str, Any]) -> bool:
    """Whether a line is of ``results.jsonl``."""
    return "prompt" in record and "completion" in record


def _name(model: str | None) -> str:
    return (model or "unknown").rsplit("/", 1)[-1] or "unknown"
