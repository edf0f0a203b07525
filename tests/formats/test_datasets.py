"""Merging and splitting of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lrat_sim.errors import InputError
from lrat_sim.formats import merge_runs, read_any, split_run
from lrat_sim.grading.run import grade_run, run_tables
from lrat_sim.records import Failure, Grade, Task, Verdict
from lrat_sim.rollout.index import asked_tasks

RunFolder = Callable[..., Path]


def test_the_same_trajectory_twice_is_kept_once_with_the_judgements_of_both(entries, run_folder, tmp_path):
    name = entries[0].trajectory.id
    slower = msgspec.structs.replace(entries[0].trajectory, seconds=9.0)
    verdict = Verdict(trajectory_id=name, turn=1, call=0, state="irrelevant", judge="other")
    again = msgspec.structs.replace(entries[0], trajectory=slower, verdicts=[*entries[0].verdicts, verdict])
    one, two = run_folder("one", entries[:2]), run_folder("two", [again, *entries[2:]], Task(id="t9", question="?"))
    summary = merge_runs([one, two], tmp_path / "all")
    assert (summary.trajectories, summary.repeats, summary.replaced, summary.tasks) == (4, 1, 0, 4)
    found = {entry.trajectory.id: entry for entry in read_any(tmp_path / "all")}
    assert found[name].trajectory == entries[0].trajectory
    assert found[name].verdicts == again.verdicts
    assert found[name].grades == entries[0].grades
    assert {task.id for task in asked_tasks(tmp_path / "all")} == {"t1", "t2", "t3", "t9"}
    assert {entry.trajectory.retriever["kind"] for entry in found.values()} == {"bm25", "dense"}


def test_a_merged_folder_can_be_graded_and_measured(entries, run_folder, tmp_path):
    merge_runs([run_folder("one", entries[:2]), run_folder("two", entries[2:])], tmp_path / "all")
    assert grade_run(tmp_path / "all") == 2
    _, metrics = run_tables(tmp_path / "all", judge="match:1")
    assert (metrics.tasks, metrics.trajectories, metrics.errors) == (3, 4, 1)


def test_different_trajectories_of_one_id_are_refused_or_the_later_counts(entries, run_folder, tmp_path):
    other = msgspec.structs.replace(
        entries[0],
        trajectory=msgspec.structs.replace(entries[0].trajectory, answer="green"),
        grades=[Grade(trajectory_id=entries[0].trajectory.id, state="incorrect", judge="j3")],
    )
    one, two = run_folder("one", entries), run_folder("two", [other])
    with pytest.raises(InputError, match=r"different trajectories of the id 't1\.0\.cafe'"):
        merge_runs([one, two], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    summary = merge_runs([one, two], tmp_path / "all", on_conflict="later")
    assert (summary.trajectories, summary.replaced) == (4, 1)
    (found,) = (entry for entry in read_any(tmp_path / "all") if entry.trajectory.id == "t1.0.cafe")
    assert found.trajectory.answer == "green"
    assert [grade.judge for grade in found.grades] == ["j3"]  # a grade of the other answer says nothing of this one


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_run_that_broke_gives_way_to_one_that_did_not(broken_first, make, run_folder, tmp_path):
    failure = Failure(boundary="model", message="gone")
    broken = make("t1", status="error", end_reason="error", answer=None, turns=[], error=failure)
    broken = msgspec.structs.replace(broken, grades=[], verdicts=[])
    order = [run_folder("broken", [broken]), run_folder("whole", [make("t1")])]
    merge_runs(order if broken_first else order[::-1], tmp_path / "all")
    assert [entry.trajectory.status for entry in read_any(tmp_path / "all")] == ["answered"]


def test_two_questions_of_one_id_are_always_refused(make, run_folder, tmp_path):
    one, two = run_folder("one", [make("0")]), run_folder("two", [make("0", 1, question="Something else?")])
    for on_conflict in ("refuse", "later"):
        with pytest.raises(InputError, match=r"the task '0' of .*two asks another question"):
            merge_runs([one, two], tmp_path / "all", on_conflict=on_conflict)


def test_a_split_divides_questions_and_everything_goes_with_its_task(make, run_folder, tmp_path):
    # two tasks ask the same question, in other words for the machine alone
    made = [make(f"t{n}", sample, question=f"Which colour has {n % 9}?") for n in range(10) for sample in range(2)]
    tasks = [Task(id=f"t{n}", question=f"Which colour has {n % 9}?", evidence=[f"d{n}"]) for n in range(10)]
    made = [msgspec.structs.replace(e, task=tasks[int(e.trajectory.task_id[1:])]) for e in made]
    run = run_folder("run", made, Task(id="t99", question="Never?"))
    counts = split_run(run, tmp_path / "parts", test=3, dev=0.2, seed=1)
    assert sum(counts.values()) == 20
    sides = {name: asked_tasks(tmp_path / "parts" / name) for name in ("train", "dev", "test")}
    assert (len(sides["test"]), len(sides["dev"]), len(sides["train"])) == (3, 2, 6)
    questions = [{task.question for task in side} for side in sides.values()]
    assert sum(map(len, questions)) == len(set.union(*questions))
    back = [entry for name in sides for entry in read_any(tmp_path / "parts" / name)]
    assert sorted(back, key=lambda e: e.trajectory.id) == sorted(made, key=lambda e: e.trajectory.id)
    for name, side in sides.items():
        assert {e.trajectory.task_id for e in read_any(tmp_path / "parts" / name)} <= {task.id for task in side}
    again = split_run(run, tmp_path / "again", test=3, dev=0.2, seed=1)
    assert again == counts
    assert asked_tasks(tmp_path / "again" / "test") == sides["test"]
    split_run(run, tmp_path / "other", test=3, dev=0.2, seed=2)
    assert asked_tasks(tmp_path / "other" / "test") != sides["test"]


@pytest.mark.parametrize("test", [1.5, -1, 4, True])
def test_sizes_that_cannot_be_are_refused(test, entries, run_folder, tmp_path):
    with pytest.raises(InputError, match="test"):
        split_run(run_folder("run", entries), tmp_path / "parts", test=test)
    assert not (tmp_path / "parts").exists()


def test_a_rollout_does_not_go_on_in_a_folder_of_several_runs(entries, run_folder):
    from lrat_sim.catalog import read_yaml

    manifest = read_yaml(run_folder("run", entries) / "run.yaml")
    assert "settings" not in manifest  # by which a rollout refuses it
    assert set(manifest["retrievers"]) == {"bb", "cc"}
