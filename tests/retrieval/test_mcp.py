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

from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.agent.tools import TOOLS, Toolbox
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Document, Task
from lrat_sim.retrieval.mcp_server import mcp_server
from lrat_sim.retrieval.result_format import ResultFormat
from lrat_sim.retrieval.server import serving
from lrat_sim.retrieval.service import Service

QUERIES = ["film of Carla Ruiz", "lighthouse", "東京大学", "zzqqxx", "  bridge "]
SHOWN = ResultFormat(k=4, snippet_tokens=9, document_tokens=12)
MODES = ["auto", "legacy"]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def url(bm25):
    with serving(bm25, shown=SHOWN) as url:
        yield f"{url}/mcp"


async def text_of(client, tool, arguments):
    result = await asyncio.wait_for(client.call_tool(tool, arguments), 60)
    (content,) = result.content
    assert result.is_error == content.text.startswith("Error: ")
    return str(content.text)


async def as_an_agent(retriever):
    """What an agent of this project is shown for each query, and for the first document of the first one."""
    limits = Limits(k=SHOWN.k, snippet_tokens=SHOWN.snippet_tokens, document_tokens=SHOWN.document_tokens)
    toolbox = Toolbox(retriever, Task(id="t", question=""), AgentSettings(model="openai/any", limits=limits))

    async def call(tool, arguments):
        (done,) = await toolbox.run([ToolCall(id="c", name=tool, arguments=arguments)])
        return done

    searches = {query: await call("search", f'{{"query": "{query}"}}') for query in QUERIES}
    docid = searches[QUERIES[0]].hits[0].docid
    opened = await call("get_document", f'{{"docid": "{docid}"}}')
    return {docid: opened.output, **{query: search.output for query, search in searches.items()}}


async def everything(client):
    """The same, from the server."""
    found = {query: await text_of(client, "search", {"query": query}) for query in QUERIES}
    docid = found[QUERIES[0]].partition("DocID:")[2].partition("\n")[0]
    return {docid: await text_of(client, "get_document", {"docid": docid}), **found}


@pytest.mark.parametrize("mode", MODES)
async def test_the_tools_are_the_agents_own_and_give_what_an_agent_is_shown(url, mode, bm25):
    async with Client(url, mode=mode) as client:
        listed = (await client.list_tools()).tools
        assert await everything(client) == await as_an_agent(bm25)
    described = [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.input_schema}}
        for t in listed
    ]
    assert described == TOOLS
    assert all(tool.annotations.read_only_hint for tool in listed)


@pytest.mark.parametrize("docid", ["<|im_end|>7", "[INST]a\\b", "plain\\7"])
async def test_a_document_opens_by_its_id_as_it_was_shown_and_as_it_is(docid, scripted):
    page = Document(id=docid, title="Harbour", text="Salt was paid there.")
    with contextlib.closing(Service(scripted.Tiny([page]))) as service:
        async with Client(mcp_server(service)) as client:
            found = await text_of(client, "search", {"query": "harbour"})
            shown = found.partition("DocID:")[2].partition("\n")[0]
            opened = [await text_of(client, "get_document", {"docid": way}) for way in (shown, docid)]
    assert (shown == docid) == docid.startswith("plain")
    assert opened == [f"Document {shown}:\nHarbour\nSalt was paid there."] * 2


async def test_many_sessions_at_once_get_their_own_answers(url, bm25):
    expected = await as_an_agent(bm25)

    async def session(number):
        async with Client(url, mode=MODES[number % 2]) as client:
            query = QUERIES[number % len(QUERIES)]
            assert await text_of(client, "search", {"query": query}) == expected[query]

    await asyncio.gather(*map(session, range(20)))


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


async def test_over_stdio_it_is_the_same(corpus, bm25, tmp_path):
    arguments = ["-c", STDIO, str(corpus.folder), str(tmp_path)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env={"OMP_NUM_THREADS": "1"})
    async with Client(server) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["search", "get_document"]
        assert await everything(client) == await as_an_agent(bm25)


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
            assert process.wait(timeout=120) == 0
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
async def test_a_call_that_cannot_be_answered_says_what_to_do(url, mode, tool, arguments, said):
    async with Client(url, mode=mode) as client:
        text = await text_of(client, tool, arguments)
    assert text.startswith("Error: ")
    assert said in text


async def test_a_tool_that_is_not_there_is_named_with_those_that_are(url):
    async with Client(url) as client:
        with pytest.raises(MCPError, match=r"no tool 'visit'.*search\(query\) and get_document\(docid\)"):
            await client.call_tool("visit", {"docid": "d07"})


def test_it_can_be_left_out(bm25):
    with serving(bm25, mcp=False) as url:
        assert httpx.post(f"{url}/mcp", json={}).status_code == 404
