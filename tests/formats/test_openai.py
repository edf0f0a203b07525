from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lrat_sim.agent.tools import TOOLS
from lrat_sim.errors import RecordError
from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats.openai import entry_of, record_of

HERE = SourceRecord(None, Path("here.jsonl"), 3)


def said(content, *calls, **more):
    listed = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
    return {"role": "assistant", "content": content, **({"tool_calls": listed} if calls else {}), **more}


def told(call, content, **more):
    return {"role": "tool", **({"tool_call_id": call} if call else {}), "content": content, **more}


def test_a_line_is_a_conversation_that_a_trainer_can_use(make):
    line = record_of(make("t"))
    roles = " ".join(message["role"] for message in line["messages"])
    assert roles == "system user assistant tool tool assistant tool assistant tool assistant"
    assert line["messages"][2]["reasoning_content"] == "First I look."
    assert "reasoning_content" not in line["messages"][7]  # none is not the same as an empty one
    assert line["messages"][5]["reasoning_content"] == ""
    assert line["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"query": ["q one", "q two"]}
    assert line["messages"][7]["tool_calls"][0]["function"]["arguments"] == "{'query"  # as the model wrote it
    as_text = record_of(make("t"), objects=False)["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(as_text) == {"query": ["q one", "q two"]}
    assert line["tools"] == TOOLS
    assert all(isinstance(message["content"], str) for message in line["messages"])
    answered = {call["id"] for message in line["messages"] for call in message.get("tool_calls", ())}
    assert answered == {message["tool_call_id"] for message in line["messages"] if message["role"] == "tool"}


def test_an_answer_at_a_limit_follows_the_message_that_asked_for_it(make):
    messages = record_of(make("t", end_reason="turn_limit"))["messages"]
    assert messages[-2] == {"role": "user", "content": "Answer now.\n"}
    assert record_of(entry_of({"messages": messages}, HERE))["messages"] == messages


def test_outputs_go_to_their_calls_by_id_and_in_order_without_one():
    listed = json.dumps([{"id": "d9", "score": 2.5}])
    by_id = [said(None, ("x", "search", '{"query": "a"}'), ("y", "web_search", '{"query": "b"}'))]
    by_id += [told("y", listed), told("x", "A search for 'a' found 0 results:\n\n## Web Results\n")]
    in_order = [said("", ("", "visit", '{"id": "d9"}')), told(None, [{"type": "text", "text": "Document d9:\ntext"}])]
    found = entry_of({"messages": [{"role": "user", "content": "?"}, *by_id, *in_order]}, HERE).trajectory
    first, second = found.turns[0].calls
    assert (first.hits, first.executed) == ([], {"query": "a"})
    assert [(hit.docid, hit.score) for hit in second.hits or ()] == [("d9", 2.5)]
    assert found.turns[1].calls[0].docid == "d9"


@pytest.mark.parametrize(
    ("message", "reasoning", "text"),
    [
        (said("a", reasoning_content="r"), "r", "a"),
        (said("a", reasoning="r"), "r", "a"),
        (said("<think>r</think>a"), "r", "a"),
        (said("<think>r"), "r", None),
        (said("a", thinking_blocks=[{"type": "thinking", "thinking": "r", "signature": "s"}]), "r", "a"),
        (said("a", reasoning_content=""), "", "a"),
        (said("a"), None, "a"),
        (said([{"type": "text", "text": "a"}], reasoning="r"), "r", "a"),
    ],
)
def test_reasoning_is_read_in_all_its_shapes(message, reasoning, text):
    (turn,) = entry_of({"messages": [{"role": "user", "content": "?"}, message]}, HERE).trajectory.turns
    assert (turn.reasoning, turn.text) == (reasoning, text)


SHOWN = json.dumps([{"docid": "d3"}])
ASKED = said(None, ("x", "search", '{"query": "a"}'))
GAVE = {"role": "function", "name": "search", "content": SHOWN}
OLDER = {"role": "assistant", "content": None, "function_call": {"name": "search", "arguments": '{"query": "a"}'}}


@pytest.mark.parametrize(
    "messages",
    [
        [OLDER, GAVE],
        [OLDER | {"function_call": {"name": "search", "arguments": {"query": "a"}}}, {**GAVE, "name": None}],
        [said(None, ("", "search", '{"query": "a"}')), told("named later", SHOWN)],
        [ASKED, told(None, SHOWN)],
        [said(None, ("x", "visit", "{}"), ("y", "search", '{"query": "a"}')), GAVE],
        [
            said(None) | {"tool_calls": [{"id": 7, "function": {"name": "search", "arguments": {"query": "a"}}}]},
            told(None, SHOWN) | {"tool_call_id": 7},
        ],
        [ASKED, told("x", [{"type": "text", "text": SHOWN}])],
        [said(None) | {"tool_calls": [{"id": "x", "name": "search", "arguments": {"query": "a"}}]}, told("x", SHOWN)],
    ],
)
def test_an_output_comes_to_its_call_whichever_way_the_two_are_joined(messages):
    talk = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "?"}, *messages, said("Ann.")]
    found = entry_of({"messages": talk}, HERE)
    run = found.trajectory
    (call,) = searches = [call for turn in run.turns for call in turn.calls if call.tool == "search"]
    assert ([hit.docid for hit in call.hits or ()], call.executed) == (["d3"], {"query": "a"})
    assert (run.agent["prompt"], run.answer) == ("Be brief.", "Ann.")
    again = entry_of(record_of(found), HERE).trajectory
    assert [call for turn in again.turns for call in turn.calls if call.tool == "search"] == searches


def test_no_text_is_lost_of_messages_that_say_more_than_a_turn():
    thoughts = {"reasoning": "one thought", "reasoning_content": "another"}
    messages = [
        {"role": "system", "content": "s", "name": "the name"},
        {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": "an image"}]},
        said("a", ("x", "search", "{'query'"), **thoughts, audio={"id": "au"}),
        told("x", "out", name="another tool"),
        told("nobody", "an orphan"),
        {"role": "user", "content": "and now?"},
        {"role": "system", "content": "a reminder"},
        said("Ann."),
    ]
    tools = [{"type": "function", "function": {"name": "of theirs"}}]
    found = entry_of({"messages": messages, "tools": tools, "reward": 1.0, "source": "elsewhere"}, HERE)
    held = msgspec.json.encode(found).decode()
    for text in ("the name", "an image", "one thought", "another", "au", "another tool", "an orphan", "nobody"):
        assert text in held
    for text in ("and now?", "a reminder", "of theirs", "elsewhere", "{'query'"):
        assert text in held
    assert found.trajectory.answer == "Ann."
    last = [message["content"] for message in record_of(found)["messages"][-4:]]
    assert last == ["an orphan", "and now?", "a reminder", "Ann."]


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (None, "`messages` should be a list"),
        ([], "`messages` should be a list"),
        ([{"content": "x"}], "message 1 is not an object with a `role`"),
        ([{"role": "user", "content": {"a": 1}}], "message 1: the field `content`"),
        ([said("a") | {"tool_calls": [{"id": "x"}]}], "message 1: a call of `tool_calls` names no function"),
        ([said("a") | {"tool_calls": {"id": "x"}}], "message 1: the field `tool_calls` should be a list"),
    ],
)
def test_what_is_no_conversation_is_refused_with_line_message_and_field(messages, problem):
    with pytest.raises(RecordError, match=problem) as caught:
        entry_of({"messages": messages}, HERE)
    assert str(caught.value).startswith("here.jsonl, line 3: ")


def test_a_conversation_without_an_answer_gave_up():
    found = entry_of({"messages": [{"role": "user", "content": "?"}, ASKED], "id": 5}, HERE).trajectory
    assert (found.status, found.end_reason, found.task_id) == ("unanswered", "gave_up", "5")
    assert found.turns[0].calls[0].executed is None
    assert found.turns[0].calls[0].error
