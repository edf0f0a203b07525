"""Calls in a text, whatever their wording; and texts that are none."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.calls import read_call, tool_of
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.models.message import read_message

TEXTS = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))
ASK = '{"query": "old quay"}'
WORDINGS, ATTEMPTS = TEXTS["wordings"], TEXTS["attempts"]
AROUND = {"alone": "{}", "after prose": "I will look.\n{}", "with an invented output": "{}\n<tool_response>\nx"}


def read(protocol, content, **fields):
    return PROTOCOLS[protocol].read(read_message({"role": "assistant", "content": content, **fields}))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("wording", WORDINGS.values(), ids=WORDINGS)
def test_a_call_is_read_whatever_its_wording_and_the_protocol(wording, around):
    for protocol in PROTOCOLS:
        parsed = read(protocol, around.format(wording))
        assert [(read_call(call).means, read_call(call).value) for call in parsed.calls] == [("search", "old quay")]
        assert (parsed.answer, parsed.plain) == (None, None)
        assert "quay" not in (parsed.text or "")


def test_several_calls_of_one_text_keep_their_order():
    two = f"{WORDINGS['kimi']}{WORDINGS['kimi'].replace('old quay', 'salt')}"
    assert [read_call(call).value for call in read_text_calls(two).calls] == ["old quay", "salt"]
    two = "[search(query='old quay'), get_document(docid=\"7\")]"
    assert [(call.name, read_call(call).value) for call in read_text_calls(two).calls] == [
        ("search", "old quay"),
        ("get_document", "7"),
    ]


@pytest.mark.parametrize(
    "name",
    ["functions.search", "functions.search:0", "search:12", "search<|channel|>commentary", "search<|channel|>json",
     "functions.search<|constrain|>json", "default_api.search", "mcp__corpus__search", "<|start|>search", "SEARCH"],
)  # fmt: skip
def test_what_servers_leave_around_a_name_does_not_count(name):
    assert tool_of(name) == "search"


@pytest.mark.parametrize(
    "name", ["", "delete_everything", "search_and_delete", "research", "<|channel|>json", "json", ":0"]
)
def test_another_tool_is_none_of_ours(name):
    assert tool_of(name) is None


@pytest.mark.parametrize("text", TEXTS["no_calls"])
def test_an_answer_that_speaks_of_calls_is_none(text):
    found = read_text_calls(text)
    assert (found.calls, found.text) == ([], text)
    assert read("tools", text).answer == text


@pytest.mark.parametrize("text", ATTEMPTS)
def test_an_attempt_that_cannot_be_read_is_no_answer_and_is_told_the_form(text, voice):
    final = {"role": "assistant", "content": "Exact Answer: Thornmouth"}
    for protocol in PROTOCOLS:
        parsed = read(protocol, text)
        assert (parsed.answer, parsed.plain) == (None, None)
        run, requests = voice({"content": text}, final, protocol=protocol, limits={"turns": 1})
        assert (run.answer, run.end_reason, len(requests)) == ("Thornmouth", "turn_limit", 2)
    run, requests = voice({"content": text}, final)
    assert run.status == "answered"
    assert requests[1].messages[-1]["content"] == PROTOCOLS["tools"].reminder
    assert "tool_calls" not in requests[1].messages[-2]


@pytest.mark.parametrize("wording", [*ATTEMPTS, *WORDINGS.values()])
def test_a_call_is_no_answer_where_one_was_demanded(wording, voice):
    run, _ = voice({"content": f"I will look.\n{wording}"}, limits={"turns": 1})
    assert (run.status, run.answer) == ("unanswered", None)
    assert not any(call.executed for call in run.turns[-1].calls)


def test_a_call_of_another_tool_is_refused_by_its_name(voice):
    text = "<function=fly>\n<parameter=to>moon</parameter>\n</function>"
    run, _ = voice({"content": text}, {"content": "Exact Answer: Thornmouth"})
    (call,) = run.turns[0].calls
    assert (call.tool, call.arguments, call.executed) == ("fly", {"to": "moon"}, None)
    assert "there is no tool 'fly'" in call.error


def test_a_name_goes_back_as_endpoints_take_it_and_is_recorded_as_it_came(voice):
    odd = {"id": "c", "type": "function", "function": {"name": "search<|channel|>json", "arguments": ASK}}
    run, requests = voice({"content": None, "tool_calls": [odd]}, {"content": "Exact Answer: Thornmouth"})
    assert run.turns[0].calls[0].tool == "search<|channel|>json"
    assert requests[1].messages[2]["tool_calls"][0]["function"]["name"] == "search"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_at_the_end_of_all_that_a_server_took_for_reasoning_runs(protocol):
    parsed = read(protocol, None, reasoning_content=f"The quay first.\n{WORDINGS['kimi']}")
    assert [read_call(call).value for call in parsed.calls] == ["old quay"]
    assert parsed.reasoning == "The quay first."
    assert "tool_call_begin" in parsed.raw["reasoning_content"]
    for said in ({"content": "Exact Answer: Thornmouth"}, {"content": None, "reasoning_content": "I could write "}):
        thought = said.pop("reasoning_content", "") + WORDINGS["kimi"] + (" or not." if said["content"] is None else "")
        assert not read(protocol, **said, reasoning_content=thought).calls


def test_channels_whose_marks_were_lost_are_told_apart():
    message = read_message({"content": f"analysisThe quay first.assistantcommentary to=functions.search json{ASK}"})
    parsed = PROTOCOLS["tools"].read(message)
    assert (parsed.reasoning, [call.name for call in parsed.calls]) == ("The quay first.", ["functions.search"])


PIECES = [
    *("<tool_call>", "</tool_call>", "<function=search>", "<parameter=query>", "</parameter>", "[TOOL_CALLS]"),
    *("[ARGS]", "<|tool_call_begin|>", "<|python_tag|>", "<｜tool▁sep｜>", "<｜DSML｜invoke", '<|"|>', "<search>"),
    *("</search>", "```", "Action: ", "\nAction Input: ", "to=functions.search ", "search(", "search", "functions."),
    *("✿FUNCTION✿", "<arg_key>", '{"name": "search", "arguments": ', ASK, "quay", "|>", "\n", *"{}[]()\"'=: "),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=60))
def test_any_text_is_calls_or_itself(text):
    found = read_text_calls(text)
    assert found.calls or found.text == text
    for protocol in PROTOCOLS:
        parsed = read(protocol, text)
        if parsed.calls or not parsed.remind:
            continue
        assert parsed.answer is None or protocol != "tools"


TORN_IN_A_TOKEN = {"glm, opening lost", "kimi, a number alone", "deepseek, tokens lost", "search-o1"}
"""What is left of these may be a beginning of a token, which means nothing."""


@pytest.mark.parametrize("name", [name for name in WORDINGS if name not in TORN_IN_A_TOKEN and "react" not in name])
def test_what_was_torn_off_behind_its_name_is_no_answer(name):
    wording = WORDINGS[name]
    for end in range(wording.find("search") + 8, len(wording), 5):
        parsed = read("tools", wording[:end])
        assert parsed.calls or parsed.remind, wording[:end]
        assert parsed.answer is None


@pytest.mark.parametrize(
    "piece", ["\nsearch(", "\n{", "<search>", "<tool_call>{", "\n", "```json\n{", "<arg_key>", "Action: x\n"]
)
def test_time_does_not_grow_beyond_measure(piece):
    began = time.process_time()
    read_text_calls(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 5
