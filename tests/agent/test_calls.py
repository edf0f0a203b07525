import json
import time
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.calls import is_mended, parse_arguments, read_block, read_call, tool_of
from lrat_sim.models.message import ToolCall

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
