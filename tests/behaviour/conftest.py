"""Runs written by hand: a few letters say what an agent did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lrat_sim.formats import Entry, run_folder
from lrat_sim.records import Call, Grade, Hit, Task, Trajectory, Turn, Verdict

MakeRun = Callable[..., Entry]
WriteRun = Callable[..., Path]


def _entry(
    task: str,
    steps: str,
    *,
    sample: int = 0,
    outcome: str | None = "correct",
    evidence: str = "",
    lengths: Iterable[int] = (),
    verdicts: dict[int, str] | None = None,
    agent: str = "tester",
    retriever: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    outputs: dict[str, str] | None = None,
    question: str = "who built the mill",
    extra_calls: Iterable[Call] = (),
) -> Entry:
    """A run from its steps, one word each: ``abc`` is a search whose list is a, b, c; ``=a`` opens a.

    ``lengths`` are the tokens of the reasoning after each browse, 0 for none; ``verdicts`` those of turns.
    """
    turns: list[Turn] = []
    given = iter(lengths)
    after = 10
    for number, step in enumerate(steps.split()):
        if step.startswith("="):
            call = Call(id=str(number), tool="get_document", arguments={}, executed={"docid": step[1:]}, docid=step[1:])
        else:
            hits = [Hit(docid=docid, score=1.0 / rank, rank=rank) for rank, docid in enumerate(step, start=1)]
            query = (outputs or {}).get(f"q{number}", step)
            shown = (outputs or {}).get(str(number), "")
            call = Call(id=str(number), tool="search", arguments={}, executed={"query": query}, output=shown, hits=hits)
        turns.append(Turn(reasoning="so it is" if after else None, reasoning_tokens=after, calls=[call]))
        after = next(given, 10) if step.startswith("=") else 10
    last = Turn(reasoning="so it is" if after else None, reasoning_tokens=after, calls=list(extra_calls), text="mill")
    name = f"{task}.{sample}"
    status = {"error": "error", "unanswered": "unanswered"}.get(outcome or "", "answered")
    run = Trajectory(
        id=name,
        task_id=task,
        question=question,
        sample=sample,
        agent={"name": agent, "fingerprint": agent, "limits": limits or {"k": 10, "snippet_tokens": 64}},
        retriever={"fingerprint": "r", **(retriever or {"kind": "bm25"})},
        seed=0,
        status=status,  # type: ignore[arg-type]
        end_reason="answer",
        answer="mill",
        turns=[*turns, last],
    )
    states = {"correct", "incorrect", "ungraded"}
    return Entry(
        trajectory=run,
        task=Task(id=task, question=question, answers=["mill"], evidence=list(evidence)),
        grades=[Grade(trajectory_id=name, state=outcome, judge="hand")] if outcome in states else [],  # type: ignore[arg-type]
        verdicts=[
            Verdict(trajectory_id=name, turn=turn, call=0, state=state, judge="hand")  # type: ignore[arg-type]
            for turn, state in (verdicts or {}).items()
        ],
    )


@pytest.fixture(scope="session")
def entry() -> MakeRun:
    """See :func:`_entry`."""
    return _entry


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Writes entries to a run folder of a name."""

    def write(name: str, entries: Iterable[Entry]) -> Path:
        run_folder.write_run(entries, tmp_path / name, {"converted": "by hand"})
        return tmp_path / name

    return write
