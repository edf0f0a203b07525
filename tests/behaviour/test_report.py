"""From runs to tables, plots and files, by the command line too."""

from __future__ import annotations

import csv
import io
import json
import re

import msgspec
import pytest
from rich.console import Console

from lrat_sim.behaviour import behaviour
from lrat_sim.behaviour.judge_report import judge_report
from lrat_sim.behaviour.report import JSON, MEASURES_CSV, TARGETS_CSV, Behaviour, verdict
from lrat_sim.errors import InputError


@pytest.fixture
def runs(entry, write_run):
    def some(retriever):
        return [
            entry(
                f"t{task}",
                "abc abd =a abe =e =b" if task % 3 else "abc =c =a",
                outcome="incorrect" if task % 3 else "correct",
                evidence="ab",
                lengths=[40 + task, 60, 30],
                retriever={"kind": retriever},
            )
            for task in range(6)
        ]

    return [write_run("bm25", some("bm25")), write_run("dense", some("dense"))]


def test_files_hold_every_measure_and_every_target(runs, tmp_path):
    found = behaviour(runs, out=tmp_path / "out", resamples=100)
    rows = list(csv.DictReader((tmp_path / "out" / MEASURES_CSV).open()))
    assert {row["group"] for row in rows} == {"bm25", "dense"}
    assert len(rows) == sum(len(group.measures) for group in found.groups)
    (searches,) = [row for row in rows if (row["group"], row["measure"]) == ("dense", "searches.incorrect")]
    assert (float(searches["value"]), searches["n"]) == (3.0, "4")
    targets = list(csv.DictReader((tmp_path / "out" / TARGETS_CSV).open()))
    assert {row["state"] for row in targets} >= {"met", "missed", "not comparable"}
    again = msgspec.json.decode((tmp_path / "out" / JSON).read_bytes(), type=Behaviour)
    assert again.groups[0].measures["searches.incorrect"].value == 3.0


def test_plots_are_reproducible_and_mark_groups_and_targets(runs, tmp_path):
    for name in ("one", "two"):
        behaviour(runs, out=tmp_path / name, resamples=50)
    for figure in ("figure-4.svg", "judge.svg"):
        drawn = (tmp_path / "one" / figure).read_text()
        assert drawn == (tmp_path / "two" / figure).read_text()
        assert all(f">{name}" in drawn for name in ("bm25", "dense", "target"))
        assert drawn.count("<path") > 20


def test_a_group_without_browses_is_drawn_too(entry, write_run, tmp_path):
    found = behaviour([write_run("bare", [entry("t1", "abc"), entry("t2", "abd")])], out=tmp_path / "out")
    assert (tmp_path / "out" / "judge.svg").is_file()
    assert "unknown" in {gap.state for gap in found.groups[0].gaps}


def test_what_is_missed_is_printed_as_missed(runs):
    found = behaviour(runs[:1], resamples=50)
    missed = [gap.target.measure for gap in found.missed() if gap.target.held]
    assert "length.correct" in missed
    assert "length.correct" in verdict(found)
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(found)
    shown = console.export_text()
    assert re.search(r"length\.correct\*.*149 ± 20%.*missed", shown)
    assert re.search(r"rank_top3\*.*not comparable: the lists were not shuffled", shown)
    assert re.search(r"browsecomp +BrowseComp-Plus.*Qwen3-Embedding-0\.6B +10 +64", shown)


def test_without_targets_nothing_is_held_against_the_runs(runs):
    assert all(not group.gaps for group in behaviour(runs, targets=None, resamples=50).groups)


def test_imported_trajectories_are_measured_in_their_own_format(data):
    found = behaviour([data / "lrat-trajectories"], resamples=50)
    (group,) = found.groups
    assert (group.runs, group.setting.retriever) == (6, "bm25")
    assert group.measures["searches.all"].value == pytest.approx(87 / 6)
    assert group.measures["success"].value is None  # they came without grades, and nothing is guessed


def test_the_command_prints_the_targets_and_the_order(runs, tmp_path, command):
    out, _ = command("behaviour", *runs, "--order", "--out", tmp_path / "out")
    assert "Kendall's tau" in out
    assert "missed" in out
    assert (tmp_path / "out" / "figure-4.svg").is_file()


def test_the_command_refuses_what_it_cannot_use_in_a_sentence(runs, command):
    for arguments, named in (
        (["nowhere"], "nowhere"),
        ([runs[0], "--targets", "moon"], "moon"),
        ([*runs, "--order", "--by", "agent"], "--order"),
    ):
        _, err = command("behaviour", *arguments, code=2)
        assert named in err
        assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", [MEASURES_CSV, "figure-4.svg", "judge.svg"])
def test_a_file_that_is_no_output_of_it_is_left_alone(runs, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=name):
        behaviour(runs, out=tmp_path, resamples=50)
    assert (tmp_path / name).read_text() == "mine"


def publish(folder, verdicts):
    def step(kind, output, tool=None, **arguments):
        return {"type": kind, "tool_name": tool, "arguments": json.dumps(arguments), "output": output}

    steps = [
        step("reasoning", "plan"),
        step("tool_call", "...", "search", query=["q"]),
        step("tool_call", "Document a:\ntext", "visit", docid="a"),
        step("reasoning", "This page is about another man."),
        step("tool_call", "Document b:\ntext", "get_document", docid="b"),
        step("output_text", "done"),
    ]
    (folder / "7.json").write_text(json.dumps({"query_id": "7", "query": "who?", "result": steps}))
    given = {"trajectories": [{"query_id": "7", "browse_verdicts": verdicts, "pairs": []}]}
    (folder / "mined-pairs.release.json").write_text(json.dumps(given))


def test_rules_stand_beside_the_given_verdicts(tmp_path):
    publish(tmp_path, [True, True])
    table = judge_report(tmp_path)
    assert [row.cells[1:4] for row in table.rows] == [["a", "relevant", "irrelevant"], ["b", "relevant", "unjudged"]]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    publish(tmp_path, [True])
    with pytest.raises(InputError, match="2 browses of run 7"):
        judge_report(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        judge_report(tmp_path / "absent")


def test_real_runs_are_shown_browse_by_browse(data):
    table = judge_report(data / "lrat-trajectories")
    # read by a person: these say in so many words that the document is of no use, or that it is
    states = {row.cells[0]: row.cells[3] for row in table.rows}
    assert states["4.1"] == "irrelevant"
    assert all(states[browse] == "relevant" for browse in ("4.0", "5.0", "5.2", "10.3"))
    assert len(table.rows) == 18
    assert "of 18 browses" in table.notes[0]
