from math import log2

import pytest

from lrat_sim.comparison import runs as runs_module
from lrat_sim.comparison.runs import Queries
from lrat_sim.records import Call, Hit, Task, Trajectory, Turn

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
        id=f"{task}/{sample}",
        task_id=task,
        question="?",
        sample=sample,
        agent={},
        retriever={},
        seed=0,
        status="answered",
        end_reason="answer",
        answer="x",
        turns=[Turn(reasoning=None, reasoning_tokens=0, calls=[call]) for call in searches],
    )


def measured(*runs, k=3):
    found = Queries(TASKS, k)
    for each in runs:
        found.add(each)
    return dict(found.by_task())


def test_query_is_measured_against_the_evidence_of_its_task():
    ideal = 1 + 1 / log2(3)
    assert measured(run("t", search("x", "a", "y")))["t"] == {
        "ndcg": pytest.approx((1 / log2(3)) / ideal),
        "recall": pytest.approx(0.5),
        "mrr": pytest.approx(0.5),
    }
    perfect = measured(run("t", search("b", "a")))["t"]
    assert perfect == {"ndcg": pytest.approx(1), "recall": pytest.approx(1), "mrr": pytest.approx(1)}


def test_ranks_beyond_k_do_not_count():
    found = measured(run("u", search("x", "y", "c")), k=2)["u"]
    assert found == {"ndcg": 0.0, "recall": 0.0, "mrr": 0.0}


def test_search_that_found_nothing_counts_and_one_that_did_not_run_does_not():
    assert measured(run("u", search("c"), search()))["u"]["mrr"] == pytest.approx(0.5)
    assert measured(run("u", search("c"), search(error="down")))["u"]["mrr"] == pytest.approx(1.0)
    assert measured(run("u", search(error="down")))["u"] == {"ndcg": None, "recall": None, "mrr": None}


def test_runs_of_a_task_count_alike_however_often_they_searched():
    often, once = run("u", search(), search(), search("c")), run("u", search("c"), sample=1)
    assert measured(often, once)["u"]["recall"] == pytest.approx((1 / 3 + 1) / 2)


def test_tasks_without_evidence_and_unknown_ones_are_passed_over():
    assert measured(run("none", search("a")), run("other", search("a"))) == {}


def test_ranks_decide_not_scores_and_ties_keep_their_order():
    hits = [Hit(docid="x", score=1.0, rank=1), Hit(docid="c", score=1.0, rank=2), Hit(docid="a", score=9.0, rank=3)]
    call = Call(id="c", tool="search", arguments={}, hits=hits)
    assert measured(run("u", call))["u"]["mrr"] == pytest.approx(0.5)


def test_many_queries_are_measured_in_parts_to_the_same_figures(monkeypatch):
    runs = [run("t", search("x", "a"), search("b"), sample=number) for number in range(7)]
    runs += [run("u", search("x", "y", "c"))]
    whole = measured(*runs)
    monkeypatch.setattr(runs_module, "_AT_ONCE", 3)
    assert measured(*runs) == whole
