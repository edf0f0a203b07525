from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrat_sim.errors import RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import read_any, recognise
from lrat_sim.formats.verifiers import entries_of

FILES = Path(__file__).parent / "files"
RESULTS, TRACES = FILES / "verifiers-results.jsonl", FILES / "verifiers-traces.jsonl"
"""What verifiers 0.1.14 and 0.4.0 saved of two examples with two rollouts each, of which one always breaks."""
HERE = SourceRecord(None, Path("here.jsonl"), 3)


def result(*completion, **more):
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    return {"example_id": 4, "prompt": prompt, "completion": list(completion), "answer": "Ann", "reward": 1.0, **more}


def node(role, content, parent=None, **more):
    message = {"role": role, "content": content, **more}
    return {"parent": parent, "message": message, "sampled": role == "assistant"}


def trace(*nodes, **more):
    task = {"type": "T", "data": {"id": "t1", "prompt": "Who?", "answer": "Ann"}, "key": "k"}
    agent = {"name": more.pop("role", "agent"), "config": {"model": "x/y"}}
    return {"task": task, "agent": agent, "nodes": list(nodes), "calls": [], "ok": True, **more}


def one(record):
    (entry,) = entries_of(record, HERE)
    return entry


@pytest.mark.parametrize(("file", "task", "tool"), [(RESULTS, "0", "search"), (TRACES, "elbe", "rivers_search")])
def test_real_files_of_both_versions_say_the_same(file, task, tool, check_rivers):
    assert recognise(file).name == "verifiers"
    entries = [entry for entry in read_any(file) if entry.trajectory.task_id == task]
    assert [entry.trajectory.sample for entry in entries] == [0, 1]
    assert entries[0].trajectory.agent == entries[1].trajectory.agent
    for entry in entries:
        check_rivers(entry, tool)
        assert (entry.task.answers, entry.grade.judge) == (["Giant Mountains"], "verifiers/correct_answer")
        assert entry.trajectory.usage.prompt_tokens == 33


@pytest.mark.parametrize(("file", "task"), [(RESULTS, "1"), (TRACES, "gone")])
def test_rollouts_that_broke_are_errors_without_a_grade(file, task):
    broken = [entry for entry in read_any(file) if entry.trajectory.task_id == task]
    assert len(broken) == 2
    for entry in broken:
        assert (entry.trajectory.status, entry.trajectory.turns, entry.grades) == ("error", [], [])
        assert entry.trajectory.error
        assert "this one breaks" in entry.trajectory.error.message
        assert entry.trajectory.question == "Where does it break?"


def test_tokens_and_models_of_single_calls_are_read():
    entry = next(entry for entry in read_any(TRACES) if entry.trajectory.task_id == "elbe")
    assert [turn.usage.prompt_tokens for turn in entry.trajectory.turns] == [11, 11, 11]  # 2 of them from a cache
    assert [turn.usage.cached_tokens for turn in entry.trajectory.turns] == [2, 2, 2]
    assert [turn.usage.reasoning_tokens for turn in entry.trajectory.turns] == [3, 3, 3]
    assert entry.trajectory.agent["model"] == "stub/model"
    assert entry.trajectory.agent["name"] == "model"


def test_metadata_beside_the_results_names_the_model(tmp_path):
    (tmp_path / "results.jsonl").write_text(json.dumps(result({"role": "assistant", "content": "Ann"})))
    (tmp_path / "metadata.json").write_text('{"model": "x/y", "env_id": "e", "sampling_args": {"temperature": 0.5}}')
    assert recognise(tmp_path).name == "verifiers"
    (entry,) = read_any(tmp_path)
    assert (entry.trajectory.agent["model"], entry.trajectory.agent["name"]) == ("x/y", "y")
    assert entry.trajectory.agent["verifiers"]["sampling_args"] == {"temperature": 0.5}


def test_a_reward_is_a_grade_only_where_it_speaks_of_correctness():
    def graded(**metrics):
        entry = one(result({"role": "assistant", "content": "Ann"}, metrics=metrics, **metrics))
        assert entry.trajectory.extra["verifiers"]["metrics"] == metrics
        return [grade.state for grade in entry.grades]

    assert graded(correct_answer=1.0, format_reward=0.0) == ["correct"]
    assert graded(judge_reward=0) == ["incorrect"]
    assert graded(format_reward=1.0, num_turns=1.0) == []
    assert graded(correct_answer=0.5) == []
    assert graded(correct_answer=1.0, exact_match=0.0) == []  # they contradict one another
    assert graded(correct_answer=1.0, exact_match=1) == ["correct"]


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("max_turns_reached", "turn_limit"),
        ("max_turns", "turn_limit"),
        ("prompt_too_long", "token_limit"),
        ("max_total_tokens", "token_limit"),
        ("agent_timeout", "time_limit"),
        ("no_tools_called", "gave_up"),
        (None, "gave_up"),
    ],
)
def test_stop_conditions_are_the_reason_why_a_rollout_ended(stop, reason):
    assert one(result(stop_condition=stop)).trajectory.end_reason == reason
    answered = one({"prompt": "Who?", "completion": "Ann", "stop_condition": stop}).trajectory  # two texts
    assert (answered.status, answered.end_reason) == ("answered", "answer" if reason == "gave_up" else reason)


def test_an_episode_has_a_trajectory_for_each_of_its_agents():
    solver = trace(node("user", "Who?"), node("assistant", "Ann", 0), role="solver")
    critic = trace(node("user", "Is it Ann?"), node("assistant", "Yes.", 0), role="critic")
    entries = entries_of({"id": "e1", "task": solver["task"], "ok": True, "traces": [solver, critic]}, HERE)
    assert [entry.trajectory.answer for entry in entries] == ["Ann", "Yes."]
    assert entries[0].trajectory.agent["fingerprint"] != entries[1].trajectory.agent["fingerprint"]
    assert [entry.trajectory.extra["verifiers"]["episode"]["id"] for entry in entries] == ["e1", "e1"]
    assert len({entry.trajectory.id for entry in entries}) == 2


def test_an_episode_that_broke_before_an_agent_ran_is_an_error():
    task = trace()["task"]
    record = {"id": "e", "task": task, "ok": False, "errors": [{"type": "EnvError", "message": "no box"}], "traces": []}
    entry = one(record)
    assert (entry.trajectory.status, entry.trajectory.question) == ("error", "Who?")
    assert entry.trajectory.error
    assert entry.trajectory.error.message == "EnvError: no box"


def test_a_history_that_was_rewritten_keeps_every_turn_once():
    call = {"tool_calls": [{"id": "c", "name": "search", "arguments": '{"query": "a"}'}]}
    found = trace(
        node("user", "Who?"),
        node("assistant", "Looking.", 0, **call),
        node("tool", '[{"docid": "d1"}]', 1, tool_call_id="c"),
        node("user", "A summary of what was found: d1."),
        node("assistant", "Ann", 3),
    )
    run = one(found).trajectory
    assert [turn.text for turn in run.turns] == ["Looking.", "Ann"]
    assert [hit.docid for hit in run.turns[0].calls[0].hits or ()] == ["d1"]
    assert run.extra["messages"]["3"]["content"].startswith("A summary")


def test_a_node_keeps_its_parent_where_that_is_not_the_node_before():
    nodes = node("user", "q"), node("assistant", "a", 0), node("assistant", "b", 0), node("assistant", "c", 1 << 63)
    rest = one(trace(*nodes)).trajectory.extra["verifiers"]
    assert [left.get("parent") for left in rest["nodes"]] == [None, None, 0, 1 << 63]


def test_an_output_may_come_after_the_next_message_and_one_of_the_prompt_is_no_turn():
    asked = [{"id": "c", "name": "visit", "arguments": '{"id": "d1"}'}]
    found = trace(
        node("user", "Where?"),
        {**node("assistant", "There."), "sampled": False},
        node("user", "Who?"),
        node("assistant", "", 2, tool_calls=asked),
        node("assistant", "meanwhile", 2),
        node("tool", "Document d1:\ntext", 3, tool_call_id="c"),
    )
    run = one(found).trajectory
    assert (run.question, [turn.text for turn in run.turns]) == ("Who?", [None, "meanwhile"])
    assert run.turns[0].calls[0].docid == "d1"


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"a": 1}, "neither a result"),
        ({"traces": [5]}, "neither a result"),
        (trace() | {"nodes": [5]}, "`nodes` should be a list of objects"),
        ({"traces": [{"nodes": 5}]}, "`nodes` should be a list of objects"),
        (trace({"message": None}), "message 1 is not an object with a `role`"),
        (result({"role": "assistant", "content": "", "tool_calls": ["{"]}), "message 3: a call of `tool_calls`"),
        (result({"role": "assistant", "content": 5}), "message 3: the field `content`"),
    ],
)
def test_what_is_no_rollout_is_refused_with_line_and_field(record, problem):
    with pytest.raises(RecordError, match=problem) as caught:
        entries_of(record, HERE)
    assert str(caught.value).startswith("here.jsonl, line 3: ")
