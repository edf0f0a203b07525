import pytest
from rich.console import Console

from lrat_sim.comparison.paired import Estimate
from lrat_sim.study.exposure import Exposure
from lrat_sim.study.gate import Decision
from lrat_sim.study.rounds import Figures, Guarded, Round, Rounds, figures_of

HALF = Figures(success=0.5, evidence_recall=0.75, steps=6.0)


def a_round(number, **fields):
    exposure = Exposure(documents=100, shown=25, opened=9, shown_gini=0.812, opened_gini=None)
    usual = {"in_use": "base", "tasks": {"base": 4}, "mined": 120, "replayed": 0, "trained_from": "base", "gate": None}
    return Round(number=number, collected=HALF, exposure=exposure, **{**usual, "accepted": True, **fields})


@pytest.fixture
def rounds():
    refused = Decision(
        rule="mean",
        against="round-1",
        tasks=40,
        success=0.25,
        evidence_recall=0.5,
        success_difference=Estimate(value=-0.25, low=-0.4, high=-0.1),
        recall_difference=Estimate(value=-0.25),
        accepted=False,
    )
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


def test_the_table_of_an_ungated_round_has_no_column_for_a_gate(rounds):
    text = printed(Rounds(rounds=rounds.rounds[:1], asked=1, accepted="round-1", base=rounds.base))
    assert "gate" not in text
    assert "guard" not in text


def test_figures_are_means_over_the_tasks_that_have_them():
    table = {"a": {"success": 1.0, "evidence_recall": None, "steps": 4}, "b": {"success": 0.0, "steps": 8}}
    assert figures_of(table) == Figures(success=0.5, evidence_recall=None, steps=6.0)
