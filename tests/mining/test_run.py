"""Mining of run folders in one pass: verdicts of the rules, processes, and beginning again."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest

from lrat_sim.artifact import read_records, write_records
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.relevance import Opinion, RuleJudge
from lrat_sim.grading.run import grade_run, judge_run
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.run import mine_run
from lrat_sim.records import Pair, Task, Verdict
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
    shown = report.table().to_markdown()
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


AFTER = [
    "The document says Ada founded it.",
    "This page is about a different club.",
    "It does not mention the founder, but it gives the year.",
    "Это о другом человеке.",
    "",
    None,
]


@pytest.fixture
def many(tmp_path, make):
    """Two hundred runs on fifty questions, written in no order; some broke, one was run again."""
    runs = []
    for number in range(200):
        said = AFTER[number % len(AFTER)]
        turns = (
            make.turn(make.search(f"q{number % 50}", ["a", "b", "c", f"d{number}"]), reasoning="plan"),
            make.turn(make.browse("a"), make.browse("b")),
            make.turn(make.browse(f"d{number}"), reasoning=said, tokens=number % 17),
            make.turn(make.search("second", ["c", "e"]), reasoning=AFTER[(number + 1) % 6], tokens=3),
            make.turn(make.browse("c")),
            make.turn(reasoning="The article confirms it.", tokens=5 + number % 3),
        )
        status = "error" if number % 20 == 7 else "answered"
        runs.append(make.run(*turns, id=f"r{number:03}", task=f"q{number % 50:02}", status=status))
    runs = runs[::3] + runs[1::3] + runs[2::3]
    early = msgspec.structs.replace(runs[5], turns=[], status="error")
    write_records(tmp_path / "run" / "trajectories.jsonl", [early, *runs])
    return tmp_path / "run"


def files(many):
    return (many / "pairs.jsonl").read_bytes(), sorted((many / "verdicts.jsonl").read_bytes().splitlines())


def test_rules_judge_in_the_same_pass_as_they_do_apart(many, tmp_path):
    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "trajectories.jsonl").write_bytes((many / "trajectories.jsonl").read_bytes())
    judge_run(apart)
    mine_run(apart, MiningRecipe())
    report = mine_run(many, MiningRecipe(), judge=RuleJudge())
    assert files(many) == files(apart)
    assert report.pairs > 200
    assert {"irrelevant", "unjudged", "no_reasoning", "kept"} <= report.browses.keys()
    assert report.left_out == {"error": 10}
    assert report.judge == RuleJudge().name
    tasks = [pair.provenance.task for pair in read_records(many / "pairs.jsonl", Pair)]
    assert tasks == sorted(tasks), "in an order that does not depend on that of the file"


def test_several_processes_give_the_same_files(many, tmp_path):
    recipe = load_recipe("mine-recommended", {"weight": "length_within_agent"})
    one = mine_run(many, recipe, judge=RuleJudge())
    expected = files(many)
    (many / "verdicts.jsonl").unlink()
    two = mine_run(many, recipe, judge=RuleJudge(), processes=2)
    assert files(many) == expected
    assert two == one


def test_mining_that_was_killed_begins_where_it_was(many, monkeypatch):
    monkeypatch.setattr("lrat_sim.mining.run._RUNS", 16)
    mine_run(many, MiningRecipe(), judge=RuleJudge())
    expected = files(many)
    (many / "verdicts.jsonl").unlink()

    class KilledError(Exception):
        pass

    def kill(done, total, what):
        if done >= 64:
            raise KilledError

    with pytest.raises(KilledError):
        mine_run(many, MiningRecipe(), judge=RuleJudge(), progress=kill)
    stored = list(read_records(many / "verdicts.jsonl", Verdict))
    assert 0 < len(stored) < len(expected[1])
    assert (many / "pairs.jsonl").read_bytes() == expected[0], "the pairs of before stay"

    for _ in range(2):
        mine_run(many, MiningRecipe(), judge=RuleJudge())
        assert files(many) == expected, "no verdict is made twice"
    assert judge_run(many) == 0


def test_a_judge_that_is_given_judges_first_and_its_verdicts_alone_count(many, make):
    class Stern:
        name = "stern"

        async def opinion(self, reasoning):
            return Opinion(state="relevant" if "confirms" in reasoning else "irrelevant")

    mine_run(many, MiningRecipe(), judge=RuleJudge())
    report = mine_run(many, MiningRecipe(), judge=Stern())
    assert {pair.positive for pair in read_records(many / "pairs.jsonl", Pair)} == {"c"}
    assert report.judge == "stern"
    assert mine_run(many, MiningRecipe(), judge=RuleJudge().name).browses["kept"] > report.browses["kept"]


def test_line_that_is_no_trajectory_is_named(many):
    with (many / "trajectories.jsonl").open("ab") as stream:
        stream.write(b'{"id": "x", "task_id": "q", "sample": 0, "schema_version": 1, "turns": 3}\n')
    with pytest.raises(RecordError, match=r"line 202: not a trajectory"):
        mine_run(many, MiningRecipe(), judge=RuleJudge())


def test_runs_that_cannot_be_mined_are_refused(many, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "trajectories.jsonl").write_bytes((many / "trajectories.jsonl").read_bytes())
    for folders, processes, message in (
        ([many, other], 1, "both hold the trajectory 'r"),
        ([many], 0, "processes is 0"),
        ([tmp_path], 1, r"trajectories.jsonl"),
        ([], 1, "give at least one"),
    ):
        with pytest.raises(InputError, match=message):
            mine_run(folders, MiningRecipe(), judge=RuleJudge(), processes=processes)
    assert not (tmp_path / "verdicts.jsonl").exists()


def test_memory_grows_with_the_pairs_and_not_with_the_texts_of_the_runs(tmp_path, make):
    text = 20_000

    def peak(count):
        path = tmp_path / str(count)
        opened = msgspec.structs.replace(make.browse("a"), output="x" * text)
        turns = (
            make.turn(make.search("founder", ["a", "b", "c"])),
            make.turn(opened),
            make.turn(reasoning="Ada founded it.", tokens=3),
        )
        write_records(path / "trajectories.jsonl", (make.run(*turns, id=f"r{n}", task=f"q{n}") for n in range(count)))
        tracemalloc.start()
        assert mine_run(path, MiningRecipe(), judge=RuleJudge()).pairs == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and compiled counts once
    assert (peak(800) - peak(200)) / 600 < text / 10
