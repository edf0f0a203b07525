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

from lrat_sim.artifact import fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.foreign.files import records
from lrat_sim.formats.fields import mapping, text
from lrat_sim.formats.formats import Entry, Format, Head, Notes
from lrat_sim.formats.messages import answer_of
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.formats.sources import Kind, read_records
from lrat_sim.formats.verifiers_rollout import Rollout, is_result, rollouts
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.records import EndReason, Failure, Grade, Status, Task, Trajectory

_METADATA = "metadata.json"
_CORRECT = re.compile(r"correct|accura|exact_match|judge", re.IGNORECASE)
_STOPS: tuple[tuple[EndReason, tuple[str, ...]], ...] = (
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
            beside[file] = mapping(next((each.value() for each in records(file)), None)) if file.is_file() else {}
        return entries_of(record, place, line, beside[file])

    kind = Kind(name="verifiers", is_one=_is_rollout, entries=entries, sampled=lambda record: False)
    return read_records(path, kind, notes)


def entries_of(record: Any, path: Path, line: int, metadata: dict[str, Any] | None = None) -> list[Entry]:
    """The rollouts of one record, each as the first sample of its example.

    Raises:
        RecordError: it is none.
    """
    if not isinstance(record, dict):
        raise RecordError(path, line, f"a rollout is a JSON object, not {type(record).__name__}")
    return [_entry(run, [path.name, line]) for run in rollouts(record, metadata or {}, path, line)]


def _entry(run: Rollout, place: list[Any]) -> Entry:
    turns = run.talk.turns
    last = turns[-1] if turns else None
    words = last.text if last is not None and not last.calls else None
    answer = answer_of(turns)
    status, end_reason = _ended(run, answer)
    question, canary = text(run.question) or "", text(run.canary)
    retriever = {"kind": "unknown", **({} if run.talk.scored else {"scores": RANKS_AS_SCORES})}
    # with its place, since two rollouts of one example may be the same
    content = fingerprint([run.task, run.rest, turns, run.talk.extra, place])[:8]
    trajectory = Trajectory(
        id=f"{run.task}.0.{content}",
        task_id=run.task,
        question=question,
        sample=0,
        agent={**run.agent, "fingerprint": fingerprint(run.agent)},
        retriever={**retriever, "fingerprint": fingerprint(retriever)},
        seed=0,
        status=status,
        end_reason=end_reason,
        answer=answer if status == "answered" else None,
        turns=turns,
        usage=run.usage,
        error=None if run.failure is None else Failure(boundary="task", message=run.failure),
        seconds=run.seconds,
        extra={**run.talk.extra, "verifiers": run.rest, **({} if canary is None else {"canary": canary})},
    )
    answers = [run.answer] if isinstance(run.answer, str) and run.answer else []
    task = Task(id=run.task, question=question, answers=answers, canary=canary)
    return Entry(trajectory=trajectory, task=task, grades=_grades(run, trajectory, words))


def _ended(run: Rollout, answer: str | None) -> tuple[Status, EndReason]:
    if run.failure is not None:
        return "error", "error"
    stop = run.stop.lower() if isinstance(run.stop, str) else ""
    reason = next((reason for reason, words in _STOPS if any(word in stop for word in words)), None)
    return ("unanswered", reason or "gave_up") if answer is None else ("answered", reason or "answer")


def _grades(run: Rollout, trajectory: Trajectory, words: str | None) -> list[Grade]:
    """None where rewards that speak of correctness contradict one another, or the rollout broke."""
    told = {name: value for name, value in run.rewards.items() if _CORRECT.search(name) and _is_verdict(value)}
    if run.failure is not None or len({float(value) for value in told.values()}) != 1:
        return []
    name, value = next(iter(told.items()))
    return [
        Grade(
            trajectory_id=trajectory.id,
            state="correct" if value else "incorrect",
            judge=f"verifiers/{name}",
            confidence=stated_confidence(words or ""),
        )
    ]


def _is_verdict(value: Any) -> bool:
    return isinstance(value, int | float) and value in (0, 1)


def _is_rollout(record: Any) -> bool:
    return isinstance(record, dict) and (
        (is_result(record) and "reward" in record)
        or (isinstance(record.get("traces"), list) and "task" in record)
        or (isinstance(record.get("nodes"), list) and "calls" in record)
    )


def _recognise(head: Head) -> bool:
    return _is_rollout(head.record)


FORMAT = Format(
    name="verifiers",
    title="verifiers' results.jsonl or traces.jsonl (read only)",
    recognise=_recognise,
    read=read,
)
