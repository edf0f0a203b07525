"""Work of which nothing came says why, and does not end as if it were done."""

import sys

import pytest

from lrat_sim.agent import load_agent
from lrat_sim.cli import main
from lrat_sim.errors import NothingCame
from lrat_sim.grading.answers import Ruling
from lrat_sim.grading.relevance import Opinion
from lrat_sim.grading.run import grade_run, judge_run
from lrat_sim.records import Failure
from lrat_sim.rollout.index import INDEX, index_grades, read_trajectories
from lrat_sim.study import CompareSettings, compare, graded_rollout, opened

AGENT = load_agent("simulated")


class Silent:
    """A judge that never answers, but for the first ``answers`` times."""

    name = "silent:1"

    def __init__(self, answers=0):
        self.answers = answers

    async def ruling(self, task, trajectory):
        self.answers -= 1
        failure = None if self.answers >= 0 else Failure(boundary="judge", message="nobody is there")
        return Ruling(state="ungraded" if failure else "correct", error=failure)

    async def opinion(self, reasoning):
        return Opinion(state="unjudged", error=Failure(boundary="judge", message="nobody is there"))


@pytest.fixture(scope="module")
def tasks(small_world):
    return small_world.tasks("test")[:3]


@pytest.fixture(scope="module")
def bm25(small_world):
    return opened("bm25", small_world)


def test_rollout_in_which_every_run_broke_gives_the_first_cause(tasks, bm25, broken, tmp_path):
    with pytest.raises(NothingCame, match=r"all 3 runs .* failed; .*out of order.*lrat-sim check simulated"):
        graded_rollout(tasks, AGENT, broken(bm25), tmp_path)
    assert [run.status for run in read_trajectories(tmp_path)] == ["error"] * 3


def test_comparison_ends_at_an_arm_of_which_nothing_came(small_world, bm25, broken, tmp_path):
    with pytest.raises(NothingCame):
        compare({"a": broken(bm25), "b": bm25}, small_world, tmp_path, CompareSettings(limit=3))
    assert not (tmp_path / "comparison.json").exists()
    assert not (tmp_path / "b").exists()


def test_where_something_came_the_errors_stand_beside_it(tasks, small_world, bm25, broken, tmp_path):
    half = broken(bm25, lambda task: task != tasks[0].id)
    result = compare({"a": bm25, "half": half}, small_world, tmp_path, CompareSettings(limit=3, samples=2))
    (found,) = result.comparisons.values()
    assert [summary.errors for summary in found.summaries] == [0, 4]
    assert found.answer.startswith("Runs that broke count as failures: 4 of half.")


def test_grading_in_which_the_judge_always_failed_gives_the_cause(tasks, small_world, tmp_path):
    graded_rollout(tasks, AGENT, opened("oracle", small_world), tmp_path)
    before = index_grades(tmp_path)
    assert "correct" in before.values()
    for judge in (grade_run, judge_run):
        with pytest.raises(NothingCame, match=r"the judge silent:1 failed on all .*nobody is there.*lrat-sim check"):
            judge(tmp_path, Silent())
    assert grade_run(tmp_path, Silent(answers=1)) > 0
    assert index_grades(tmp_path) != before
    assert grade_run(tmp_path, Silent()) > 0  # one that it judged before is there


def test_index_shows_the_latest_grades_and_a_damaged_one_is_left_alone(tasks, small_world, tmp_path):
    graded_rollout(tasks, AGENT, opened("oracle", small_world), tmp_path)
    answered = {run.id for run in read_trajectories(tmp_path) if run.status == "answered"}
    grade_run(tmp_path, Silent(answers=9))
    assert {name for name, grade in index_grades(tmp_path).items() if grade == "correct"} == answered
    (tmp_path / INDEX).write_bytes(b"PAR1 no more")
    assert index_grades(tmp_path) == {}
    assert grade_run(tmp_path) >= 0


def test_command_exits_with_1_and_a_sentence(small_world, bm25, broken, tmp_path, monkeypatch, capsys):
    line = ["rollout", "-t", str(small_world.folder), "-o", str(tmp_path / "run"), "--limit", "2"]
    monkeypatch.setattr(sys, "argv", ["lrat-sim", *line])
    monkeypatch.setattr("lrat_sim.study.opened", lambda *_, **__: broken(bm25))
    with pytest.raises(SystemExit) as left:
        main()
    err = capsys.readouterr().err
    assert left.value.code == 1
    assert "errors 2" in err
    assert err.rstrip().splitlines()[-1].startswith("lrat-sim: all 2 runs in")
