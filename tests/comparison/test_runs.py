import pytest

from lrat_sim.agent import load_agent
from lrat_sim.comparison import compare, run_table
from lrat_sim.comparison.runs import mean_over_seeds
from lrat_sim.grading.run import run_tables
from lrat_sim.study import graded_rollout, opened


@pytest.fixture(scope="module")
def recorded(small_world, tmp_path_factory):
    """A graded run of six tasks, the tasks, and its k."""
    folder, tasks, agent = (
        tmp_path_factory.mktemp("run") / "bm25",
        small_world.tasks("test")[:6],
        load_agent("simulated"),
    )
    graded_rollout(tasks, agent, opened("bm25", small_world), folder)
    return folder, tasks, agent.limits.k


def test_run_is_read_once_to_the_figures_that_evaluate_gives(recorded):
    folder, tasks, k = recorded
    table, whole = run_tables(folder, tasks)
    found = run_table(folder, tasks, k)
    assert {task: {metric: row[metric] for metric in table[task]} for task, row in found.items()} == table
    (summary, _) = compare({"a": found, "b": found}, "a", None, [*found], resamples=10, permutations=10).summaries
    assert summary.means["success"] == pytest.approx(whole.success)
    assert summary.means["calibration_error"] == pytest.approx(whole.calibration_error)
    assert whole.confident > 0
    assert all(0 <= row[name] <= 1 for row in found.values() for name in ("ndcg", "recall", "mrr"))
    assert any(row["recall"] > 0 for row in found.values())


def test_tasks_that_do_not_count_are_passed_over(recorded):
    folder, tasks, k = recorded
    assert [*run_table(folder, tasks[2:4], k)] == [task.id for task in tasks[2:4]]


def test_mean_over_seeds_is_that_of_every_metric(row):
    first, second = {"t": row(1.0, steps=4.0, cost=0.5)}, {"t": row(0.0, steps=8.0, cost=0.1)}
    mean = mean_over_seeds([first, second])["t"]
    assert (mean["success"], mean["steps"], mean["cost"]) == (0.5, 6.0, pytest.approx(0.3))
    assert mean_over_seeds([first]) is first


def test_task_that_a_seed_did_not_run_is_a_failure_of_that_seed_of_unknown_length(row):
    mean = mean_over_seeds([{"t": row(1.0, steps=4.0, evidence_recall=0.5)}, {}])["t"]
    assert (mean["success"], mean["evidence_recall"], mean["steps"]) == (0.5, 0.25, 4.0)


def test_seed_without_a_known_value_is_left_out_but_of_the_cost(row):
    broken = row(None, steps=None, evidence_recall=None, cost=None)
    mean = mean_over_seeds([{"t": row(1.0, steps=4.0, evidence_recall=None, cost=0.5)}, {"t": broken}])["t"]
    assert (mean["success"], mean["evidence_recall"], mean["steps"], mean["cost"]) == (1.0, None, 4.0, None)
