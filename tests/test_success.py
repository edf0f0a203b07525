"""There is one success: every table, page and file gives the same for any run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lrat_sim.behaviour.measures import measures
from lrat_sim.behaviour.observed import observe
from lrat_sim.behaviour.reliability import ordering
from lrat_sim.comparison import compare, run_table
from lrat_sim.formats import Entry, convert
from lrat_sim.formats.run_folder import write_run
from lrat_sim.grading.run import run_tables
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.rollout.index import INDEX, Row, asked_tasks, row
from lrat_sim.rollout.summary import Tally
from lrat_sim.success import run_success, runs_by_task, success, task_success
from lrat_sim.viewer.arms import arms, matches
from lrat_sim.viewer.library import Library

OUTCOMES = {
    "right": ("answered", "answer", "correct"),
    "wrong": ("answered", "turn_limit", "incorrect"),
    "ungraded": ("answered", "answer", None),
    "unclear": ("answered", "answer", "ungraded"),
    "silent": ("unanswered", "gave_up", None),
    "broke": ("error", "error", None),
}


def trajectory(task: str, sample: int, outcome: str) -> Trajectory:
    status, end_reason, _ = OUTCOMES[outcome]
    return Trajectory(
        id=f"{task}.{sample}", task_id=task, question="?", sample=sample, agent={"name": "a"}, retriever={"kind": "r"},
        seed=0, status=status, end_reason=end_reason, answer=None, turns=[],
    )  # fmt: skip


def written(folder: Path, asked: list[list[str]]) -> Path:
    """A run folder: for each task that was asked the outcomes of its samples, none where it was not run."""
    tasks = [Task(id=f"t{number}", question="?", answers=["yes"]) for number in range(len(asked))]
    entries = []
    for task, outcomes in zip(tasks, asked, strict=True):
        for sample, outcome in enumerate(outcomes):
            run, grade = trajectory(task.id, sample, outcome), OUTCOMES[outcome][2]
            graded = [Grade(trajectory_id=run.id, state=grade, judge="hand")] if grade else []
            entries.append(Entry(trajectory=run, task=task, grades=graded))
    write_run(entries, folder, {"converted": "by hand"}, asked=tasks)
    return folder


def live(rows: list[Row]) -> float | None:
    tally = Tally(len(rows), graded=True)
    for one in rows:
        tally.add(one)
    return tally.success


def everywhere(run: Path, beside: Path) -> dict[str, float | None]:
    """The success of a run as each part of the package gives it."""
    tasks = asked_tasks(run)
    names = [task.id for task in tasks]
    rows = [Row(**fields) for fields in parquet.read_table(run / INDEX).to_pylist()]
    index = runs_by_task(((of.task_id, of.status, of.grade) for of in rows), names)
    (seen,) = observe([run], resamples=2)
    table = run_table(run, tasks, 5)
    found = compare({"one": table, "other": table}, "one", None, names, resamples=2, permutations=2)
    (arm,) = arms(Library(run))
    convert(run, beside, to="parquet")
    (line,) = [line for line in (beside / "README.md").read_text().splitlines() if line.startswith("| a | r |")]
    shown = line.split("|")[-4].strip()
    said = {
        "evaluate": run_tables(run)[1].success,
        "index": success(index.values()).value,
        "behaviour": measures(seen)["success"].value,
        "compare": found.summaries[0].means["success"],
        "viewer": arm.success,
        "card": None if shown == "–" else float(shown) / 100,
    }
    if all(index.values()):
        said["live"] = live(rows)
    if said["evaluate"] is not None:
        said["order"] = ordering([run, beside], resamples=2).success[0].value
    return said


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=3), min_size=1, max_size=6).filter(any))
def test_success_is_the_same_everywhere(asked: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = written(Path(folder) / "run", asked)
        said = everywhere(run, Path(folder) / "card")
        wanted = said["evaluate"]
        for where, value in said.items():
            close = wanted if wanted is None else pytest.approx(wanted, abs=6e-4 if where == "card" else 1e-9)
            assert value == close, where
        metrics = run_tables(run)[1]
        summary = compare(
            {"a": run_table(run, asked_tasks(run), 5)}, "a", None, [f"t{n}" for n in range(len(asked))], resamples=2
        ).summaries[0]
        assert (summary.errors, summary.ungraded) == (metrics.errors, metrics.ungraded)
        assert (summary.success_low, summary.success_high) == pytest.approx((metrics.success_low, metrics.success_high))
        assert metrics.success_low <= metrics.success_high


@pytest.mark.parametrize(
    ("asked", "value", "low", "high"),
    [
        ([["right"], ["wrong"]], 0.5, 0.5, 0.5),
        ([["right"], ["silent"], ["broke"], []], 0.25, 0.25, 0.25),
        ([["right"], ["ungraded"]], 1.0, 0.5, 1.0),
        ([["right", "unclear"], ["wrong", "wrong"]], 0.5, 0.25, 0.5),
        ([["right", "broke"], ["right"]], 0.75, 0.75, 0.75),
        ([["ungraded"]], None, 0.0, 1.0),
    ],
)
def test_success_is_correct_over_tasks_asked(asked, value, low, high):
    runs = [[run_success(OUTCOMES[each][0], OUTCOMES[each][2]) for each in outcomes] for outcomes in asked]
    found = success(runs)
    assert (found.value, found.low, found.high) == (value, low, high)
    assert task_success([]).value == 0.0


def test_two_runs_are_set_side_by_side_by_the_same_success(tmp_path):
    written(tmp_path / "a", [["right", "ungraded"], ["broke"], ["unclear"]])
    written(tmp_path / "b", [["wrong"], ["silent"], ["right"]])
    library = Library(tmp_path)
    found = {match.task: match.result for match in matches(library.table, "a", "b")}
    assert found == {"t0": "lost", "t1": "tied", "t2": "unknown"}


def test_unfinished_tally_counts_the_tasks_that_began():
    rows = [("t0", "right"), ("t0", "wrong"), ("t1", "broke"), ("t2", "ungraded")]
    tally = Tally(9, graded=True)
    for number, (task, outcome) in enumerate(rows):
        tally.add(row(trajectory(task, number, outcome), 0, OUTCOMES[outcome][2]))
    assert tally.success == pytest.approx(0.25)
    assert tally.fields()["success so far"] == "25.0%"
