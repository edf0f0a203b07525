"""The remote retriever: it gives what the served one gives, retries what may pass, and notices what has changed."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import load_agent
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import FingerprintMismatch, InputError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, canonical
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.remote import DocumentCache, RemoteRetriever, open_remote
from lrat_sim.retrieval.schemas import ServerLimits
from lrat_sim.retrieval.server import serving, serving_app

QUERIES = ["film of Carla Ruiz", "lighthouse on the cape", "東京大学", "bridge", "\ud83d", ""]


class Between:
    """Stands before a server and does what ``plan`` says to the next requests, first to last; then passes them on.

    A number is a status; ``cut`` closes the connection in the midst of the answer; ``hang`` keeps silent until the
    client goes, ``drip`` sends it a byte of the body now and then; anything else is sent as the body of a 200.
    """

    def __init__(self, target):
        self.target = target
        self.plan: list[Any] = []
        self.requests: list[str] = []
        self.bodies: list[Any] = []
        self.app = Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request):
        body, path = await request.body(), request.scope["raw_path"].decode()
        self.requests.append(f"{request.method} {path}")
        self.bodies.append(json.loads(body) if body else None)
        step = self.plan.pop(0) if self.plan else None
        if isinstance(step, int):
            wait = {"retry-after": "0"} if step in (429, 503) else {}
            return JSONResponse({"error": "as planned."}, step, wait)
        if isinstance(step, bytes):
            return Response(step)
        if step == "hang":
            while (await request.receive())["type"] != "http.disconnect":
                pass
        if step in ("hang", "drip"):
            return StreamingResponse(self.drips())
        async with httpx.AsyncClient(timeout=30) as http:
            passed = await http.request(request.method, self.target + path, content=body)
        headers = {name: passed.headers[name] for name in ("content-type", "x-lrat-sim-fingerprint")}
        if step == "cut":
            return StreamingResponse(self.half(passed.content), headers=headers)
        return Response(passed.content, passed.status_code, headers)

    async def drips(self):
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async def half(self, content):
        yield content[: len(content) // 2]
        raise ConnectionResetError


@pytest.fixture
def between(url, monkeypatch):
    # the waits grow at random; how long they last is not what these tests are about
    monkeypatch.setattr("lrat_sim.retrieval.connection._LONGEST_WAIT", 0.01)
    between = Between(url)
    with serving_app(lambda host: between.app) as between.url:
        yield between


def test_it_is_opened_by_its_name_needs_no_corpus_and_is_the_served_one(url, bm25, tmp_path):
    with open_retriever(f"remote:url={url}/", None, tmp_path) as remote:
        assert (remote.describe(), remote.fingerprint) == (bm25.describe(), bm25.fingerprint)
        assert remote.search(QUERIES, 7) == bm25.search(QUERIES, 7)
    with pytest.raises(RuntimeError, match="closed"):
        remote.search(QUERIES, 7)


@pytest.mark.anyio
async def test_runs_of_an_agent_are_the_same_through_it(small_world, tmp_path):
    direct = open_retriever("bm25", small_world.corpus, tmp_path)
    agent = load_agent("simulated")

    async def run(retriever):
        tasks = small_world.tasks("test")[:4]
        return [canonical(each) for each in await asyncio.gather(*(run_task(t, agent, retriever) for t in tasks))]

    with serving(direct) as url:
        assert await run(open_remote(small_world.corpus, url=url)) == await run(direct)


def test_it_may_be_served_again(url, bm25, corpus):
    with serving(open_remote(corpus, url=url)) as further:
        twice = open_remote(corpus, url=further)
        assert isinstance(twice, RemoteRetriever)
        assert (twice.fingerprint, twice.documents) == (bm25.fingerprint, len(corpus))
        assert twice.search(QUERIES, 5) == bm25.search(QUERIES, 5)


def test_two_hundred_threads_share_it(url, bm25):
    remote = open_remote(None, url=url)
    asked = [(QUERIES[n % len(QUERIES)], 1 + n % 4) for n in range(400)]
    expected = {pair: bm25.search([pair[0]], pair[1])[0] for pair in set(asked)}
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda pair: remote.search([pair[0]], pair[1])[0], asked))
    assert found == [expected[pair] for pair in asked]


def test_another_corpus_is_refused_wherever_it_is_described(url, opened, tmp_path):
    other = Corpus.build(tmp_path, [Document(id="d07", text="another text")])
    with pytest.raises(FingerprintMismatch, match=r"ranks the corpus .* and the task set has"):
        open_remote(other, url=url)
    with serving(opened("hybrid:bm25+dense")) as members, pytest.raises(FingerprintMismatch):
        open_remote(other, url=members)
    open_remote(other, url=url, protocol="search-r1")  # which says nothing of a corpus


@pytest.mark.parametrize("silence", ["hang", "drip"])
def test_silence_is_tried_again(between, bm25, silence):
    # on a busy machine an honest answer may take as long as silence: there are tries enough for both
    remote = open_remote(None, url=between.url, timeout=0.3, attempts=1000)
    between.plan = [silence, silence]
    assert remote.search(["film"], 2) == bm25.search(["film"], 2)
    assert len(between.requests) > 3
    between.plan = [silence]
    with pytest.raises(InputError, match=r"in 1 try, last: ReadTimeout: no whole answer within 0\.1 seconds"):
        open_remote(None, url=between.url, timeout=0.1, attempts=1)


@pytest.mark.parametrize("fault", [500, 502, 503, 429, 408, "cut"])
def test_a_fault_that_passes_is_tried_again(between, bm25, fault):
    remote = open_remote(None, url=between.url)
    between.plan = [fault, fault]
    assert remote.search(["film"], 2) == bm25.search(["film"], 2)
    assert between.requests[1:] == ["POST /search"] * 3


STRANGE = [
    *(b"", b"<html>", b'{"results": []}', b'{"results": [[{"docid": 1}]]}', b"\xff", b"[" * 200_000),
    *(b'{"results": [[{"docid": "1", "rank": 1, "score": %s}]]}' % score for score in (b"1e999", b"NaN", b"9" * 9000)),
    b'{"results": [[{"docid": "1", "score": 1, "rank": %s}]]}' % (b"9" * 9000),
    b'{"results": [[{"docid": "%s", "score": 1, "rank": 1}]]}' % (b"9" * 9000),
]
LASTING = {
    "a server that stays down": ([500] * 3, r"gave no answer in 3 tries, last: HTTP 500: as planned\."),
    **{f"{n}": ([n], rf"refused \(HTTP {n}\): as planned\.") for n in (400, 401, 403, 404, 413, 422)},
    "beyond any bound": ([b" " * 300_001], "larger than 300,000 bytes"),
    **{str(body[:50]): ([body], "is it lrat-sim serve") for body in STRANGE},
}


@pytest.mark.parametrize(("plan", "said"), LASTING.values(), ids=LASTING)
def test_a_fault_that_does_not_pass_is_a_retriever_error_and_not_tried_again(between, monkeypatch, plan, said):
    remote = open_remote(None, url=between.url, attempts=3)
    monkeypatch.setattr("lrat_sim.models.transport.MOST_BYTES", 300_000)
    between.plan = [*plan]
    with pytest.raises(RetrieverError, match=said):
        remote.search(["film"], 2)
    assert between.requests[1:] == ["POST /search"] * len(plan)


def test_a_server_that_serves_something_else_now_is_noticed_at_once(bm25, corpus, tmp_path):
    with serving(bm25) as url:
        remote = open_remote(None, url=url)
        assert remote.search(["film"], 1)
    other = open_retriever("bm25", corpus, tmp_path, engine="rank-bm25")
    with serving(other, port=int(url.rpartition(":")[2])):
        for call in (lambda: remote.search(["film"], 1), lambda: remote.document("d03"), lambda: remote.document("?")):
            with pytest.raises(RetrieverError, match="serves something else now") as caught:
                call()
            assert not isinstance(caught.value, UnknownDocument)


def test_hits_of_a_short_list_bring_their_documents(between, bm25):
    remote = open_remote(None, url=between.url)
    hits = remote.search(["film of Carla Ruiz"], 10)[0]
    assert [remote.document(hit.docid) for hit in hits] == [bm25.document(hit.docid) for hit in hits]
    assert between.requests[1:] == ["POST /search"]
    remote.search(["bridge"], 30)  # an evaluation's long list comes without them
    assert between.bodies[-1]["text"] is False
    for _ in range(2):
        remote.document("moskva")
    assert between.requests[-1] == "GET /document/moskva"
    assert len(between.requests) == 4


def test_many_queries_are_asked_in_requests_within_the_limits(bm25):
    queries = [f"film {n} " + "ж" * (n % 40) for n in range(50)]
    expected = bm25.search(queries, 3)
    for limits in (ServerLimits(queries=7), ServerLimits(hits=10), ServerLimits(body=1000)):
        with serving(bm25, limits=limits) as url:
            assert open_remote(None, url=url).search(queries, 3) == expected


def test_a_k_above_what_the_server_gives_is_refused_before_it_is_asked(bm25):
    with serving(bm25, limits=ServerLimits(k=5)) as url, pytest.raises(InputError, match=r"k is 6, .* gives 5 at most"):
        open_remote(None, url=url).search(["film"], 6)


def test_a_query_that_the_server_refuses_is_a_retriever_error(bm25):
    with serving(bm25, limits=ServerLimits(query_characters=10)) as url:
        remote = open_remote(None, url=url)
        with pytest.raises(RetrieverError, match=r"refused \(HTTP 422\): this server gives 10 characters a query"):
            remote.search(["a" * 11], 1)


def test_ids_that_no_path_can_hold_are_unknown_documents(url):
    remote = open_remote(None, url=url)
    for docid in ("\ud83d", "", ".", "..", "a/../b", "?", "\n"):
        with pytest.raises(UnknownDocument):
            remote.document(docid)
    with pytest.raises(RetrieverError):
        remote.document("x" * 100_000)


def test_the_token_comes_from_the_environment_and_shows_nowhere(bm25, monkeypatch):
    with serving(bm25, token="secret-1") as url:
        with pytest.raises(InputError, match=r"the token is missing or wrong.*token_env"):
            open_remote(None, url=url)
        monkeypatch.setenv("SEARCH_TOKEN", "secret-1")
        remote = open_remote(None, url=url, token_env="SEARCH_TOKEN")
        assert remote.search(["film"], 2) == bm25.search(["film"], 2)
        assert "secret-1" not in json.dumps(remote.describe())
    monkeypatch.delenv("SEARCH_TOKEN")
    with pytest.raises(InputError, match="SEARCH_TOKEN is not set"):
        open_remote(None, url=url, token_env="SEARCH_TOKEN")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "url"),
        ({"url": "127.0.0.1:8000"}, "not the address"),
        ({"url": "ftp://127.0.0.1"}, "not the address"),
        ({"url": "http://"}, "not the address"),
        ({"url": "http://[::1"}, "not the address"),
        ({"url": "http://host:port"}, "not the address"),
        ({"url": "http://me:pass@127.0.0.1:8000"}, "holds a password"),
        ({"url": "http://127.0.0.1:9", "attempts": "1"}, "gave no answer in 1 try.*start it there"),
        ({"url": "http://127.0.0.1:9", "attempts": "0"}, "attempts"),
        ({"url": "http://127.0.0.1:9", "attempts": "1" + "0" * 30}, "attempts"),
        ({"url": "http://127.0.0.1:9", "timeout": "nan"}, "timeout"),
        ({"url": "http://127.0.0.1:9", "timeout": "1e999"}, "timeout"),
        ({"url": "http://127.0.0.1:9", "protocol": "carrier pigeon"}, "protocol"),
        ({"url": "http://127.0.0.1:9", "speed": "1"}, "speed"),
    ],
)
def test_options_that_cannot_be_used_are_one_sentence(options, said):
    with pytest.raises(InputError, match=said) as caught:
        open_remote(None, **options)
    assert "pass@" not in str(caught.value)


def test_what_is_no_search_server_is_refused_at_opening(between):
    for body in (b"<html>hello</html>", b"{}", b"[]"):
        between.plan = [body]
        with pytest.raises(InputError, match="is not lrat-sim serve"):
            open_remote(None, url=between.url)
        between.plan = [body]
        with pytest.raises(InputError, match="does not speak Search-R1's protocol"):
            open_remote(None, url=between.url, protocol="search-r1")


def test_a_search_r1_server_is_a_retriever_too(url, bm25, corpus):
    for given in (url, f"{url}/", f"{url}/retrieve"):
        remote = open_remote(corpus, url=given, protocol="search-r1")
        assert remote.search(QUERIES, 4) == bm25.search(QUERIES, 4)
        (hit, *_) = remote.search(["film of Carla Ruiz"], 4)[0]
        assert remote.document(hit.docid) == bm25.document(hit.docid)
        assert remote.describe()["url"] == url
        with pytest.raises(UnknownDocument, match="no search at"):
            remote.document("d99")
        with pytest.raises(InputError, match="1 document or more"):
            remote.search(["film"], 0)


def test_documents_of_a_search_r1_server_are_read_as_it_gives_them(between):
    remote = open_remote(None, url=between.url, protocol="search-r1")
    items = [
        {"document": {"id": 7, "contents": '"A "quoted" title"\nand a text\nof two lines'}, "score": 0.5},
        {"document": {"id": "7", "contents": '"The same again"\ntext'}, "score": 0.4},
        {"document": {"id": "8", "title": "Own", "text": "fields", "contents": '"Own"\nfields'}, "score": 0.9},
        {"document": {"contents": "no id, no title"}},
    ]
    between.plan = [msgspec.json.encode({"result": [items]})]
    hits = remote.search(["anything"], 4)[0]
    assert [(hit.docid, hit.score, hit.rank) for hit in hits[:2]] == [("8", 0.9, 1), ("7", 0.5, 2)]
    assert len(hits) == 3
    assert hits[2].score == 0.25  # by its place, where the server gives no score
    assert remote.document("7") == Document(id="7", title='A "quoted" title', text="and a text\nof two lines")
    assert remote.document("8") == Document(id="8", title="Own", text="fields")
    nameless = remote.document(hits[2].docid)
    assert (nameless.title, nameless.text) == ("", "no id, no title")
    between.plan = [b'{"result": [[{"document": {"id": "9"}}]]}']
    with pytest.raises(RetrieverError, match="without `contents`"):
        remote.search(["anything"], 4)


def test_the_cache_of_documents_keeps_what_was_used_last_within_its_room():
    cache = DocumentCache(3000)
    for docid in "abc":
        cache.put(Document(id=docid, text="x" * 499, title="t"))
    assert cache.get("a") is not None
    cache.put(Document(id="a", text="y" * 499, title="t"))  # in place of the one before
    cache.put(Document(id="d", text="x" * 499, title="t"))
    assert [cache.get(docid) is not None for docid in "abcd"] == [True, False, True, True]
    cache.put(Document(id="e", text="x" * 10_000))
    assert [cache.get(docid) is not None for docid in "acde"] == [False, False, False, True]
