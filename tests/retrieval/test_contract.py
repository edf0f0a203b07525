"""What every retriever must do, whatever it ranks by."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import FingerprintMismatch, InputError, UnknownDocument
from lrat_sim.records import Document, Task
from lrat_sim.retrieval.remote import open_remote
from lrat_sim.retrieval.server import serving

ENGINES = ["elasticsearch", "elasticsearch:search=knn", "opensearch", "opensearch:search=knn", "qdrant"]
SPECS = ["bm25", "bm25:engine=rank-bm25", "dense", "hybrid:bm25+dense", "embedding-api", *ENGINES]
SPECS += ["multivector", "sparse", "oracle", "oracle of a task"]
REMOTE = ["remote of bm25", "remote of dense", "remote of hybrid:bm25+dense"]
SAVED = [
    ("bm25", {"k1": 1.5}),
    ("dense", {"max_length": 32}),
    ("embedding-api", {"dimensions": 24}),
    ("multivector", {"max_length": 32}),
    ("sparse", {"document_terms": 8}),
]

QUERIES = [
    "Who finished the opera after years of work?",
    "film of Carla Ruiz",
    "lighthouse on the cape",
    "東京大学",
    "столица России",
    "दिल्ली की राजधानी",
    "เมืองหลวงของประเทศไทย",
    "town 2",
    "Bedrich Havlicek bridge",
    "1911",
]
ODD = ["", "   ", "\n", "?!", "zzqqxx", "the of and", "\ud83d", "\x00", "🦜", "film " * 3000, "a'b\"c{}[]\\%s"]


@pytest.fixture(scope="module")
def remote(corpus, opened):
    """Serves each spec once, over HTTP, and opens what is served."""
    ready: dict[str, Any] = {}
    with ExitStack() as running:

        def open_once(spec):
            if spec not in ready:
                url = running.enter_context(serving(opened(spec)))
                ready[spec] = open_remote(corpus, url=url)
                ready[spec].served = opened(spec)
            return ready[spec]

        yield open_once


@pytest.fixture(params=[*SPECS, *REMOTE])
def retriever(request, opened, remote):
    if request.param.startswith("remote of "):
        return remote(request.param.removeprefix("remote of "))
    if request.param == "oracle of a task":
        return opened("oracle").for_task(Task(id="t", question="?", evidence=["d07", "twin-b", "not there", "d21"]))
    return opened(request.param)


def test_hits_come_by_falling_score_then_id_with_ranks_from_one(retriever):
    for hits in retriever.search(QUERIES, 20):
        assert hits
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        assert len({hit.docid for hit in hits}) == len(hits)
        for first, second in pairwise(hits):
            assert (-first.score, first.docid) < (-second.score, second.docid)


def test_twins_tie_and_are_told_apart_by_id_even_at_the_last_place(retriever):
    query = "A lighthouse stands on the northern cape and warns passing ships of the reef."
    both = retriever.search([query], 40)[0]
    scores = {hit.docid: hit.score for hit in both}
    if scores["twin-a"] == scores["twin-b"]:
        assert [hit.docid for hit in both].index("twin-a") < [hit.docid for hit in both].index("twin-b")
    assert retriever.search([query], 1)[0][0] == both[0]


def test_a_smaller_k_gives_the_beginning_of_a_larger_one(retriever):
    long = retriever.search(QUERIES, 20)
    for k in (1, 2, 7):
        assert retriever.search(QUERIES, k) == [hits[:k] for hits in long]


def test_k_beyond_the_corpus_gives_each_document_at_most_once(retriever, corpus):
    for hits in retriever.search(QUERIES, 10 * len(corpus)):
        assert len({hit.docid for hit in hits}) == len(hits) <= len(corpus)


def test_an_empty_or_senseless_query_is_no_error(retriever):
    results = retriever.search(ODD, 5)
    assert len(results) == len(ODD)
    assert all(len(hits) <= 5 for hits in results)


def test_non_latin_queries_find_their_document_lexically(opened):
    for spec in ("bm25", "bm25:engine=rank-bm25", "oracle"):
        found = opened(spec).search(["東京の大学", "Россия столицей", "भारत की दिल्ली", "ประเทศไทย", "havlicek"], 1)
        assert [hits[0].docid for hits in found][:4] == ["tokyo", "moskva", "dilli", "krungthep"]
        assert "Bedřich" in opened(spec).document(found[4][0].docid).text


def test_no_queries_give_no_results_and_a_single_text_or_a_k_below_one_is_refused(retriever):
    assert retriever.search([], 3) == []
    for k in (0, -1):
        with pytest.raises(InputError, match="1 document or more"):
            retriever.search(["film"], k)
    with pytest.raises(InputError, match="list of queries"):
        retriever.search("film", 1)


def test_documents_come_in_full_and_an_unknown_id_raises(retriever, corpus):
    assert retriever.document("d07") == corpus.document("d07")
    for unknown in ("nobody", "", "D07"):
        with pytest.raises(UnknownDocument):
            retriever.document(unknown)


def test_a_batch_gives_what_single_queries_give_to_the_last_bit(retriever):
    together = retriever.search([*QUERIES, *ODD], 6)
    forget_queries(retriever)
    assert [retriever.search([query], 6)[0] for query in [*QUERIES, *ODD]] == together
    forget_queries(retriever)
    assert retriever.search(list(reversed([*QUERIES, *ODD])), 6) == together[::-1]


def test_threads_give_what_one_thread_gives(retriever):
    queries = [*QUERIES, *ODD] * 3
    serial = [retriever.search([query], 6)[0] for query in queries]
    forget_queries(retriever)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: retriever.search([query], 6)[0], queries)) == serial


def test_describe_is_plain_json_and_decides_the_fingerprint(opened):
    prints = {spec: opened(spec).fingerprint for spec in SPECS[:-1]}
    assert len(set(prints.values())) == len(prints)
    assert all("corpus" in str(opened(spec).describe()) for spec in prints)


@pytest.mark.parametrize(("spec", "options"), SAVED)
def test_a_saved_index_is_opened_again_without_building(spec, options, open_fresh, tmp_path):
    first = open_fresh(spec, **options)
    built = {path: path.stat().st_mtime_ns for path in (tmp_path / "indexes").rglob("*") if path.is_file()}
    told: list[int] = []
    second = open_fresh(spec, **options, progress=lambda done, total, what: told.append(done))
    assert not told
    assert {path: path.stat().st_mtime_ns for path in built} == built
    assert second.fingerprint == first.fingerprint
    assert second.search(QUERIES, 5) == first.search(QUERIES, 5)


@pytest.mark.parametrize(("spec", "options"), SAVED)
def test_other_settings_or_another_corpus_refuse_the_saved_index(spec, options, open_fresh, opened, tmp_path):
    assert open_fresh(spec, **options).fingerprint != opened(spec).fingerprint
    (name,) = options
    with pytest.raises(FingerprintMismatch, match=rf"{name} was .* and is now"):
        open_fresh(spec)
    other = Corpus.build(tmp_path / "other", [Document(id=f"o{row}", text=f"text {row}") for row in range(36)])
    with pytest.raises(FingerprintMismatch, match=r"corpus was .*; delete that folder or choose another"):
        open_fresh(spec, over=other, **options)


@pytest.mark.parametrize("spec", [spec for spec, _ in SAVED])
@pytest.mark.parametrize("harm", ["cut", "changed", "lost", "card"])
def test_a_damaged_index_is_named_with_the_remedy(spec, harm, open_fresh, tmp_path):
    open_fresh(spec)
    (folder,) = (tmp_path / "indexes").iterdir()
    victim = max(folder.rglob("*.npy"), key=lambda path: path.stat().st_size)
    if harm == "cut":
        victim.write_bytes(victim.read_bytes()[:-5])
    elif harm == "changed":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    elif harm == "lost":
        victim.unlink()
    else:
        (folder / "index.json").write_text('{"identity": {')
    with pytest.raises(InputError, match=r"is damaged \(.*delete that folder"):
        open_fresh(spec)


@pytest.mark.parametrize("spec", [spec for spec, _ in SAVED])
def test_an_index_folder_that_cannot_be_made_is_refused(spec, open_fresh, tmp_path):
    (tmp_path / "indexes").write_text("a file stands in the way")
    with pytest.raises(InputError, match="cannot be"):
        open_fresh(spec)


def forget_queries(retriever):
    """Empties the memory of query vectors, so that the next search encodes."""
    retriever = getattr(retriever, "served", retriever)
    for part in (retriever, *getattr(retriever, "members", ())):
        for memory in ("_query", "_found"):
            if hasattr(part, memory):
                getattr(part, memory).cache_clear()
