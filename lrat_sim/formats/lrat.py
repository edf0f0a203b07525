"""LRAT's trajectory JSON: one file a question, read and written without loss.

:mod:`lrat_sim.formats.lrat_steps` says how its flat list of steps becomes turns.  A step of another type, and
every field that a trajectory does not give back as it was, stands in ``extra["lrat"]``; :func:`record_of` puts it in
its place again, so that read and written the record is the same.

The scores of hits are not in the format: they are 1/rank, and the trajectory's ``retriever`` says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.fields import count, mapping, text
from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.lrat_kept import Kept, kept_of, restored
from lrat_sim.formats.lrat_steps import REMEDY, steps_of, turns_of
from lrat_sim.formats.messages import answer_in
from lrat_sim.formats.names import file_name
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.formats.sources import Kind, read_records
from lrat_sim.records import EndReason, Failure, Status, Task, Trajectory
from lrat_sim.text import TOKENIZER

_STATUSES: dict[EndReason, str] = {
    "turn_limit": "exceed available llm calls",
    "token_limit": "token limit reached",
    "time_limit": "time limit reached",
    "cost_limit": "cost limit reached",
    "length": "output length reached",
    "content_filter": "content filtered",
    "gave_up": "answer not found",
    "error": "failed",
}
_REASONS: tuple[tuple[EndReason, tuple[str, ...]], ...] = (
    ("length", ("output length",)),
    ("content_filter", ("content filter",)),
    ("token_limit", ("token", "context")),
    ("cost_limit", ("cost", "budget")),
    ("time_limit", ("hrs", "hour", "mins", "time")),
    ("turn_limit", ("llm calls", "turn", "iteration", "incomplete", "exceed")),
    ("gave_up", ("completed", "not found", "no answer")),
)
"""Words of a status without an answer, and why such a run ended; a status without any of them is a failure."""


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The runs of a file, or of the files below a folder that hold some, in the order of their names.

    Raises:
        InputError: there are none.
        RecordError: a record is no LRAT trajectory; names file, step and field.
    """
    return read_runs(path, notes, "lrat", asked=True)


def read_runs(path: Path, notes: Notes | None, name: str, *, asked: bool) -> Iterator[Entry]:
    """As :func:`read`, for both formats of these runs; ``asked`` where they must have the question."""
    fields = ("query_id", "query", "result") if asked else ("query_id", "result")
    kind = Kind(
        name=name,
        is_one=lambda record: isinstance(record, dict) and any(field in record for field in fields),
        entries=lambda record, path, line: [entry_of(record, path, line, asked=asked)],
    )
    return read_records(path, kind, notes)


def entry_of(record: Any, path: Path, line: int = 0, *, asked: bool = True) -> Entry:
    """One run from its JSON.

    Args:
        record: the JSON object.
        path: where it stands, for messages.
        line: its line there; 0 where it is the whole file.
        asked: whether it must have the question (``query``).

    Raises:
        RecordError: a field that makes a run is missing or of another kind.
    """
    if not isinstance(record, dict):
        raise RecordError(path, line, f"a run is a JSON object, not {type(record).__name__}", REMEDY)
    name = _text_field(record, "query_id", path, line)
    question = _text_field(record, "query", path, line) if asked or isinstance(record.get("query"), str) else ""
    turns, inserted = turns_of(record.get("result"), path, line)
    said = next((turn.text for turn in reversed(turns) if turn.text is not None), None)
    answer = answer_in(said)
    status, end_reason = _ended(str(record.get("status")), answer)
    canary, sample, metadata = text(record.get("canary")), count(record.get("sample")), mapping(record.get("metadata"))
    sample = sample if sample is not None and sample < 1 << 31 else 0
    trajectory = Trajectory(
        id=f"{name}.{sample}.{fingerprint(record)[:8]}",
        task_id=name,
        question=question,
        sample=sample,
        agent=_agent(metadata),
        retriever=_retriever(metadata),
        seed=0,
        status=status,
        end_reason=end_reason,
        answer=answer,
        turns=turns,
        error=_failure(record) if status == "error" else None,
        extra={"canary": canary} if canary is not None else {},
    )
    gold = record.get("answer")
    answers = [gold] if isinstance(gold, str) else []
    task = Task(id=name, question=question, answers=answers, canary=canary)
    entry = Entry(trajectory=trajectory, task=task)
    kept = kept_of(record, record_of(entry, asked=asked), inserted)
    if kept != Kept():
        extra = {**trajectory.extra, "lrat": msgspec.to_builtins(kept)}
        entry = Entry(trajectory=msgspec.structs.replace(trajectory, extra=extra), task=task)
    return entry


def record_of(entry: Entry, *, asked: bool = True) -> dict[str, Any]:
    """One run as LRAT's JSON; ``asked`` adds question and gold answer, as LRAT does and BrowseComp-Plus does not."""
    trajectory = entry.trajectory
    calls = list(trajectory.calls())
    shown = {hit.docid for call in calls for hit in call.hits or ()}
    record: dict[str, Any] = {
        "metadata": _metadata(trajectory),
        "query_id": trajectory.task_id,
        "tool_call_counts": dict(Counter(call.tool for call in calls if call.executed is not None)),
        "tool_call_counts_all": dict(Counter(call.tool for call in calls)),
        "status": "completed" if trajectory.status == "answered" else _STATUSES.get(trajectory.end_reason, "failed"),
        "retrieved_docids": sorted(shown),
        "result": steps_of(trajectory),
    }
    if asked:
        record["query"] = trajectory.question
        if entry.task is not None and entry.task.answers:
            record["answer"] = entry.task.answers[0]
    if trajectory.sample:
        record["sample"] = trajectory.sample
    if trajectory.error is not None:
        record["error"] = msgspec.to_builtins(trajectory.error)
    if entry.canary is not None:
        record["canary"] = entry.canary
    try:
        return restored(record, msgspec.convert(trajectory.extra.get("lrat", {}), type=Kept))
    except msgspec.ValidationError:  # written by another hand
        return record


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a folder with one file a run, named for its question, and its sample where that is not the first."""
    return write_files(entries, path, "", asked=True)


def write_files(entries: Iterable[Entry], path: Path, prefix: str, *, asked: bool) -> int:
    """Writes a folder with one file a run; runs of the same question and sample are numbered."""
    ensure_folder(path)
    taken: set[str] = set()
    for entry in entries:
        sample = entry.trajectory.sample
        name = file_name(prefix + entry.trajectory.task_id + (f"_{sample}" if sample else ""), taken)
        written = json.dumps(record_of(entry, asked=asked), ensure_ascii=False, indent=2)
        (path / f"{name}.json").write_text(written, encoding="utf-8")
    return len(taken)


def _text_field(record: dict[str, Any], field: str, path: Path, line: int) -> str:
    value = record.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise RecordError(path, line, f"the field `{field}` should be a text that is not empty", REMEDY)
    return value


def _ended(status: str, answer: str | None) -> tuple[Status, EndReason]:
    said = status.lower()
    reason = next((reason for reason, words in _REASONS if any(word in said for word in words)), None)
    if answer is not None:
        return "answered", "answer" if reason in (None, "gave_up") else reason
    return ("error", "error") if reason is None else ("unanswered", reason)


def _failure(record: dict[str, Any]) -> Failure:
    try:
        return msgspec.convert(record.get("error"), type=Failure)
    except msgspec.ValidationError:
        return Failure(boundary="task", message=f"the run ended with the status {record.get('status')!r}")


def _agent(metadata: dict[str, Any]) -> dict[str, Any]:
    model = metadata.get("model")
    name = model.rstrip("/").rsplit("/", 1)[-1] if isinstance(model, str) else "unknown"
    described = {"name": name, "model": model, "metadata": metadata, "tokenizer": TOKENIZER}
    return {**described, "fingerprint": fingerprint(described)}


def _retriever(metadata: dict[str, Any]) -> dict[str, Any]:
    kind = metadata.get("searcher_type")
    described = {"kind": kind if isinstance(kind, str) else "unknown", "scores": RANKS_AS_SCORES}
    return {**described, "fingerprint": fingerprint(described)}


def _metadata(trajectory: Trajectory) -> dict[str, Any]:
    """As it came, or of our own agent's settings under LRAT's names."""
    agent = trajectory.agent
    if isinstance(agent.get("metadata"), dict):
        return dict(agent["metadata"])
    sampling, limits = mapping(agent.get("sampling")), mapping(agent.get("limits"))
    return {
        "model": agent.get("model"),
        **{name: sampling.get(name) for name in ("temperature", "top_p", "presence_penalty")},
        "snippet_max_tokens": limits.get("snippet_tokens"),
        "k": limits.get("k"),
        "searcher_type": trajectory.retriever.get("kind"),
    }


def _recognise(head: Head) -> bool:
    return (
        head.has("query_id", "query", "result") and head.record is not None and isinstance(head.record["result"], list)
    )


FORMAT = Format(
    name="lrat",
    title="LRAT's trajectory JSON, one file a question",
    recognise=_recognise,
    read=read,
    write=write,
    folder=True,
)
