"""A trajectory as ATIF's JSON."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.formats.atif_steps import OURS, more_of, step_of, with_ours
from lrat_sim.formats.fields import mapping, text
from lrat_sim.formats.formats import Entry
from lrat_sim.formats.lrat_kept import Kept, restored
from lrat_sim.records import Grade, Task, Trajectory, Verdict

VERSION = "ATIF-v1.4"


class More(Struct, frozen=True, omit_defaults=True):
    """``extra["lrat_sim"]``: the trajectory without turns, question and prompt, and what is known beside it."""

    trajectory: dict[str, Any]
    task: Task | None = None
    grades: list[Grade] = []
    verdicts: list[Verdict] = []


def record_of(entry: Entry) -> dict[str, Any]:
    """One run as ATIF."""
    made, more = plain_record(entry)
    for step, own in zip(made["result"], more, strict=True):
        if own is not None:
            step[OURS] = own
    fields: dict[str, Any] = {}
    try:
        kept = msgspec.convert(entry.trajectory.extra.get("atif", {}), type=Kept)
        made, fields = restored(made, kept), kept.record.fields
    except msgspec.ValidationError:  # written by another hand
        fields = {}
    steps = []
    for number, step in enumerate(made.pop("result"), start=1):
        own = step.get(OURS)
        plain = {"step_id": number, **{key: value for key, value in step.items() if key != OURS}}
        steps.append(plain if own is None else with_ours(plain, own))
    theirs = {"result": fields["result"]} if "result" in fields else {}  # the name that the steps have until here
    return with_ours({**made, **theirs, "steps": steps}, more_record(entry))


def plain_record(entry: Entry) -> tuple[dict[str, Any], list[dict[str, Any] | None]]:
    """A run as ATIF without what is ours, its steps in ``result``; and what is ours of each step."""
    trajectory = entry.trajectory
    agent, usage = trajectory.agent, trajectory.usage
    prompt, last = agent.get("prompt"), len(trajectory.turns) - 1
    steps: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    if isinstance(prompt, str) and prompt:
        steps.append(({"source": "system", "message": prompt}, None))
    if trajectory.question:
        steps.append(({"source": "user", "message": trajectory.question}, None))
    for number, turn in enumerate(trajectory.turns):
        if number == last and (told := told_of(trajectory)) is not None:
            steps.append(({"source": "user", "message": told}, None))
        steps.append((step_of(turn), more_of(turn)))
    totals = {
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
        "total_cost_usd": usage.cost,
    }
    record = {
        "schema_version": VERSION,
        "session_id": trajectory.id,
        "agent": mapping(agent.get("atif"))
        | {
            "name": text(agent.get("name")) or "unknown",
            "version": text(agent.get("version")) or text(agent.get("fingerprint")) or "unknown",
            "model_name": text(agent.get("model")),
        },
        "final_metrics": {
            **{name: value for name, value in totals.items() if value is not None},
            "total_steps": len(steps),
        },
        **({} if entry.canary is None else {"extra": {"canary": entry.canary}}),
        "result": [step for step, _ in steps],
    }
    return record, [own for _, own in steps]


def told_of(trajectory: Trajectory) -> str | None:
    """The message that asked for an answer at a limit."""
    told = trajectory.agent.get("answer_prompt")
    limited = (
        trajectory.end_reason not in ("answer", "gave_up", "content_filter", "error") and len(trajectory.turns) > 1
    )
    return told if limited and isinstance(told, str) and told else None


def more_record(entry: Entry) -> dict[str, Any]:
    """What the format has no field for."""
    trajectory = {key: value for key, value in msgspec.to_builtins(entry.trajectory).items() if key not in _ELSEWHERE}
    prompt = trajectory["agent"].get("prompt")
    if isinstance(prompt, str) and prompt:
        trajectory["agent"] = {key: value for key, value in trajectory["agent"].items() if key != "prompt"}
    trajectory["extra"] = {key: value for key, value in trajectory["extra"].items() if key != "atif"}
    more = More(trajectory=trajectory, task=entry.task, grades=entry.grades, verdicts=entry.verdicts)
    made: dict[str, Any] = msgspec.to_builtins(more)
    return made


_ELSEWHERE = ("question", "turns")
