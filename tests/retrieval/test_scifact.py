"""SciFact (BEIR), measured by ir-measures: the figures of the literature are met by the whole path."""

import csv
import gzip
import json
import os
from pathlib import Path

import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Document
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.metrics import retrieval_metrics

needs_data = pytest.mark.skipif("LRAT_SIM_DATA" not in os.environ, reason="LRAT_SIM_DATA names no folder of data")


@pytest.fixture(scope="module")
def scifact(tmp_path_factory):
    folder = Path(os.environ["LRAT_SIM_DATA"]) / "scifact"
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


@needs_data
def test_bm25_reaches_its_figure(scifact, tmp_path):
    assert 0.665 <= measured("bm25", scifact, tmp_path) <= 0.690


@needs_data
@pytest.mark.slow
def test_minilm_reaches_its_figure(scifact, tmp_path):
    assert 0.63 <= measured("dense", scifact, tmp_path) <= 0.66
