"""The search server: what it answers, what it refuses, and that nobody's request depends on another's."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval import Retriever
from lrat_sim.retrieval.hybrid import HybridRetriever
from lrat_sim.retrieval.schemas import Refused, ServerLimits
from lrat_sim.retrieval.search_app import search_app
from lrat_sim.retrieval.server import serve, serving
from lrat_sim.retrieval.service import Batcher
from lrat_sim.text import first_tokens

ODD_IDS = ["a/b", "/", "..", ".", "a b", "a%2Fb", "a?b#c", "line\nbreak\n", "東京", "a\\b", '"', "%", "+", ";,=&"]


class ByLength(Retriever):
    """Ranks its documents by length; does what a test says on the way."""

    def __init__(self, ids=("1", "2", "3")):
        self.texts = {docid: Document(id=docid, title=f"T {docid}", text="word " * n) for n, docid in enumerate(ids, 1)}
        self.calls: list[tuple[list[str], int]] = []
        self.before: Callable[[Sequence[str]], object] = lambda queries: None

    def search(self, queries, k):
        self.calls.append((list(queries), k))
        self.before(queries)
        ids = sorted(self.texts, key=lambda docid: (-len(self.texts[docid].text), docid))[:k]
        return [
            [Hit(docid=docid, score=len(query) - float(rank), rank=rank) for rank, docid in enumerate(ids, 1)]
            for query in queries
        ]

    def document(self, docid):
        if docid not in self.texts:
            raise UnknownDocument(docid)
        return self.texts[docid]

    def describe(self):
        return {"kind": "by-length", "ids": sorted(self.texts)}


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


def error_of(response, status):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert error.endswith(".")
    assert "Traceback" not in error
    return str(error)


def as_found(hits):
    return [{"docid": hit.docid, "score": hit.score, "rank": hit.rank} for hit in hits]


def test_search_answers_what_the_retriever_does(client, bm25):
    queries = ["film of Carla Ruiz", "東京大学", "", "zzqqxx"]
    answer = client.post("/search", json={"queries": queries, "k": 4})
    assert answer.json() == {"results": [as_found(hits) for hits in bm25.search(queries, 4)]}
    assert answer.headers["x-lrat-sim-fingerprint"] == bm25.fingerprint
    one = client.post("/search", json={"query": queries[0]})
    assert one.json() == {"results": [as_found(bm25.search(queries[:1], 10)[0])]}


def test_search_adds_snippets_and_texts_where_asked(client, bm25):
    body = {"query": "bridge", "k": 2, "snippet_tokens": 3, "text": True}
    for found in client.post("/search", json=body).json()["results"][0]:
        document = bm25.document(found["docid"])
        assert (found["title"], found["text"]) == (document.title, document.text)
        assert found["snippet"] == first_tokens(document.text, 3)
    (bare,) = client.post("/search", json={"query": "bridge", "k": 1}).json()["results"][0]
    assert set(bare) == {"docid", "score", "rank"}


def test_describe_says_what_is_served(client, bm25, corpus):
    card = client.get("/describe").json()
    assert client.get("/").json() == card
    assert card["retriever"] == bm25.describe()
    assert card["fingerprint"] == bm25.fingerprint
    assert card["documents"] == len(corpus)
    assert card["limits"]["k"] == 1000
    assert client.get("/health").json() == {"status": "ok"}


def test_retrieve_speaks_search_r1(client, bm25):
    queries = ["film of Carla Ruiz", "lighthouse on the cape"]
    answer = client.post("/retrieve", json={"queries": queries, "topk": 2, "return_scores": True, "further": 1})
    hits = bm25.search(queries, 2)
    expected = [[bm25.document(hit.docid) for hit in of_query] for of_query in hits]
    assert [[item["score"] for item in items] for items in answer.json()["result"]] == [
        [hit.score for hit in of_query] for of_query in hits
    ]
    # that project's clients take the first line for the title and the rest for the text
    for items, documents in zip(answer.json()["result"], expected, strict=True):
        for item, document in zip(items, documents, strict=True):
            contents = f'"{document.title}"\n{document.text}'
            assert item["document"] == {"id": document.id, "contents": contents}
    bare = client.post("/retrieve", json={"queries": ["film", "bridge"]}).json()["result"]
    assert [len(items) for items in bare] == [3, 3]  # what that project's server gives without a number
    assert all(set(item) == {"id", "contents"} for items in bare for item in items)


@pytest.mark.parametrize("docid", ODD_IDS)
def test_any_id_can_be_fetched(docid):
    with serving(ByLength(ODD_IDS)) as url:
        path = quote(docid, safe="").replace(".", "%2E")
        assert httpx.get(f"{url}/document/{path}").json()["id"] == docid


def test_an_unknown_document_is_a_404(client):
    for unknown in ("nobody", "", "d07%2F", "%FF%FE", "x" * 5000):
        assert "there is no document" in error_of(client.get(f"/document/{unknown}"), 404)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "neither or both"),
        ({"query": "a", "queries": ["a"]}, "neither or both"),
        ({"queries": "a"}, r"expected `array"),
        ({"queries": ["a", 1]}, r"`queries\[1\]`"),
        ({"query": "a", "k": 0}, "`k`"),
        ({"query": "a", "k": True}, "`k`"),
        ({"query": "a", "k": 1.5}, "`k`"),
        ({"query": "a", "k": 1001}, "1000 hits a query at most, not 1001"),
        ({"query": "a", "k": 10**400}, "at most, not many more"),
        ({"query": "a", "topk": 3}, "topk"),
        ({"query": "a", "snippet_tokens": 0}, "snippet_tokens"),
        ({"query": "a" * 32_001}, "32000 characters a query"),
        ({"queries": ["a"] * 4097}, "4096 queries a request"),
        ({"queries": ["a"] * 51, "k": 1000}, "50000 hits a request"),
        ([], "object"),
        (None, "object"),
    ],
)
def test_a_request_over_a_limit_or_malformed_is_a_422_that_says_why(client, body, said):
    assert re.search(said, error_of(client.post("/search", json=body), 422))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"query": "\xff"}', b"NaN", b'{"k": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_a_422(client, raw):
    for path in ("/search", "/retrieve"):
        error_of(client.post(path, content=raw), 422)


def test_other_paths_and_methods_are_refused_in_json(client):
    assert "not offered" in error_of(client.get("/nothing"), 404)
    for answer in (client.get("/search"), client.delete("/document/d07")):
        assert "not offered" in error_of(answer, 405)


def test_a_body_too_large_is_a_413_whether_or_not_it_says_its_length():
    with serving(ByLength(), limits=ServerLimits(body=1000)) as url:
        for content in (b"x" * 1001, (b"x" * 600 for _ in range(2)), b"x" * 1_000_000):
            assert "1000 bytes" in error_of(httpx.post(f"{url}/search", content=content), 413)
        assert httpx.post(f"{url}/mcp", content=b"x" * 1001).status_code == 413
        assert httpx.post(f"{url}/search", json={"query": "y"}).status_code == 200


def test_a_body_that_does_not_arrive_is_a_408():
    with serving(ByLength(), limits=ServerLimits(seconds=0.2)) as url, connected(url) as slow:
        slow.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        with slow.makefile("rb") as stream:
            answer = stream.read()  # until the server closes: headers and body may come apart
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"0.2 seconds" in answer


def test_a_token_is_asked_of_everything_but_health():
    with serving(ByLength(), token="secret-1") as url:
        for headers in ({}, {"authorization": "Bearer secret-2"}, {"authorization": "Basic secret-1"}):
            for path in ("/describe", "/document/1", "/mcp", "/nothing"):
                answer = httpx.get(url + path, headers=headers)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert "secret-1" not in error_of(answer, 401)
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/describe", headers={"authorization": "bearer secret-1"}).status_code == 200


ELSEWHERE = [
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]:80", "", ":80", "localhost:1@evil.example",
    "localhost@evil.example", "[::1].evil.example", "[::1]@evil.example:80", "[::1", "localhost:80:80", "localhost:",
    "localhost:8o", "localhost/", "localhost\\.evil.example", "localhost#", "loc\u00e4l", "localhost evil.example",
    "localhost,evil.example", "localhost?", "%6cocalhost", "::1", "127.0.0.1.",
]  # fmt: skip


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_request_for_another_host_is_refused_on_loopback(client, host):
    for path in ("/health", "/mcp", "/search"):
        error_of(client.post(path, headers={"host": host.encode("latin-1")}, json={"query": "film"}), 421)
    origin = f"http://{host}".encode("latin-1")
    assert client.get("/health", headers={"origin": origin}).status_code == 403


def test_this_machine_may_ask_by_any_of_its_own_names_and_a_web_page_from_elsewhere_may_not(client):
    for host in ("localhost:9", "LOCALHOST", "[::1]:8000", "127.0.0.1"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    assert client.get("/health", headers={"origin": "http://localhost:3000"}).status_code == 200
    for origin in ("http://evil.example", "null", "localhost"):
        assert client.get("/health", headers={"origin": origin}).status_code == 403
    both = [("origin", "http://localhost"), ("origin", "http://evil.example")]
    assert client.get("/health", headers=both).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("GET", "/describe"), ("POST", "/search"), ("POST", "/retrieve"), ("POST", "/mcp")],
)
def test_a_slash_at_the_end_changes_nothing(client, method, path):
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"} if path == "/mcp" else {"queries": ["film"]}
    with_slash, without = (
        client.request(method, address, json=body, headers={"accept": "application/json, text/event-stream"})
        for address in (path + "/", path)
    )
    assert (without.status_code, with_slash.status_code) == (200, 200)
    assert with_slash.content == without.content


def connected(url):
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def closed(client):
    """Waits for the server to close a connection without a word."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_half_a_head_is_not_waited_for_for_ever_whether_it_is_the_first_or_a_second_one():
    head = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with serving(ByLength(), limits=ServerLimits(seconds=0.5)) as url:
        with connected(url) as silent, connected(url) as half, connected(url) as second:
            half.sendall(head + b"X-")
            second.sendall(head + b"\r\nGET /health HTTP/1.1\r\nX-")
            assert closed(half)
            assert closed(silent)
            with second.makefile("rb") as stream:
                assert stream.read().count(b"HTTP/1.1 200") == 1  # until the server closes
        assert httpx.get(f"{url}/health").status_code == 200


def test_where_descriptors_are_short_who_waited_longest_makes_room(monkeypatch):
    monkeypatch.setattr("lrat_sim.retrieval.server.most_connections", lambda: 3)
    with serving(ByLength()) as url, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connected(url)) for _ in range(3)]
        assert httpx.get(f"{url}/health").status_code == 200
        assert closed(waiting[0])
        waiting[2].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert waiting[2].recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_takes_a_token(host):
    with pytest.raises(InputError, match="can be reached from other machines"):
        search_app(ByLength(), host=host)
    search_app(ByLength(), host=host, token="secret")


def test_with_a_token_any_address_and_host_name_will_do():
    with serving(ByLength(), host="0.0.0.0", token="secret") as url:
        port = url.rpartition(":")[2]
        headers = {"authorization": "Bearer secret", "host": "search.example"}
        assert httpx.get(f"http://127.0.0.1:{port}/describe", headers=headers).status_code == 200


@pytest.mark.parametrize("token", ["", "two words", "né", "line\nbreak"])
def test_a_token_that_no_header_can_carry_is_refused(token):
    with pytest.raises(InputError, match="token"):
        search_app(ByLength(), token=token)


def test_a_taken_port_and_an_impossible_one_are_one_sentence(url):
    taken = int(url.rpartition(":")[2])
    with pytest.raises(InputError, match=rf"127\.0\.0\.1, port {taken}, cannot be listened on \(.*; choose"):
        serve(ByLength(), port=taken)
    for port in (70_000, -1):
        with pytest.raises(InputError, match=f"there is no port {port}"):
            serve(ByLength(), port=port)
    with pytest.raises(InputError, match="cannot be listened on"):
        serve(ByLength(), host="no.such.host.invalid", token="secret")


def test_a_retriever_that_answers_by_the_task_cannot_be_served(opened, bm25, corpus):
    for refused in (opened("oracle"), HybridRetriever(corpus, [bm25, opened("oracle")])):
        with pytest.raises(InputError, match="answers by the task"):
            search_app(refused)
    search_app(HybridRetriever(corpus, [bm25, bm25]))


@pytest.mark.anyio
async def test_two_hundred_clients_at_once_get_what_direct_calls_give(url, bm25):
    words = ["film", "bridge", "Carla Ruiz", "東京大学", "lighthouse", "town 2", "", "\ud83d", "zzqqxx"]
    asked = [
        (f"{words[(client + turn) % len(words)]} {client % 7}", 1 + (client + turn) % 5)
        for client in range(200)
        for turn in range(3)
    ]
    expected = {pair: as_found(bm25.search([pair[0]], pair[1])[0]) for pair in set(asked)}

    async def client(searches):
        async with httpx.AsyncClient(timeout=60, verify=False) as http:  # no certificates to read for each
            for query, k in searches:
                answer = await http.post(f"{url}/search", content=json.dumps({"query": query, "k": k}))
                assert answer.status_code == 200
                assert answer.json()["results"] == [expected[query, k]]

    await asyncio.gather(*(client(asked[start : start + 3]) for start in range(0, len(asked), 3)))


def batched(retriever, *requests, **options):
    """What a batcher answers to requests that come together; failures stand in their place."""

    async def ask():
        batcher = Batcher(retriever, **options)
        answers = await asyncio.gather(*(batcher.search(*request) for request in requests), return_exceptions=True)
        batcher.close()
        return answers

    return asyncio.run(ask())


def test_queries_of_the_same_k_that_come_together_are_one_call():
    retriever = ByLength()
    answers = batched(retriever, *(([f"q{n}"], 1 + n % 2) for n in range(20)), window=0.05)
    assert sorted((len(queries), k) for queries, k in retriever.calls) == [(10, 1), (10, 2)]
    assert answers == [retriever.search([f"q{n}"], 1 + n % 2) for n in range(20)]


def test_a_request_is_never_split_and_a_batch_ends_at_its_size():
    retriever = ByLength()
    batched(retriever, *(([f"{n}"] * size, 1) for n, size in enumerate((3, 1, 9, 2, 2, 1))), size=4)
    assert [len(queries) for queries, _ in retriever.calls] == [4, 9, 4, 1]


def test_a_failing_query_fails_alone():
    retriever = ByLength()

    def poisoned(queries):
        if "poison" in queries:
            raise ZeroDivisionError("spoilt")

    retriever.before = poisoned
    asked = [["a"], ["poison"], ["b", "c"], ["poison", "d"]]
    first, second, third, fourth = batched(retriever, *((queries, 2) for queries in asked), window=0.05)
    assert (first, third) == (retriever.search(["a"], 2), retriever.search(["b", "c"], 2))
    for failed in (second, fourth):
        assert isinstance(failed, RetrieverError)
        assert "ZeroDivisionError: spoilt" in str(failed)
    assert retriever.calls[0][0] == ["a", "poison", "b", "c", "poison", "d"]


def test_a_retriever_that_fails_or_miscounts_is_a_502_in_one_sentence_and_a_defect_of_the_server_a_500(monkeypatch):
    retriever = ByLength()
    with serving(retriever) as url:
        retriever.before = lambda queries: (_ for _ in ()).throw(RetrieverError("the index is gone \ud83d"))
        assert "the index is gone" in error_of(httpx.post(f"{url}/search", json={"query": "a"}), 502)
        retriever.before = lambda queries: None
        retriever.search = lambda queries, k: []
        assert "0 lists of hits for 1 queries" in error_of(httpx.post(f"{url}/retrieve", json={"queries": ["a"]}), 502)
        monkeypatch.setattr("lrat_sim.retrieval.search_app.read_body", lambda *_: 1 / 0)
        assert "its log says why" in error_of(httpx.post(f"{url}/search", json={"query": "a"}), 500)


def test_the_server_answers_others_while_a_search_is_under_way():
    retriever, go, inside = ByLength(), threading.Event(), threading.Event()

    def wait(queries):
        if queries == ["slow"]:
            inside.set()
            assert go.wait(20)

    retriever.before = wait
    with serving(retriever) as url, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(httpx.post, f"{url}/search", json={"query": "slow"}, timeout=30)
        assert inside.wait(10)
        assert httpx.get(f"{url}/health", timeout=60).status_code == 200
        assert httpx.post(f"{url}/search", json={"query": "quick"}, timeout=60).status_code == 200
        assert not slow.done()
        go.set()
        assert slow.result().status_code == 200


@pytest.mark.anyio
async def test_too_many_waiting_queries_are_put_off_and_not_lost():
    retriever, go = ByLength(), threading.Event()
    retriever.before = lambda queries: go.wait(20)
    with contextlib.closing(Batcher(retriever, threads=1, window=0, waiting=5)) as batcher:
        searches = [asyncio.ensure_future(batcher.search(["under way"], 1))]
        await asyncio.sleep(0.1)
        searches += [asyncio.ensure_future(batcher.search([f"w{n}"], 1)) for n in range(5)]
        await asyncio.sleep(0.05)
        with pytest.raises(Refused, match="wait already") as refused:
            await batcher.search(["one more"], 1)
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        go.set()
        assert [len(hits) for hits in await asyncio.gather(*searches)] == [1] * 6


@pytest.mark.anyio
async def test_a_client_that_leaves_takes_nobody_with_it():
    retriever = ByLength()
    with contextlib.closing(Batcher(retriever, window=0.05)) as batcher:
        leaver, stayer = (asyncio.ensure_future(batcher.search([name], 1)) for name in ("leaver", "stayer"))
        await asyncio.sleep(0.01)
        leaver.cancel()
        answer = await stayer
    assert retriever.calls[0][0] == ["stayer"]
    assert answer == retriever.search(["stayer"], 1)


SCRIPT = """
import sys, time
from pathlib import Path
from lrat_sim.corpus.documents import Corpus
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.server import serve
retriever = open_retriever("bm25", Corpus.open(Path(sys.argv[1])), Path(sys.argv[2]))
search = retriever.search
def slowly(queries, k):
    if "slow" in queries[0]:
        print("searching", flush=True)
        time.sleep(0.7)
    return search(queries, k)
retriever.search = slowly
serve(retriever, port=0, announce=lambda said: print(said, flush=True))
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_after_the_requests_under_way(number, corpus, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(corpus.folder), str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            said = process.stdout.readline()
            assert said.startswith("serving bm25 (")
            url = said.partition(" at ")[2].partition(",")[0]
            with ThreadPoolExecutor(1) as pool:
                under_way = pool.submit(httpx.post, f"{url}/search", json={"query": "slow film"}, timeout=120)
                assert process.stdout.readline() == "searching\n"
                process.send_signal(number)
                assert under_way.result().status_code == 200
            out, err = process.communicate(timeout=120)
            assert (out, err, process.returncode) == ("ended\n", "", 0)
        finally:
            process.kill()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
queries = st.text(st.characters(), max_size=30)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "query": queries | json_values,
        "queries": st.lists(queries | json_values, max_size=4),
        "k": st.integers(-2, 30) | json_values,
        "topk": st.integers(-2, 30) | json_values,
        "snippet_tokens": st.integers(-1, 40) | json_values,
        "text": st.booleans() | json_values,
        "return_scores": st.booleans() | json_values,
    },
)
bodies = st.binary(max_size=60) | (nearly | json_values).map(lambda value: json.dumps(value).encode())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, path=st.sampled_from(["/search", "/retrieve", "/mcp"]))
def test_no_body_breaks_the_server_or_hangs_it(client, body, path):
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    answer = client.post(path, content=body, headers=headers, timeout=120)
    assert answer.status_code in ({200, 422} if path != "/mcp" else {200, 202, 400, 404, 422})
    answer.json()
    if path != "/mcp" and answer.status_code != 200:
        error_of(answer, 422)


def test_an_answer_is_sent_at_once(client):
    """Without TCP_NODELAY each would wait 40 ms for an acknowledgement."""
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        client.post("/search", json={"query": "film"})
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.03
