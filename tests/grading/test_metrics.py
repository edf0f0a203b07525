from __future__ import annotations

from itertools import combinations
from statistics import stdev

import pytest

from lrat_sim.artifact import write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.metrics import measure, pass_at_k, run_metrics, sample_metrics, task_table
from lrat_sim.grading.run import grade_run, judge_run, run_tables, runs_table
from lrat_sim.records import Failure, Grade, Task, Usage, Verdict
from lrat_sim.rollout.index import record_asked

TASKS = [
    Task(id="q1", question="?", answers=["Paris"], evidence=["a", "b", "c", "d"]),
    Task(id="q2", question="?", answers=["Rome"], evidence=["z"]),
    Task(id="q3", question="?", answers=["Bonn"]),
    Task(id="q4", question="?", answers=["Oslo"], evidence=["y"]),
]


def runs(make):
    walk = [
        make.turn(make.search("a", "x"), make.search("b", "x")),
        make.turn(make.browse("b"), make.refused("c")),
        make.turn(make.browse("x")),
        make.turn(text="Exact Answer: Paris"),
    ]
    return [
        make.run(walk, id="t1"),
        make.run([make.turn(make.search("n"))], id="t2", task_id="q2", status="unanswered", answer=None),
        make.run([make.turn(make.search("n"))], id="t3", task_id="q3"),
    ]


def test_a_trajectory_by_hand(make):
    row = measure(runs(make), TASKS, {"t1": "correct"})[0]
    values = row.values
    assert row.success == 1.0
    assert [values[name] for name in ("steps", "searches", "browses", "turns")] == [4, 2, 2, 4]
    assert [values[f"evidence_{name}"] for name in ("recall", "opened", "hit")] == [0.5, 0.25, 1.0]
    assert (values["tokens"], values["cost"]) == (15, 0.5)


def test_a_run_is_measured_over_the_tasks_asked(make):
    rows = measure(runs(make), TASKS, {"t1": "correct"})
    found = run_metrics(rows, TASKS)
    assert task_table(rows, TASKS)["q3"]["success"] is None
    # q1 right, q2 unanswered, q3 ungraded and left out, q4 never run: 1 of 3
    assert (found.tasks, found.missing, found.ungraded, found.unanswered) == (4, 1, 1, 1)
    assert found.success == pytest.approx(1 / 3)
    assert (found.success_low, found.success_high) == (1 / 4, 2 / 4)
    assert found.tasks_without_evidence == 1
    assert found.evidence_recall == pytest.approx(0.5 / 3)
    assert found.evidence_hit == pytest.approx(1 / 3)
    assert found.steps == pytest.approx((4 + 1 + 1) / 3)
    assert found.cost == pytest.approx(1.5)


def test_unknown_cost_of_one_run_makes_the_sum_unknown(make):
    rows = measure([*runs(make), make.run(id="t4", task_id="q4", usage=Usage())], TASKS, {})
    assert run_metrics(rows, TASKS).cost is None
    assert task_table(rows, TASKS)["q4"]["cost"] is None


def test_samples_of_a_task_are_averaged_before_tasks_are(make):
    walk = runs(make)[0].turns
    samples = [make.run(walk, id="t1"), make.run([], id="t5", sample=1), make.run([], id="t6", sample=2)]
    rows = measure([*samples, runs(make)[1]], TASKS, {"t1": "correct", "t5": "incorrect"})
    table = task_table(rows, TASKS)
    assert table["q1"]["success"] == 0.5
    assert table["q1"]["evidence_recall"] == pytest.approx(0.5 / 3)
    assert list(table) == ["q1", "q2"]
    found = run_metrics(rows, TASKS[:2])
    assert found.success == 0.25
    assert (found.success_low, found.success_high) == pytest.approx((1 / 6, 1 / 3))


def test_a_broken_run_is_a_failure_whose_length_says_nothing(make):
    broken = make.run([make.turn(make.search("z"))], id="t2", task_id="q2", status="error", answer=None)
    row = task_table(measure([broken], TASKS, {}), TASKS)["q2"]
    assert (row["success"], row["evidence_recall"], row["steps"], row["cost"]) == (0.0, 1.0, None, 0.5)
    found = run_metrics(measure([broken], TASKS, {}), TASKS)
    assert (found.errors, found.missing, found.success, found.steps) == (1, 3, 0.0, None)


def test_a_run_over_no_tasks_is_refused():
    with pytest.raises(InputError, match="no tasks"):
        run_metrics([], [])


def test_a_run_folder_is_graded_once_and_read_into_tables(make, tmp_path):
    write_records(tmp_path / "trajectories.jsonl", runs(make))
    record_asked(tmp_path, TASKS)
    assert grade_run(tmp_path) == 2
    assert grade_run(tmp_path) == 0
    assert judge_run(tmp_path) == 2
    table, found = run_tables(tmp_path, TASKS)
    assert [table[task]["success"] for task in ("q1", "q2", "q3")] == [1.0, 0.0, 0.0]
    assert found.success == 0.25
    assert (found.judges.unjudged, found.judges.unjudged_failed) == (2, 0)
    assert found.judges.usage == Usage.zero()


def shown(runs):
    return {row.cells[0].strip(): row.cells[1:] for row in runs_table(runs).rows}


DOWN = Failure(boundary="judge", message="503")


def test_judges_tokens_cost_and_failures_stand_apart_from_the_agents(make, tmp_path):
    write_records(tmp_path / "trajectories.jsonl", runs(make))
    record_asked(tmp_path, TASKS)
    used = Usage(prompt_tokens=100, completion_tokens=10, cost=0.25)
    grades = [
        Grade(trajectory_id="t1", state="ungraded", judge="m", error=DOWN, usage=used),
        Grade(trajectory_id="t1", state="correct", judge="m", usage=used),
        Grade(trajectory_id="t3", state="ungraded", judge="m", error=DOWN, usage=Usage.zero()),
    ]
    verdicts = [
        Verdict(trajectory_id="t1", turn=1, call=0, state="relevant", judge="m", usage=used),
        Verdict(trajectory_id="t1", turn=2, call=0, state="unjudged", judge="m", error=DOWN, usage=Usage.zero()),
        Verdict(trajectory_id="gone", turn=2, call=0, state="relevant", judge="m", usage=used),
    ]
    write_records(tmp_path / "grades.jsonl", grades)
    write_records(tmp_path / "verdicts.jsonl", verdicts)
    _, found = run_tables(tmp_path)
    assert (found.prompt_tokens, found.completion_tokens, found.cost) == (30, 15, 1.5)
    judges = found.judges
    assert (judges.usage.prompt_tokens, judges.usage.completion_tokens, judges.usage.cost) == (300, 30, 0.75)
    assert (judges.relevant, judges.irrelevant, judges.unjudged) == (1, 0, 1)
    assert (judges.unjudged_failed, judges.ungraded_failed, found.ungraded) == (1, 1, 1)
    rows = shown({"a": found})
    assert (rows["agent tokens"], rows["agent cost"]) == (["45"], ["$1.50"])
    assert (rows["judge tokens"], rows["judge cost"]) == (["330"], ["$0.7500"])
    assert rows["ungraded"] == ["1 (judge failed on 1)"]
    assert rows["browses unjudged"] == ["1 of 2 (judge failed on 1)"]


def test_calibration_is_over_the_graded_answers_that_state_a_confidence(make):
    walks = [make.run(id=f"t{number}") for number in range(4)]
    grades = {
        "t0": Grade(trajectory_id="t0", state="correct", judge="m", confidence=90),
        "t1": Grade(trajectory_id="t1", state="incorrect", judge="m", confidence=100),
        "t2": Grade(trajectory_id="t2", state="correct", judge="m"),
        "t3": Grade(trajectory_id="t3", state="ungraded", judge="m", confidence=10),
    }
    found = run_metrics(measure(walks, TASKS, grades), TASKS)
    assert (found.confident, found.calibration_error) == (2, pytest.approx(0.45))
    assert shown({"a": found})["calibration error"] == ["45.0 % of 2"]


def test_a_table_shows_only_rows_that_a_run_has(make):
    one = run_metrics(measure([make.run()], TASKS[:1], {"t1": "correct"}), TASKS[:1])
    twice = [make.run(), make.run(id="t2", sample=1)]
    two = run_metrics(measure(twice, TASKS[:1], {"t1": "correct", "t2": "incorrect"}), TASKS[:1])
    rows = shown({"a": one})
    assert not {"pass@1", "deviation between samples", "calibration error", "judge tokens"} & rows.keys()
    rows = shown({"a": one, "b": two})
    assert rows["pass@1"] == ["–", "50.0 %"]
    assert rows["pass@2"] == ["–", "100.0 %"]
    assert rows["deviation between samples"] == rows["deviation within a task"] == ["–", "70.7 %"]
    assert list(rows).index("pass@2") == list(rows).index("success") + 3


@pytest.mark.parametrize("correct", range(6))
@pytest.mark.parametrize("k", range(1, 6))
def test_pass_at_k_is_the_share_of_draws_with_a_correct_one(correct, k):
    samples = [1] * correct + [0] * (5 - correct)
    draws = list(combinations(samples, k))
    assert pass_at_k(5, correct, k) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


def several_samples(make):
    """Four tasks: q1 solved in 1 of 3, q2 in 2 of 2 graded (one ungraded), q3 broken and unanswered, q4 never run."""
    grades = {"a0": "correct", "a1": "incorrect", "a2": "incorrect", "b0": "correct", "b1": "correct"}
    walks = [make.run(id=f"a{n}", task_id="q1", sample=n) for n in range(3)]
    walks += [make.run(id=f"b{n}", task_id="q2", sample=n) for n in range(3)]
    walks.append(make.run(id="c0", task_id="q3", sample=0, status="error", end_reason="error", answer=None))
    walks.append(make.run(id="c1", task_id="q3", sample=1, status="unanswered", end_reason="gave_up", answer=None))
    return walks, grades


def test_samples_of_a_run_by_hand(make):
    walks, grades = several_samples(make)
    found = run_metrics(measure(walks, TASKS, grades), TASKS)
    samples = found.samples
    assert samples.samples == 3
    # k = 3 can be said of q1 and of q4, which is a failure at every k
    assert [(p.k, p.value, p.tasks) for p in samples.pass_at] == [
        (1, pytest.approx((1 / 3 + 1 + 0 + 0) / 4), 4),
        (2, pytest.approx((2 / 3 + 1 + 0 + 0) / 4), 4),
        (3, pytest.approx((1 + 0) / 2), 2),
    ]
    assert samples.pass_at[0].value == pytest.approx(found.success)
    # sample 0: q1, q2 right of four tasks; 1: q2 of four; 2: none of q1 and q4
    assert samples.between == pytest.approx(stdev([2 / 4, 1 / 4, 0.0]))
    assert samples.within == pytest.approx((stdev([1, 0, 0]) + 0 + 0) / 3)


def test_samples_say_nothing_where_there_is_one_a_task_or_none_is_graded():
    assert sample_metrics([("q1", 0, 1.0), ("q2", 0, None)], 0) is None
    found = sample_metrics([("q1", 0, None), ("q1", 1, None)], 0)
    assert (found.samples, found.pass_at, found.between, found.within) == (2, [], None, None)


def test_forced_answers_and_turns_without_reasoning_are_counted_apart(make):
    said = make.turn(text="Exact Answer: Paris", reasoning="So it is.")
    rows = measure(
        [
            make.run([make.turn(make.search("a")), said], id="t1", end_reason="turn_limit"),
            make.run([make.turn(make.search("z"), reasoning=" "), said], id="t2", task_id="q2"),
            make.run([said], id="t3", task_id="q3", status="unanswered", end_reason="turn_limit", answer=None),
        ],
        TASKS,
        {},
    )
    found = run_metrics(rows, TASKS)
    assert (found.answered, found.forced, found.unanswered, found.silent_turns) == (2, 1, 1, 2 / 5)
    shown = {row.cells[0].strip(): row.cells[1] for row in runs_table({"run": found}).rows}
    assert (shown["forced at a limit"], shown["turns without reasoning"]) == ("1", "40.0 %")
    assert task_table(rows, TASKS)["q1"]["forced"] == 1
    assert "forced at a limit" not in str(runs_table({"run": run_metrics(rows[1:], TASKS)}).rows)
