"""Calls in a text, whatever their wording; and texts that are none."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.calls import read_call, tool_of
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.agent.text_calls import read_text_calls
from lrat_sim.models.message import read_message

ASK = '{"query": "old quay"}'
NAMED = f'{{"name": "search", "arguments": {ASK}}}'
WORDINGS = {
    "hermes": f"<tool_call>\n{NAMED}\n</tool_call>",
    "hermes, arguments as text": f'<tool_call>{{"name": "search", "arguments": {json.dumps(ASK)}}}</tool_call>',
    "hermes, python": "<tool_call>{'name': 'search', 'arguments': {'query': 'old quay'}}</tool_call>",
    "hermes, unclosed": f"<tool_call>{NAMED}",
    "qwen": "<tool_call>\n<function=search>\n<parameter=query>\nold quay\n</parameter>\n</function>\n</tool_call>",
    "qwen, without wrapper": "<function=search>\n<parameter=query>\nold quay\n</parameter>\n</function>",
    "qwen, unclosed": "<tool_call><function=search><parameter=query>old quay",
    "function tag with json": f"<function=search>{ASK}</function>",
    "minicpm": '<function name="search"><param name="query">old quay</param></function>',
    "glm": "<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>old quay</arg_value>\n</tool_call>",
    "glm, opening lost": "search\n<arg_key>query</arg_key>\n<arg_value>old quay</arg_value>\n</tool_call>",
    "minimax": '<minimax:tool_call>\n<invoke name="search">\n<parameter name="query">old quay</parameter>\n</invoke>\n'
    "</minimax:tool_call>",
    "minimax, unclosed": '<minimax:tool_call><invoke name="search"><parameter name="query">old quay',
    "minimax 3": ']<]minimax[>[<invoke name="search">]<]minimax[>[<query>old quay]<]minimax[>[</query>'
    "]<]minimax[>[</invoke>",
    "seed": "<seed:tool_call><function=search><parameter=query>old quay</parameter></function></seed:tool_call>",
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.search:0<|tool_call_argument_begin|>"
    f"{ASK}<|tool_call_end|><|tool_calls_section_end|>",
    "kimi, a number alone": f"<|tool_call_begin|>0<|tool_call_argument_begin|>{ASK}<|tool_call_end|>",
    "kimi, tokens lost": f"functions.search:0{ASK}",
    "kimi 3": '<|open|>call tool="search" index="1"<|sep|><|open|>argument key="query" type="string"<|sep|>old quay'
    "<|close|>argument<|sep|><|close|>call<|sep|>",
    "harmony": f"<|channel|>commentary to=functions.search <|constrain|>json<|message|>{ASK}<|call|>",
    "harmony, recipient first": "<|start|>assistant to=functions.search<|channel|>commentary json<|message|>"
    f"{ASK}<|call|>",
    "harmony, in analysis": f"<|channel|>analysis to=functions.search code<|message|>{ASK}<|call|>",
    "harmony, tokens lost": f"commentary to=functions.search json{ASK}",
    "harmony, message lost": f"<|channel|>commentary to=functions.search<|constrain|>json{ASK}",
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>search<｜tool▁sep｜>"
    f"{ASK}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek, older": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n```json\n"
    f"{ASK}\n```<｜tool▁call▁end｜>",
    "deepseek, tokens lost": f"search<｜tool▁sep｜>{ASK}",
    "dsml": '<｜DSML｜tool_calls><｜DSML｜invoke name="search"><｜DSML｜parameter name="query" string="true">old quay'
    "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
    "dsml, json": '<｜DSML｜function_calls><｜DSML｜invoke name="search">'
    f"{ASK}</｜DSML｜invoke></｜DSML｜function_calls>",
    "mistral": f"[TOOL_CALLS]search[ARGS]{ASK}",
    "mistral, with id": f"[TOOL_CALLS]search[CALL_ID]a1b2c3[ARGS]{ASK}",
    "mistral, list": f"[TOOL_CALLS] [{NAMED}]",
    "mistral, tokens lost": f"search{ASK}",
    "gemma": '<|tool_call>call:search{query:<|"|>old quay<|"|>}<tool_call|>',
    "gemma, tokens lost": "call:search{query:old quay}",
    "gemma, code": '```tool_code\nprint(default_api.search(query="old quay"))\n```',
    "llama": '<|python_tag|>{"name": "search", "parameters": {"query": "old quay"}}',
    "llama, bare": '{"name": "search", "parameters": {"query": "old quay"}}',
    "llama 4": '[search(query="old quay")]',
    "lfm": '<|tool_call_start|>[search(query="old quay")]<|tool_call_end|>',
    "mcp": f"<use_mcp_tool>\n<server_name>s</server_name>\n<tool_name>search</tool_name>\n<arguments>\n{ASK}\n"
    "</arguments>\n</use_mcp_tool>",
    "openseeker": '<tool_calls_begin><tool_call>{"tool_name": "search", "tool_args": {"query": ["old quay"]}}'
    "</tool_call></tool_calls_end>",
    "react": "Action: search[old quay]",
    "react, unclosed": "Action: search[old quay",
    "react, input": "Action: search\nAction Input: old quay",
    "react, action lost": f"Action Input: {ASK}",
    "react, other labels": "Tool: search\nQuery: old quay",
    "react, short input label": "Action: Search\nInput: old quay",
    "qwen coder": f"<tools>{NAMED}</tools>",
    "code tag": '<execute_tool>search(query="old quay")</execute_tool>',
    "prefixed tags": "<longcat_tool_call>search\n<longcat_arg_key>query</longcat_arg_key>\n"
    "<longcat_arg_value>old quay</longcat_arg_value>\n</longcat_tool_call>",
    "llama 3, built in": '<|python_tag|>search.call(query="old quay")',
    "begin and end": f"<|FunctionCallBegin|>[{NAMED}]<|FunctionCallEnd|>",
    "react, json input": f"Thought: the harbour first.\nAction: search\nAction Input: {ASK}",
    "fenced": f"```json\n[{NAMED}]\n```",
    "search-r1": "<search>old quay</search>",
    "search-r1, unclosed": "<search>old quay",
    "search-o1": "<|begin_of_search_query|>old quay<|end_of_search_query|>",
    "fields": "<search>\n<query>old quay</query>\n</search>",
    "phi": f"functools[{NAMED}]",
    "nemotron": f"<TOOLCALL>[{NAMED}]</TOOLCALL>",
    "qwen-agent": f"✿FUNCTION✿: search\n✿ARGS✿: {ASK}",
    "command": f"<|START_ACTION|>[{NAMED}]<|END_ACTION|>",
    "openai": f'{{"tool_calls": [{{"id": "c", "type": "function", "function": {NAMED}}}]}}',
}
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
    [
        *(
            "functions.search",
            "functions.search:0",
            "search:12",
            "search<|channel|>commentary",
            "search<|channel|>json",
        ),
        *(
            "functions.search<|constrain|>json",
            "default_api.search",
            "mcp__corpus__search",
            "<|start|>search",
            "SEARCH",
        ),
    ],
)
def test_what_servers_leave_around_a_name_does_not_count(name):
    assert tool_of(name) == "search"


@pytest.mark.parametrize(
    "name", ["", "delete_everything", "search_and_delete", "research", "<|channel|>json", "json", ":0"]
)
def test_another_tool_is_none_of_ours(name):
    assert tool_of(name) is None


ANSWERS = [
    "Thornmouth",
    "I used search (see below) and found Thornmouth.",
    "According to my search [2], it is Thornmouth.",
    f"Explanation: the log reads {NAMED}.\nExact Answer: Thornmouth",
    'Explanation: I ran search(query="quay").\nExact Answer: Thornmouth\nConfidence: 90%',
    f"Explanation: the request was\n```json\n{NAMED}\n```\nExact Answer: Thornmouth",
    '```json\n{"name": "Thornmouth", "population": 1200}\n```',
    '{"answer": "Thornmouth", "confidence": 90}',
    '{"name": "Maren Oxley", "type": "person"}',
    '["Thornmouth", "Quay"]',
    '```python\nimport re\nre.search("x", text)\nopen("quay.txt")\n```',
    're.search("x", text) gives a match.',
    "It is the element `<search>`.",
    "Exact Answer: <search>",
    "Explanation: such models write <tool_call> before a call.\nExact Answer: <tool_call>",
    "A line such as `Action: search[x]` asks for a search.",
    "The token `<|python_tag|>` marks a call.",
    "Search: a film of 2018",
    "The visit (1839) was short.",
    "Action: the plot moves quickly.\nIt is a film.",
    "to=functions is a field of a header.",
    "The tool get_document {id} opens a page.",
    'He saw <div class="search">x</div> there.',
    "- search[query]: looks for documents.",
    "Observation: the page says so.\nExact Answer: Thornmouth",
    "2 < 3 and 4 > 1, so f(x) = [x].",
]


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_that_speaks_of_calls_is_none(text):
    found = read_text_calls(text)
    assert (found.calls, found.text) == ([], text)
    assert read("tools", text).answer == text


ATTEMPTS = [
    "<tool_call>find the old quay</tool_call>",
    "<tool_call>",
    '<tool_call>{"name": "search", "arguments": {"query": "old qu',
    '{"name": "search", "arguments": {"query": "old qu',
    '```json\n{"name": "search", "arguments": {"query": "old qu',
    "<run name='search'>old quay</run>",
    "[[search|old quay]]",
    "@search(old quay)",
    ASK,
    "Action Input: old quay",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
    "<|python_tag|>search for the old quay",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>search",
    'search(query="old qu',
]


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
    assert (run.status, run.answer, run.turns[-1].calls and run.turns[-1].calls[0].executed) in (
        ("unanswered", None, None),
        ("unanswered", None, []),
    )


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
    *(
        "<tool_call>",
        "</tool_call>",
        "<function=search>",
        "<parameter=query>",
        "</parameter>",
        "[TOOL_CALLS]",
        "[ARGS]",
    ),
    *(
        "<|tool_call_begin|>",
        "<|python_tag|>",
        "<｜tool▁sep｜>",
        "<｜DSML｜invoke",
        '<|"|>',
        "<search>",
        "</search>",
        "```",
    ),
    *(
        "Action: ",
        "\nAction Input: ",
        "to=functions.search ",
        "search(",
        "search",
        "functions.",
        "✿FUNCTION✿",
        "<arg_key>",
    ),
    *(
        '{"name": "search", "arguments": ',
        ASK,
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        "(",
        ")",
        "=",
        ":",
        "\n",
        " ",
        "quay",
        "|>",
    ),
]


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
