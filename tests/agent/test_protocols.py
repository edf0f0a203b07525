"""What each protocol makes of a message, and how it puts turns and outputs back."""

from pathlib import Path

import pytest
import yaml

from lrat_sim.agent.calls import read_call
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.models.message import ToolCall, read_message
from lrat_sim.records import Call

TEXTS = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))

NATIVE, TAGGED, REACT = (PROTOCOLS[name] for name in ("tools", "tagged", "react"))
SEARCH = '<tool_call>\n{"name": "search", "arguments": {"query": "salt"}}\n</tool_call>'
CALL = ("search", '{"query": "salt"}')
NATIVE_CALLS = [{"id": "c", "type": "function", "function": dict(zip(("name", "arguments"), CALL, strict=True))}]


def read(protocol, content, **fields):
    return protocol.read(read_message({"role": "assistant", "content": content, **fields}))


def called(parsed):
    return [(call.name, call.arguments) for call in parsed.calls]


def back(protocol, parsed, how="reasoning_content"):
    return protocol.turn(parsed, parsed.calls, how)


# --- tools -----------------------------------------------------------------------------------------------------------


def test_calls_that_a_server_left_in_the_text_are_read_from_there():
    parsed = read(NATIVE, f"Let me look.\n{SEARCH}\n{SEARCH.replace('salt', 'tolls')}", reasoning_content="Hm.")
    assert called(parsed) == [CALL, ("search", '{"query": "tolls"}')]
    assert (parsed.reasoning, parsed.text) == ("Hm.", "Let me look.")
    assert SEARCH in parsed.raw["content"]
    said = back(NATIVE, parsed)
    assert (said["content"], said["tool_calls"][0]["function"]["name"]) == ("Let me look.", "search")


def test_native_calls_leave_the_text_alone():
    parsed = read(NATIVE, f"I write {SEARCH.replace('salt', 'tolls')}", tool_calls=NATIVE_CALLS)
    assert called(parsed) == [CALL]
    assert parsed.text == f"I write {SEARCH.replace('salt', 'tolls')}"


@pytest.mark.parametrize("protocol", [NATIVE, TAGGED])
def test_reasoning_of_a_field_and_thinking_that_was_never_closed_are_both_kept(protocol):
    parsed = read(protocol, f"<think>Salt it is. {SEARCH}", reasoning_content="Hm.")
    assert (parsed.reasoning, called(parsed)) == ("Hm.\nSalt it is.", [CALL])


def test_a_call_in_thinking_that_was_never_closed_is_run_and_in_closed_thinking_not():
    for protocol in (NATIVE, TAGGED):
        parsed = read(protocol, f"<think>\nI should search.\n{SEARCH}")
        assert (called(parsed), parsed.reasoning) == ([CALL], "I should search.")
        parsed = read(protocol, f"<think>\nI could write {SEARCH}\n</think>\n")
        assert (parsed.calls, parsed.answer) == ([], None)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ("no", {}),
        ("reasoning_content", {"reasoning_content": "Hm."}),
        ("reasoning", {"reasoning": "Hm."}),
        ("reasoning_details", {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}),
        ("inline", {"content": "<think>\nHm.\n</think>\n\n"}),
    ],
)
def test_reasoning_goes_back_in_the_field_that_is_asked_for(how, field):
    said = back(NATIVE, read(NATIVE, None, reasoning_content="Hm."), how)
    assert {key: said[key] for key in said if key not in ("role", "tool_calls")} == {"content": None, **field}


def test_signed_blocks_and_details_go_back_as_they_came_but_for_no():
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    details = [{"type": "reasoning.encrypted", "data": "xyz"}]
    beside = {"reasoning_details": details}
    parsed = read(NATIVE, None, reasoning_content="Hm.", thinking_blocks=blocks, provider_specific_fields=beside)
    for how in ("reasoning_content", "reasoning", "reasoning_details", "inline"):
        assert back(NATIVE, parsed, how)["thinking_blocks"] == blocks
    assert back(NATIVE, parsed, "reasoning_details")["reasoning_details"] == details
    assert back(NATIVE, parsed, "no").keys() == {"role", "content", "tool_calls"}


# --- tagged ----------------------------------------------------------------------------------------------------------


def test_a_tagged_turn_is_thought_and_calls_and_goes_back_as_it_was_written():
    written = f"<think>\nTolls, then.\n</think>\n\n{SEARCH}\n{SEARCH.replace('salt', 'tolls')}"
    parsed = read(TAGGED, written)
    assert called(parsed) == [CALL, ("search", '{"query": "tolls"}')]
    assert (parsed.reasoning, parsed.text, parsed.answer) == ("Tolls, then.", None, None)
    assert back(TAGGED, parsed) == {"role": "assistant", "content": written}
    assert parsed.raw["content"] == written


def test_thinking_that_a_server_took_apart_goes_back_before_the_text_unless_it_is_not_to():
    parsed = read(TAGGED, SEARCH, reasoning_content="Tolls, then.")
    assert back(TAGGED, parsed)["content"] == f"<think>\nTolls, then.\n</think>\n\n{SEARCH}"
    assert back(TAGGED, parsed, "no")["content"] == SEARCH
    parsed = read(TAGGED, f"Tolls, then.\n</think>\n{SEARCH}")
    assert (parsed.reasoning, called(parsed)) == ("Tolls, then.", [CALL])
    assert back(TAGGED, parsed)["content"] == f"Tolls, then.\n</think>\n{SEARCH}"


def test_an_answer_is_what_stands_in_its_tags():
    parsed = read(TAGGED, "<think>So.</think>\nHere it is: <answer>\nExact Answer: Thornmouth\n</answer>")
    assert (parsed.answer, parsed.text) == ("Exact Answer: Thornmouth",) * 2
    assert "Here it is" in parsed.raw["content"]
    assert read(TAGGED, "< ANSWER >Thornmouth").answer == "Thornmouth"
    assert read(TAGGED, "<answer>Quay</answer> no: <answer>Thornmouth</answer>").answer == "Thornmouth"


def test_an_answer_in_the_thinking_does_not_count():
    for written in ("<think>Perhaps <answer>Quay</answer></think>", "<think>Perhaps <answer>Quay</answer>"):
        parsed = read(TAGGED, written)
        assert (parsed.answer, parsed.plain, parsed.calls) == (None, None, [])
        assert "Quay" in parsed.reasoning


def test_what_follows_an_invented_output_is_cut_off_and_kept_in_raw():
    invented = "\n<tool_response>\nSalt it is.\n</tool_response>\n<think>Good.</think><answer>Quay</answer>"
    for head, apart in ((f"<think>Tolls.</think>\n{SEARCH}", {}), (SEARCH, {"reasoning_content": "Tolls."})):
        parsed = read(TAGGED, head + invented, **apart)
        assert (called(parsed), parsed.answer, parsed.reasoning) == ([CALL], None, "Tolls.")
        assert parsed.written == head
        assert parsed.raw["content"] == head + invented
    assert not read(TAGGED, f"<tool_response>x</tool_response>{SEARCH}").calls
    assert not read(TAGGED, f"x</tool_response>{SEARCH}").calls


def test_a_call_that_was_not_closed_is_read_and_one_that_cannot_be_is_kept_as_text():
    parsed = read(TAGGED, '<tool_call>{"name": "search", "arguments": {"query": "salt"}}')
    assert called(parsed) == [CALL]
    parsed = read(TAGGED, "<tool_call>search for salt<tool_call>")
    assert called(parsed) == [("", "search for salt"), ("", "")]


def test_with_a_call_an_answer_is_kept_but_calls_come_first():
    parsed = read(TAGGED, f"{SEARCH}<answer>Quay</answer>")
    assert (called(parsed), parsed.text) == ([CALL], "<answer>Quay</answer>")


def test_calls_that_a_server_parsed_out_of_the_tags_are_put_back():
    parsed = read(TAGGED, "<think>Tolls.</think>", tool_calls=NATIVE_CALLS)
    assert called(parsed) == [CALL]
    assert back(TAGGED, parsed)["content"] == f"<think>Tolls.</think>\n{SEARCH}"


def test_tagged_outputs_come_in_one_message_of_the_user():
    calls = [Call(id=str(n), tool="search", arguments={}, output=f"output {n}") for n in range(2)]
    tagged = "<tool_response>\noutput 0\n</tool_response>\n<tool_response>\noutput 1\n</tool_response>"
    assert TAGGED.outputs(calls) == [{"role": "user", "content": tagged}]
    assert [message["content"] for message in NATIVE.outputs(calls)] == ["output 0", "output 1"]
    assert REACT.outputs(calls) == [{"role": "user", "content": "Observation: output 0\n\nObservation: output 1"}]


# --- react -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", TEXTS["actions"])
def test_an_action_is_read_however_it_is_written(action):
    parsed = read(REACT, f"Thought: Tolls, then.\n{action}")
    (call,) = parsed.calls
    assert (read_call(call).means, read_call(call).value) == ("search", "salt")
    assert (parsed.reasoning, parsed.text, parsed.answer) == ("Tolls, then.", None, None)
    assert back(REACT, parsed) == {"role": "assistant", "content": f"Thought: Tolls, then.\n{action}"}


def test_brackets_within_a_query_are_its_own():
    assert read(REACT, "Action: search[tolls [salt] (1874)]").calls[0].arguments == '{"query": "tolls [salt] (1874)"}'


def test_several_actions_are_several_calls():
    parsed = read(REACT, "Thought: Both.\nAction: search[salt]\nAction: visit\nAction Input: 12")
    assert called(parsed) == [CALL, ("visit", '{"docid": "12"}')]


def test_an_action_that_cannot_be_read_is_kept_as_text():
    assert called(read(REACT, "Action: look around for salt")) == [("", "look around for salt")]
    assert called(read(REACT, "Action: fly[moon]")) == [("fly", '{"input": "moon"}')]
    assert called(read(REACT, "Thought: Hm.\nAction: search")) == [("search", "{}")]


def test_no_action_is_none():
    parsed = read(REACT, "Thought: I know.\nAction: None\nFinal Answer: Thornmouth")
    assert (parsed.calls, parsed.answer, parsed.reasoning) == ([], "Thornmouth", "I know.")


def test_an_invented_observation_is_cut_off_and_kept_in_raw():
    head = "Thought: Tolls.\nAction: search[salt]"
    invented = "\nObservation: Salt it is.\nThought: Good.\nFinal Answer: Quay"
    parsed = read(REACT, head + invented)
    assert (called(parsed), parsed.answer, parsed.reasoning) == ([CALL], None, "Tolls.")
    assert (parsed.written, parsed.raw["content"]) == (head, head + invented)


def test_a_final_answer_goes_to_the_end():
    parsed = read(REACT, "I know now.\nFinal Answer:\nExplanation: [2].\nExact Answer: Thornmouth\nConfidence: 90%")
    assert parsed.answer == parsed.text == "Explanation: [2].\nExact Answer: Thornmouth\nConfidence: 90%"
    assert parsed.reasoning == "I know now."


def test_reasoning_in_a_field_comes_before_the_thoughts_and_goes_back_in_one():
    parsed = read(REACT, "Thought: Tolls.\nAction: search[salt]", reasoning_content="Hm.")
    assert parsed.reasoning == "Hm.\nTolls."
    assert back(REACT, parsed, "reasoning")["reasoning"] == "Hm."
    parsed = read(REACT, "<think>Hm.</think>\nThought: Tolls.\nAction: search[salt]")
    assert parsed.reasoning == "Hm.\nTolls."
    assert back(REACT, parsed) == {"role": "assistant", "content": parsed.raw["content"]}


def test_absent_reasoning_is_not_an_empty_one():
    assert read(REACT, "Action: search[salt]").reasoning is None
    assert read(REACT, "Thought:\nAction: search[salt]").reasoning == ""
    assert read(TAGGED, SEARCH).reasoning is None
    assert read(TAGGED, f"<think></think>{SEARCH}").reasoning == ""


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [TAGGED, REACT])
def test_text_without_form_is_neither_call_nor_answer_but_may_be_taken_for_one(protocol):
    parsed = read(protocol, "It is Thornmouth.")
    assert (parsed.calls, parsed.answer, parsed.plain) == ([], None, "It is Thornmouth.")
    assert not parsed.silent


@pytest.mark.parametrize("protocol", PROTOCOLS.values())
@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_an_empty_message_is_silent(protocol, content):
    parsed = read(protocol, content)
    assert parsed.silent
    assert (parsed.calls, parsed.answer) == ([], None)
    assert not read(protocol, content, reasoning_content="Hm.").silent


@pytest.mark.parametrize("protocol", PROTOCOLS.values())
def test_the_form_and_the_descriptions_call_nothing_when_quoted(protocol):
    for text in (protocol.form, protocol.described):
        assert not read(protocol, text).calls


def test_a_request_joins_the_last_message_of_the_user_where_roles_must_alternate():
    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert TAGGED.ask(asked, "now")[-1] == {"role": "user", "content": "q\n\nnow"}
    assert len(TAGGED.ask([*asked, {"role": "assistant", "content": "a"}], "now")) == 4
    assert len(NATIVE.ask(asked, "now")) == 3
    assert asked[-1]["content"] == "q"


def test_one_call_goes_by_one_id():
    call = ToolCall(id="c9", name="search", arguments="not json")
    said = NATIVE.turn(read(NATIVE, None), [call], "no")
    assert said["tool_calls"] == [{"id": "c9", "type": "function", "function": {"name": "search", "arguments": "{}"}}]
