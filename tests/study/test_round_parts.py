"""What a round is made of: the gate, exposure, the draws of tasks and pairs, and the table of rounds."""

from collections import Counter
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given as when
from hypothesis import strategies as st
from rich.console import Console

from lrat_sim.agent import load_agent
from lrat_sim.artifact import write_records
from lrat_sim.comparison.paired import Estimate
from lrat_sim.errors import InputError
from lrat_sim.records import Pair, Provenance, Task
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study.rounds import (
    Decision,
    Exposure,
    Figures,
    Guarded,
    Round,
    Rounds,
    decide,
    exposure,
    figures_of,
    frozen_tasks,
    gini,
    replayed,
    share_tasks,
    wins,
)  # fmt: skip

TASKS = [Task(id=f"t{number}", question=f"Question {number}?") for number in range(2000)]


def arm(success, recall=0.5):
    """Metrics of tasks that succeed where the text has a 1."""
    return {
        task.id: {"success": float(value), "evidence_recall": recall, "steps": 4.0}
        for task, value in zip(TASKS[:12], success, strict=True)
    }


def decided(rule, old, new):
    return decide(rule, "round-1", old, new, TASKS[:12])


@pytest.mark.parametrize(
    ("old", "new", "recall", "rules"),
    [
        ("000000111111", "000001111111", 0.5, "none mean"),  # better on average, but not clearly
        ("000000000000", "111111111111", 0.5, "none mean clear"),
        ("000001111111", "000000111111", 1.0, "none"),  # worse, however much more evidence it shows
        ("000000111111", "111111000000", 0.6, "none mean"),  # equal success is decided by evidence
        ("000000111111", "111111000000", 0.4, "none"),
        ("000000111111", "111111000000", 0.5, "none"),  # a tie is no win
    ],
)
def test_each_rule_accepts_by_success_first_and_then_by_evidence(old, new, recall, rules):
    accepting = [rule for rule in ("none", "mean", "clear") if decided(rule, arm(old), arm(new, recall)).accepted]
    assert accepting == rules.split()


def test_a_decision_says_what_it_rests_on():
    decision = decided("mean", arm("000000111111"), arm("000111111111", recall=0.75))
    assert (decision.rule, decision.against, decision.tasks) == ("mean", "round-1", 12)
    assert (decision.success, decision.evidence_recall) == (0.75, 0.75)
    assert decision.success_difference.value == pytest.approx(0.25)
    assert decision.success_difference.low < 0.25 < decision.success_difference.high
    assert decision.recall_difference.value == pytest.approx(0.25)
    # without an interval nothing is clear
    assert not wins("clear", Estimate(value=1.0), Estimate(value=None))
    assert wins("mean", Estimate(value=1.0), Estimate(value=None))
    assert not wins("mean", Estimate(value=None), Estimate(value=None))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0" * 12, "1" * 12, "accepted: +100.0 points of success on 12 tasks (95 % interval 100.0 to 100.0)."),
        ("000000111111", "000001111111", "accepted: +8.3 points of success on 12 tasks (95 % interval 0.0 to 25.0); "
         "12 tasks cannot tell this from no difference."),
        ("000001111111", "000000111111", "refused, round-1 stays in use: −8.3 points of success"),
    ],
)  # fmt: skip
def test_a_decision_is_said_with_its_interval_and_whether_so_many_tasks_can_tell(old, new, said):
    assert f"gate: round 3 is {said}" in decided("mean", arm(old), arm(new)).sentence(3)


def test_the_answer_of_rounds_is_about_the_model_in_use_its_gate_and_its_pairs(rounds):
    few = "120 pairs are fewer than the 500"
    decision = decided("mean", arm("000000111111"), arm("000001111111"))
    accepted = msgspec.structs.replace(rounds, rounds=[a_round(1, gate=decision, warning=few), *rounds.rounds[1:]])
    assert accepted.sentences() == [decision.sentence(1), few]
    refused = msgspec.structs.replace(rounds, rounds=rounds.rounds[1:])
    assert refused.sentences()[0].startswith("gate: round 2 is refused, round-1 stays in use: −25.0 points")


def test_a_round_without_a_gate_is_called_unchecked_and_one_that_gained_nothing_is_advised_against(rounds):
    better, same = (Figures(success=value, evidence_recall=0.5, steps=4.0) for value in (0.6, 0.5))

    def said(after):
        made = a_round(1, evaluated={"test-k5": after})
        return Rounds(rounds=[made], asked=1, accepted="round-1", base={"test-k5": HALF}).sentences()

    unchecked = "no gate: round 1 is in use without a check against base on other tasks."
    assert said(better) == [unchecked]
    assert said(same) == [unchecked, "It solves no more than base on test-k5: keep the base."]


def test_the_gates_tasks_are_those_of_its_split_alone(small_world):
    agent, dev, train = load_agent("simulated"), small_world.tasks("dev"), small_world.tasks("train")
    assert frozen_tasks(small_world, "test", ("train", "dev"), agent) == small_world.tasks("test")
    assert len(frozen_tasks(small_world, "test", ("train", "dev"), agent, 5)) == 5
    with pytest.raises(InputError, match=r"no split 'held' .*gate_split.*dev.*none"):
        frozen_tasks(small_world, "held", ("train",), agent)
    with pytest.raises(InputError, match="both ask"):
        frozen_tasks(small_world, "test", ("train", "test"), agent)
    leak = msgspec.structs.replace(train[0], id="leak", question=dev[1].question.upper())
    leaking = replace(small_world, splits={**small_world.splits, "train": [*train, leak]})
    with pytest.raises(InputError, match="'dev' and the split 'train' both ask"):
        frozen_tasks(leaking, "dev", ("train", "test"), agent)


COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any)


def of(*counts):
    return gini(np.array(counts, np.float64))


def test_gini_is_zero_for_equal_counts_and_highest_where_one_has_everything():
    assert of(3, 3, 3, 3) == pytest.approx(0)
    assert of(0, 0, 0, 8) == pytest.approx(3 / 4)
    assert of(1, 3) == pytest.approx(1 / 4)
    assert of(0, 0) is None


@when(COUNTS)
def test_gini_is_the_mean_difference_over_twice_the_mean(counts):
    differences = [abs(one - other) for one in counts for other in counts]
    wanted = sum(differences) / len(differences) / (2 * sum(counts) / len(counts))
    assert of(*counts) == pytest.approx(wanted)


@when(COUNTS, st.randoms())
def test_gini_depends_neither_on_the_order_nor_on_the_scale(counts, random):
    moved = random.sample(counts, len(counts))
    assert of(*(7 * count for count in moved)) == pytest.approx(of(*counts))


def test_exposure_counts_every_listing_and_every_opening_over_the_whole_corpus(wheel):
    collect = wheel.folder / "round-1" / "collect"
    shown, opened = Counter(), Counter()
    for trajectory in read_trajectories(collect):
        for call in trajectory.calls():
            shown.update(hit.docid for hit in call.hits or [])
            opened.update([call.docid] if call.docid else [])
    found = exposure([collect], 1000)
    assert (found.documents, found.shown, found.opened) == (1000, len(shown), len(opened))
    rest = [0] * (1000 - len(shown))
    assert found.shown_gini == pytest.approx(of(*shown.values(), *rest))
    assert found.opened_gini == pytest.approx(of(*opened.values(), *[0] * (1000 - len(opened))))
    with pytest.raises(InputError, match=r"holds no trajectories\.jsonl"):
        exposure([collect.parent], 1000)


def given(tasks=TASKS, shares=None, seed=1):
    return share_tasks(tasks, {"bm25": 0.2, "hybrid": 0.1} if shares is None else shares, "round-1", seed)


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
    # who gets no task is left out
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
    assert len(list(replayed(files, 1.0, seed=0))) == 1000
    assert not list(replayed(files, 0.0, seed=0))


HALF = Figures(success=0.5, evidence_recall=0.75, steps=6.0)


def a_round(number, **fields):
    exposure = Exposure(documents=100, shown=25, opened=9, shown_gini=0.812, opened_gini=None)
    usual = {"in_use": "base", "tasks": {"base": 4}, "mined": 120, "replayed": 0, "trained_from": "base", "gate": None}
    return Round(number=number, collected=HALF, exposure=exposure, **{**usual, "accepted": True, **fields})


@pytest.fixture
def rounds():
    refused = Decision(
        rule="mean", against="round-1", tasks=40, success=0.25, evidence_recall=0.5, accepted=False,
        success_difference=Estimate(value=-0.25, low=-0.4, high=-0.1), recall_difference=Estimate(value=-0.25),
    )  # fmt: skip
    guard = Guarded(data_set="scifact", base=0.645, trained=0.601)
    second = a_round(2, gate=refused, accepted=False, replayed=36, guard=guard, evaluated={"test-k5": HALF})
    made = [a_round(1, evaluated={"test-k5": HALF}), second]
    base = {"test-k5": Figures(success=None, evidence_recall=0.25, steps=None)}
    return Rounds(rounds=made, asked=5, accepted="round-1", base=base, stopped="stopped after round 2")


def printed(rounds):
    console = Console(width=140, record=True)
    console.print(rounds.table().to_terminal())
    return console.export_text()


def test_the_table_shows_what_became_of_each_round(rounds):
    text = printed(rounds)
    assert "2 of 5 rounds, 1 accepted; in use: round-1" in text
    assert "stopped after round 2" in text
    base, first, second = (line.split() for line in text.splitlines() if line.strip()[:4] in ("base", "1   ", "2 re"))
    assert base[-2:] == ["0.645", "–/0/25.0/–"]
    assert first == ["1", "120", "25", "%", "0.812", "–", "–", "–", "50.0/0/75.0/6.0"]
    assert second == [
        *("2", "refused", "120+36", "25", "%", "0.812", "–"),
        *("−25.0", "(−40.0", "to", "−10.0)", "0.601", "50.0/0/75.0/6.0"),
    ]
    # of an ungated round there is no column for a gate
    text = printed(Rounds(rounds=rounds.rounds[:1], asked=1, accepted="round-1", base=rounds.base))
    assert "gate" not in text
    assert "guard" not in text


def test_figures_are_means_over_the_tasks_that_have_them():
    table = {"a": {"success": 1.0, "evidence_recall": None, "steps": 4}, "b": {"success": 0.0, "steps": 8}}
    assert figures_of(table) == Figures(success=0.5, evidence_recall=None, steps=6.0)
