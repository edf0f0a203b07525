"""Formats that hold a conversation in a shape of their own: Responses items, NeMo Gym's rollouts, session traces."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lrat_sim import __version__
from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import About, format_named, nemo_gym, read_any, recognise, responses, sessions
from lrat_sim.records import Turn

FILES = Path(__file__).parent / "files"
HERE = SourceRecord(None, Path("here.jsonl"), 3)
THREE = ("responses", "session-traces", "nemo-gym")


@pytest.mark.parametrize("name", [*THREE, "otel"])
def test_what_is_written_is_as_the_golden_file_has_it(name, make, tmp_path):
    out = tmp_path / "out"
    entry = make("t1", started=1_782_918_000.0)
    assert format_named(name).write(iter([entry]), out, About()) == 1
    written = out if out.is_file() else next(out.iterdir())
    golden = FILES / f"golden-{name}.jsonl"
    assert golden.read_text(encoding="utf-8") == written.read_text(encoding="utf-8").replace(__version__, "VERSION")


@pytest.mark.parametrize("name", THREE)
def test_own_runs_keep_texts_calls_and_status(name, entries, tmp_path):
    assert format_named(name).write(iter(entries), tmp_path / "out", About()) == len(entries)
    assert recognise(tmp_path / "out").name == name
    back = {entry.trajectory.id: entry for entry in read_any(tmp_path / "out")}
    assert len(back) == len(entries)
    for entry in entries:
        ours, other = entry.trajectory, back[entry.trajectory.id]
        theirs = other.trajectory
        for field in ("id", "task_id", "sample", "seed", "question", "status", "end_reason", "answer"):
            assert getattr(ours, field) == getattr(theirs, field)
        assert ours.agent["prompt"] == theirs.agent["prompt"]
        assert [(turn.reasoning, turn.text) for turn in ours.turns] == [
            (turn.reasoning, turn.text) for turn in theirs.turns
        ]
        for call, found in zip(ours.calls(), theirs.calls(), strict=True):
            for field in ("id", "tool", "arguments", "executed", "output", "docid"):
                assert getattr(call, field) == getattr(found, field)
            assert (call.error is None) == (found.error is None)
            assert [hit.docid for hit in call.hits or ()] == [hit.docid for hit in found.hits or ()]
        assert {turn.raw is None for turn in theirs.turns} <= {True}  # nothing is kept twice
        assert other.task.answers == (entry.task.answers if entry.task else [])
        assert (other.grade and other.grade.state) == (entry.grade and entry.grade.state)
    assert back == {entry.trajectory.id: entry for entry in _again(name, back, tmp_path)}


def _again(name, back, tmp_path):
    format_named(name).write(iter(back.values()), tmp_path / "again", About())
    return read_any(tmp_path / "again")


@pytest.mark.parametrize("name", THREE)
def test_turns_without_an_output_between_them_stay_apart(name, make, tmp_path):
    turns = [Turn(reasoning=None, reasoning_tokens=0, text=text) for text in ("Hm.", "Well.", "The answer is blue.")]
    turns[1] = msgspec.structs.replace(turns[1], reasoning="It must be.", reasoning_tokens=3)
    format_named(name).write(iter([make("t", turns=turns)]), tmp_path / "out", About())
    (entry,) = read_any(tmp_path / "out")
    found = [(turn.reasoning, turn.text) for turn in entry.trajectory.turns]
    assert found == [(None, "Hm."), ("It must be.", "Well."), (None, "The answer is blue.")]


# --- Responses items


RUN = json.loads((FILES / "responses.json").read_text())


def test_items_become_turns_and_are_written_as_they_came():
    entry = responses.entry_of(RUN, HERE)
    run = entry.trajectory
    assert (run.question, run.agent["prompt"], run.agent["model"]) == (
        "Where does the Elbe rise?", "Search, then answer.", "openai/o-search",
    )  # fmt: skip
    assert (run.status, run.answer) == ("answered", "Giant Mountains")
    assert [turn.reasoning for turn in run.turns] == ["I should look for the river's source.", "d7 looks right.", None]
    assert run.turns[0].text == "Let me look."
    first, second, third = run.calls()
    assert [(hit.docid, hit.score) for hit in first.hits] == [("d7", 3.5), ("d2", 1.25)]
    assert (second.hits, third.docid) == ([], "d7")
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.reasoning_tokens) == (30, 21, 9)
    written = responses.record_of(entry)
    # encrypted reasoning, ids, built-in tools: all but the order of a turn's outputs, which is that of its calls
    assert sorted(map(json.dumps, written["output"])) == sorted(map(json.dumps, RUN["output"]))
    assert written["usage"] == RUN["usage"]
    assert responses.entry_of(written, HERE).trajectory.turns == run.turns


def test_what_is_written_can_be_sent_to_openai(make):
    from openai.types.responses import ResponseInputItemParam, ToolParam
    from pydantic import TypeAdapter

    record = responses.record_of(make("t", end_reason="turn_limit"))
    items = [*record["input"], *record["output"]]
    assert TypeAdapter(list[ResponseInputItemParam]).validate_python(items)
    assert TypeAdapter(list[ToolParam]).validate_python(record["tools"])
    kinds = " ".join(item["type"] for item in items)
    call = "function_call function_call_output"
    several = "function_call function_call function_call_output function_call_output"
    assert kinds == f"message message reasoning {several} reasoning {call} message {call} message reasoning message"
    ids = [item["id"] for item in items if "id" in item]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("items", "reasoning"),
    [
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]}], "s"),
        ([{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "c"}]}], "c"),
        ([{"type": "reasoning", "summary": [{"text": "s"}], "content": [{"text": "c"}]}], "c"),
        ([{"type": "reasoning", "summary": [], "encrypted_content": "x"}], ""),
        (
            [{"type": "reasoning", "summary": [{"text": "s"}]}, {"type": "reasoning", "summary": [{"text": "t"}]}],
            "s\n\nt",
        ),
        ([], None),
    ],
)
def test_reasoning_is_read_in_all_its_shapes(items, reasoning):
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Ann"}]}
    (turn,) = responses.entry_of({"input": "Who?", "output": [*items, said]}, HERE).trajectory.turns
    assert (turn.reasoning, turn.text) == (reasoning, "Ann")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], "a run is a JSON object"),
        ({"input": [], "output": []}, "should be lists of items"),
        ({"input": {}, "output": []}, "should be lists of items"),
        ({"output": [{"text": "?"}]}, "item 1 is not an object with a `type` or a `role`"),
        ({"input": "?", "output": [{"type": "function_call"}]}, "item 2: a call names no tool"),
        ({"output": [{"type": "message", "role": "assistant", "content": 5}]}, "item 1: the field `content`"),
    ],
)
def test_what_is_no_list_of_items_is_refused(record, problem):
    with pytest.raises(RecordError, match=problem):
        responses.entry_of(record, HERE)


# --- NeMo Gym


ROLLOUT = json.loads((FILES / "nemo-gym.json").read_text())


def test_a_rollout_and_its_subagent_are_runs_with_what_was_observed():
    main, sub = nemo_gym.entries_of(ROLLOUT, HERE)
    run = main.trajectory
    assert (run.task_id, run.question, run.answer) == ("rivers-1", "Where does the Elbe rise?", "Giant Mountains")
    assert (run.agent["name"], run.agent["model"], run.seconds) == ("simple_agent", "policy-8b", 2.5)
    assert (main.grade.state, main.grade.judge) == ("correct", "nemo-gym")
    searched, delegated = run.calls()
    assert ([hit.docid for hit in searched.hits], searched.seconds) == (["d7"], 0.25)
    assert (delegated.error, delegated.executed, delegated.output) == ("http_422", None, "bad input")
    assert [turn.usage.prompt_tokens for turn in run.turns] == [10, 20, 30]
    assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (60, 18)
    assert run.turns[0].finish_reason == "tool_calls"
    assert (sub.trajectory.question, sub.trajectory.answer) == ("Read d7.", "it says Giant Mountains")
    assert sub.trajectory.task_id != run.task_id
    assert sub.trajectory.extra["subagent_of"] == run.id
    kept = json.dumps(run.extra)
    assert "a gap of theirs" in kept
    assert "and the history so far" not in kept  # each turn repeats it
    assert "what was sent, again" not in kept


@pytest.mark.parametrize("alone", [True, False])
def test_a_trajectory_may_stand_alone_or_be_missing(alone):
    older = {key: value for key, value in ROLLOUT.items() if key != "ng_trajectory"}
    main, *others = nemo_gym.entries_of(ROLLOUT["ng_trajectory"] if alone else older, HERE)
    assert main.trajectory.answer == "Giant Mountains"
    assert main.trajectory.task_id == ("rivers-1" if alone else "4")
    assert len(others) == alone
    assert main.grade.state == "correct"


def test_an_invocation_that_failed_is_a_run_that_broke():
    record = json.loads(json.dumps(ROLLOUT))
    record["ng_trajectory"]["invocations"][1] |= {"status": "failed", "error_type": "timeout"}
    main, _ = nemo_gym.entries_of(record, HERE)
    assert (main.trajectory.status, main.trajectory.error.message, main.grades) == ("error", "timeout", [])


FIELDS = {
    "": "schema_version task_id rollout_id invocations turns model_calls tool_calls gaps",
    "invocations": "kind invocation_id status duration_ms error_type model_calls conversation",
    "turns": "invocation_id task_id rollout_id turn_no timestamp question answer reasoning_content resolved step_count "
    "model_calls",
    "model_calls": "model_call_id duration_ms response_metadata token_stats",
    "tool_calls": "kind invocation_id tool_call_id tool_name duration_ms timing_source status error_type output",
    "gaps": "code invocation_id detail",
}
"""The fields of schema 1.0 that are written; NeMo Gym's models refuse any other."""


def test_a_written_trajectory_has_fields_of_the_schema_alone(entries):
    for entry in entries:
        held = nemo_gym.record_of(entry)["ng_trajectory"]
        assert held.keys() == set(FIELDS[""].split())
        for name, fields in FIELDS.items():
            for each in held[name] if name else ():
                assert each.keys() <= set(fields.split()), name
        assert [turn["turn_no"] for turn in held["turns"]] == list(range(1, len(entry.trajectory.turns) + 1))
        refs = [ref["model_call_id"] for turn in held["turns"] for ref in turn["model_calls"]]
        assert refs == [call["model_call_id"] for call in held["model_calls"]]
        assert len(refs) == len(set(refs))
        assert [call["output"] for call in held["tool_calls"]] == [call.output for call in entry.trajectory.calls()]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({}, "neither a trajectory"),
        ({"invocations": [], "rollout_id": "r"}, "the field `invocations` should be a list with an object"),
        ({"invocations": [{"conversation": 5}], "rollout_id": "r"}, "the field `conversation` of an invocation"),
        ({"invocations": [{"conversation": [5]}], "rollout_id": "r"}, "item 1 is not an object"),
    ],
)
def test_what_is_no_rollout_is_refused(record, problem):
    with pytest.raises(RecordError, match=problem):
        nemo_gym.entries_of(record, HERE)


# --- session traces


def test_a_session_is_read_and_written_as_it_was():
    (entry,) = read_any(FILES / "session.jsonl")
    run = entry.trajectory
    assert (run.question, run.agent["prompt"]) == ("Where does the Elbe rise?", "Search, then answer.")
    assert (run.agent["name"], run.agent["model"], run.answer) == ("my-agent", "policy-8b", "Giant Mountains")
    assert run.turns[0].reasoning == "I should look for the river's source."
    (call,) = run.calls()
    assert [(hit.docid, hit.score) for hit in call.hits] == [("d7", 3.5)]
    lines = [json.loads(line) for line in (FILES / "session.jsonl").read_text().splitlines()]
    written = sessions.lines_of(entry)
    assert written[0].pop("metadata")["answer"] == "Giant Mountains"
    assert written[0] == lines[0]
    assert [line["type"] for line in written] == [line["type"] for line in lines]
    assert written[5] == lines[5]
    said = [
        {key: value for key, value in line.items() if key != "timestamp"} for line in (m["message"] for m in lines[1:5])
    ]
    assert [line["message"] for line in written[1:5]] == said


def test_a_session_has_the_shape_that_the_hub_shows(entries, tmp_path):
    format_named("session-traces").write(iter(entries), tmp_path / "out", About())
    files = sorted(tmp_path.glob("out/*.jsonl"))
    assert len(files) == len(entries)
    required = {"type", "harness", "id"}
    known = {"role", "content", "reasoningContent", "toolCalls", "toolCallId", "timestamp", "model"}
    for file in files:
        head, *messages = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        assert required <= head.keys()
        assert (head["type"], head["harness"]) == ("session", "lrat-sim")
        for line in messages:
            assert line.keys() == {"type", "message"}
            said = line["message"]
            assert said.keys() <= known
            assert said["role"] in ("user", "assistant", "system", "tool")
            assert isinstance(said["content"], str)
            for call in said.get("toolCalls", ()):
                assert call.keys() == {"id", "function"}
                assert isinstance(call["function"]["arguments"], str)


def test_several_sessions_in_one_file_are_several_runs(tmp_path):
    text = (FILES / "session.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text(text + text.replace("Giant Mountains", "Bohemia").replace("abc123", "abc124"))
    found = [entry.trajectory for entry in read_any(tmp_path / "a.jsonl")]
    assert [(run.answer, run.sample) for run in found] == [("Giant Mountains", 0), ("Bohemia", 1)]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('{"type": "message", "message": {"role": "user", "content": "?"}}\n', "line 1: a session begins with a line"),
        ('{"type": "session", "harness": "h", "id": "a"}\n', "line 1: the session has no line of the type `message`"),
        ('{"type": "session", "harness": "h", "id": "a"}\n{"type": "message", "message": 5}\n', "message 1 is not an"),
        ('{"type": "session", "harness": "h", "id": "a"}\n{"type": "mess\n', "line 2: not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_session_is_refused(lines, problem, tmp_path):
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(InputError, match=problem):
        list(read_any(tmp_path / "a.jsonl", "session-traces"))
