"""Mining of run folders in one pass: verdicts of the rules, processes, and beginning again."""

from __future__ import annotations

import msgspec
import pytest

from lrat_sim.artifact import read_records, write_records
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.relevance import RuleJudge, browses
from lrat_sim.grading.run import judge_run
from lrat_sim.mining import shards
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.run import mine_run
from lrat_sim.mining.runs import browse_at, places, read_runs, run_of
from lrat_sim.records import Pair, Verdict, encode

AFTER = [
    "The document says Ada founded it.",
    "This page is about a different club.",
    "It does not mention the founder, but it gives the year.",
    "Это о другом человеке.",
    "",
    None,
]


@pytest.fixture
def folder(tmp_path, make):
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


def files(folder):
    return (folder / "pairs.jsonl").read_bytes(), sorted((folder / "verdicts.jsonl").read_bytes().splitlines())


def test_rules_judge_in_the_same_pass_as_they_do_apart(folder, tmp_path):
    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "trajectories.jsonl").write_bytes((folder / "trajectories.jsonl").read_bytes())
    judge_run(apart)
    mine_run(apart, MiningRecipe())
    report = mine_run(folder, MiningRecipe(), judge=RuleJudge())
    assert files(folder) == files(apart)
    assert report.pairs > 200
    assert {"irrelevant", "unjudged", "no_reasoning", "kept"} <= report.browses.keys()
    assert report.left_out == {"error": 10}
    assert report.judge == RuleJudge().name


def test_judging_rules_write_nothing_twice(folder):
    mine_run(folder, MiningRecipe(), judge=RuleJudge())
    before = files(folder)
    mine_run(folder, MiningRecipe(), judge=RuleJudge())
    assert files(folder) == before
    assert judge_run(folder) == 0


def test_several_processes_give_the_same_files(folder, tmp_path):
    recipe = load_recipe("mine-recommended", {"weight": "length_within_agent"})
    one = mine_run(folder, recipe, judge=RuleJudge())
    expected = files(folder)
    (folder / "verdicts.jsonl").unlink()
    two = mine_run(folder, recipe, judge=RuleJudge(), processes=2)
    assert files(folder) == expected
    assert two == one


def test_mining_that_was_killed_begins_where_it_was(folder, monkeypatch):
    monkeypatch.setattr(shards, "_RUNS", 16)
    mine_run(folder, MiningRecipe(), judge=RuleJudge())
    expected = files(folder)
    (folder / "verdicts.jsonl").unlink()

    class KilledError(Exception):
        pass

    def kill(done, total, what):
        if done >= 64:
            raise KilledError

    with pytest.raises(KilledError):
        mine_run(folder, MiningRecipe(), judge=RuleJudge(), progress=kill)
    stored = list(read_records(folder / "verdicts.jsonl", Verdict))
    assert 0 < len(stored) < len(expected[1])
    assert (folder / "pairs.jsonl").read_bytes() == expected[0], "the pairs of before stay"

    made = []
    real = shards.judge_rest
    monkeypatch.setattr(shards, "judge_rest", lambda *given: made.append(found := real(*given)) or found)
    mine_run(folder, MiningRecipe(), judge=RuleJudge())
    assert files(folder) == expected
    assert sum(map(len, made)) == len(expected[1]) - len(stored)


def test_a_judge_that_is_given_judges_first_and_its_verdicts_alone_count(folder, make):
    class Stern:
        name = "stern"

        async def opinion(self, reasoning):
            from lrat_sim.grading.relevance import Opinion

            return Opinion(state="relevant" if "confirms" in reasoning else "irrelevant")

    mine_run(folder, MiningRecipe(), judge=RuleJudge())
    report = mine_run(folder, MiningRecipe(), judge=Stern())
    assert {pair.positive for pair in read_records(folder / "pairs.jsonl", Pair)} == {"c"}
    assert report.judge == "stern"
    assert mine_run(folder, MiningRecipe(), judge=RuleJudge().name).browses["kept"] > report.browses["kept"]


def test_runs_are_read_as_recorded_by_task_and_the_last_of_an_id(folder):
    located = places([folder])
    runs = list(read_runs(place for _, place in located))
    assert len(runs) == 200
    assert [run.task_id for run in runs] == sorted(run.task_id for run in runs)
    assert all(run.turns for run in runs)


def test_lean_run_has_what_the_trajectory_has(make):
    trajectory = make.run(
        make.turn(make.search("q", ["a"]), make.browse("z"), reasoning="before", tokens=4),
        make.turn(make.browse("a"), reasoning=" ", tokens=9),
        make.turn(make.browse("b"), reasoning="words", tokens=2),
    )
    run = run_of(trajectory)
    found = [
        browse_at(run, number, index, call.docid)
        for number, turn in enumerate(run.turns)
        for index, call in enumerate(turn.calls)
        if call.docid is not None
    ]
    assert found == list(browses(trajectory))
    assert [browse.length for browse in found] == [0, 2, 0]


def test_record_of_an_older_version_is_mined_too(tmp_path, make):
    turns = (
        make.turn(make.search("q", ["a", "b"])),
        make.turn(make.browse("a")),
        make.turn(reasoning="Good.", tokens=2),
    )
    record = msgspec.json.decode(encode(make.run(*turns)))
    del record["schema_version"]
    record |= {"status": "completed"}
    (tmp_path / "trajectories.jsonl").write_bytes(msgspec.json.encode(record) + b"\n")
    assert mine_run(tmp_path, MiningRecipe(), judge=RuleJudge()).pairs == 1


def test_line_that_is_no_trajectory_is_named(folder):
    with (folder / "trajectories.jsonl").open("ab") as stream:
        stream.write(b'{"id": "x", "task_id": "q", "sample": 0, "schema_version": 1, "turns": 3}\n')
    with pytest.raises(RecordError, match=r"line 202: not a trajectory"):
        mine_run(folder, MiningRecipe(), judge=RuleJudge())


def test_one_trajectory_in_two_folders_is_refused(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "trajectories.jsonl").write_bytes((folder / "trajectories.jsonl").read_bytes())
    with pytest.raises(InputError, match="both hold the trajectory 'r"):
        mine_run([folder, other], MiningRecipe(), judge=RuleJudge())


def test_processes_below_one_are_refused(folder):
    with pytest.raises(InputError, match="processes is 0"):
        mine_run(folder, MiningRecipe(), judge=RuleJudge(), processes=0)


def test_folder_without_trajectories_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no trajectories.jsonl"):
        mine_run(tmp_path, MiningRecipe(), judge=RuleJudge())
    assert not (tmp_path / "verdicts.jsonl").exists()
