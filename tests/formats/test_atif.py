from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import About, read_any, recognise
from lrat_sim.formats.atif import FORMAT, entry_of, record_of
from lrat_sim.records import Turn

HERE = SourceRecord(None, Path("here.json"))
LEFT = '<|channel|>commentary to=functions.search <|constrain|>json<|message|>{"query": "x"}<|call|>'
"""A call that a server left in the text, where a reader of messages takes it for one."""


def agent(message, *calls, results=(), **more):
    asked = [{"tool_call_id": i, "function_name": n, "arguments": a} for i, n, a in calls]
    shown = [{"source_call_id": i, "content": c} for i, c in results]
    step = {"source": "agent", "message": message, **more}
    return {
        **step,
        **({"tool_calls": asked} if calls else {}),
        **({"observation": {"results": shown}} if shown else {}),
    }


def foreign(*steps, **more):
    """A file as another tool writes it."""
    opening = [{"source": "system", "message": "Be brief."}, {"source": "user", "message": "Who?"}]
    numbered = [{"step_id": number, **step} for number, step in enumerate([*opening, *steps], start=1)]
    named = {"name": "terminus-2", "version": "2.0", "model_name": "x/y", "extra": {"parser": "json"}}
    return {"schema_version": "ATIF-v1.6", "session_id": "s-1", "agent": named, "steps": numbered, **more}


LISTED = json.dumps([{"docid": "d9", "score": 2.5}, {"docid": "d8", "score": 1}])
FOREIGN = foreign(
    agent(
        "Looking.",
        ("c1", "search", {"query": "a"}),
        ("c2", "visit", {"id": "d9"}),
        results=[("c2", "Document d9:\ntext"), ("c1", LISTED)],
        timestamp="2026-01-02T03:04:05Z",
        reasoning_content="Hmm.",
        metrics={"prompt_tokens": 11, "cached_tokens": 8, "completion_tokens": 7, "cost_usd": 0.5, "logprobs": [-0.5]},
    ),
    {"source": "user", "message": "go on"},
    {"source": "system", "message": "a reminder", "observation": {"results": [{"content": "seen by itself"}]}},
    agent([{"type": "text", "text": "Exact Answer: "}, {"type": "text", "text": "Ann"}], extra={"seen": "by chance"}),
    notes="a note of theirs",
    final_metrics={"total_prompt_tokens": 20, "total_completion_tokens": 9, "total_cost_usd": 0.75, "total_steps": 6},
    extra={"job": "theirs"},
)


def test_own_trajectories_come_back_as_they_were(entries, tmp_path):
    assert FORMAT.write(iter(entries), tmp_path / "out", About()) == len(entries)
    assert recognise(tmp_path / "out").name == "atif"
    back = {entry.trajectory.id: entry for entry in read_any(tmp_path / "out")}
    assert len(back) == len(entries)
    for entry in entries:
        assert back[entry.trajectory.id] == entry


@pytest.mark.parametrize(
    "changes",
    [
        {"end_reason": "turn_limit"},
        {"question": ""},
        {"turns": []},
        {"agent": {"name": "a", "prompt": "", "answer_prompt": "now", "fingerprint": "f"}, "end_reason": "token_limit"},
        {"agent": {"prompt": None, "atif": "odd", "name": 5}},
        {"turns": [Turn(reasoning=None, reasoning_tokens=0, text="<think>not a thought</think> x", raw={"a": 1})]},
        {"turns": [Turn(reasoning=None, reasoning_tokens=0, text=LEFT)]},
        {"turns": [Turn(reasoning="", reasoning_tokens=3), Turn(reasoning=None, reasoning_tokens=0, text="")]},
    ],
)
def test_odd_trajectories_come_back_too(make, changes):
    entry = make("t", **changes)
    assert entry_of(record_of(entry), HERE) == entry


def test_what_is_written_has_the_fields_of_the_format_and_no_others(make):
    record = record_of(make("t", end_reason="turn_limit"))
    assert record["schema_version"] == "ATIF-v1.4"
    assert record.keys() == {"schema_version", "session_id", "agent", "steps", "final_metrics", "extra"}
    assert record["agent"].keys() == {"name", "version", "model_name"}
    assert all(isinstance(value, str) for value in record["agent"].values())
    assert [step["step_id"] for step in record["steps"]] == list(range(1, 8))
    assert [step["source"] for step in record["steps"]] == ["system", "user", *["agent"] * 3, "user", "agent"]
    allowed = {"step_id", "source", "message", "reasoning_content", "tool_calls", "observation", "metrics", "extra"}
    for step in record["steps"]:
        assert isinstance(step["message"], str)
        assert step.keys() <= (allowed if step["source"] == "agent" else {"step_id", "source", "message"})
        calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
        assert all(isinstance(call["arguments"], dict) for call in step.get("tool_calls", ()))
        assert {result["source_call_id"] for result in step.get("observation", {}).get("results", ())} == calls
    assert record["steps"][2]["metrics"] == {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.25}
    assert record["final_metrics"]["total_steps"] == len(record["steps"])
    assert "reasoning_content" not in record["steps"][4]  # none is not the same as an empty one


def test_a_file_of_another_tool_is_read_by_its_steps():
    found = entry_of(FOREIGN, HERE).trajectory
    assert (found.question, found.agent["prompt"], found.agent["model"]) == ("Who?", "Be brief.", "x/y")
    first, last = found.turns
    assert (first.reasoning, first.text) == ("Hmm.", "Looking.")
    assert [(hit.docid, hit.score) for hit in first.calls[0].hits or ()] == [("d9", 2.5), ("d8", 1.0)]
    assert first.calls[1].docid == "d9"
    assert (first.usage.prompt_tokens, first.usage.cached_tokens, first.usage.cost) == (11, 8, 0.5)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.cost) == (20, 9, 0.75)
    assert (found.status, found.answer) == ("answered", "Ann")
    assert "scores" not in found.retriever
    assert last.calls == []


def test_a_file_of_another_tool_is_written_as_it_was_beside_what_is_ours(make):
    graded = msgspec.structs.replace(entry_of(FOREIGN, HERE), grades=make("t").grades)
    assert entry_of(record_of(graded), HERE) == graded
    written = record_of(entry_of(FOREIGN, HERE))
    assert written["extra"].pop("lrat_sim")["trajectory"]["status"] == "answered"
    for step in written["steps"]:
        if step["source"] == "agent":
            step.get("extra", {}).pop("lrat_sim", None)
            if not step.get("extra", {"none": True}):
                del step["extra"]
    assert written == FOREIGN


def test_a_file_of_ours_that_another_hand_changed_keeps_both():
    record = record_of(entry_of(FOREIGN, HERE))
    record["steps"][2]["message"] = "Redacted."
    record["steps"][2].setdefault("extra", {}).setdefault("lrat_sim", {})["later"] = "of a newer version"
    record["extra"]["lrat_sim"]["trajectory"]["later"] = "also of a newer version"
    record["result"] = "a field of the name that LRAT gives its steps"
    found = entry_of(record, HERE)
    held = msgspec.json.encode(found).decode()
    assert found.trajectory.turns[0].text == "Redacted."
    assert found.trajectory.turns[0].calls[0].hits
    for text in ("of a newer version", "also of a newer version", "a field of the name"):
        assert text in held
    assert record_of(found)["result"] == record["result"]


def test_a_message_that_asked_for_an_answer_may_be_gone(make):
    record = record_of(make("t", end_reason="turn_limit"))
    del record["steps"][-2]
    found = entry_of(record, HERE).trajectory
    assert len(found.turns) == 4
    assert found.answer == "The answer of t is blue."


SHOWN = json.dumps([{"docid": "d3", "score": 0.5}])


def called(*names):
    return [{"tool_call_id": name, "function_name": "search", "arguments": {"query": "a"}} for name in names]


def gave(*names, content=SHOWN):
    return {"results": [{"source_call_id": name, "content": content} for name in names]}


@pytest.mark.parametrize(
    ("calls", "observation"),
    [
        (called("x", "y"), gave("y", "x")),
        (called("x", "x"), gave("x", "x")),
        (called("x", "y"), gave(None, None)),
        (called(None, None), gave("x", "y")),
        (called(1, 2), gave(1, 2)),
        (called("x"), gave("of another writer's")),
        (called("x"), {"results": [{"content": [{"type": "text", "text": SHOWN}, {"type": "image", "source": {}}]}]}),
        (called("x"), {"results": {"source_call_id": "x", "content": SHOWN}}),
        (called("x"), SHOWN),
        ([{"function_name": "search", "arguments": '{"query": "a"}'}], gave("x")),
        ([{"function_name": "search", "arguments": {"query": "a"}, "extra": {"a": 1}}], gave(None)),
    ],
)
def test_results_come_to_their_calls_however_a_writer_names_them(calls, observation):
    step = {"source": "agent", "message": None, "tool_calls": calls, "observation": observation}
    found = entry_of(foreign(step, agent("Exact Answer: Ann")), HERE).trajectory
    shown = [[hit.docid for hit in call.hits or ()] for call in found.turns[0].calls]
    assert shown == [["d3"]] * len(calls)
    assert {str(call.executed) for call in found.turns[0].calls} == {"{'query': 'a'}"}


def test_steps_that_were_copied_from_another_run_are_no_turns_but_kept():
    copied = agent("Said before.", ("c", "search", {"query": "old"}), results=[("c", SHOWN)], is_copied_context=True)
    record = foreign(copied, agent("Exact Answer: Ann"), subagent_trajectories=[foreign()], trajectory_id="t")
    record["steps"][1]["is_copied_context"] = True  # the question is the question
    found = entry_of(record, HERE).trajectory
    assert (found.question, [turn.text for turn in found.turns]) == ("Who?", ["Exact Answer: Ann"])
    written = record_of(entry_of(record, HERE))
    assert written["steps"][2] == record["steps"][2]
    assert written["subagent_trajectories"] == [foreign()]


@pytest.mark.parametrize("version", ["1.0", "1.2", "1.5", "1.8"])
def test_every_version_is_read_and_stays_what_it_was(version):
    record = foreign(agent("Exact Answer: Ann")) | {"schema_version": f"ATIF-v{version}"}
    record["steps"] = [{**step, "step_id": 3 * place} for place, step in enumerate(record["steps"])]  # with gaps
    found = entry_of(record, HERE)
    assert found.trajectory.answer == "Ann"
    written = record_of(found)
    assert written["schema_version"] == f"ATIF-v{version}"
    assert [step["step_id"] for step in written["steps"]] == [0, 3, 6]


def test_runs_of_one_question_are_samples_of_one_task(tmp_path):
    other = foreign(agent("Bob"))
    lines = [json.dumps(each) for each in (FOREIGN, other, FOREIGN | {"agent": {"name": "b"}})]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines))
    found = [entry.trajectory for entry in read_any(tmp_path / "runs.jsonl", "atif")]
    assert [trajectory.sample for trajectory in found] == [0, 1, 0]
    assert len({trajectory.task_id for trajectory in found}) == 1
    assert len({trajectory.id for trajectory in found}) == 3


def test_runs_are_found_below_a_folder(tmp_path):
    (tmp_path / "job" / "trial").mkdir(parents=True)
    (tmp_path / "job" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no file of trajectories in the format atif; it has config\.json"):
        list(read_any(tmp_path / "job", "atif"))
    (tmp_path / "job" / "trial" / "trajectory.json").write_text(json.dumps(FOREIGN))
    assert [entry.trajectory.answer for entry in read_any(tmp_path / "job", "atif")] == ["Ann"]


def test_a_canary_stands_where_it_can_be_seen(make):
    record = record_of(make("t", extra={"canary": "c4n4ry"}))
    assert record["extra"]["canary"] == "c4n4ry"
    del record["extra"]["lrat_sim"]
    assert entry_of(record, HERE).canary == "c4n4ry"


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ([], "`schema_version`"),
        ({"schema_version": "2", "steps": []}, "`schema_version`"),
        (foreign() | {"schema_version": "ATIF-v2.0"}, "a version 1 of ATIF"),
        (foreign() | {"steps": {}}, "the field `steps` should be a list"),
        (foreign({"source": "tool", "message": ""}), "step 3 has no `source`"),
        (foreign({"source": "agent", "message": 5}), "step 3: the field `message`"),
        (foreign(agent("", results=[]) | {"tool_calls": [{}]}), "step 3: a call of `tool_calls` names no function"),
        (foreign(agent("") | {"tool_calls": "x"}), "step 3: a call of `tool_calls`"),
        (foreign(agent("") | {"tool_calls": 5}), "step 3: a call of `tool_calls`"),
    ],
)
def test_what_is_no_run_is_refused_with_step_and_field(record, problem):
    with pytest.raises(RecordError, match=problem):
        entry_of(record, HERE)
