import pytest

from lrat_sim.artifact import write_records
from lrat_sim.records import Pair, Provenance, Task
from lrat_sim.study.draws import replayed, shared_out

TASKS = [Task(id=f"t{place}", question=f"Question {place}?") for place in range(2000)]


def given(tasks=TASKS, shares=None, seed=1):
    return shared_out(tasks, {"bm25": 0.2, "hybrid": 0.1} if shares is None else shares, "round-1", seed)


def test_tasks_are_shared_out_whole_and_in_about_the_shares_asked_for():
    found = given()
    assert [*found] == ["round-1", "bm25", "hybrid"]
    assert sorted(task.id for tasks in found.values() for task in tasks) == sorted(task.id for task in TASKS)
    assert len(found["bm25"]) == pytest.approx(400, abs=60)
    assert len(found["hybrid"]) == pytest.approx(200, abs=45)


def test_further_tasks_move_none_and_another_round_moves_some():
    all_of_them, few = given(), given(TASKS[:300])
    for name, tasks in few.items():
        assert tasks == [task for task in TASKS[:300] if task in all_of_them[name]]
    assert given(seed=2)["bm25"] != all_of_them["bm25"]


def test_who_gets_no_task_is_left_out():
    assert [*given(shares={})] == ["round-1"]
    assert [*given(shares={"bm25": 1.0})] == ["bm25"]
    assert [*given(TASKS[:1], shares={"bm25": 1e-9})] == ["round-1"]


@pytest.fixture
def files(tmp_path):
    """The pairs of two rounds, 500 each."""
    paths = []
    for number in (1, 2):
        where = [
            Provenance(task=f"q{n}", trajectory=f"r{number}.{n}", turn=0, rank=1, rule="browsed") for n in range(500)
        ]
        pairs = [
            Pair(query=f"q{n}", positive=f"d{n}", negatives=[], weight=1, raw_weight=0.5, length=3, provenance=each)
            for n, each in enumerate(where)
        ]
        paths.append(tmp_path / f"round-{number}.jsonl")
        write_records(paths[-1], pairs)
    return paths


def test_a_share_of_every_earlier_round_is_replayed(files):
    found = list(replayed(files, 0.3, seed=3))
    assert len({pair.provenance.trajectory for pair in found}) == len(found) == pytest.approx(300, abs=60)
    first = sum(pair.provenance.trajectory.startswith("r1.") for pair in found)
    assert first == pytest.approx(150, abs=45)
    assert list(replayed(files, 0.3, seed=3)) == found
    assert list(replayed(files, 0.3, seed=4)) != found
    assert list(replayed(files[:1], 0.3, seed=3)) == found[:first]


def test_all_or_none_of_the_earlier_pairs_can_be_replayed(files):
    assert len(list(replayed(files, 1.0, seed=0))) == 1000
    assert not list(replayed(files, 0.0, seed=0))
