from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lrat_sim.errors import InputError
from lrat_sim.grading.report import judge_report, published_browses


def write(folder, verdicts):
    def step(kind, output, tool=None, **arguments):
        return {"type": kind, "tool_name": tool, "arguments": json.dumps(arguments), "output": output}

    steps = [
        step("reasoning", "plan"),
        step("tool_call", "...", "search", query=["q"]),
        step("tool_call", "...", "visit", docid="a"),
        step("reasoning", "This page is about another man."),
        step("tool_call", "...", "get_document", docid="b"),
        step("output_text", "done"),
    ]
    (folder / "7.json").write_text(json.dumps({"query_id": "7", "result": steps}))
    given = {"trajectories": [{"query_id": "7", "browse_verdicts": verdicts, "pairs": []}]}
    (folder / "mined-pairs.release.json").write_text(json.dumps(given))


def test_rules_stand_beside_the_given_verdicts(tmp_path):
    write(tmp_path, [True, True])
    found = [(row.docid, row.relevant, row.rules.state) for row in published_browses(tmp_path)]
    assert found == [("a", True, "irrelevant"), ("b", True, "unjudged")]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    write(tmp_path, [True])
    with pytest.raises(InputError, match="2 browses"):
        list(published_browses(tmp_path))
    with pytest.raises(InputError, match="cannot be read"):
        list(published_browses(tmp_path / "absent"))


def test_real_runs_are_shown_browse_by_browse():
    data = os.environ.get("LRAT_SIM_DATA")
    if not data:
        pytest.skip("LRAT_SIM_DATA names no folder with the published runs")
    folder = Path(data) / "lrat-trajectories"
    rows = list(published_browses(folder))
    assert len(rows) == 18
    # read by a person: these say in so many words that the document is of no use, or that it is
    states = {(row.question, row.browse): row.rules.state for row in rows}
    assert states["4", 1] == "irrelevant"
    assert all(states[place] == "relevant" for place in [("4", 0), ("5", 0), ("5", 2), ("10", 3)])
    table = judge_report(folder)
    assert len(table.rows) == 18
    assert "of 18 browses" in table.notes[0]
