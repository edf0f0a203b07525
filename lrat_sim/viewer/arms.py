"""The runs that can be compared, with their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from pyarrow import compute

from lrat_sim.errors import InputError
from lrat_sim.success import runs_by_task, success
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.table import zip_of


class Arm(Struct, frozen=True, kw_only=True):
    """The trajectories of one agent with one retriever in a run folder; ``tasks`` of ``asked`` have one.

    ``success`` is that of :mod:`lrat_sim.success`, over the tasks that it ran and those that no arm of the folder has
    begun; ``tokens`` are None where those of any call are unknown.
    """

    name: str
    run: str
    agent: str
    retriever: str
    trajectories: int
    tasks: int
    asked: int
    outcomes: dict[str, int]
    success: float | None
    steps: float | None
    tokens: int | None
    pairs: int


def arms(library: Library) -> list[Arm]:
    """The arms of all runs, in the order of the runs' names."""
    table = library.table
    mined: dict[str, int] = {}
    for of in library.pairs.values():
        of.refresh()
        for run in library.runs.values():
            if run.folder.resolve() in of.runs:
                mined[run.name] = mined.get(run.name, 0) + len(of)
    found: list[Arm] = []
    for name in compute.unique(table["arm"]).to_pylist():
        rows = table.filter(compute.equal(table["arm"], name))
        run = rows["run"][0].as_py()
        found.append(_arm(name, run, rows, library.runs[run], mined.get(run, 0)))
    begun = {arm.run for arm in found}
    found += [_arm(name, name, table.slice(0, 0), run, 0) for name, run in library.runs.items() if name not in begun]
    return sorted(found, key=lambda arm: arm.name)


def _arm(name: str, run: str, rows: Any, folder: RunFolder, pairs: int) -> Arm:
    outcomes = {each["values"]: each["counts"] for each in compute.value_counts(rows["outcome"]).to_pylist()}
    by_task = runs_by_task(
        zip_of(rows, "task_id", "status", "grade"), folder.tasks.keys() - set(folder.table["task_id"].to_pylist())
    )
    steps = rows.filter(compute.not_equal(rows["outcome"], "error"))["steps"]
    return Arm(
        name=name,
        run=run,
        agent=rows["agent_name"][0].as_py() if rows.num_rows else "",
        retriever=rows["retriever_name"][0].as_py() if rows.num_rows else "",
        trajectories=rows.num_rows,
        tasks=compute.count_distinct(rows["task_id"]).as_py(),
        asked=len(folder.tasks),
        outcomes=outcomes,
        success=success(by_task.values()).value if rows.num_rows else None,
        steps=compute.mean(steps).as_py(),
        tokens=compute.sum(rows["tokens"], skip_nulls=False, min_count=0).as_py(),
        pairs=pairs,
    )


def chosen(known: Sequence[str], a: str, b: str) -> tuple[str, str]:
    """The two arms to compare: those asked for; else ``base`` and the last round of the first comparison.

    Raises:
        InputError: one of those asked for is not there.
    """
    for name in (a, b):
        if name and name not in known:
            raise InputError(f"there is no run {name!r} here; choose two of the list.")
    folders: dict[str, list[str]] = {}
    for name in known:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    beside = folders[a.rpartition("/")[0]] if a else next((of for of in folders.values() if len(of) > 1), list(known))
    ends = {name.rpartition("/")[2]: name for name in beside}
    first = a or ends.get("base", beside[0])
    rounds = [name for end, name in ends.items() if end.startswith(("round-", "trained")) and name != first]
    others = [name for name in (*reversed(rounds), *beside, *known) if name != first]
    return first, b or (others[0] if others else "")
