import asyncio
import gc
import json
import weakref

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.tools import Shown, Toolbox, parse_arguments, read_call, texts_of
from lrat_sim.errors import RetrieverError
from lrat_sim.llm.message import ToolCall
from lrat_sim.text import first_tokens


def call(name, arguments, id="c"):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(id=id, name=name, arguments=text)


@pytest.fixture
def tools(scripted):
    retriever = scripted.Tiny()
    return Toolbox(retriever, texts_of(retriever), Shown(k=3, snippet_tokens=8, document_tokens=12))


def run(tools, *calls):
    return asyncio.run(tools.run(list(calls)))


def test_a_search_shows_ids_titles_and_first_tokens(tools, scripted):
    (done,) = run(tools, call("search", {"query": "Brindle Lighthouse"}))
    first, tolls, second = (first_tokens(scripted.DOCUMENTS[n].text, 8) for n in (0, 2, 3))
    assert done.output == (
        "A search for 'Brindle Lighthouse' found 3 results:\n\n## Web Results\n"
        f"DocID:1\n[Brindle Lighthouse]\n{first}\n\n"
        f"DocID:4\n[Thornmouth]\n{second}\n\n"
        f"DocID:2\n[Maren Oxley]\n{first_tokens(scripted.DOCUMENTS[1].text, 8)}"
    )
    (salt,) = run(tools, call("search", {"query": "salt tolls"}))
    assert f"## Web Results\nDocID:3\n{tolls}\n" in salt.output
    assert [hit.docid for hit in done.hits] == ["1", "4", "2"]
    assert (done.docid, done.error, done.executed) == (None, None, {"query": "Brindle Lighthouse"})


def test_a_search_without_results_says_so(tools, scripted):
    tools.retriever.documents = {}
    (done,) = run(tools, call("search", {"query": "x"}))
    assert (done.hits, done.output) == ([], "A search for 'x' found 0 results:\n\n## Web Results")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_document", {"docid": "2"}),
        ("get_document", {"docid": 2}),
        ("get_document", {"docid": "DocID: 2"}),
        ("get_document", {"docid": "[2]"}),
        ("get_document", {"docid": ["2", "1"]}),
        ("get_document", {"doc_id": "doc 2"}),
        ("visit", {"url": "2"}),
        ("get_document", "{'docid': '2',}"),
        ("get_document", '"{\\"docid\\": 2}"'),
    ],
)
def test_a_document_is_opened_however_its_id_is_written(tools, scripted, name, arguments):
    run(tools, call("search", {"query": "engineer"}))
    (done,) = run(tools, call(name, arguments))
    assert done.output == f"Document 2:\nMaren Oxley\n{first_tokens(scripted.DOCUMENTS[1].text, 12)}"
    assert (done.tool, done.docid, done.executed, done.hits) == ("get_document", "2", {"docid": "2"}, None)


def test_asked_and_executed_are_kept_apart(tools):
    asked = {"query": ["Maren Oxley", "Thornmouth"]}
    (done,) = run(tools, call("search", asked))
    assert (done.arguments, done.executed) == (asked, {"query": "Maren Oxley"})
    assert tools.retriever.searches == ["Maren Oxley"]


def test_an_id_that_was_not_shown_is_not_opened(tools):
    run(tools, call("search", {"query": "Brindle Lighthouse"}))
    (done,) = run(tools, call("get_document", {"docid": "3"}))
    assert "is not in any result you were shown" in done.output
    assert (done.executed, done.docid) == (None, None)
    assert done.error
    assert "3" not in tools.retriever.opened


def test_a_turn_cannot_open_what_its_own_search_will_show(tools):
    found, opened = run(tools, call("search", {"query": "Thornmouth"}, "a"), call("get_document", {"docid": "4"}, "b"))
    assert found.hits
    assert opened.error
    (later,) = run(tools, call("get_document", {"docid": "4"}))
    assert later.docid == "4"


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("search", "{not json", '{"query": "..."}'),
        ("search", {}, "`query`"),
        ("search", {"query": "  "}, "`query`"),
        ("search", {"query": {"text": "x"}}, "`query`"),
        ("get_document", {"docid": None}, "`docid`"),
        ("get_document", {"docid": True}, "`docid`"),
        ("fly", {"to": "moon"}, "the tools are search(query) and get_document(docid)"),
    ],
)
def test_a_call_that_cannot_run_tells_the_model_how_to_recover(tools, name, arguments, told):
    (done,) = run(tools, call(name, arguments))
    assert told in done.output
    assert done.error
    assert (done.executed, done.hits, done.docid) == (None, None, None)
    assert done.arguments == arguments


def test_a_failure_of_the_retriever_is_one_of_its_boundary(tools, scripted):
    tools.retriever.broken = "the index burnt"
    with pytest.raises(RetrieverError, match="the index burnt"):
        run(tools, call("search", {"query": "x"}))


def test_texts_are_remembered_but_keep_no_retriever_alive(scripted):
    retriever = scripted.Tiny()
    text = texts_of(retriever)
    assert text("1", 8) == text("1", 8)
    assert texts_of(retriever) is text
    assert retriever.opened == ["1"]
    gone = weakref.ref(retriever)
    del retriever
    gc.collect()
    assert gone() is None


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["search", "get_document", "visit", ""]),
    st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["query", "docid", "x"]), inner)
            ),
            max_leaves=6,
        ).map(json.dumps),
        st.sampled_from(["{'query': {1, 2}}", '{"query": "\\ud800"}', "{1: 2}", "[" * 5000, '{"docid": 1e999}']),
    ),
)
def test_any_call_is_understood_or_has_a_problem(name, arguments):
    asked = read_call(ToolCall(id="c", name=name, arguments=arguments))
    assert (asked.problem is None) == bool(asked.value)
    msgspec.json.encode(asked.arguments)
    msgspec.json.encode(asked.value)
    assert parse_arguments(arguments) is None or isinstance(asked.arguments, dict)
