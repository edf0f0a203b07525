import asyncio
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.models.call import Request
from lrat_sim.models.client import Client
from lrat_sim.models.message import Message, ToolCall, read_message

NAME = {"name": "search"}
CALL = {"id": "c0", "type": "function", "function": {**NAME, "arguments": '{"query": "x"}'}}
BLOCK = {"type": "thinking", "thinking": "why", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "zz"}


@pytest.mark.parametrize(
    ("raw", "reasoning", "text"),
    [
        ({"content": "a"}, None, "a"),
        ({"content": None}, None, None),
        # absent reasoning is not empty reasoning
        ({"content": "a", "reasoning_content": None}, None, "a"),
        ({"content": "a", "reasoning_content": ""}, "", "a"),
        ({"content": "<think></think>a"}, "", "a"),
        # fields: DeepSeek, SGLang, GLM; vLLM, Groq; both at once, as some servers do while they rename it
        ({"content": "a", "reasoning_content": "why"}, "why", "a"),
        ({"content": "a", "reasoning": "why"}, "why", "a"),
        ({"content": "a", "reasoning": "why", "reasoning_content": "why\n"}, "why", "a"),
        ({"content": "a", "reasoning": "why", "reasoning_content": None}, "why", "a"),
        ({"content": "a", "reasoning": "why", "reasoning_content": ""}, "why", "a"),
        ({"content": "a", "reasoning": " \n"}, " \n", "a"),
        ({"content": "a", "provider_specific_fields": {"reasoning": "why"}}, "why", "a"),
        ({"content": "a", "reasoning": {"content": "why", "effort": "high"}}, "why", "a"),
        ({"content": "a", "reasoning_content": [{"type": "text", "text": text} for text in "wy"]}, "wy", "a"),
        # Anthropic, signed and redacted
        ({"content": "a", "thinking_blocks": [BLOCK]}, "why", "a"),
        ({"content": "a", "thinking_blocks": [BLOCK, REDACTED], "reasoning_content": "why"}, "why", "a"),
        ({"content": "a", "thinking_blocks": [REDACTED]}, "", "a"),
        # OpenRouter, MiniMax with reasoning_split, OpenAI's responses
        ({"content": "a", "reasoning_details": [{"text": "w"}, {"data": "x"}, {"text": "y"}]}, "w\ny", "a"),
        ({"content": "a", "reasoning_details": [{"type": "reasoning.summary", "summary": "why"}]}, "why", "a"),
        ({"content": "a", "reasoning": "w\n\ny", "reasoning_details": [{"text": "w"}, {"text": "y"}]}, "w\n\ny", "a"),
        ({"content": "a", "reasoning": "w", "reasoning_details": [{"text": "w"}, {"text": "y"}]}, "w\ny", "a"),
        ({"content": "a", "reasoning_details": [{"type": "reasoning.encrypted", "data": "zz"}]}, "", "a"),
        ({"content": "a", "reasoning_items": [{"summary": [{"type": "summary_text", "text": "why"}]}]}, "why", "a"),
        # content in parts: Mistral, Anthropic
        ({"content": [{"type": "text", "text": "a"}]}, None, "a"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}, {"text": "a"}]}, "why", "a"),
        ({"content": [BLOCK, REDACTED, {"type": "text", "text": "a"}, "b"]}, "why", "ab"),
        ({"content": [{"type": "reasoning", "summary": []}]}, "", None),
        # inline
        ({"content": "<think>why</think>\na"}, "why", "a"),
        ({"content": "  <thinking>why</thinking>a"}, "why", "a"),
        ({"content": "<THINK >why</Think >a"}, "why", "a"),
        ({"content": "[THINK]why[/THINK]a"}, "why", "a"),
        ({"content": "<think>w</think><think>y</think>a"}, "w\ny", "a"),
        ({"content": "<think>w<think>h</think>y</think>a"}, "w<think>h</think>y", "a"),
        ({"content": "<think>\n<think>why</think>a"}, "<think>why", "a"),
        ({"content": "why</think>a"}, "why", "a"),
        ({"content": "why\n</think>\n\n<tool_call>{}</tool_call>"}, "why", "<tool_call>{}</tool_call>"),
        ({"content": "<think>cut off in the mid"}, "cut off in the mid", None),
        ({"content": "a <think>why</think> b"}, "why", "a b"),
        ({"content": "a\n<think>why</think>\nb"}, "why", "a\nb"),
        ({"content": "a\n<think>cut off"}, "cut off", "a"),
        ({"content": "<think>y</think>a", "reasoning_content": "w"}, "w\ny", "a"),
        ({"content": "<think>why</think>a", "reasoning_content": "why"}, "why", "a"),
        ({"content": "<think>w</think>b<think>y</think>a"}, "w\ny", "b a"),
    ],
)
def test_reasoning_is_read_whatever_its_shape(raw, reasoning, text):
    message = read_message({"role": "assistant", **raw})
    assert (message.reasoning, message.text) == (reasoning, text)


@pytest.mark.parametrize(
    "raw",
    [
        {"content": "The tag </think> closes it.", "reasoning_content": "I know tags."},
        {"content": "Write <think> first.", "reasoning_content": "I know tags."},
    ],
)
def test_a_tag_that_is_talked_about_is_not_reasoning(raw):
    message = read_message(raw)
    assert (message.reasoning, message.text, message.content) == ("I know tags.", raw["content"], None)


def test_the_text_is_kept_as_it_was_written_where_reasoning_was_taken_out():
    assert read_message({"content": "<think>why</think>\na"}).content == "<think>why</think>\na"
    assert read_message({"content": "a", "reasoning_content": "why"}).content is None
    both = read_message({"content": "b<think>y</think>a", "reasoning_content": "w"})
    assert (both.content, both.apart, both.reasoning) == ("b<think>y</think>a", "w", "w\ny")


@pytest.mark.parametrize(
    ("raw", "shapes"),
    [
        ({"content": "a"}, []),
        ({"content": "a", "reasoning_content": "why"}, ["reasoning_content"]),
        ({"content": "a", "reasoning_content": "why", "provider_specific_fields": {"reasoning": "why"}}, ["reasoning"]),
        (
            {"content": "a", "reasoning": "why", "reasoning_details": [{"text": "why"}]},
            ["reasoning", "reasoning_details"],
        ),
        ({"content": [{"type": "thinking", "thinking": "why"}]}, ["content"]),
        ({"content": "why</think>a"}, ["inline"]),
        ({"content": "<think>y</think>a", "thinking_blocks": [BLOCK]}, ["thinking_blocks", "inline"]),
    ],
)
def test_where_reasoning_stood_is_known(raw, shapes):
    assert read_message(raw).shapes == shapes


FINAL = "<|start|>assistant<|channel|>final<|message|>a<|return|>"


@pytest.mark.parametrize(
    ("content", "reasoning", "text", "calls"),
    [
        (f"<|channel|>analysis<|message|>why<|end|>{FINAL}", "why", "a", []),
        (f"<|channel|>analysis<|message|>w<|end|><|channel|>analysis<|message|>y<|end|>{FINAL}", "w\ny", "a", []),
        ("<|channel|>analysis<|message|>cut off", "cut off", None, []),
        ("a<|end|><|start|>assistant<|channel|>analysis<|message|>why", "why", "a", []),
        ("analysisWe look.assistantfinalExact Answer: a", "We look.", "Exact Answer: a", []),
        (
            "<|channel|>analysis<|message|>why<|end|><|start|>assistant<|channel|>commentary to=functions.search "
            '<|constrain|>json<|message|>{"query": "x"}<|call|>',
            "why",
            None,
            [("search", '{"query": "x"}')],
        ),
        (
            '<|start|>assistant to=functions.search<|channel|>commentary<|message|>{"query": "x"}<|call|>',
            None,
            None,
            [("search", '{"query": "x"}')],
        ),
        ("<|channel|>commentary<|message|>I will look.<|end|>", None, "I will look.", []),
    ],
)  # fmt: skip
def test_what_is_left_of_gpt_oss_channels_is_told_apart(content, reasoning, text, calls):
    message = read_message({"content": content})
    assert (message.reasoning, message.text) == (reasoning, text)
    assert [(call.name, call.arguments) for call in message.calls] == calls


def test_a_word_that_begins_like_a_channel_is_text():
    for text in ("analysis of the assistantfinal bug", "analysis of it", "analysisofassistantfinal x"):
        assert read_message({"content": text}) == Message(reasoning=None, text=text, calls=[])


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [
        ({"tool_calls": [CALL]}, '{"query": "x"}'),
        ({"tool_calls": [{**CALL, "function": {**NAME, "arguments": {"query": "ü"}}}]}, '{"query": "ü"}'),
        ({"tool_calls": [{**CALL, "function": {**NAME, "arguments": None}}]}, ""),
        ({"tool_calls": [{**CALL, "function": {"name": "search"}}]}, ""),
        ({"tool_calls": [{**CALL, "function": {**NAME, "arguments": ["x"]}}]}, '["x"]'),
        ({"function_call": {"name": "search", "arguments": '{"query": "x"}'}}, '{"query": "x"}'),
        ({"function_call": CALL["function"], "tool_calls": [CALL]}, '{"query": "x"}'),
        ({"content": [{"type": "tool_use", "id": "c0", "name": "search", "input": {"query": "x"}}]}, '{"query": "x"}'),
    ],
)
def test_calls_are_read_in_each_of_their_shapes(raw, arguments):
    (call,) = read_message({"role": "assistant", "content": None, **raw}).calls
    assert (call.name, call.arguments) == ("search", arguments)
    assert call.id == ("" if set(raw) == {"function_call"} else "c0")


def test_calls_without_a_function_are_left_out_but_not_lost():
    raw = {"content": None, "tool_calls": ["search", {"id": "1"}, {"function": "x"}, CALL]}
    message = read_message(raw)
    assert message.calls == [ToolCall(id="c0", name="search", arguments='{"query": "x"}')]
    assert message.raw == raw


def test_raw_is_kept_only_where_it_holds_more():
    plain = {"role": "assistant", "content": "a", "reasoning_content": "r", "tool_calls": [CALL]}
    assert read_message(plain).raw is None
    assert read_message({**plain, "content": "<think>r</think>a"}).raw is None
    assert read_message({**plain, "provider_specific_fields": {"reasoning": "r", "refusal": None}}).raw is None
    for more in (
        {"annotations": [1]},
        {"thinking_blocks": [{"thinking": "r", "signature": "s"}]},
        {"refusal": "no"},
        {"content": "b<think>r</think>a"},
        {"content": [{"type": "text", "text": "a"}]},
        {"tool_calls": [{**CALL, "thought_signature": "s"}]},
        {"tool_calls": [{**CALL, "type": "custom"}]},
    ):
        assert read_message({**plain, **more}).raw == {**plain, **more}


def test_what_utf8_and_records_cannot_hold_is_written_otherwise():
    message = read_message({"content": "a\ud800b", "score": 1 << 70})
    assert message.text == "a\\ud800b"
    assert msgspec.json.decode(msgspec.json.encode(message.raw))["score"] == str(1 << 70)


DETAIL = {"type": "reasoning.text", "text": "why"}
SHAPES = {
    "openai, no reasoning": {"content": "a"},
    "vllm": {"content": None, "reasoning": "why", "reasoning_content": None, "tool_calls": [CALL]},
    "sglang": {"content": None, "reasoning_content": "why", "tool_calls": [CALL]},
    "no tokens of reasoning": {"content": "a", "reasoning_content": ""},
    "minimax, split": {"content": "a", "reasoning_details": [{**DETAIL, "id": "r1"}]},
    "openrouter": {
        "content": "a",
        "reasoning": "why",
        "reasoning_details": [{"type": "reasoning.text", "text": "why"}],
    },
    "minimax, appended": {"content": "<think>\nwhy\n</think>\n\n", "tool_calls": [CALL]},
    "qwen, template opens": {"content": "why\n</think>\n\na"},
    "two blocks": {"content": "<think>w</think>b<think>y</think>a"},
    "cut off": {"content": "<think>\nwhy"},
    "gateway to anthropic": {"content": "a", "reasoning_content": "why", "thinking_blocks": [BLOCK, REDACTED]},
    "arguments as a mapping": {
        "content": None,
        "tool_calls": [{**CALL, "function": {**NAME, "arguments": {"query": "x"}}}],
    },
    "before tool calls": {"content": None, "function_call": CALL["function"]},
}


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_real_shape_survives_the_wire_and_litellm(serve, scripted, model, shape):
    raw = SHAPES[shape]
    server = serve(content=scripted.body({"role": "assistant", **raw}))
    request = Request(model=model, messages=[{"role": "user", "content": "hello"}], base_url=server.url, timeout=60.0)
    message = asyncio.run(Client().complete(request)).message
    direct = read_message(raw)
    assert (message.reasoning is None) == (direct.reasoning is None)
    assert (message.reasoning or "").strip() == (direct.reasoning or "").strip()
    assert (message.text or "").strip() == (direct.text or "").strip()
    assert [call.name for call in message.calls] == [call.name for call in direct.calls]
    assert all(json.loads(call.arguments) == {"query": "x"} for call in message.calls)
    for signed in raw.get("thinking_blocks", []) + raw.get("reasoning_details", []):
        assert json.dumps(signed) in json.dumps(message.raw)


MARKS = [
    "<think>", "</think>", "<thinking>", "[THINK]", "[/THINK]", "<|channel|>", "<|message|>", "<|end|>", "analysis",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*MARKS, "to=functions.", "word", "word", " ", "\n", "\ud800"]), max_size=14))
def test_no_word_of_a_text_is_lost_or_doubled(parts):
    message = read_message({"content": "".join(parts)})
    calls = "".join(f"{call.name} {call.arguments}" for call in message.calls)
    kept = f"{message.reasoning or ''} {message.text or ''} {calls}"
    if message.raw is None:
        assert kept.count("word") == parts.count("word")
    assert message.raw is None or message.raw["content"].count("word") == parts.count("word")
    assert kept.count("word") <= parts.count("word")


WORDS = st.sampled_from(["alpha", "beta", "<think>gamma</think>", "delta</think>", "", "\ud800x"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "thinking", "function", "name", "arguments", "id", "summary", "input"]),
            inner | st.sampled_from(["thinking", "tool_use", "text", "function"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = [
    "role", "content", "reasoning", "reasoning_content", "thinking_blocks", "reasoning_details", "reasoning_items",
    "tool_calls", "function_call", "refusal", "provider_specific_fields", "other",
]  # fmt: skip


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, str) else []


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=5))
def test_whatever_json_a_provider_sends_is_read_and_kept(raw):
    message = read_message(raw)
    kept = msgspec.json.encode(message).decode()
    for leaf in leaves(raw):
        for word in ("alpha", "beta", "gamma", "delta"):
            assert word not in leaf or word in kept
