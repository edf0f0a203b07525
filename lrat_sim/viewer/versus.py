"""Two arms on the same tasks: who wins which, and the turn at which two trajectories diverge."""

from __future__ import annotations

from itertools import zip_longest
from statistics import fmean
from typing import Any, Literal

from msgspec import Struct
from pyarrow import compute

from lrat_sim.records import Trajectory, Turn
from lrat_sim.success import run_success, task_success

Result = Literal["won", "lost", "tied", "unknown"]

RESULTS: dict[Result, str] = {"won": "B wins", "lost": "A wins", "tied": "tied", "unknown": "undecided"}


class Side(Struct, frozen=True, kw_only=True):
    """One arm's trajectories of a task by sample, and means; ``success`` is None where none is graded."""

    ids: list[str]
    runs: list[str]
    outcomes: list[str]
    success: float | None
    steps: float | None


class Match(Struct, frozen=True, kw_only=True):
    """A task with the two sides; ``result`` is B's."""

    task: str
    question: str
    a: Side
    b: Side
    result: Result


class Divergence(Struct, frozen=True):
    """Where two runs diverge: ``turn`` is the first, from 1, that differs in what was done or what came back.

    ``action`` is the first turn with another action, ``why`` what differs at ``turn``; None where nothing does.
    """

    turn: int | None
    action: int | None
    why: str


def matches(table: Any, a: str, b: str) -> list[Match]:
    """The tasks that either of two arms was run on, by id.

    A task is won where B's mean success over its samples is higher than A's.

    Args:
        table: by :data:`lrat_sim.viewer.table.SCHEMA`.
        a, b: names of arms.
    """
    sides = [_sides(table.filter(compute.equal(table["arm"], arm))) for arm in (a, b)]
    questions = {task: question for side in sides for task, (question, _) in side.items()}
    found: list[Match] = []
    for task, question in sorted(questions.items()):
        first, second = (side[task][1] if task in side else _NONE for side in sides)
        result = _result(first.success, second.success)
        found.append(Match(task=task, question=question, a=first, b=second, result=result))
    return found


_NONE = Side(ids=[], runs=[], outcomes=[], success=None, steps=None)


def _sides(table: Any) -> dict[str, tuple[str, Side]]:
    names = ("task_id", "question", "id", "run", "sample", "status", "grade", "outcome", "steps")
    rows: dict[str, list[dict[str, Any]]] = {}
    order = [(name, "ascending") for name in ("task_id", "sample", "run")]
    for row in table.select(names).sort_by(order).to_pylist():
        rows.setdefault(row["task_id"], []).append(row)
    return {task: (of_task[0]["question"], _side(of_task)) for task, of_task in rows.items()}


def _side(rows: list[dict[str, Any]]) -> Side:
    steps = [row["steps"] for row in rows if row["outcome"] != "error"]
    return Side(
        ids=[row["id"] for row in rows],
        runs=[row["run"] for row in rows],
        outcomes=[row["outcome"] for row in rows],
        success=task_success([run_success(row["status"], row["grade"]) for row in rows]).value,
        steps=fmean(steps) if steps else None,
    )


def _result(a: float | None, b: float | None) -> Result:
    if a is None or b is None:
        return "unknown"
    return "won" if b > a else "lost" if b < a else "tied"


def divergence(a: Trajectory, b: Trajectory) -> Divergence:
    """Where two runs diverge: by their calls and answers, and by what came back; other reasoning alone is none."""
    first, why = None, "they do the same to the end"
    for number, (one, other) in enumerate(zip_longest(a.turns, b.turns), start=1):
        if one is None or other is None or _actions(one) != _actions(other):
            return Divergence(first or number, number, why if first else _why(one, other))
        if first is None and _results(one) != _results(other):
            first, why = number, "same call, different results"
    return Divergence(first, None, why)


def _actions(turn: Turn) -> list[Any]:
    # an answer is worded with the documents' ids; whether there is one is what is done
    return [(call.tool, call.executed if call.executed is not None else call.arguments) for call in turn.calls]


def _results(turn: Turn) -> list[Any]:
    return [
        [hit.docid for hit in call.hits] if call.hits is not None else (call.docid, call.error, call.output)
        for call in turn.calls
    ] or [turn.text]


def _why(one: Turn | None, other: Turn | None) -> str:
    if one is None or other is None:
        return f"{'A' if one is None else 'B'} has ended"
    first, second = (turn.calls[0].tool if turn.calls else "an answer" for turn in (one, other))
    return "different calls" if first == second else f"A makes {first}, B {second}"
