"""Retrieval metrics by ir-measures: by hand, and the figures of the literature on SciFact (BEIR) by the whole path."""

import csv
import gzip
import json
import math

import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.metrics import retrieval_metrics


def hits(*docids):
    return [Hit(docid=docid, score=1.0, rank=rank) for rank, docid in enumerate(docids, start=1)]


def test_metrics_by_hand():
    found = retrieval_metrics(
        {"q": hits("x", "a", "y", "b")}, {"q": {"a": 1, "b": 1, "c": 1}}, ["nDCG@10", "R@2", "RR"]
    )
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert found["R@2"] == pytest.approx(1 / 3)
    assert found["RR"] == pytest.approx(1 / 2)


def test_ranks_decide_where_scores_tie():
    assert retrieval_metrics({"q": hits("b", "a")}, {"q": {"b": 1}}, ["RR"])["RR"] == 1
    assert retrieval_metrics({"q": hits("a", "b")}, {"q": {"b": 1}}, ["RR"])["RR"] == 0.5


def test_a_query_without_hits_counts_as_zero_and_one_without_judgements_not_at_all():
    run = {"q": hits("a"), "nothing": [], "unjudged": hits("a")}
    assert retrieval_metrics(run, {"q": {"a": 1}, "nothing": {"a": 1}, "absent": {"a": 1}}, ["RR"])["RR"] == (
        pytest.approx(1 / 3)
    )


def test_no_judgements_or_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match="no relevance judgements"):
        retrieval_metrics({"q": hits("a")}, {})
    for name in ("nope@3", "nDCG@", ""):
        with pytest.raises(InputError, match="metric is unknown"):
            retrieval_metrics({"q": hits("a")}, {"q": {"a": 1}}, [name])


@pytest.fixture(scope="module")
def scifact(data, tmp_path_factory):
    folder = data / "scifact"
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        documents = [Document(id=row["_id"], title=row["title"], text=row["text"]) for row in map(json.loads, lines)]
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    with (folder / "queries.jsonl").open(encoding="utf-8") as lines:
        queries = {row["_id"]: row["text"] for row in map(json.loads, lines) if row["_id"] in qrels}
    return Corpus.build(tmp_path_factory.mktemp("scifact"), documents), queries, qrels


def measured(spec, scifact, indexes):
    corpus, queries, qrels = scifact
    retriever = open_retriever(spec, corpus, indexes)
    run = dict(zip(queries, retriever.search(list(queries.values()), 100), strict=True))
    found = retrieval_metrics(run, qrels)
    print(spec, len(corpus), "documents,", len(qrels), "queries:", found)
    return found["nDCG@10"]


def test_bm25_reaches_its_figure(scifact, tmp_path):
    assert 0.665 <= measured("bm25", scifact, tmp_path) <= 0.690


@pytest.mark.slow
def test_minilm_reaches_its_figure(scifact, tmp_path):
    assert 0.63 <= measured("dense", scifact, tmp_path) <= 0.66
