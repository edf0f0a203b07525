from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from lrat_sim.artifact import write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import RuleJudge
from lrat_sim.mining.explain import explain
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.report import draw
from lrat_sim.mining.run import mine_run

RECIPE = load_recipe("mine-paper", {"guards.look_ahead": "true", "guards.deduplicate": "true"})


@pytest.fixture
def folder(tmp_path, make):
    run = make.run(
        make.turn(make.search("who founded [it]", ["a", "b", "c", "d"]), reasoning="We need the founder."),
        make.turn(make.browse("a")),
        make.turn(make.browse("b"), reasoning="This page is about a different club.", tokens=8),
        make.turn(make.search("when", ["e", "d"]), reasoning="The document says Ada founded it.", tokens=7),
        make.turn(make.browse("d")),
        make.turn(reasoning="It confirms 1815.", tokens=5),
    )
    write_records(tmp_path / "run" / "trajectories.jsonl", [run])
    mine_run(tmp_path / "run", RECIPE, judge=RuleJudge(), plot=True)
    return tmp_path / "run"


def shown(*given, **more):
    console = Console(file=io.StringIO(), width=140)
    console.print(explain(*given, **more))
    return console.file.getvalue()


def lines_with(text, *parts):
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_pair_is_explained_by_search_list_browse_verdict_and_weight(folder):
    text = shown(folder, 1)
    assert "We need the founder." in text
    assert "who founded [it]" in text
    assert lines_with(text, " 2  b ", "positive", "rule relevant")
    assert lines_with(text, " 1  a ", "neither", "opened from this list, and irrelevant")
    assert lines_with(text, " 3  c ", "negative 1", "rule unbrowsed", "never opened")
    assert lines_with(text, " 4  d ", "neither", "opened later in the run")
    assert "The document says Ada founded it." in text
    assert lines_with(text, "verdict", "relevant", "says rules:")
    assert lines_with(text, "length", "7 tokens")
    weight = json.loads((folder / "pairs.jsonl").read_text().splitlines()[0])["weight"]
    assert lines_with(text, "weight", f"{weight:.4f} = ")


def test_pairs_moved_elsewhere_are_explained_with_the_runs_given(folder, tmp_path):
    (tmp_path / "moved.jsonl").write_bytes((folder / "pairs.jsonl").read_bytes())
    with pytest.raises(InputError, match="give the run folders that were mined"):
        shown(tmp_path / "moved.jsonl", 2, [])
    assert "It confirms 1815." in shown(tmp_path / "moved.jsonl", 2, [folder])


def test_pair_that_is_not_there_is_named(folder, tmp_path):
    for place in (0, 3):
        with pytest.raises(InputError, match=f"has no pair {place}"):
            explain(folder, place)
    with pytest.raises(InputError, match="does not exist"):
        explain(tmp_path / "nosuch.jsonl", 1)


def test_plot_shows_reasons_and_is_the_same_each_time(folder, tmp_path):
    drawn = (folder / "mining.svg").read_text()
    assert "unlabelled: the judge called the document irrelevant" in drawn
    report = mine_run(folder, RECIPE, judge=RuleJudge())
    draw(report, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
    empty = mine_run(folder, load_recipe("mine-recommended", {"searches": "middle"}), judge="nobody")
    assert empty.pairs == 0
    draw(empty, tmp_path / "empty.svg")
