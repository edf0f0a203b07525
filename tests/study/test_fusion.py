"""The share of BM25 beside an encoder."""

from __future__ import annotations

import pytest

from lrat_sim.corpus import prepare
from lrat_sim.records import Hit, Negative, Pair, Provenance
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.study.arms import opened
from lrat_sim.study.fusion import fit_share, with_bm25


class Listed(LocalRetriever):
    """Ranks the documents as told, whatever the query."""

    def __init__(self, corpus, order):
        super().__init__(corpus, {"kind": "listed", "order": order})
        self.order = order

    def rank(self, queries, k):
        hits = [Hit(docid=docid, score=1 / rank, rank=rank) for rank, docid in enumerate(self.order[:k], start=1)]
        return [hits for _ in queries]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fusion")
    source = folder / "source"
    source.mkdir()
    words = ("harbour", "lantern", "orchard", "granite", "violin", "saddle", "beacon", "thimble")
    (source / "corpus.jsonl").write_text("".join(f'{{"docid": "{word}", "text": "the {word}"}}\n' for word in words))
    (source / "train.jsonl").write_text('{"id": "q", "question": "which?", "answer": "x", "evidence": ["violin"]}\n')
    return prepare("jsonl", folder / "data", source=source)


def pair(query, positive, **more):
    provenance = Provenance(task="q", trajectory="t", turn=0, rank=1, rule="r")
    fields = {"weight": 1.0, "raw_weight": 1.0, "length": 1, "negatives": [Negative(docid="granite")]}
    return Pair(query=query, positive=positive, provenance=provenance, **{**fields, **more})


ORDER = ["saddle", "violin", "beacon", "harbour", "lantern", "orchard", "granite", "thimble"]


def test_where_bm25_finds_what_the_encoder_does_not_it_gets_a_share(dataset):
    encoder = Listed(dataset.corpus, ORDER)
    pairs = [pair("lantern", "lantern"), pair("orchard", "orchard")]
    share = fit_share(pairs, dataset, encoder)
    assert 0.5 <= share < 1
    first = [hits[0].docid for hits in with_bm25(dataset, encoder, share).search(["lantern", "orchard"], 1)]
    assert first == ["lantern", "orchard"]
    assert fit_share(pairs, dataset, opened("bm25", dataset)) == 0  # of equal shares the smallest


def test_where_bm25_only_misleads_it_gets_none(dataset):
    assert fit_share([pair("thimble", "saddle")], dataset, Listed(dataset.corpus, ORDER)) == 0


def test_rejected_documents_and_no_pairs_at_all_give_it_none(dataset):
    encoder = Listed(dataset.corpus, ORDER)
    assert fit_share([pair("lantern", "lantern", satisfied=False)], dataset, encoder) == 0
    assert fit_share([], dataset, encoder) == 0


def test_a_share_of_none_leaves_the_encoder_alone(dataset):
    encoder = Listed(dataset.corpus, ORDER)
    assert with_bm25(dataset, encoder, 0.0) is encoder
    assert with_bm25(dataset, encoder, 0.1).describe()["weights"] == [0.9, 0.1]


def test_bm25_gets_the_query_that_ran_where_the_encoder_reads_more(dataset):
    encoder = Listed(dataset.corpus, ORDER)
    plain = [pair("lantern", "lantern"), pair("orchard", "orchard")]
    more = {"query_text": "iter-i7", "search": "lantern"}
    reading = [pair("violin saddle beacon harbour thimble lantern", "lantern", **more), plain[1]]
    assert fit_share(reading, dataset, encoder) == fit_share(plain, dataset, encoder) > 0
