import csv

import numpy as np
import pytest

from lrat_sim.artifact import write_json, write_records
from lrat_sim.comparison import compare, save
from lrat_sim.comparison.paired import Estimate
from lrat_sim.mining.weights import Weighting
from lrat_sim.records import Pair, Provenance
from lrat_sim.study.record import STUDY, Cell, StudyRecord, Trained
from lrat_sim.study.rounds import Decision, Exposure, Figures, Guarded, Round, Rounds, arm_figures

TASKS = [f"task-{number}" for number in range(8)]


def records(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def record(folder, kind, where, comparison, trained=None, **fields):
    cell = Cell(
        agent="simulated", task_set="world", split="test", k=5, seeds=[0], tasks=comparison.tasks_asked, arms=[],
        base=comparison.base, folder=where, identity="i", answer=comparison.answer, trained=trained or {},
    )  # fmt: skip
    write_json(folder / STUDY, StudyRecord(kind=kind, cells=[cell], **fields))


@pytest.fixture
def flywheel(tables, tmp_path):
    """Three rounds, of which the gate refused the second."""
    arms = tables(("base", "round-1", "trained", "bm25"), TASKS)
    found = compare(arms, "base", None, TASKS)
    save(found, tmp_path / "evaluate" / "test-k5" / "comparison.json")

    def made(number, in_use, accepted, arm):
        gate = Decision(
            rule="mean", against=in_use, tasks=4, success=0.5, evidence_recall=0.5, accepted=accepted,
            success_difference=Estimate(value=0.25 if accepted else -0.5, low=-0.75, high=0.75),
            recall_difference=Estimate(value=None),
        )  # fmt: skip
        return Round(
            number=number, in_use=in_use, tasks={in_use: 5}, mined=7, replayed=0, trained_from="base", gate=gate,
            collected=Figures(success=0.5, evidence_recall=0.5, steps=4.0), accepted=accepted,
            exposure=Exposure(documents=10, shown=5, opened=2, shown_gini=0.625, opened_gini=None),
            guard=Guarded(data_set="general", base=0.645, trained=0.5),
            evaluated={"test-k5": arm_figures(found, arm)},
        )  # fmt: skip

    told = (("base", True, "round-1"), ("round-1", False, "round-1"), ("round-1", True, "trained"))
    rounds = [made(number, *round_) for number, round_ in enumerate(told, start=1)]
    base = {"test-k5": arm_figures(found, "base")}
    made = Rounds(rounds=rounds, asked=4, accepted="round-3", base=base, stopped="stopped early")
    record(tmp_path, "flywheel", "evaluate/test-k5", found, rounds=made)
    return tmp_path


def test_refused_round_goes_on_with_the_model_before(flywheel, page, words, tmp_path):
    text, files = page(flywheel, tmp_path / "out")
    points = [record for record in records(files / "success-by-round.csv") if record["round"]]
    assert [point["arm"] for point in points] == ["base", "round-1", "round-1", "trained"]
    assert [float(point["success"]) for point in points] == [0.0, 0.125, 0.125, 0.25]
    assert "refused" in words(files / "success-by-round.svg")
    assert "2, refused" in text
    assert "3 of 4 rounds, 2 accepted; in use at the end: round-3." in text
    assert "stopped early" in text


def test_gate_and_forgetting_are_shown(flywheel, page, tmp_path):
    text, files = page(flywheel, tmp_path / "out")
    assert "The gate and what was forgotten" in text
    (_, refused, _) = records(files / "gate.csv")
    assert (refused["accepted"], refused["success_difference"], refused["guard_trained"]) == ("False", "-0.5", "0.5")
    assert "−50.0" in text
    assert "0.645" in text


def test_flywheel_without_account_or_evaluation_is_reported(page, tmp_path):
    """The weights then come from the pairs themselves; rejected ones have none."""
    weights = Weighting(raw=np.array([0.2, 0.5, 0.8, 0.5]), beta=1.0).weights
    pairs = [
        Pair(
            query="q", positive="d", negatives=[], weight=float(weight), raw_weight=0.5, length=1,
            provenance=Provenance(task="t", trajectory="r", turn=0, rank=1, rule="browsed"), satisfied=number < 3,
        )
        for number, weight in enumerate(weights)
    ]  # fmt: skip
    write_records(tmp_path / "round-1" / "pairs.jsonl", pairs)
    write_json(tmp_path / STUDY, StudyRecord(kind="flywheel"))
    text, files = page(tmp_path, tmp_path / "out")
    assert sum(int(record["pairs"]) for record in records(files / "weights.csv")) == 3
    assert "A retriever improved in rounds" in text


def test_sweep_shows_success_against_the_pairs(tables, page, tmp_path):
    found = compare(tables(("base", "100-pairs", "400-pairs"), TASKS), "base", None, TASKS)
    save(found, tmp_path / "comparison.json")
    trained = {
        f"{size}-pairs": Trained(pairs=[size + 4, size + 8], tasks=[9, 11], seconds=[1.0, 1.0]) for size in (400, 100)
    }
    record(tmp_path, "sweep", ".", found, trained, command="lrat-sim sweep", settings={"split": "test"})
    text, files = page(tmp_path, tmp_path / "out")
    curve = records(files / "success-by-pairs.csv")
    assert [(float(row["pairs"]), float(row["success"])) for row in curve] == [(106.0, 0.125), (406.0, 0.25)]
    assert "lrat-sim sweep" in text
    assert "Success against the pairs trained on" in text.partition("</header>")[0]
