from dataclasses import replace

import msgspec
import pytest

from lrat_sim.agent import load_agent
from lrat_sim.comparison.paired import Estimate
from lrat_sim.errors import InputError
from lrat_sim.records import Task
from lrat_sim.study.gate import decide, frozen_tasks, wins

TASKS = [Task(id=f"t{place}", question=f"Question {place}?") for place in range(12)]


def arm(success, recall=0.5):
    """Metrics of tasks that succeed where the text has a 1."""
    return {
        task.id: {"success": float(value), "evidence_recall": recall, "steps": 4.0}
        for task, value in zip(TASKS, success, strict=True)
    }


def decided(rule, old, new):
    return decide(rule, "round-1", old, new, TASKS)


def test_more_success_wins_on_average_but_not_clearly():
    old, new = arm("000000111111"), arm("000001111111")
    assert decided("mean", old, new).accepted
    assert not decided("clear", old, new).accepted
    assert decided("clear", arm("0" * 12), arm("1" * 12)).accepted


def test_less_success_is_refused_however_much_more_evidence_it_shows():
    old, new = arm("000001111111"), arm("000000111111", recall=1.0)
    assert not decided("mean", old, new).accepted
    assert not decided("clear", old, new).accepted
    assert decided("none", old, new).accepted


def test_equal_success_is_decided_by_evidence_and_equal_evidence_is_no_win():
    old = arm("000000111111")
    assert decided("mean", old, arm("111111000000", recall=0.6)).accepted
    assert not decided("mean", old, arm("111111000000", recall=0.4)).accepted
    assert not decided("mean", old, arm("111111000000")).accepted


def test_a_decision_says_what_it_rests_on():
    decision = decided("mean", arm("000000111111"), arm("000111111111", recall=0.75))
    assert (decision.rule, decision.against, decision.tasks) == ("mean", "round-1", 12)
    assert (decision.success, decision.evidence_recall) == (0.75, 0.75)
    assert decision.success_difference.value == pytest.approx(0.25)
    assert decision.success_difference.low < 0.25 < decision.success_difference.high
    assert decision.recall_difference.value == pytest.approx(0.25)


def test_without_an_interval_nothing_is_clear():
    assert not wins("clear", Estimate(value=1.0), Estimate(value=None))
    assert wins("mean", Estimate(value=1.0), Estimate(value=None))
    assert not wins("mean", Estimate(value=None), Estimate(value=None))


def test_the_gates_tasks_are_those_of_its_split_alone(small_world):
    agent = load_agent("simulated")
    assert frozen_tasks(small_world, "test", ("train", "dev"), agent) == small_world.tasks("test")
    assert len(frozen_tasks(small_world, "test", ("train", "dev"), agent, 5)) == 5
    with pytest.raises(InputError, match=r"no split 'held' .*gate_split.*dev.*none"):
        frozen_tasks(small_world, "held", ("train",), agent)
    with pytest.raises(InputError, match="both ask"):
        frozen_tasks(small_world, "test", ("train", "test"), agent)


def test_a_question_of_the_gate_that_is_trained_on_is_refused(small_world):
    dev, train = small_world.tasks("dev"), small_world.tasks("train")
    leak = msgspec.structs.replace(train[0], id="leak", question=dev[1].question.upper())
    leaking = replace(small_world, splits={**small_world.splits, "train": [*train, leak]})
    with pytest.raises(InputError, match="'dev' and the split 'train' both ask"):
        frozen_tasks(leaking, "dev", ("train", "test"), load_agent("simulated"))
