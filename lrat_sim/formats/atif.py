"""ATIF, the agent trajectory interchange format of Harbor: one JSON file a run, written as version 1.4.

:mod:`lrat_sim.formats.atif_steps` says how steps become turns.  What the format has no field for stands in
``extra["lrat_sim"]`` of the file and of its steps, so that our own trajectories come back as they were.  What a file
of another writer holds beyond a trajectory stands in ``extra["atif"]`` of the trajectory, and is put in its place
again when it is written.

The format names no task: runs that ask the same question are runs of one task, and several of one agent its samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.errors import RecordError
from lrat_sim.formats.atif_steps import OURS, REMEDY, check_steps, ours, turn_of
from lrat_sim.formats.atif_write import More, more_record, plain_record, record_of, told_of
from lrat_sim.formats.fields import count, mapping, same_json, text, text_of, usage
from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.lrat_kept import Difference, Kept, kept_of
from lrat_sim.formats.messages import answer_of
from lrat_sim.formats.names import file_name
from lrat_sim.formats.observations import RANKS_AS_SCORES
from lrat_sim.formats.sources import Kind, read_records
from lrat_sim.records import Task, Trajectory, Turn, Usage
from lrat_sim.text import TOKENIZER

_VERSIONS = "ATIF-v1."


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The runs of a file, or of all files below a folder that hold some.

    Raises:
        InputError: there are none.
        RecordError: a record is none, or a step of it cannot be read; names file, step and field.
    """
    return read_records(path, _KIND, notes)


def entry_of(record: Any, path: Path, line: int = 0) -> Entry:
    """One run from its JSON.

    Raises:
        RecordError: it is no ATIF, or a step of it cannot be read.
    """
    if not _is_atif(record) or not record["schema_version"].startswith(_VERSIONS):
        problem = "the field `schema_version` should name a version 1 of ATIF, as ATIF-v1.6 does"
        raise RecordError(path, line, problem, REMEDY)
    read = _Read(check_steps(record.get("steps"), path, line))
    own = _own(record, read)
    entry = own if own is not None and read.fits(own.trajectory) else _foreign(record, read)
    made, more = plain_record(entry)
    source = _without_ours(record, more_record(entry))
    del source["steps"]
    overlays = iter(more)
    steps = [
        step if place in read.other else _without_ours(step, next(overlays)) for place, step in enumerate(read.steps)
    ]
    source["result"] = [_unnumbered(step, place) for place, step in enumerate(steps)]
    kept = kept_of(source, made, {place: source["result"][place] for place in read.other})
    if "result" in record:
        kept = msgspec.structs.replace(kept, record=_with_field(kept.record, "result", record["result"]))
    if kept == Kept():
        return entry
    extra = {**entry.trajectory.extra, "atif": msgspec.to_builtins(kept)}
    return msgspec.structs.replace(entry, trajectory=msgspec.structs.replace(entry.trajectory, extra=extra))


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a folder with one file a run, named for its trajectory."""
    ensure_folder(path)
    taken: set[str] = set()
    for entry in entries:
        name = file_name(entry.trajectory.id, taken)
        written = json.dumps(record_of(entry), ensure_ascii=False, indent=2)
        (path / f"{name}.json").write_text(written, encoding="utf-8")
    return len(taken)


class _Read:
    """The steps, read: prompt, question and turns, and all others by their place (from 0)."""

    def __init__(self, steps: list[dict[str, Any]]):
        self.steps = steps
        self.prompt: str | None = None
        self.question: str | None = None
        self.turns: list[Turn] = []
        self.scored = False
        self.other: dict[int, dict[str, Any]] = {}
        for place, step in enumerate(steps):
            said = text_of(step.get("message")) if not self.turns and self.question is None else ""
            copied = step.get("is_copied_context") is True  # it happened in another file's run
            if step["source"] == "agent" and not copied:
                self._turn(step)
            elif said and step["source"] == "user":
                self.question = said
            elif said and self.prompt is None and step["source"] == "system":
                self.prompt = said
            else:
                self.other[place] = step

    def _turn(self, step: dict[str, Any]) -> None:
        turn, scored = turn_of(step, len(self.turns))
        self.turns.append(turn)
        self.scored = self.scored or scored

    def fits(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory is written with these steps; the one that asked for its answer is then none of others'.

        Another hand may have left it out.
        """
        told = told_of(trajectory)
        if told is None:
            return True
        last = next((place for place in reversed(range(len(self.steps))) if self.steps[place]["source"] == "agent"), 0)
        step = self.other.get(last - 1, {})
        if step.get("source") != "user" or step.get("message") != told:
            return False
        del self.other[last - 1]
        return True


def _own(record: dict[str, Any], read: _Read) -> Entry | None:
    """Of a file that we wrote; None of any other."""
    try:
        more = msgspec.convert(ours(record), type=More)
        agent = more.trajectory.get("agent")
        agent = dict(agent) if isinstance(agent, dict) else {}
        if isinstance(agent.get("prompt"), str) and agent["prompt"]:  # it has a step of its own
            del agent["prompt"]
        if read.prompt is not None:
            agent["prompt"] = read.prompt
        values = {**more.trajectory, "agent": agent, "question": read.question or "", "turns": []}
        trajectory = msgspec.structs.replace(msgspec.convert(values, type=Trajectory), turns=read.turns)
    except msgspec.ValidationError:
        return None
    return Entry(trajectory=trajectory, task=more.task, grades=more.grades, verdicts=more.verdicts)


def _foreign(record: dict[str, Any], read: _Read) -> Entry:
    rest = dict(mapping(record.get("agent")))
    agent: dict[str, Any] = {
        "name": text(rest.pop("name", None)) or "unknown",
        "version": text(rest.pop("version", None)),
        "model": text(rest.pop("model_name", None)),
        "prompt": read.prompt,
        "tokenizer": TOKENIZER,
        "atif": rest,
    }
    retriever = {"kind": "unknown", **({} if read.scored else {"scores": RANKS_AS_SCORES})}
    answer = answer_of(read.turns)
    canary, content = text(mapping(record.get("extra")).get("canary")), fingerprint(record)
    question = read.question or ""
    task = fingerprint(question) if question else content
    trajectory = Trajectory(
        id=f"{task}.0.{content[:8]}",
        task_id=task,
        question=question,
        sample=0,
        agent={**agent, "fingerprint": fingerprint(agent)},
        retriever={**retriever, "fingerprint": fingerprint(retriever)},
        seed=0,
        status="unanswered" if answer is None else "answered",
        end_reason="gave_up" if answer is None else "answer",
        answer=answer,
        turns=read.turns,
        usage=_usage(record.get("final_metrics"), read.turns),
        extra={} if canary is None else {"canary": canary},
    )
    return Entry(trajectory=trajectory, task=Task(id=task, question=question, canary=canary))


def _usage(totals: Any, turns: list[Turn]) -> Usage:
    """As the totals say; of the turns where there are none."""
    if isinstance(totals, dict) and "total_prompt_tokens" in totals:
        prompt, completion = (count(totals.get(f"total_{name}_tokens")) for name in ("prompt", "completion"))
        return usage(prompt, completion, cost=totals.get("total_cost_usd"))
    return sum((turn.usage for turn in turns[1:]), turns[0].usage) if turns else Usage()


def _without_ours(record: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    """The record or step without what is ours, if that is written anew as it is."""
    if own is None or not same_json(ours(record), own):
        return dict(record)
    extra = {key: value for key, value in record["extra"].items() if key != OURS}
    return {**{key: value for key, value in record.items() if key != "extra"}, **({"extra": extra} if extra else {})}


def _with_field(difference: Difference, name: str, value: Any) -> Difference:
    return msgspec.structs.replace(difference, fields={**difference.fields, name: value})


def _unnumbered(step: dict[str, Any], place: int) -> dict[str, Any]:
    """Without its number where that is its place, as it is written anew."""
    right = type(step.get("step_id")) is int and step["step_id"] == place + 1
    return {key: value for key, value in step.items() if key != "step_id"} if right else step


def _is_atif(record: Any) -> bool:
    version = record.get("schema_version") if isinstance(record, dict) else None
    return isinstance(version, str) and version.startswith("ATIF") and "steps" in record


def _recognise(head: Head) -> bool:
    return _is_atif(head.record)


_KIND = Kind(
    name="atif",
    is_one=_is_atif,
    entries=lambda record, path, line: [entry_of(record, path, line)],
    sampled=lambda record: ours(record) is not None,
)
FORMAT = Format(
    name="atif",
    title="ATIF, Harbor's agent trajectory interchange format, one JSON file a run",
    recognise=_recognise,
    read=read,
    write=write,
    folder=True,
)
