"""A person checks the judges of a run: RUN/sheet-answers.csv and RUN/sheet-browses.csv, drawn, filled and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lrat_sim.artifact import Store
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.agreement import Agreement, agreements
from lrat_sim.grading.answers import response
from lrat_sim.grading.relevance import browses
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.grading.sheet import STATES, Item, What, draw, read_sheet, sheet_of, write_sheet
from lrat_sim.records import Grade, Task, Trajectory, Verdict
from lrat_sim.rollout.index import asked_tasks, read_trajectories

SHEETS: dict[What, str] = {"answers": "sheet-answers.csv", "browses": "sheet-browses.csv"}


def write_sheets(
    run: Path, judges: Mapping[What, str] | None = None, *, size: int = 50, seed: int = 0
) -> dict[Path, int]:
    """Draws the sheets of a run for a person to fill, each over the verdicts of one judge.

    Browses made in parallel in one turn share their reasoning and the judge's opinion, so they are one item.

    Args:
        run: a graded run folder.
        judges: the sheets to write, and the name of the judge of each; by default both, over the judge whose record
            is the last of the run.
        size: items a sheet, half of each verdict as far as there are.
        seed: decides which.

    Returns:
        The files written, with their rows; one without any item is not written.

    Raises:
        InputError: it is no run folder, nothing in it was judged, or a sheet there is already filled.
    """
    tasks = {task.id: task for task in asked_tasks(run)}
    written = {}
    for what in SHEETS if judges is None else judges:
        judged = _judged(run, what)
        judge = next(reversed(judged), "") if judges is None else judges[what]
        items = draw(_items(run, what, tasks, judged.get(judge, {})), size, seed)
        if items:
            written[run / SHEETS[what]] = write_sheet(run / SHEETS[what], what, items, judge)
    if not written:
        raise InputError(f"{run} has nothing that a judge decided; grade it first (lrat-sim grade).")
    return written


def check_judges(run: Path, sheet: Path, *, seed: int = 0) -> list[Agreement]:
    """Every judge of a run beside the person who filled one of its sheets.

    Args:
        run: the run folder from which the sheet was drawn.
        sheet: the filled file.
        seed: of the bootstrap.

    Raises:
        InputError: the sheet cannot be read, is empty, or does not belong to the run.
        RecordError: a row holds a wrong verdict, or an item that is not in the run; names the line.
    """
    rows = list(read_sheet(sheet))
    kinds = {kind for row in rows if (kind := sheet_of(row.key))}
    if len(kinds) != 1:
        holds = "both answers and browses" if kinds else "no rows"
        raise InputError(f"{sheet} holds {holds}; give one sheet as it was drawn.")
    what = kinds.pop()
    judged = _judged(run, what)
    known = {key for verdicts in judged.values() for key in verdicts}
    for row in rows:
        if row.key not in known:
            problem = f"row {row.row}: {row.key} is no item of {run}"
            raise RecordError(sheet, row.line, problem, "give the run from which the sheet was drawn")
    return agreements(rows, what, judged, path=sheet, seed=seed)


def _items(run: Path, what: What, tasks: Mapping[str, Task], verdicts: Mapping[str, str]) -> Iterator[Item]:
    for trajectory in read_trajectories(run):
        task = tasks.get(trajectory.task_id)
        accepted = "\n".join(task.answers) if task else ""
        for key, text in _texts(trajectory, what):
            if verdicts.get(key) in STATES[what]:
                yield Item(key=key, state=verdicts[key], shown=(trajectory.question, accepted, text))


def _texts(trajectory: Trajectory, what: What) -> Iterator[tuple[str, str]]:
    """The items of a run with what their judge reads."""
    if what == "answers":
        yield _answer_key(trajectory.id), response(trajectory)
        return
    by_turn = {browse.turn: browse.reasoning or "" for browse in browses(trajectory)}
    yield from ((_browse_key(trajectory.id, turn), reasoning) for turn, reasoning in by_turn.items())


def _judged(run: Path, what: What) -> dict[str, dict[str, str]]:
    """Judge to item to its latest state; the judge whose record is the last of the run comes last."""
    found: dict[str, dict[str, str]] = {}
    last = None
    for judge, key, state in _states(run, what):
        found.setdefault(judge, {})[key] = state
        last = judge
    return {name: found[name] for name in sorted(found, key=lambda name: name == last)}


def _states(run: Path, what: What) -> Iterable[tuple[str, str, str]]:
    if what == "answers":
        return ((g.judge, _answer_key(g.trajectory_id), g.state) for g in Store(run / GRADES, Grade))
    return ((v.judge, _browse_key(v.trajectory_id, v.turn), v.state) for v in Store(run / VERDICTS, Verdict))


def _answer_key(trajectory: str) -> str:
    return f"answer:{trajectory}"


def _browse_key(trajectory: str, turn: int) -> str:
    return f"browse:turn {turn}:{trajectory}"
