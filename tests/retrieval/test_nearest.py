import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.retrieval import nearest
from lrat_sim.retrieval.dense import open_dense
from lrat_sim.retrieval.nearest import ExactSearch, exact_scores
from lrat_sim.retrieval.vectors import Vectors


def unit(matrix):
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def written(folder, matrix, shard_rows):
    for number, start in enumerate(range(0, len(matrix), shard_rows)):
        np.save(folder / f"vectors-{number:05}.npy", matrix[start : start + shard_rows])
    return Vectors(folder, len(matrix), shard_rows)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 300),
    distinct=st.integers(1, 40),
    shard=st.integers(1, 90),
    k=st.integers(1, 50),
)
def test_candidates_hold_every_row_of_the_true_best_ties_included(tmp_path_factory, seed, rows, distinct, shard, k):
    draw = np.random.default_rng(seed)
    # few distinct vectors, and some that differ in the last bits only
    matrix = unit(draw.normal(size=(distinct, 16)))[draw.integers(0, distinct, rows)]
    matrix = matrix * (1 + draw.integers(0, 3, (rows, 1)) * 2.0**-23).astype(np.float32)
    queries = unit(draw.normal(size=(5, 16)))
    vectors = written(tmp_path_factory.mktemp("vectors"), matrix, shard)
    k = min(k, rows)
    for query, found in zip(queries, ExactSearch(vectors, "cpu").candidates(queries, k), strict=True):
        truth = (matrix.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        assert set(np.flatnonzero(truth >= np.sort(truth)[-k])) <= set(found)
        assert len(found) == len(set(found))
        assert np.array_equal(exact_scores(vectors, found, query), truth[found])


def test_blocks_and_batches_of_queries_change_nothing(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    vectors = written(tmp_path, unit(draw.normal(size=(2000, 24))), 700)
    queries = unit(draw.normal(size=(9, 24)))

    def best(queries):
        found = ExactSearch(vectors, "cpu").candidates(queries, 10)
        ordered = []
        for query, rows in zip(queries, found, strict=True):
            ordered.append(rows[np.argsort(-exact_scores(vectors, rows, query))][:10].tolist())
        return ordered

    whole = best(queries)
    monkeypatch.setattr(nearest, "_ROWS_AT_ONCE", 64)
    monkeypatch.setattr(nearest, "_QUERIES_AT_ONCE", 2)
    assert best(queries) == whole == [best(query[None])[0] for query in queries]


def test_few_candidates_are_scored_again_on_ordinary_vectors(tmp_path):
    draw = np.random.default_rng(1)
    vectors = written(tmp_path, unit(draw.normal(size=(20_000, 64))), 8192)
    (found,) = ExactSearch(vectors, "cpu").candidates(unit(draw.normal(size=(1, 64))), 10)
    assert 10 <= len(found) <= 15


@pytest.mark.parametrize("index", ["faiss", "faiss-hnsw"])
def test_faiss_that_is_not_installed_is_named_with_the_remedy(corpus, tmp_path, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"lrat-sim\[faiss-cpu\].*index=exact"):
        open_dense(corpus, tmp_path, index=index)


@pytest.mark.parametrize("index", ["faiss", "faiss-hnsw"])
def test_faiss_finds_what_exact_search_finds(corpus, tmp_path, index):
    pytest.importorskip("faiss", reason="faiss is an extra")
    queries = ["a lighthouse", "film of Carla Ruiz", "東京大学"]
    for _ in range(2):  # built, then opened
        found = open_dense(corpus, tmp_path, index=index).search(queries, 5)
        assert found == open_dense(corpus, tmp_path).search(queries, 5)
