"""Trajectories written as a log of inspect_ai, schema 2: an ``.eval`` archive, or JSON where the name ends otherwise.

A trajectory is a sample and its number the epoch.  Its messages stand in the sample; a model event a turn and a tool
event a call have tokens and seconds.  The prompts of these events are in the pool ``events_data``, whose long texts are
``attachments``, as inspect_ai keeps them.  A judge is a scorer.  ``metadata`` has the evidence, and under
``lrat_sim`` what a sample has no field for.  A log is of one agent: runs of several are refused.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from lrat_sim import __version__
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import InputError
from lrat_sim.foreign.values import mapping
from lrat_sim.formats.entry import ENDS, OURS, Entry, RunFacts
from lrat_sim.formats.messages import transcript
from lrat_sim.formats.registry import About
from lrat_sim.records import Call, Grade, Trajectory, Turn, Usage, known_sum

_SCHEMA, _LONG = 2, 100  # of a log; characters from which a text of an event is an attachment
_SUMMARISED = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage", "total_time", "uuid")
Member = Callable[[str, Any], None]  # writes one member of an archive


def write_log(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes one log, streaming; returns how many samples it has."""
    made = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    log = _Log(about.name, made)
    archived = path.name.removesuffix(".part").endswith(".eval")
    with (_archive if archived else _json_file)(path) as member:
        for entry in entries:
            sample = log.add(entry)
            member(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
        header = log.header([task.id for task in about.unrun])
        member("summaries.json", log.summaries)
        member("_journal/start.json", {key: header[key] for key in ("version", "eval", "plan")})
        member("header.json", header)
    return len(log.summaries)


@contextmanager
def _archive(path: Path) -> Iterator[Member]:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        yield lambda name, value: archive.writestr(name, msgspec.json.encode(value))


@contextmanager
def _json_file(path: Path) -> Iterator[Member]:
    """One JSON object: the header, known last, with the samples, which wait in a file until then."""
    with tempfile.TemporaryFile(dir=path.parent) as samples:

        def member(name: str, value: Any) -> None:
            if name.startswith("samples/"):
                samples.write((b"," if samples.tell() else b"") + msgspec.json.encode(value))
            elif name == "header.json":
                samples.seek(0)
                with path.open("wb") as stream:
                    stream.write(msgspec.json.encode(value).removesuffix(b"}") + b',"samples":[')
                    shutil.copyfileobj(samples, stream)
                    stream.write(b"]}")

        yield member


class _Log:
    """What of a log is known at its end only: its agent, its samples in short, and what the scorers gave."""

    def __init__(self, name: str, made: str):
        self.name, self.made = name, made
        self.agent: dict[str, Any] | None = None
        self.summaries: list[dict[str, Any]] = []
        self.first: str | None = None  # the scorer whose grades count
        self._right: Counter[str] = Counter()
        self._scored: Counter[str] = Counter()
        self._named: set[tuple[str, int]] = set()
        self._errors = 0

    def add(self, entry: Entry) -> dict[str, Any]:
        """One more sample, as it is written."""
        run = entry.trajectory
        self.agent = self.agent or run.agent
        if run.agent.get("fingerprint") != self.agent.get("fingerprint"):
            raise InputError(
                f"{self.name} holds runs of several agents, and a log of inspect_ai is of one; convert them one by one."
            )
        if (key := (run.task_id, run.sample)) in self._named:
            raise InputError(f"{self.name} holds sample {key[1]} of the task {key[0]!r} twice; leave one of them out.")
        self._named.add(key)
        sample = sample_of(entry, self.made)
        self._errors += run.error is not None
        for scorer, score in sample["scores"].items():
            self._scored[scorer] += 1
            self._right[scorer] += score["value"] == "C"
        self.first = self.first or next(iter(sample["scores"]), None)
        short = {name: sample[name] for name in _SUMMARISED if name in sample}
        self.summaries.append({**short, "completed": True, "message_count": len(sample["messages"])})
        return sample

    def header(self, unrun: list[str]) -> dict[str, Any]:
        """The log without its samples; ``unrun`` are tasks without any."""
        ids = list(dict.fromkeys([*(summary["id"] for summary in self.summaries), *unrun]))
        agent, total = self.agent or {}, len(self.summaries)
        identity = fingerprint([self.name, self.made, ids])
        settings = mapping(agent.get("sampling"))
        generate = {name: settings[name] for name in ("temperature", "top_p", "max_tokens") if settings.get(name)}
        scores = [
            {"name": name, "scorer": name, "scored_samples": scored, "unscored_samples": total - scored,
             "metrics": {"accuracy": {"name": "accuracy", "value": self._right[name] / scored}}}
            for name, scored in sorted(self._scored.items(), key=lambda item: item[0] != self.first)
        ]  # fmt: skip
        return {
            "version": _SCHEMA,
            "status": "success",
            "eval": {
                "eval_id": identity, "run_id": identity, "task_id": identity, "created": self.made, "task": self.name,
                "dataset": {"name": self.name, "samples": len(ids), "sample_ids": ids, "shuffled": False},
                "model": _model(agent), "model_generate_config": generate, "packages": {OURS: __version__},
                "config": {"epochs": max((summary["epoch"] for summary in self.summaries), default=1)},
            },
            "plan": {"name": "plan", "steps": [{"solver": OURS, "params": {"agent": agent.get("name")}}]},
            "results": {"total_samples": total, "completed_samples": total - self._errors, "scores": scores},
            "stats": {"started_at": self.made, "completed_at": self.made},
        }  # fmt: skip


def sample_of(entry: Entry, made: str) -> dict[str, Any]:
    """One trajectory as a sample; ``made`` is the time that its events are given."""
    run, asked, model = entry.trajectory, entry.asked, _model(entry.trajectory.agent)
    messages = _messages(run)
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    attachments: dict[str, str] = {}
    metadata = {"evidence": asked.evidence, "canary": entry.canary, OURS: RunFacts.of(entry)}
    sample: dict[str, Any] = {
        "id": run.task_id,
        "epoch": run.sample + 1,
        "input": run.question,
        "target": asked.answers or "",
        "messages": messages,
        "output": _output(model, last, run.turns[-1]) if last and run.turns else {"model": model, "choices": []},
        "scores": _scores(entry.grades, run.answer),
        "metadata": {name: value for name, value in metadata.items() if value},
        "events": list(_events(run, messages, made, attachments)),
        "events_data": {"messages": [_attached(message, attachments) for message in messages], "calls": []},
        "model_usage": {model: used} if (used := _usage(run.usage)) else {},
        "total_time": run.seconds,
        "uuid": run.id,
        "attachments": attachments,
    }
    if run.error is not None:
        sample["error"] = {"message": run.error.message, "traceback": "", "traceback_ansi": ""}
    elif (limit := ENDS["inspect limits written"].get(run.end_reason)) is not None:
        sample["limit"] = {"type": limit, "limit": float(len(run.turns)) if limit == "turn" else 0.0}
    return sample


def _model(agent: dict[str, Any]) -> str:
    name = agent.get("model") or agent.get("name")
    return name if isinstance(name, str) else "unknown"


def _messages(run: Trajectory) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    turn = 0
    for role, said in transcript(run):
        if isinstance(said, str):
            messages.append({"role": role, "content": said, **({"source": "input"} if role == "user" else {})})
            continue
        messages.append(_message(said, f"{run.id}.{turn}"))
        messages += [_tool_message(call) for call in said.calls]
        turn += 1
    return messages


def _message(turn: Turn, name: str) -> dict[str, Any]:
    content: Any = turn.text or ""
    if turn.reasoning is not None:
        content = [{"type": "reasoning", "reasoning": turn.reasoning}, {"type": "text", "text": turn.text or ""}]
    asked = [{"id": call.id, "function": call.tool, "type": "function", **_arguments(call)} for call in turn.calls]
    message = {"id": name, "role": "assistant", "content": content, "source": "generate"}
    return {**message, "tool_calls": asked} if asked else message


def _arguments(call: Call) -> dict[str, Any]:
    """What a call asked for, which must be an object."""
    if isinstance(call.arguments, dict):
        return {"arguments": call.arguments}
    return {"arguments": {"arguments": call.arguments}, "parse_error": call.error or "no JSON"}


def _tool_message(call: Call) -> dict[str, Any]:
    message = {"role": "tool", "tool_call_id": call.id, "function": call.tool, "content": call.output}
    return message if call.error is None else {**message, "error": {"type": "unknown", "message": call.error}}


def _scores(grades: Iterable[Grade], answer: str | None) -> dict[str, Any]:
    """The grades by judge, the latest first, which is the one that counts."""
    latest = {grade.judge.removeprefix("inspect_ai/"): grade for grade in grades if grade.state != "ungraded"}
    return {
        judge: {
            "value": "C" if grade.state == "correct" else "I",
            "answer": grade.extracted or answer,
            "explanation": grade.rationale,
        }
        for judge, grade in reversed(latest.items())
    }


def _events(
    run: Trajectory, messages: list[dict[str, Any]], made: str, attachments: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """A model event a turn, whose prompt are the messages before it in the pool, and a tool event a call."""
    model, turns = _model(run.agent), iter(run.turns)
    at = {"timestamp": made, "working_start": 0.0}
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        turn = next(turns)
        output = _output(model, _attached(message, attachments), turn)
        yield {
            "event": "model", **at, "model": model, "input": [], "input_refs": [[0, place]] if place else None,
            "tools": [], "tool_choice": "auto", "config": {}, "output": output,
        }  # fmt: skip
        for call in turn.calls:
            error = {} if call.error is None else {"error": {"type": "unknown", "message": call.error}}
            yield {
                "event": "tool", **at, "id": call.id, "function": call.tool, "arguments": _arguments(call)["arguments"],
                "result": call.output, "events": [], "working_time": call.seconds, **error,
            }  # fmt: skip


def _output(model: str, message: dict[str, Any], turn: Turn) -> dict[str, Any]:
    stop = ENDS["inspect stops written"].get(turn.finish_reason, "tool_calls" if turn.calls else "stop")
    output = {"model": model, "choices": [{"message": message, "stop_reason": stop}], "completion": turn.text or ""}
    return output | ({"usage": used} if (used := _usage(turn.usage)) else {})


def _usage(usage: Usage) -> dict[str, Any] | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    total = known_sum((usage.prompt_tokens, usage.completion_tokens))
    cached = usage.cached_tokens or 0  # which it counts apart
    fresh = max(0, usage.prompt_tokens - cached)
    used = {"input_tokens": fresh, "output_tokens": usage.completion_tokens, "total_tokens": total}
    more = {
        "reasoning_tokens": usage.reasoning_tokens,
        "total_cost": usage.cost,
        "input_tokens_cache_read": usage.cached_tokens,
    }
    return used | {name: value for name, value in more.items() if value is not None}


def _attached(message: dict[str, Any], attachments: dict[str, str]) -> dict[str, Any]:
    """A message with its long text among the attachments."""
    content = message["content"]
    if not isinstance(content, str) or len(content) <= _LONG:
        return message
    # 32 digits, as there
    name = hashlib.md5(content.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    attachments[name] = content
    return {**message, "content": f"attachment://{name}"}
