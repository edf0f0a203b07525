"""Search engines: what is asked of them, what becomes of their answers, and whose documents they hold.

Qdrant runs embedded, so it is itself; Elasticsearch, OpenSearch, Anserini and the web are scripted servers on loopback
that refuse what is not in their documented form (tests/support/engines.py).
"""

from contextlib import contextmanager

import pytest
from engines import Elastic, EngineServer, overlap
from qdrant_client import QdrantClient, models

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RetrieverError, UnknownDocument
from lrat_sim.records import Document, Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.engines.upload import open_encoder

QUERY = "film of Carla Ruiz"


@pytest.fixture(params=["elasticsearch", "opensearch"])
def elastic(request):
    """An empty server and the name of its retriever."""
    engine = Elastic(opensearch=request.param == "opensearch")
    with EngineServer(engine.answer) as server:
        server.kind, server.engine = request.param, engine
        yield server


def sources(corpus, **more):
    return {document.id: {"title": document.title, "text": document.text, **more} for document in corpus}


def of_method(server, *path):
    return [asked for asked in server.asked if asked.path[1:] == list(path)]


# --- an index of ours


def test_index_is_made_once_and_found_again_by_another_process(elastic, corpus, tmp_path):
    first = open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, batch_size=10)
    assert [len(asked.lines()) for asked in of_method(elastic, "_bulk")] == [20, 20, 20, 12]
    second = open_retriever(elastic.kind, corpus, tmp_path / "elsewhere", url=elastic.url, batch_size=10)
    assert len(of_method(elastic, "_bulk")) == 4
    assert second.fingerprint == first.fingerprint
    assert second.search([QUERY], 5) == first.search([QUERY], 5)
    assert first.describe()["corpus"] == corpus.fingerprint


@pytest.mark.parametrize("search", ["bm25", "knn"])
def test_interrupted_indexing_goes_on_where_it_stopped(elastic, corpus, tmp_path, search):
    def stop(done, total, what):
        if done == 20:
            raise KeyboardInterrupt

    options = {"url": elastic.url, "search": search, "batch_size": 10}
    with pytest.raises(KeyboardInterrupt):
        open_retriever(elastic.kind, corpus, tmp_path, progress=stop, **options)
    told: list[int] = []
    resumed = open_retriever(elastic.kind, corpus, tmp_path, progress=lambda done, *_: told.append(done), **options)
    assert told == [30, len(corpus)]
    (index,) = elastic.engine.indexes.values()
    assert [*index["documents"]] == [*corpus.ids()]
    assert resumed.search([QUERY], 3)[0]


def test_document_that_the_server_does_not_take_is_named(elastic, tmp_path):
    long = Corpus.build(tmp_path / "corpus", [Document(id="a", text="a"), Document(id="b" * 600, text="b")])
    with pytest.raises(InputError, match=r"did not take document 'bbb.*id is too long.*rerun the same command"):
        open_retriever(elastic.kind, long, tmp_path, url=elastic.url)


def test_other_settings_of_the_index_make_another_one(elastic, corpus, tmp_path):
    names = {
        open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, **options).index
        for options in ({}, {"k1": 1.2}, {"analyzer": "standard"}, {"search": "knn"}, {"timeout": 9})
    }
    assert len(names) == 4
    assert {*elastic.engine.indexes} == names


def test_vectors_are_those_of_the_encoder_for_documents_and_queries(elastic, corpus, opened, tmp_path):
    knn = open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, search="knn", encoder="dense:max_length=64")
    expected = opened("dense").search([QUERY], 5)[0]
    hits = knn.search([QUERY], 5)[0]
    assert [hit.docid for hit in hits] == [hit.docid for hit in expected]
    assert [2 * hit.score - 1 for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-3)
    with pytest.raises(InputError, match="'bm25', which makes no vectors"):
        open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, search="knn", encoder="bm25")


# --- an index of somebody else


def test_named_index_with_the_task_sets_documents_counts_as_its_corpus(elastic, corpus, tmp_path):
    elastic.engine.put("wiki", sources(corpus))
    named = open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, index="wiki", fields="title+text")
    assert named.describe()["corpus"] == corpus.fingerprint
    (hits,) = named.search([QUERY], 3)
    assert hits[0].docid == "d11"
    asked = elastic.asked[-1].json()
    assert asked["query"] == {"multi_match": {"query": QUERY, "fields": ["title", "text"]}}
    before = len(elastic.asked)
    assert named.document("d11") == corpus.document("d11")
    assert len(elastic.asked) == before  # a search brought it
    assert named.document("moskva") == corpus.document("moskva")
    with pytest.raises(UnknownDocument, match="has no document 'nobody'"):
        named.document("nobody")
    assert not [asked for asked in elastic.asked if asked.method == "PUT" or asked.path[-1] == "_bulk"]


@pytest.mark.parametrize("change", ["text", "ids", "count"])
def test_named_index_with_other_documents_has_a_corpus_of_its_own(elastic, corpus, tmp_path, change):
    documents = sources(corpus)
    if change == "text":
        documents = {docid: {**source, "text": source["text"][:20]} for docid, source in documents.items()}
    elif change == "ids":
        documents = {f"other-{docid}": source for docid, source in documents.items()}
    else:
        documents["one more"] = {"title": "", "text": "x"}
    elastic.engine.put("wiki", documents)
    named = open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, index="wiki")
    assert named.describe()["corpus"] == f"the index wiki of {elastic.kind}"


def test_named_index_needs_no_task_set_documents_and_none_at_all_is_refused(elastic, corpus, tmp_path):
    elastic.engine.put("wiki", sources(corpus))
    assert open_retriever(elastic.kind, None, tmp_path, url=elastic.url, index="wiki").search([QUERY], 1)[0]
    with pytest.raises(InputError, match=r"no documents to index.*name an index"):
        open_retriever(elastic.kind, None, tmp_path, url=elastic.url)


def test_missing_index_missing_text_and_refused_key_are_named(elastic, corpus, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"has no index 'wiki'; start it there, or correct the url, the index"):
        open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url, index="wiki")
    elastic.engine.put("wiki", {"a": {"body": "text"}})
    named = open_retriever(elastic.kind, None, tmp_path, url=elastic.url, index="wiki", fields="body")
    with pytest.raises(RetrieverError, match=r"no text in the field 'text' of document 'a'.*text_field"):
        named.search(["text"], 1)
    elastic.key = ("authorization", "Basic dXNlcjpzZWNyZXQtcGFzcw==")
    with pytest.raises(InputError, match=r"does not accept the key \(HTTP 401\).*api_key_env"):
        open_retriever(elastic.kind, None, tmp_path, url=elastic.url, index="wiki")
    monkeypatch.setenv("ENGINE_KEY", "user:secret-pass")
    options = {"url": elastic.url, "index": "wiki", "scheme": "basic", "api_key_env": "ENGINE_KEY"}
    assert open_retriever(elastic.kind, None, tmp_path, **options).describe()["index"] == "wiki"


def test_outage_is_tried_again_and_a_lasting_one_is_said(elastic, corpus, tmp_path):
    elastic.engine.put("wiki", sources(corpus))
    elastic.failures = [503, 429, 500]
    named = open_retriever(elastic.kind, None, tmp_path, url=elastic.url, index="wiki", attempts=4)
    elastic.failures = [503] * 4
    with pytest.raises(RetrieverError, match="gave no answer in 4 tries, last: HTTP 503: planned"):
        named.search([QUERY], 1)
    with pytest.raises(InputError, match=r"at http://127.0.0.1:1 gave no answer in 1 try.*start it there"):
        open_retriever(elastic.kind, corpus, tmp_path, url="http://127.0.0.1:1", attempts=1)


# --- Qdrant, embedded


def test_embedded_qdrant_finds_what_exact_search_finds(opened):
    queries = [QUERY, "a bridge in town 2", "lighthouse"]
    dense, qdrant = (opened(spec).search(queries, 10) for spec in ("dense", "qdrant"))
    assert [[hit.docid for hit in hits] for hits in qdrant] == [[hit.docid for hit in hits] for hits in dense]
    assert qdrant[0][0].score == pytest.approx(dense[0][0].score, abs=1e-3)


def test_interrupted_collection_goes_on_where_it_stopped(corpus, tmp_path):
    def stop(done, total, what):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_retriever("qdrant", corpus, tmp_path, batch_size=10, progress=stop)
    told: list[int] = []
    with open_retriever(
        "qdrant", corpus, tmp_path, batch_size=10, progress=lambda done, *_: told.append(done)
    ) as resumed:
        assert told == [30, len(corpus)]
        assert resumed.search(["lighthouse on the cape"], 2)[0][0].docid == "twin-a"
        with pytest.raises(InputError, match="in use by another process"):
            open_retriever("qdrant", corpus, tmp_path)
    with open_retriever("qdrant", corpus, tmp_path, progress=lambda *_: pytest.fail("indexed again")) as reopened:
        assert len({hit.docid for hit in reopened.search(["a"], 100)[0]}) == len(corpus)


def collection(folder, corpus, distance=models.Distance.COSINE):
    """A collection of somebody else, with ids in a field and a named vector."""
    client, encoder = QdrantClient(path=str(folder / "qdrant")), open_encoder("dense")
    documents = [*corpus]
    client.create_collection("wiki", {"minilm": models.VectorParams(size=384, distance=distance)})
    vectors = encoder.documents([f"{document.title}\n{document.text}" for document in documents]).tolist()
    fields = [{"pid": document.id, "title": document.title, "body": document.text} for document in documents]
    client.upsert("wiki", models.Batch(ids=[*range(len(documents))], vectors={"minilm": vectors}, payloads=fields))
    client.close()


def test_named_collection_is_searched_as_it_is(corpus, tmp_path):
    collection(tmp_path, corpus)
    names = {"collection": "wiki", "vector_name": "minilm", "id_field": "pid", "text_field": "body"}
    with open_retriever("qdrant", corpus, tmp_path, **names) as named:
        assert named.describe()["corpus"] == corpus.fingerprint
        assert named.search([QUERY], 1)[0][0].docid == "d11"
        assert named.document("moskva") == corpus.document("moskva")
        with pytest.raises(UnknownDocument, match="has no document 'nobody'"):
            named.document("nobody")
    with open_retriever("qdrant", None, tmp_path, **{**names, "id_field": None}) as by_point:
        (hit,) = by_point.search([QUERY], 1)[0]
        assert by_point.document(hit.docid).text == corpus[int(hit.docid)].text
        with pytest.raises(UnknownDocument):
            by_point.document("nobody")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collection": "none"}, "embedded Qdrant failed .*none not found.*correct the url, the collection"),
        ({"collection": "wiki", "vector_name": "other"}, "embedded Qdrant failed"),
        ({"collection": "wiki", "vector_name": "minilm", "id_field": "id", "text_field": "body"}, "no field 'id'"),
        ({"collection": "wiki", "vector_name": "minilm"}, "no field 'text'.*correct text_field"),
        ({"url": "http://127.0.0.1:1", "attempts": 1}, "Qdrant at http://127.0.0.1:1 failed.*start it there"),
    ],
)
def test_collection_that_cannot_be_searched_is_named(options, message, corpus, tmp_path):
    collection(tmp_path, corpus)
    with pytest.raises(InputError, match=message):
        open_retriever("qdrant", corpus, tmp_path, **options)


def test_refused_key_of_a_qdrant_server_is_said(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_KEY", "secret-of-qdrant")

    def answer(asked):
        assert asked.headers["api-key"] == "secret-of-qdrant"
        return 403, {"status": {"error": "forbidden"}}

    with EngineServer(answer) as server, pytest.raises(InputError, match="does not accept the key") as refused:
        open_retriever("qdrant", corpus, tmp_path, url=server.url, api_key_env="ENGINE_KEY")
    assert "secret-of-qdrant" not in str(refused.value)


# --- Anserini's service


@contextmanager
def anserini(documents):
    """Its REST interface over texts by id; a text may be JSON, as the service parses it."""

    def answer(asked):
        assert asked.method == "GET"
        assert asked.path[0] == "v1"
        if asked.path[1] != "wiki":
            return 400, {"error": f"Unable to open index: {asked.path[1]}"}
        if asked.path[2] == "doc":
            docid = asked.path[3]
            if docid not in documents:
                return 404, {"error": f"Document not found: {docid}"}
            return 200, {"api": "v1", "index": "wiki", "docid": docid, "doc": documents[docid]}
        assert asked.path[2] == "search"
        assert {*asked.query} == {"query", "hits"}
        scored = sorted(
            ((overlap(asked.query["query"], str(doc)), docid) for docid, doc in documents.items()), reverse=True
        )
        found = [pair for pair in scored if pair[0] > 0][: int(asked.query["hits"])]
        candidates = [
            {"docid": docid, "score": score, "rank": rank, "doc": documents[docid]}
            for rank, (score, docid) in enumerate(found, start=1)
        ]
        return 200, {"api": "v1", "index": "wiki", "query": {"text": asked.query["query"]}, "candidates": candidates}

    with EngineServer(answer) as server:
        yield server


def test_anserini_gives_documents_in_each_form_in_which_collections_keep_them(tmp_path):
    documents = {
        "plain": "Only contents about a harbour.",
        "a/b c.": '"Quoted title"\nPassage about a harbour.',
        "fields": {"_id": "fields", "title": "A title", "text": "Text about a harbour."},
        "marco": {"pid": "marco", "passage": "Passage of a harbour."},
    }
    with anserini(documents) as server:
        retriever = open_retriever("pyserini", None, tmp_path, url=server.url, index="wiki")
        (hits,) = retriever.search(["harbour"], 10)
        assert {hit.docid for hit in hits} == {*documents}
        assert retriever.document("a/b c.") == Document(
            id="a/b c.", title="Quoted title", text="Passage about a harbour."
        )
        assert retriever.document("fields").title == "A title"
        retriever._documents.__init__(1 << 20)
        assert retriever.document("a/b c.").title == "Quoted title"  # now by its id
        assert retriever.document("marco").text == "Passage of a harbour."
        with pytest.raises(UnknownDocument, match="Document not found: nobody"):
            retriever.document("nobody")
        assert retriever.describe() == {"kind": "pyserini", "index": "wiki", "corpus": "the index wiki of pyserini"}
        assert retriever.search(["harbour " + "東京 " * 3000], 2)[0]  # cut to what an address may hold


def test_anserini_over_the_task_sets_documents_counts_as_its_corpus(corpus, tmp_path):
    with anserini(sources(corpus)) as server:
        retriever = open_retriever("pyserini", corpus, tmp_path, url=server.url, index="wiki")
        assert retriever.describe()["corpus"] == corpus.fingerprint
        with pytest.raises(
            InputError, match="Unable to open index: none; start it there, or correct the url, the index"
        ):
            open_retriever("pyserini", corpus, tmp_path, url=server.url, index="none")


# --- all of them


def test_questions_are_asked_once_and_empty_ones_never(elastic, corpus, tmp_path):
    retriever = open_retriever(elastic.kind, corpus, tmp_path, url=elastic.url)
    assert retriever.search(["", "  "], 3) == [[], []]
    retriever.search([QUERY, QUERY], 3)
    retriever.search([QUERY], 3)
    assert len(of_method(elastic, "_search")) <= 2  # two of one call may both be on their way
    assert retriever.for_task(Task(id="t", question="?")) is retriever


def test_reranker_reads_an_engines_own_documents(elastic, corpus, tmp_path):
    from lrat_sim.retrieval.rerank import RerankRetriever

    class Length:
        identity = {"model": "length"}

        def scores(self, query, texts):
            return tuple(float(len(text)) for text in texts)

    elastic.engine.put("wiki", sources(corpus))
    named = open_retriever(elastic.kind, None, tmp_path, url=elastic.url, index="wiki")
    (hits,) = RerankRetriever(named, Length(), depth=10).search([QUERY], 5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
