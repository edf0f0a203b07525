"""Calls, however they are written: their arguments, their blocks, their wordings in a text; and texts that are none."""

import json
import time
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.calls import is_mended, parse_arguments, read_block, read_call, tool_of
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.models.message import ToolCall, read_message

TEXTS = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))


def understood(name, arguments):
    return read_call(ToolCall(id="c", name=name, arguments=arguments))


@pytest.mark.parametrize("text", TEXTS["queries"])
def test_a_query_is_read_however_it_is_written(text):
    asked = understood("search", text)
    assert (asked.problem, asked.means, asked.value) == (None, "search", "old harbour")


def test_quotes_within_a_query_stay_its_own():
    for text in ('{"query": "the "old" harbour"}', "{'query': 'the \"old\" harbour'}"):
        assert understood("search", text).value == 'the "old" harbour'
    assert understood("search", "{'query': \"keeper's house\"}").value == "keeper's house"


@pytest.mark.parametrize("text", ['{"docid": 12}', '{"docid": 12.0}', '{"id": "12"}', '{"url": ["12"]}'])
def test_an_id_is_read_however_it_is_written(text):
    asked = understood("visit", text)
    assert (asked.tool, asked.means) == ("visit", "get_document")
    assert asked.value == "12"


@pytest.mark.parametrize("name", ["search", "Search", "functions.search", "web_search", "web-search"])
def test_search_has_many_names(name):
    assert tool_of(name) == "search"


@pytest.mark.parametrize("name", ["get_document", "visit", "open", "browser.open", "GetDocument", "browse"])
def test_get_document_has_many_names(name):
    assert tool_of(name) == "get_document"


@pytest.mark.parametrize(
    "text",
    ["old harbour", "{old harbour and the tolls}", "I would search for the harbour", '{"', "[1, 2]", "12", "null", "}"],
)
def test_free_text_is_no_call_and_stays_text(text):
    asked = understood("search", text)
    assert (asked.arguments, asked.value, asked.means) == (text, "", None)
    assert 'write them as {"query": "..."}' in asked.problem


@pytest.mark.parametrize(
    "text", ['{"query": "the old" harbour tolls "x": 1}', '{"query": "old",, harbour: [}', '{"query": "a" "b" c}']
)
def test_what_is_mended_holds_every_word_or_stays_text(text):
    asked = understood("search", text)
    kept = json.dumps(asked.arguments) if isinstance(asked.arguments, dict) else asked.arguments
    for word in ("old", "harbour", "tolls", "a", "b", "c"):
        assert (word in text) <= (word in kept)


def test_what_may_hold_less_than_was_written_is_known():
    assert not is_mended('{"query": "x"}')
    assert not is_mended("free text")
    assert is_mended('{"query": "x", "query": "y"}')
    assert is_mended('{"query": "x"} // for the toll')


@pytest.mark.parametrize(("open_", "close"), [('{"query": ', "}"), ("{'query': ", ",}")])
def test_what_nests_beyond_measure_is_not_read(open_, close):
    assert understood("search", f'{open_}{"[" * 5}"x"{"]" * 5}{close}').value == "x"
    asked = understood("search", f'{open_}{"[" * 60}"x"{"]" * 60}{close}')
    assert (asked.value, asked.arguments[:2]) == ("", open_[:2])


@pytest.mark.parametrize("block", TEXTS["blocks"])
def test_a_block_is_read_however_it_is_written(block):
    (call,) = read_block(block)
    assert read_call(call).value == "old harbour"


@pytest.mark.parametrize(
    "block",
    [
        '{"name": "search", "arguments": {"query": "a"}}\n{"name": "visit", "arguments": {"docid": 2}}',
        '[{"name": "search", "arguments": {"query": "a"}}, {"name": "visit", "arguments": {"docid": 2}}]',
        '{"name": "search", "arguments": {"query": "a"}\n{"name": "visit", "arguments": {"docid": 2}',
    ],
)
def test_one_block_may_hold_several_calls(block):
    assert [(call.name, read_call(call).value) for call in read_block(block)] == [("search", "a"), ("visit", "2")]


@pytest.mark.parametrize("block", ["", "search the harbour", '{"query": "x"}', '{"name": 3}', "[]", '["search"]'])
def test_a_block_that_is_no_call_is_kept_as_text_and_told_the_form(block):
    (call,) = read_block(block)
    asked = read_call(call, form="write it so")
    assert (call.name, call.arguments) == ("", block)
    tools = "the tools are search, which takes a query, and get_document, which takes a docid"
    assert f"could not be read; write it so; {tools}" in asked.problem


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(["name", "arguments", "query", "docid", "search", "function", "input", "x"])
STRUCTURES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
PIECES = [
    *('{"', '"}', "{'", "'}", "{", "}", "[", "]", '"query"', "query", ":", ",", "name", '"search"', "old", "```", "//"),
    *("/*", "\\", '"', "'", "arguments", "True", "null", "1e999", '"\\ud800"', "<arg_key>", "<function=", "\n", " "),
]
SLOPPY = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["search", "visit", "", "fly"]), st.text(max_size=40) | STRUCTURES.map(json.dumps) | SLOPPY)
def test_any_call_is_understood_or_has_a_problem(name, text):
    asked = understood(name, text)
    assert (asked.problem is None) == bool(asked.value) == (asked.means is not None)
    assert isinstance(asked.arguments, dict) or asked.arguments == text
    msgspec.json.encode([asked.arguments, asked.value])
    assert isinstance(asked.arguments, dict) == (parse_arguments(text) is not None)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | STRUCTURES.map(json.dumps) | SLOPPY)
def test_any_block_is_calls_or_its_text(text):
    calls = read_block(text)
    assert calls
    assert all(call.name.strip() or call.arguments == text.strip() for call in calls)


@pytest.mark.parametrize(
    "piece", ['{"', "{'", "[", '{"a":', '{"a": 1}', "{'a': 1,}\n", '"', "//", "`", "<parameter=a>", "\n{"]
)
def test_no_text_takes_long_to_read_or_nests_too_deep(piece):
    for size in (1400, 100_000):
        began = time.process_time()
        read_block(piece * (size // len(piece)))
        assert time.process_time() - began < 60


# --- wordings in a text -----------------------------------------------------------------------------------------------

ASK = '{"query": "old quay"}'
WORDINGS, ATTEMPTS = TEXTS["wordings"], TEXTS["attempts"]
AROUND = {"alone": "{}", "after prose": "I will look.\n{}", "with an invented output": "{}\n<tool_response>\nx"}


def parsed_by(protocol, content, **fields):
    return PROTOCOLS[protocol].read(read_message({"role": "assistant", "content": content, **fields}))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("wording", WORDINGS.values(), ids=WORDINGS)
def test_a_call_is_read_whatever_its_wording_and_the_protocol(wording, around):
    for protocol in PROTOCOLS:
        parsed = parsed_by(protocol, around.format(wording))
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
    assert parsed_by("tools", text).answer == text


@pytest.mark.parametrize("text", ATTEMPTS)
def test_an_attempt_that_cannot_be_read_is_no_answer_and_is_told_the_form(text, voice):
    final = {"role": "assistant", "content": "Exact Answer: Thornmouth"}
    for protocol in PROTOCOLS:
        parsed = parsed_by(protocol, text)
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
    parsed = parsed_by(protocol, None, reasoning_content=f"The quay first.\n{WORDINGS['kimi']}")
    assert [read_call(call).value for call in parsed.calls] == ["old quay"]
    assert parsed.reasoning == "The quay first."
    assert "tool_call_begin" in parsed.raw["reasoning_content"]
    for said in ({"content": "Exact Answer: Thornmouth"}, {"content": None, "reasoning_content": "I could write "}):
        thought = said.pop("reasoning_content", "") + WORDINGS["kimi"] + (" or not." if said["content"] is None else "")
        assert not parsed_by(protocol, **said, reasoning_content=thought).calls


def test_channels_whose_marks_were_lost_are_told_apart():
    message = read_message({"content": f"analysisThe quay first.assistantcommentary to=functions.search json{ASK}"})
    parsed = PROTOCOLS["tools"].read(message)
    assert (parsed.reasoning, [call.name for call in parsed.calls]) == ("The quay first.", ["functions.search"])


MARKS = [
    *("<tool_call>", "</tool_call>", "<function=search>", "<parameter=query>", "</parameter>", "[TOOL_CALLS]"),
    *("[ARGS]", "<|tool_call_begin|>", "<|python_tag|>", "<｜tool▁sep｜>", "<｜DSML｜invoke", '<|"|>', "<search>"),
    *("</search>", "```", "Action: ", "\nAction Input: ", "to=functions.search ", "search(", "search", "functions."),
    *("✿FUNCTION✿", "<arg_key>", '{"name": "search", "arguments": ', ASK, "quay", "|>", "\n", *"{}[]()\"'=: "),
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(MARKS), max_size=12).map("".join) | st.text(max_size=60))
def test_any_text_is_calls_or_itself(text):
    found = read_text_calls(text)
    assert found.calls or found.text == text
    for protocol in PROTOCOLS:
        parsed = parsed_by(protocol, text)
        if parsed.calls or not parsed.remind:
            continue
        assert parsed.answer is None or protocol != "tools"


# what is left of these may be a beginning of a token, which means nothing
TORN_IN_A_TOKEN = {"glm, opening lost", "kimi, a number alone", "deepseek, tokens lost", "search-o1"}


@pytest.mark.parametrize("name", [name for name in WORDINGS if name not in TORN_IN_A_TOKEN and "react" not in name])
def test_what_was_torn_off_behind_its_name_is_no_answer(name):
    wording = WORDINGS[name]
    for end in range(wording.find("search") + 8, len(wording), 5):
        parsed = parsed_by("tools", wording[:end])
        assert parsed.calls or parsed.remind, wording[:end]
        assert parsed.answer is None


@pytest.mark.parametrize(
    "piece", ["\nsearch(", "\n{", "<search>", "<tool_call>{", "\n", "```json\n{", "<arg_key>", "Action: x\n"]
)
def test_time_does_not_grow_beyond_measure(piece):
    began = time.process_time()
    read_text_calls(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 60
