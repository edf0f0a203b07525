from __future__ import annotations

import json

import pytest

from lrat_sim.behaviour.judge_report import judge_report
from lrat_sim.errors import InputError


def write(folder, verdicts):
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
    write(tmp_path, [True, True])
    table = judge_report(tmp_path)
    assert [row.cells[1:4] for row in table.rows] == [["a", "relevant", "irrelevant"], ["b", "relevant", "unjudged"]]


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    write(tmp_path, [True])
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
