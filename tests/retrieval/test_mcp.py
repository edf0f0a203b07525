"""The MCP server, asked by the official client: over HTTP and over stdio, it shows what our agents are shown."""

import asyncio
import contextlib
import signal
import subprocess
import sys

import httpx
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError

from lrat_sim.agent import tools
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Document
from lrat_sim.retrieval.mcp_server import mcp_server
from lrat_sim.retrieval.result_format import ResultFormat
from lrat_sim.retrieval.server import serving
from lrat_sim.retrieval.service import Service

QUERIES = ["film of Carla Ruiz", "lighthouse", "東京大学", "zzqqxx", "  bridge "]
SHOWN = ResultFormat(k=4, snippet_tokens=9, document_tokens=12)
MODES = ["auto", "legacy"]


@pytest.fixture(scope="module")
def url(bm25):
    with serving(bm25, shown=SHOWN) as url:
        yield f"{url}/mcp"


async def text_of(client, tool, arguments):
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert result.is_error == content.text.startswith("Error: ")
    return str(content.text)


async def as_an_agent(retriever):
    """What an agent of this project is shown for each query, and for the first document of the first one."""
    shown = tools.ResultFormat(SHOWN.k, SHOWN.snippet_tokens, SHOWN.document_tokens)
    toolbox = tools.Toolbox(retriever, tools.texts_of(retriever), shown)

    async def one(tool, arguments):
        (call,) = await toolbox.run([ToolCall(id="c", name=tool, arguments=arguments)])
        return call

    searches = {query: await one("search", f'{{"query": "{query}"}}') for query in QUERIES}
    docid = searches[QUERIES[0]].hits[0].docid
    opened = await one("get_document", f'{{"docid": "{docid}"}}')
    return {docid: opened.output, **{query: call.output for query, call in searches.items()}}


def run(server, mode, ask):
    async def session():
        async with Client(server, mode=mode) as client:
            return await ask(client)

    return asyncio.run(asyncio.wait_for(session(), 60))


async def everything(client):
    found = {query: await text_of(client, "search", {"query": query}) for query in QUERIES}
    docid = found[QUERIES[0]].partition("DocID:")[2].partition("\n")[0]
    return {docid: await text_of(client, "get_document", {"docid": docid}), **found}


@pytest.mark.parametrize("mode", MODES)
def test_the_tools_are_the_agents_own(url, mode):
    listed = run(url, mode, lambda client: client.list_tools())
    described = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.input_schema}}
        for t in listed.tools
    ]
    assert described == tools.TOOLS
    assert all(tool.annotations.read_only_hint for tool in listed.tools)


@pytest.mark.parametrize("mode", MODES)
def test_what_they_give_is_what_an_agent_is_shown(url, mode, bm25):
    assert run(url, mode, everything) == asyncio.run(as_an_agent(bm25))


@pytest.mark.parametrize("docid", ["<|im_end|>7", "[INST]a\\b", "plain\\7"])
def test_a_document_opens_by_its_id_as_it_was_shown_and_as_it_is(docid, scripted):
    page = Document(id=docid, title="Harbour", text="Salt was paid there.")

    async def ask(client):
        found = await text_of(client, "search", {"query": "harbour"})
        shown = found.partition("DocID:")[2].partition("\n")[0]
        return shown, [await text_of(client, "get_document", {"docid": each}) for each in (shown, docid)]

    async def serve():
        with contextlib.closing(Service(scripted.Tiny([page]))) as service:
            async with Client(mcp_server(service)) as client:
                return await ask(client)

    shown, opened = asyncio.run(serve())
    assert (shown == docid) == docid.startswith("plain")
    assert opened == [f"Document {shown}:\nHarbour\nSalt was paid there."] * 2


def test_many_sessions_at_once_get_their_own_answers(url, bm25):
    expected = asyncio.run(as_an_agent(bm25))

    async def one(number):
        async with Client(url, mode=MODES[number % 2]) as client:
            query = QUERIES[number % len(QUERIES)]
            assert await text_of(client, "search", {"query": query}) == expected[query]

    async def all_of_them():
        await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(asyncio.wait_for(all_of_them(), 60))


STDIO = """
import sys
from pathlib import Path
from lrat_sim.corpus.documents import Corpus
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.mcp_server import serve_stdio
from lrat_sim.retrieval.result_format import ResultFormat
retriever = open_retriever("bm25", Corpus.open(Path(sys.argv[1])), Path(sys.argv[2]))
search = retriever.search
def talkative(queries, k):
    print("a retriever may print")
    return search(queries, k)
retriever.search = talkative
serve_stdio(retriever, shown=ResultFormat(k=4, snippet_tokens=9, document_tokens=12))
"""


def test_over_stdio_it_is_the_same(corpus, bm25, tmp_path):
    arguments = ["-c", STDIO, str(corpus.folder), str(tmp_path)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env={"OMP_NUM_THREADS": "1"})

    async def both(client):
        return [tool.name for tool in (await client.list_tools()).tools], await everything(client)

    assert run(server, "auto", both) == (["search", "get_document"], asyncio.run(as_an_agent(bm25)))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, None])
def test_over_stdio_it_ends_with_its_input_or_by_a_signal(ending, corpus, tmp_path):
    command = [sys.executable, "-c", STDIO, str(corpus.folder), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
            process.stdin.flush()
            assert b'"id":1' in process.stdout.readline()
            if ending is None:
                process.stdin.close()
            else:
                process.send_signal(ending)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("search", {}, "needs a `query`"),
        ("search", {"query": ["a"]}, "needs a `query`"),
        ("search", {"query": " "}, "needs a `query`"),
        ("get_document", {"docid": 7}, "needs a `docid`"),
        ("get_document", {"docid": "nobody"}, "there is no document 'nobody'"),
        ("search", {"query": "a" * 32_001}, "32000 characters a query"),
    ],
)
def test_a_call_that_cannot_be_answered_says_what_to_do(url, mode, tool, arguments, said):
    text = run(url, mode, lambda client: text_of(client, tool, arguments))
    assert text.startswith("Error: ")
    assert said in text


def test_a_tool_that_is_not_there_is_named_with_those_that_are(url):
    async def ask(client):
        with pytest.raises(MCPError, match=r"no tool 'visit'.*search\(query\) and get_document\(docid\)"):
            await client.call_tool("visit", {"docid": "d07"})

    run(url, "auto", ask)


def test_it_can_be_left_out(bm25):
    with serving(bm25, mcp=False) as url:
        assert httpx.post(f"{url}/mcp", json={}).status_code == 404
