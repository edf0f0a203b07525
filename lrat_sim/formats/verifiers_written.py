"""Trajectories written as verifiers 0.4 saves them: ``traces.jsonl``, an episode a line with its agent's trace.

A trace is a chain of nodes, a message each; the model's are ``sampled``, and each has its entry in ``calls``.  The
latest grade is the reward ``correct_answer``, and the grades of all judges are metrics.  ``info["lrat_sim"]`` holds
what a trace has no field for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrat_sim.artifact import fingerprint
from lrat_sim.foreign.values import arguments_text
from lrat_sim.formats.entry import ENDS, OURS, Entry, RunFacts
from lrat_sim.formats.messages import prompt_of, transcript
from lrat_sim.formats.output import write_lines
from lrat_sim.formats.registry import About
from lrat_sim.records import Trajectory, Turn, Usage

_VERSION, _LIBRARY = 1, "0.4.0"  # of a trace, and the verifiers that reads and writes these
_FINISHED = {"stop": "stop", "length": "length", "max_tokens": "length", "tool_calls": "tool_calls"}


def write_traces(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a file of one episode a line; returns how many."""
    made = time.time()
    return write_lines(path, (record_of(entry, about.name, made) for entry in entries))


def record_of(entry: Entry, environment: str = OURS, made: float = 0.0) -> dict[str, Any]:
    """One trajectory as an episode; ``made`` is the time, in seconds since 1970, that its nodes are given."""
    run = entry.trajectory
    task = _task(entry)
    errors = [] if run.error is None else [{"type": run.error.boundary, "message": run.error.message}]
    ok = run.error is None
    nodes, calls = _nodes(run, made)
    scores = {"correct": 1.0, "incorrect": 0.0}
    latest = entry.grade.state if entry.grade is not None else ""
    trace = {
        "version": _VERSION,
        "id": run.id,
        "verifiers": {"version": _LIBRARY},
        "task": task,
        "agent": {"config": _config(run), "name": "agent", "trainable": True},
        "nodes": nodes,
        "calls": calls,
        "rewards": {"correct_answer": {"score": scores[latest], "weight": 1.0}} if latest in scores else {},
        "metrics": {grade.judge: scores[grade.state] for grade in entry.grades if grade.state in scores},
        "info": {OURS: RunFacts.of(entry)},
        "is_completed": True,
        "ok": ok,
        "stop_condition": ENDS["verifiers stops"].get(run.end_reason, "error"),
        "is_timeout": run.end_reason == "time_limit",
        "errors": errors,
        "timing": {"start": made, "agent": {"start": made, "end": made + run.seconds}},
    }
    episode = {"id": fingerprint([run.id]), "env": {"id": OURS, "name": environment}, "task": task, "ok": ok}
    return {**episode, "is_timeout": False, "errors": errors, "traces": [trace]}


def _task(entry: Entry) -> dict[str, Any]:
    asked = entry.asked
    data: dict[str, Any] = {"id": asked.id, "prompt": entry.trajectory.question, "answers": asked.answers}
    if asked.answers:
        data["answer"] = asked.answers[0]
    if prompt := prompt_of(entry.trajectory):
        data["system_prompt"] = prompt
    data |= {"evidence": asked.evidence, "canary": entry.canary}
    return {"type": "Task", "data": {name: value for name, value in data.items() if value}, "key": asked.id}


def _config(run: Trajectory) -> dict[str, Any]:
    model = run.agent.get("model")
    name = model if isinstance(model, str) and model else run.agent.get("name")
    return {"model": name if isinstance(name, str) else "unknown"}


def _nodes(run: Trajectory, made: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages as a chain of nodes, and the model calls that made some of them."""
    nodes: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []

    def add(message: dict[str, Any], sampled: bool = False) -> None:
        parent = {"parent": len(nodes) - 1} if nodes else {}
        nodes.append({**parent, "message": message, "sampled": sampled, "timestamp": made})

    for role, said in transcript(run):
        if isinstance(said, str):
            add({"role": role, "content": said})
            continue
        add(_message(said), sampled=True)
        calls.append({"node": len(nodes) - 1, **_call(run, said)})
        for call in said.calls:
            add({"role": "tool", "tool_call_id": call.id, "content": call.output, "name": call.tool})
    return nodes, calls


def _message(turn: Turn) -> dict[str, Any]:
    asked = [
        {"id": call.id, "type": "function", "name": call.tool, "arguments": arguments_text(call.arguments)}
        for call in turn.calls
    ]
    fields = {"content": turn.text, "reasoning_content": turn.reasoning, "tool_calls": asked or None}
    return {"role": "assistant", **{name: value for name, value in fields.items() if value is not None}}


def _call(run: Trajectory, turn: Turn) -> dict[str, Any]:
    call: dict[str, Any] = {"model": _config(run)["model"], "finish_reason": _FINISHED.get(turn.finish_reason or "")}
    used = _usage(turn.usage)
    return {name: value for name, value in {**call, "usage": used}.items() if value is not None}


def _usage(usage: Usage) -> dict[str, Any] | None:
    """Tokens, which verifiers knows of a call both or not at all."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    used = {
        "prompt_tokens": max(0, usage.prompt_tokens - (usage.cached_tokens or 0)),  # cached ones are counted apart
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_input_tokens": usage.cached_tokens,
        "cost": usage.cost,
    }
    return {name: value for name, value in used.items() if value is not None}
