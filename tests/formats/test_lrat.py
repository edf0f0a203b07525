from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.errors import RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import About, convert, format_named, read_any, recognise
from lrat_sim.formats.lrat import entry_of, read_runs, record_of, write_runs
from lrat_sim.grading.relevance import browses
from lrat_sim.grading.run import grade_run, judge_run, run_tables
from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.run import load_recipe, mine_run
from lrat_sim.records import Hit
from lrat_sim.text import count_tokens

HERE = SourceRecord(None, Path("here.json"))


def step(kind, output="", tool=None, arguments=None, **more):
    return {"type": kind, "tool_name": tool, "arguments": arguments, "output": output, **more}


def record(*steps, **more):
    return {"query_id": "7", "query": "Who?", "answer": "Ann", "status": "completed", "result": list(steps), **more}


def shown(*docids):
    return f"A search for 'x' found {len(docids)} results:\n\n## Web Results\n" + "\n\n".join(
        f"DocID:{docid}\n[t]\nsnippet" for docid in docids
    )


def test_the_published_trajectories_come_back_byte_for_byte_and_leave_nothing_aside(published, tmp_path):
    entries = list(read_runs(published))
    assert [entry.trajectory.task_id for entry in entries] == ["0", "1", "4", "5", "6", "10"]
    assert all(entry.trajectory.extra == {} for entry in entries)
    assert write_runs(iter(entries), tmp_path / "out", About()) == 6
    for name in ("0", "1", "4", "5", "6", "10"):
        written = (tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8")
        assert written == (published / f"{name}.json").read_text(encoding="utf-8")
    assert list(read_runs(tmp_path / "out")) == entries


def test_the_published_trajectories_are_read_in_full(published):
    for entry in read_runs(published):
        source = json.loads((published / f"{entry.trajectory.task_id}.json").read_text())
        assert entry.task is not None
        assert (entry.task.question, entry.task.answers) == (source["query"], [source["answer"]])
        calls = [call for turn in entry.trajectory.turns for call in turn.calls]
        steps = [each for each in source["result"] if each["type"] == "tool_call"]
        assert [call.tool for call in calls] == [each["tool_name"] for each in steps]
        assert [call.arguments for call in calls] == [json.loads(each["arguments"]) for each in steps]
        assert [call.output for call in calls] == [each["output"] for each in steps]
        searches = [call for call in calls if call.tool == "search"]
        # of the queries asked, the first ran
        assert [call.executed for call in searches] == [{"query": call.arguments["query"][0]} for call in searches]
        assert all(call.hits is not None and len(call.hits) == 10 and call.error is None for call in searches)
        assert {hit.docid for call in searches for hit in call.hits or ()} == set(source["retrieved_docids"])
        opened = [call for call in calls if call.tool != "search"]
        assert [call.docid for call in opened] == [call.arguments["docid"] for call in opened]
        said = [turn.reasoning for turn in entry.trajectory.turns if turn.reasoning is not None]
        assert said == [each["output"] for each in source["result"] if each["type"] == "reasoning"]
        assert [turn.reasoning_tokens for turn in entry.trajectory.turns] == [
            count_tokens(turn.reasoning or "") for turn in entry.trajectory.turns
        ]
        assert entry.trajectory.status == "answered"
        assert entry.trajectory.answer == source["result"][-1]["output"]


def is_browse(step):
    return step["type"] == "tool_call" and step["tool_name"] != "search"


def test_the_reasoning_after_each_published_browse_is_that_of_the_published_miner(published):
    ours = {
        (entry.trajectory.task_id, number): (browse.docid, browse.reasoning)
        for entry in read_runs(published)
        for number, browse in enumerate(browses(entry.trajectory))
    }
    theirs = {}
    for path in published.glob("[0-9]*.json"):
        steps = json.loads(path.read_text())["result"]
        browsed = [(step, after) for step, after in pairwise([*steps, {"type": "end"}]) if is_browse(step)]
        for number, (step, after) in enumerate(browsed):
            reasoning = after["output"] if after["type"] == "reasoning" else None
            theirs[path.stem, number] = (str(json.loads(step["arguments"])["docid"]), reasoning)
    assert ours == theirs
    assert len(ours) == 18


def test_the_queries_of_the_published_pairs_are_those_of_the_imported_searches(published):
    mined = json.loads((published / "mined-pairs.release.json").read_text())
    runs = {entry.trajectory.task_id: entry.trajectory for entry in read_runs(published)}
    for run in mined["trajectories"]:
        found = {
            (episode.searches[-1].query, opened.browse.docid)
            for episode in episodes(runs[run["query_id"]])
            for opened in episode.chain
            if episode.searches
        }
        assert {(pair["query"], pair["pos_id"]) for pair in run["pairs"]} <= found


def test_an_imported_folder_can_be_graded_judged_mined_and_measured(published, tmp_path):
    summary = convert(published, tmp_path / "run", to="run")
    assert (summary.source_format, summary.written) == ("lrat", 6)
    assert grade_run(tmp_path / "run") == 6
    assert judge_run(tmp_path / "run") == 18
    _, metrics = run_tables(tmp_path / "run")
    assert (metrics.tasks, metrics.missing, metrics.answered, metrics.errors) == (6, 0, 6, 0)
    assert metrics.steps == pytest.approx((48 + 2 + 13 + 6 + 24 + 12) / 6)
    assert mine_run(tmp_path / "run", load_recipe("mine-paper")).pairs > 0


def test_what_was_written_directly_after_a_browse_is_the_reasoning_of_the_turn_after_it():
    opened = step("tool_call", "Document 3:\ntext", "visit", '{"docid": "3"}')
    again = step("tool_call", "Document 4:\ntext", "visit", '{"docid": 4}')
    thought = [step("reasoning", text) for text in ("one", "two")]
    after_two = entry_of(record(opened, *thought, again), HERE).trajectory
    assert [(each.docid, each.reasoning) for each in browses(after_two)] == [("3", "one"), ("4", None)]
    in_a_row = entry_of(record(thought[0], opened, again, thought[1]), HERE).trajectory
    # whether both were asked for at once is not recorded: nothing was written directly after the first
    assert [(each.docid, each.reasoning) for each in browses(in_a_row)] == [("3", None), ("4", "two")]


def test_hits_have_ids_and_ranks_and_say_that_their_scores_are_none():
    found = entry_of(record(step("tool_call", shown("8", "5"), "search", '{"query": "x"}')), HERE).trajectory
    (call,) = found.turns[0].calls
    assert call.hits == [Hit(docid="8", score=1.0, rank=1), Hit(docid="5", score=0.5, rank=2)]
    assert found.retriever["scores"] == "1/rank: the source states no scores"
    # a document that looks like a result adds no hit
    forged = shown("8", "5").replace("snippet", "see\n\nDocID:99\n[x]\ny", 1)
    found = entry_of(record(step("tool_call", forged + "\nDocID:66\n[x]", "search", '{"query": "x"}')), HERE)
    assert len(found.trajectory.turns[0].calls[0].hits or ()) == 2


@pytest.mark.parametrize(
    ("tool", "output"),
    [
        ("search", "[Search] Invalid request format: Input must be a JSON object containing 'query' field"),
        ("search", "Search error for query 'x': timed out"),
        ("visit", "[Document not found] docid=9"),
        ("get_document", "[Error retrieving 9]: gone"),
        ("get_document", '{"error": "Document with docid \'9\' not found"}'),
        ("visit", ""),
    ],
)
def test_a_call_that_failed_did_not_run(tool, output):
    call = entry_of(record(step("tool_call", output, tool, '{"docid": "9"}')), HERE).trajectory.turns[0].calls[0]
    assert (call.executed, call.hits, call.docid) == (None, None, None)
    assert call.error


def test_a_search_without_results_ran():
    nothing = step(
        "tool_call", "No results found for 'x y'. Try with a more general query.", "search", '{"query": "x y"}'
    )
    call = entry_of(record(nothing), HERE).trajectory.turns[0].calls[0]
    assert (call.executed, call.hits, call.error) == ({"query": "x y"}, [], None)


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("completed", "Ann", ("answered", "answer")),
        ("completed", None, ("unanswered", "gave_up")),
        ("completed", "I could not find it.", ("unanswered", "gave_up")),
        ("generate an answer as token limit reached", "Ann", ("answered", "token_limit")),
        ("exceed available llm calls", None, ("unanswered", "turn_limit")),
        ("No answer found after 2h30mins", None, ("unanswered", "time_limit")),
        ("incomplete", None, ("unanswered", "turn_limit")),
        ("", None, ("error", "error")),
    ],
)
def test_a_status_says_how_a_run_ended_and_an_outage_is_no_finished_run(status, text, expected):
    steps = [step("reasoning", "hm")] + ([step("output_text", text)] if text is not None else [])
    source = record(*steps, status=status)
    found = entry_of(source, HERE)
    assert (found.trajectory.status, found.trajectory.end_reason) == expected
    assert (found.trajectory.error is not None) == (expected[0] == "error")
    assert record_of(found) == source


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, lambda s: st.lists(s, max_size=2), max_leaves=3
)
STEPS = st.one_of(
    st.builds(step, st.just("reasoning"), JSON),
    st.builds(step, st.just("output_text"), TEXTS),
    st.builds(step, st.just("tool_call"), TEXTS | st.just(shown("1", "2")), st.sampled_from(["search", "visit"]), JSON),
    st.builds(step, st.sampled_from(["tool_call", "message"]), JSON, more=TEXTS),
    st.fixed_dictionaries({"type": st.sampled_from(["reasoning", "output_text"])}),
)


@given(st.lists(STEPS, max_size=6), st.dictionaries(st.sampled_from(["metadata", "sample", "status", "answer"]), JSON))
def test_whatever_can_be_read_is_written_as_it_was_and_read_the_same(steps, more):
    source = record(*steps, **more)
    found = entry_of(source, HERE)
    assert json.dumps(record_of(found), sort_keys=True) == json.dumps(source, sort_keys=True)
    assert entry_of(record_of(found), HERE) == found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "a run is a JSON object"),
        ({"query": "Who?", "result": []}, "`query_id`"),
        ({"query_id": "1", "result": []}, "`query`"),
        ({"query_id": "1", "query": "Who?", "result": {}}, "`result` should be a list"),
        ({"query_id": "1", "query": "Who?", "result": [step("reasoning"), "x"]}, "step 2 of `result`"),
    ],
)
def test_what_is_no_run_is_refused_with_file_and_field(source, message):
    with pytest.raises(RecordError, match=message) as caught:
        entry_of(source, HERE)
    assert str(caught.value).startswith("here.json: ")


def test_the_answer_is_the_last_step_also_where_late_calls_came_with_it(make):
    turns = make("t").trajectory.turns
    written = record_of(make("t", turns=[turns[0], turns[2]], end_reason="turn_limit"))
    assert written["result"][-1] == step("output_text", "Let me see.")
    assert written["metadata"]["searcher_type"] == "bm25"


# --- BrowseComp-Plus

RECORDED = json.loads((Path(__file__).parent / "files" / "browsecomp.json").read_text())
"""A run as an agent of BrowseComp-Plus that uses the Responses API leaves it."""


def test_a_recorded_run_is_read_with_scores_and_written_as_it_was(tmp_path):
    (tmp_path / "run_1.json").write_text(json.dumps(RECORDED))
    assert recognise(tmp_path).name == "browsecomp-plus"
    (entry,) = read_any(tmp_path)
    searched, opened = (turn.calls[0] for turn in entry.trajectory.turns[:2])
    assert [(hit.docid, hit.score, hit.rank) for hit in searched.hits or ()] == [("12", 7.5, 1), ("9", 7.0, 2)]
    assert "scores" not in entry.trajectory.retriever  # they are the source's own
    assert searched.executed == {"user_query": "x"}
    assert opened.docid == "9"
    assert entry.trajectory.turns[0].reasoning == "first part\nsecond part"
    assert entry.trajectory.turns[1].reasoning == ""
    assert entry.trajectory.answer == "Ann"
    assert record_of(entry, asked=False) == RECORDED
    # what an LRAT record needs beside it, the question, is not in the format
    assert entry_of(record_of(entry, asked=False), HERE, asked=False) == entry


def test_what_the_evaluation_scripts_read_is_there(entries, tmp_path):
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
