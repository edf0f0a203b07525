"""The arms that can be compared: their figures, and who wins which task of two of them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, Literal

import pyarrow as pa
from msgspec import Struct
from pyarrow import compute

from lrat_sim.errors import InputError
from lrat_sim.success import run_success, runs_by_task, success, task_success
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.run import RunFolder, values

Result = Literal["won", "lost", "tied", "unknown"]

RESULTS: dict[Result, str] = {"won": "B wins", "lost": "A wins", "tied": "tied", "unknown": "undecided"}


class ArmFigures(Struct, frozen=True, kw_only=True):
    """The trajectories of one agent with one retriever; ``tasks`` of those ``asked`` have one; ``success`` counts the
    tasks that it ran and those that no arm of its folders has begun; ``tokens`` are None where those of any call are
    unknown."""

    name: str
    agent: str
    retriever: str
    trajectories: int
    tasks: int
    asked: int
    outcomes: dict[str, int]
    forced: int  # answers that were given at a limit
    success: float | None
    steps: float | None
    tokens: int | None
    pairs: int


def arms(library: Library) -> list[ArmFigures]:
    """The arms of all runs, by name."""
    folders: dict[str, dict[str, RunFolder]] = {}
    table = library.table
    for arm, run in dict.fromkeys(values(table, "arm", "run")):
        folders.setdefault(arm, {})[run] = library.runs[run]
    begun = {run for of_arm in folders.values() for run in of_arm}
    for name, run in library.runs.items():
        if name not in begun:
            folders.setdefault(library.arm_of(run), {})[name] = run
    mined = {name: sum(len(pairs) for pairs in library.mined_from(run)) for name, run in library.runs.items()}
    return [
        _figures(
            arm, table.filter(compute.equal(table["arm"], arm)), of_arm.values(), sum(mined[run] for run in of_arm)
        )
        for arm, of_arm in sorted(folders.items())
    ]


def _figures(name: str, rows: pa.Table, runs: Iterable[RunFolder], pairs: int) -> ArmFigures:
    asked = {task for run in runs for task in run.tasks}
    begun = {task for run in runs for task in run.table["task_id"].to_pylist()}
    by_task = runs_by_task(values(rows, "task_id", "status", "grade"), asked - begun)
    return ArmFigures(
        name=name,
        agent=rows["agent_name"][0].as_py() if rows.num_rows else "",
        retriever=rows["retriever_name"][0].as_py() if rows.num_rows else "",
        trajectories=rows.num_rows,
        tasks=compute.count_distinct(rows["task_id"]).as_py(),
        asked=len(asked),
        outcomes={count["values"]: count["counts"] for count in compute.value_counts(rows["outcome"]).to_pylist()},
        forced=compute.sum(compute.equal(rows["ending"], "forced")).as_py() or 0,
        success=success(by_task.values()).value if rows.num_rows else None,
        steps=compute.mean(rows.filter(compute.not_equal(rows["outcome"], "error"))["steps"]).as_py(),
        tokens=compute.sum(rows["tokens"], skip_nulls=False, min_count=0).as_py(),
        pairs=pairs,
    )


def chosen(known: Sequence[str], bases: Sequence[str], a: str, b: str) -> tuple[str, str]:
    """The two arms to compare: the ``known`` ones ``a`` and ``b``; where one is empty a base, and beside it what was
    trained last."""
    for name in (a, b):
        if name and name not in known:
            raise InputError(f"there is no run {name!r} here; choose two of the list.")
    first = a or next((name for name in bases if name in known), known[0])
    beside = [name for name in known if name.rpartition("/")[0] == first.rpartition("/")[0]]
    trained = [name for name in beside if name.rpartition("/")[2].startswith(("round-", "trained"))]
    others = [name for name in (*reversed(trained), *beside, *known) if name != first]
    return first, b or (others[0] if others else "")


def choice_texts(names: Sequence[str]) -> dict[str, str]:
    """What a list to choose from calls each name: its end first, then what of its folder tells it from the others."""
    shared = posixpath.commonpath([name.rpartition("/")[0] for name in names])
    texts = {}
    for name in names:
        folder, _, end = name.rpartition("/")
        folder = folder.removeprefix(shared).strip("/")
        texts[name] = f"{end} ({folder})" if folder else end
    return texts


class Side(Struct, frozen=True, kw_only=True):
    """One arm's trajectories of a task, by sample; ``success`` is None where none is graded, ``steps`` a mean."""

    question: str = ""
    runs: list[tuple[str, str]] = []  # the names of run folder and trajectory
    outcomes: list[str] = []
    success: float | None = None
    steps: float | None = None


class Match(Struct, frozen=True, kw_only=True):
    """A task with the two sides; ``result`` is B's."""

    task: str
    question: str
    a: Side
    b: Side
    result: Result


def matches(table: Any, a: str, b: str) -> list[Match]:
    """The tasks that either of two arms was run on, by id; won where B's mean success over its samples is higher."""
    first, second = (_sides(table.filter(compute.equal(table["arm"], arm))) for arm in (a, b))
    made: list[Match] = []
    for task in sorted({*first, *second}):
        one, two = first.get(task, Side()), second.get(task, Side())
        result: Result = "unknown"
        if one.success is not None and two.success is not None:
            result = "won" if two.success > one.success else "lost" if two.success < one.success else "tied"
        made.append(Match(task=task, question=one.question or two.question, a=one, b=two, result=result))
    return made


def _sides(rows: Any) -> dict[str, Side]:
    shown = rows.select(["task_id", "question", "id", "run", "sample", "status", "grade", "outcome", "steps"])
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in shown.sort_by([(name, "ascending") for name in ("task_id", "sample", "run")]).to_pylist():
        by_task.setdefault(row["task_id"], []).append(row)
    sides = {}
    for task, of_task in by_task.items():
        steps = [row["steps"] for row in of_task if row["outcome"] != "error"]
        sides[task] = Side(
            question=of_task[0]["question"],
            runs=[(row["run"], row["id"]) for row in of_task],
            outcomes=[row["outcome"] for row in of_task],
            success=task_success([run_success(row["status"], row["grade"]) for row in of_task]).value,
            steps=fmean(steps) if steps else None,
        )
    return sides
