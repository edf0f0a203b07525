"""Given verdicts: which browse each is of, and that none is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrat_sim.artifact import read_records
from lrat_sim.cli import build
from lrat_sim.errors import InputError, RecordError
from lrat_sim.formats import Entry, convert
from lrat_sim.formats.verdicts import add_verdicts
from lrat_sim.records import Call, Turn, Verdict

RunFolder = Callable[..., Path]


def browse(docid):
    call = Call(
        id="c", tool="visit", arguments={"docid": docid or "gone"}, docid=docid, error=None if docid else "gone"
    )
    return Turn(reasoning="hm", reasoning_tokens=1, calls=[call])


@pytest.fixture
def run(make, run_folder):
    """t1: two documents opened and between them a call that failed; t2: two samples; both without verdicts."""
    opened = [browse("d1"), browse(None), browse("d2")]
    made = [make("t1", turns=opened), make("t2", turns=opened[:1]), make("t2", 1, turns=opened[:1])]
    return run_folder("run", [Entry(trajectory=entry.trajectory, task=entry.task) for entry in made])


def ours(turn, state="relevant", name="t1.0.cafe", **more):
    return {"trajectory_id": name, "turn": turn, "call": 0, "state": state, **more}


def of_task(name, *verdicts):
    return {"query_id": name, "browse_verdicts": list(verdicts)}


@pytest.mark.parametrize(
    ("records", "states", "unfitting"),
    [
        ([ours(0), ours(2, "irrelevant", judge="p", reason="r")], {0: "relevant", 2: "irrelevant"}, 0),
        ([ours(0), ours(0, "unjudged")], {0: "unjudged"}, 0),  # the later one counts
        ([ours(0), ours(1), ours(7), ours(0, name="of another")], {0: "relevant"}, 3),
        ([of_task("t1", True, False)], {0: "relevant", 2: "irrelevant"}, 0),
        ([of_task("t1", True, True, None)], {0: "relevant", 2: "unjudged"}, 1),
        ([{"trajectories": [of_task("t1", False, True)]}], {0: "irrelevant", 2: "relevant"}, 0),
        ([ours(0), of_task("t1", True)], {0: "relevant"}, 1),  # too few: of which browse?
        ([ours(0), of_task("t2", True)], {0: "relevant"}, 1),  # of two samples
        ([ours(0), of_task("t9", True, True)], {0: "relevant"}, 2),
    ],
)
def test_a_verdict_counts_where_it_is_certain_which_browse_it_is_of(records, states, unfitting, run, tmp_path):
    file = tmp_path / "given.json"
    file.write_text(json.dumps(records), encoding="utf-8-sig")
    given = add_verdicts(file, [run])
    assert (given.fitting, given.unfitting, given.missing) == (len(states), unfitting, 4 - len(states))
    stored = list(read_records(run / "verdicts.jsonl", Verdict))
    assert {verdict.turn: verdict.state for verdict in stored} == states
    assert {verdict.judge for verdict in stored} == {given.judge}
    assert add_verdicts(file, [run]) == given  # and adds nothing
    assert list(read_records(run / "verdicts.jsonl", Verdict)) == stored


def test_a_sample_or_an_id_says_which_run_a_list_is_of(run, tmp_path):
    lines = [{"query_id": "t2", "sample": 1, "browse_verdicts": [True]}, {"trajectory_id": "t2.0.cafe"}]
    lines[1]["browse_verdicts"] = [False]
    (tmp_path / "given.jsonl").write_text("\n".join(map(json.dumps, lines)))
    add_verdicts(tmp_path / "given.jsonl", [run])
    stored = read_records(run / "verdicts.jsonl", Verdict)
    assert {verdict.trajectory_id: verdict.state for verdict in stored} == {
        "t2.1.cafe": "relevant",
        "t2.0.cafe": "irrelevant",
    }


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (ours(0, "useful"), "state"),
        (ours("0"), "turn"),
        (of_task("t1", True, 1), "verdict 2 of `browse_verdicts` is 1"),
        ({"query_id": "t1", "browse_verdicts": True}, "neither a verdict"),
        ([5], "neither a verdict"),
    ],
)
def test_what_is_no_verdict_is_refused_and_nothing_is_written(record, problem, run, tmp_path):
    (tmp_path / "given.json").write_text(json.dumps([ours(0), record]))
    with pytest.raises(RecordError, match=problem):
        add_verdicts(tmp_path / "given.json", [run])
    assert not (run / "verdicts.jsonl").exists()


def test_verdicts_of_other_runs_are_refused(run, tmp_path):
    (tmp_path / "given.jsonl").write_text(json.dumps(ours(0, name="elsewhere")))
    with pytest.raises(InputError, match="none of its 1 verdicts fits a browse"):
        add_verdicts(tmp_path / "given.jsonl", [run])


def test_published_pairs_are_mined_from_the_published_verdicts(published, tmp_path):
    convert(published, tmp_path / "run", to="run")
    options = ["--recipe", "mine-release", "--verdicts", str(published / "mined-pairs.release.json")]
    done = CliRunner().invoke(build(), ["mine", str(tmp_path / "run"), *options])
    assert "18 browses have one; 0 have none" in done.output
    report = json.loads((tmp_path / "run" / "mining.json").read_text())
    assert (report["pairs"], report["flagged"], report["beta"]) == (18, 8, 132.5)
    assert report["judge"].startswith("given:")
