from __future__ import annotations

import json
from pathlib import Path

from lrat_sim.formats import About, Entry, format_named, read_any, recognise
from lrat_sim.formats.lrat import entry_of, record_of

SCORED = [{"docid": "12", "score": 7.5, "snippet": "a"}, {"docid": 9, "score": 7, "snippet": "b"}]


def recorded() -> dict:
    """A run as an agent of BrowseComp-Plus that uses the Responses API leaves it."""

    def step(kind, output, tool=None, arguments=None):
        return {"type": kind, "tool_name": tool, "arguments": arguments, "output": output}

    return {
        "metadata": {"model": "some/model", "reasoning": {"effort": "high"}, "output_dir": "runs"},
        "query_id": "769",
        "tool_call_counts": {"search": 1, "get_document": 1},
        "status": "completed",
        "retrieved_docids": ["12", "9"],
        "result": [
            step("reasoning", ["first part", "second part"]),
            step("tool_call", json.dumps(SCORED, indent=2), "local_knowledge_base_retrieval", '{"user_query":"x"}'),
            step("reasoning", []),
            step("tool_call", json.dumps({"docid": "9", "text": "long"}), "get_document", '{"docid":"9"}'),
            step("output_text", "Exact Answer: Ann"),
        ],
    }


def test_a_recorded_run_is_read_with_scores_and_written_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "run_1.json").write_text(json.dumps(recorded()))
    assert recognise(tmp_path).name == "browsecomp-plus"
    (entry,) = read_any(tmp_path)
    searched, opened = (turn.calls[0] for turn in entry.trajectory.turns[:2])
    assert [(hit.docid, hit.score, hit.rank) for hit in searched.hits or ()] == [("12", 7.5, 1), ("9", 7.0, 2)]
    assert searched.executed == {"user_query": "x"}
    assert opened.docid == "9"
    assert entry.trajectory.turns[0].reasoning == "first part\nsecond part"
    assert entry.trajectory.turns[1].reasoning == ""
    assert entry.trajectory.answer == "Ann"
    assert record_of(entry, asked=False) == recorded()
    # what an LRAT record needs beside it, the question, is not in the format
    assert entry_of(record_of(entry, asked=False), tmp_path, asked=False) == entry


def test_what_the_evaluation_scripts_read_is_there(entries: list[Entry], tmp_path: Path) -> None:
    write = format_named("browsecomp-plus").write
    assert write
    assert write(iter(entries), tmp_path / "out", About()) == 4
    files = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("run_*.json")}
    assert len(files) == 4
    done = files["run_t1.json"]
    assert (done["query_id"], done["status"], done["metadata"]["model"]) == ("t1", "completed", "x/y")
    assert done["result"][-1]["type"] == "output_text"
    assert "blue" in done["result"][-1]["output"]
    assert done["retrieved_docids"] == ["d1", "d2"]
    assert done["tool_call_counts"] == {"search": 2, "get_document": 1}
    assert "query" not in done
    assert "answer" not in done
    assert [files[name]["status"] != "completed" for name in ("run_t1_1.json", "run_t2.json")] == [True, True]


def test_trec_files_hold_what_was_shown_and_the_evidence(entries: list[Entry], tmp_path: Path) -> None:
    trec = format_named("trec")
    assert trec.write
    assert trec.write(iter(entries), tmp_path / "out", About()) == 4
    lines = [line.split() for line in (tmp_path / "out" / "run.trec").read_text().splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines[:2]] == [("t1", "d1", "1"), ("t1", "d2", "2")]
    # a list of its own for each run: no tag has a document twice
    assert len({(line[0], line[2], line[5]) for line in lines}) == len(lines)
    assert (tmp_path / "out" / "qrels.trec").read_text().splitlines() == ["t1 0 d2 1", "t3 0 d2 1", "t2 0 d2 1"]
