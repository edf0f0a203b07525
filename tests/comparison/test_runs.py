"""A run folder as rows of metrics by task, those of the queries that the agent issued among them."""

from math import log2

import pytest

from lrat_sim.agent import load_agent
from lrat_sim.comparison import compare, run_table, runs
from lrat_sim.comparison.runs import Queries, mean_over_seeds
from lrat_sim.grading.run import run_tables
from lrat_sim.records import Call, Hit, Task, Trajectory, Turn
from lrat_sim.study import graded_rollout, opened


@pytest.fixture(scope="module")
def recorded(small_world, tmp_path_factory):
    """A graded run of six tasks, the tasks, and its k."""
    folder, agent = tmp_path_factory.mktemp("run") / "bm25", load_agent("simulated")
    tasks = small_world.tasks("test")[:6]
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


@pytest.mark.parametrize(
    ("first", "second", "means"),
    [
        (
            {"steps": 4.0, "cost": 0.5},
            {"success": 0.0, "steps": 8.0, "cost": 0.1},
            {"success": 0.5, "steps": 6.0, "cost": 0.3},
        ),
        # a task that a seed did not run is a failure of that seed, of unknown length
        ({"steps": 4.0, "evidence_recall": 0.5}, None, {"success": 0.5, "evidence_recall": 0.25, "steps": 4.0}),
        # what a seed does not know is left out, but of the cost
        (
            {"steps": 4.0, "evidence_recall": None, "cost": 0.5},
            {"success": None, "steps": None, "evidence_recall": None, "cost": None},
            {"success": 1.0, "evidence_recall": None, "steps": 4.0, "cost": None},
        ),
    ],
)
def test_mean_over_seeds_is_that_of_every_metric(row, first, second, means):
    tables = [{"t": row(**first)}, {} if second is None else {"t": row(**second)}]
    mean = mean_over_seeds(tables)["t"]
    assert {name: mean[name] for name in means} == pytest.approx(means)
    assert mean_over_seeds(tables[:1]) is tables[0]


TASKS = {
    "t": Task(id="t", question="?", evidence=["a", "b"]),
    "u": Task(id="u", question="?", evidence=["c"]),
    "none": Task(id="none", question="?"),
}


def search(*docids, error=None):
    hits = None if error else [Hit(docid=docid, score=1.0, rank=rank) for rank, docid in enumerate(docids, start=1)]
    return Call(id="c", tool="search", arguments={"query": "q"}, hits=hits, error=error)


def run(task, *searches, sample=0):
    return Trajectory(
        id=f"{task}/{sample}", task_id=task, question="?", sample=sample, agent={}, retriever={}, seed=0, answer="x",
        status="answered", end_reason="answer",
        turns=[Turn(reasoning=None, reasoning_tokens=0, calls=[call]) for call in searches],
    )  # fmt: skip


def measured(*runs, k=3):
    found = Queries(TASKS, k)
    for each in runs:
        found.add(each)
    return dict(found.by_task())


NOTHING = {"ndcg": None, "recall": None, "mrr": None}
TIED = [Hit(docid="x", score=1.0, rank=1), Hit(docid="c", score=1.0, rank=2), Hit(docid="a", score=9.0, rank=3)]


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([run("t", search("x", "a", "y"))], {"ndcg": (1 / log2(3)) / (1 + 1 / log2(3)), "recall": 0.5, "mrr": 0.5}),
        ([run("t", search("b", "a"))], {"ndcg": 1, "recall": 1, "mrr": 1}),
        # ranks beyond k do not count
        ([run("u", search("x", "y", "z", "c"))], {"ndcg": 0.0, "recall": 0.0, "mrr": 0.0}),
        # a search that found nothing counts, and one that did not run does not
        ([run("u", search("c"), search())], {"mrr": 0.5}),
        ([run("u", search("c"), search(error="down"))], {"mrr": 1.0}),
        ([run("u", search(error="down"))], NOTHING),
        # runs of a task count alike however often they searched
        ([run("u", search(), search(), search("c")), run("u", search("c"), sample=1)], {"recall": (1 / 3 + 1) / 2}),
        # ranks decide, not scores, and ties keep their order
        ([run("u", Call(id="c", tool="search", arguments={}, hits=TIED))], {"mrr": 0.5}),
    ],
)
def test_query_is_measured_against_the_evidence_of_its_task(recorded, expected):
    (found,) = measured(*recorded).values()
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_tasks_without_evidence_and_unknown_ones_are_passed_over():
    assert measured(run("none", search("a")), run("other", search("a"))) == {}


def test_many_queries_are_measured_in_parts_to_the_same_figures(monkeypatch):
    recorded = [run("t", search("x", "a"), search("b"), sample=number) for number in range(7)]
    recorded += [run("u", search("x", "y", "c"))]
    whole = measured(*recorded)
    monkeypatch.setattr(runs, "_AT_ONCE", 3)
    assert measured(*recorded) == whole
