from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from lrat_sim.artifact import read_records, write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.run import grade_run, judge_run
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.run import mine_run
from lrat_sim.records import Pair, Task
from lrat_sim.rollout.index import record_asked


@pytest.fixture
def folder(tmp_path, make):
    turns = (
        make.turn(make.search("who founded it", ["a", "b", "c"])),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="This page is about a different club.", tokens=8),
        make.turn(reasoning="The document says Ada founded it.", tokens=7),
    )
    write_records(tmp_path / "trajectories.jsonl", [make.run(*turns, id="r1"), make.run(*turns, id="r2", task="q2")])
    return tmp_path


def test_run_folder_is_judged_and_mined_into_pairs_and_a_report(folder):
    judge_run(folder)
    report = mine_run(folder, MiningRecipe())
    pairs = list(read_records(folder / "pairs.jsonl", Pair))
    assert [(p.positive, [n.docid for n in p.negatives], p.provenance.trajectory) for p in pairs] == [
        ("b", ["c"], "r1"),
        ("b", ["c"], "r2"),
    ]
    assert json.loads((folder / "mining.json").read_text())["browses"] == {"kept": 2, "irrelevant": 2}
    console = Console(record=True, width=120, quiet=False, file=io.StringIO())
    console.print(report)
    shown = console.export_text()
    assert "2 pairs from 2 of 2 runs" in shown
    assert "the judge called the document irrelevant" in shown


def test_mining_unjudged_runs_says_what_to_do(folder):
    with pytest.raises(InputError, match="has no verdicts"):
        mine_run(folder, MiningRecipe())
    mine_run(folder, MiningRecipe(positives="browsed", weight="none"))


def test_a_plot_that_is_not_of_a_mining_is_left_alone(folder):
    judge_run(folder)
    (folder / "mining.svg").write_text("mine")
    with pytest.raises(InputError, match=r"mining\.svg but no mining\.json"):
        mine_run(folder, MiningRecipe(), plot=True)
    assert (folder / "mining.svg").read_text() == "mine"
    assert not (folder / "pairs.jsonl").exists()


def test_correct_runs_need_grades(folder):
    judge_run(folder)
    with pytest.raises(InputError, match="has no grades"):
        mine_run(folder, MiningRecipe(runs="correct"))
    record_asked(folder, [Task(id="q1", question="?", answers=["x"]), Task(id="q2", question="?", answers=["y"])])
    grade_run(folder)
    assert mine_run(folder, MiningRecipe(runs="correct")).pairs == 1


def test_several_run_folders_are_mined_together(folder, tmp_path, make):
    other = tmp_path / "other"
    turns = (make.turn(make.search("q", ["z"])), make.turn(make.browse("z")), make.turn(reasoning="Good.", tokens=2))
    write_records(other / "trajectories.jsonl", [make.run(*turns, id="r3")])
    for run in (folder, other):
        judge_run(run)
    report = mine_run([folder, other], MiningRecipe(), tmp_path / "together")
    assert (report.pairs, report.beta) == (3, 7)
    assert len(list(read_records(tmp_path / "together" / "pairs.jsonl", Pair))) == 3
