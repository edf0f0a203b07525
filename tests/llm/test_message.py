import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.llm.message import read_message


@pytest.mark.parametrize(
    ("raw", "reasoning", "text"),
    [
        ({"content": "a", "reasoning_content": "why"}, "why", "a"),
        ({"content": "a", "reasoning": "why"}, "why", "a"),
        ({"content": "a", "provider_specific_fields": {"reasoning": "why"}}, "why", "a"),
        ({"content": "a", "thinking_blocks": [{"type": "thinking", "thinking": "why"}]}, "why", "a"),
        ({"content": "a", "reasoning_details": [{"text": "w"}, {"data": "x"}, {"text": "y"}]}, "w\ny", "a"),
        ({"content": "<think>why</think>\na"}, "why", "a"),
        ({"content": "  <thinking>why</thinking>a"}, "why", "a"),
        ({"content": "<think>w</think><think>y</think>a"}, "w\ny", "a"),
        ({"content": "why</think>a"}, "why", "a"),
        ({"content": "<think>cut off in the mid"}, "cut off in the mid", None),
        ({"content": "<think>y</think>a", "reasoning_content": "w"}, "w\ny", "a"),
        ({"content": [{"type": "text", "text": "a"}]}, None, "a"),
    ],
)
def test_reasoning_is_read_whatever_its_shape(raw, reasoning, text):
    message = read_message({"role": "assistant", **raw})
    assert (message.reasoning, message.text) == (reasoning, text)


def test_absent_reasoning_is_not_empty_reasoning():
    assert read_message({"content": "a"}).reasoning is None
    assert read_message({"content": "a", "reasoning_content": ""}).reasoning == ""
    assert read_message({"content": "<think></think>a"}).reasoning == ""


def test_a_tag_in_the_midst_of_an_answer_is_not_reasoning():
    message = read_message({"content": "The tag </think> closes it.", "reasoning_content": "I know tags."})
    assert (message.reasoning, message.text) == ("I know tags.", "The tag </think> closes it.")


def test_raw_is_kept_only_where_it_holds_more():
    call = {"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    plain = {"role": "assistant", "content": "a", "reasoning_content": "r", "tool_calls": [call]}
    assert read_message(plain).raw is None
    assert read_message({**plain, "provider_specific_fields": {"reasoning": "r", "refusal": None}}).raw is None
    for more in ({"annotations": [1]}, {"thinking_blocks": [{"thinking": "r", "signature": "s"}]}, {"refusal": "no"}):
        assert read_message({**plain, **more}).raw == {**plain, **more}


def test_what_utf8_and_records_cannot_hold_is_replaced():
    message = read_message({"content": "a\ud800b", "score": 1 << 70})
    assert message.text == "a?b"
    assert msgspec.json.decode(msgspec.json.encode(message.raw))["score"] == str(1 << 70)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "<thinking>", "word", " ", "\n", "\ud800"]), max_size=12))
def test_no_word_of_a_message_is_lost(parts):
    message = read_message({"content": "".join(parts)})
    kept = f"{message.reasoning or ''} {message.text or ''}"
    assert kept.count("word") == parts.count("word")
