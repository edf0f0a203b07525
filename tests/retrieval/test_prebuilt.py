"""Vectors computed elsewhere: read without running what a pickle asks for, and matched to the corpus by id."""

import json
import pickle

import numpy as np
import pytest

from lrat_sim.errors import InputError
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.dense import open_dense
from lrat_sim.retrieval.prebuilt import read_ids, read_pickle, read_tevatron

QUERIES = ["Who finished the opera?", "ships and reefs"]


@pytest.fixture
def encoded(corpus, tmp_path):
    """Our own ranking, and the vectors and ids as another tool would hold them, in another order."""
    dense = open_dense(corpus, tmp_path / "own", dtype="float32")
    order = np.random.default_rng(0).permutation(len(corpus))
    vectors = dense._vectors.take(order)
    return dense.search(QUERIES, 5), vectors, [corpus[int(row)].id for row in order]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_tevatrons_shards_give_the_same_hits(corpus, tmp_path, encoded, protocol):
    hits, vectors, ids = encoded
    (tmp_path / "shards").mkdir()
    for number in range(3):
        part = slice(number * 15, number * 15 + 15)
        content = (vectors[part], ids[part] if number else tuple(ids[part]))
        (tmp_path / "shards" / f"corpus.{number}.pkl").write_bytes(pickle.dumps(content, protocol))
    spec = f"dense:vectors={tmp_path / 'shards'}"
    for _ in range(2):  # built, then opened
        assert open_retriever(spec, corpus, tmp_path / "prebuilt").search(QUERIES, 5) == hits
    assert not list((tmp_path / "prebuilt").rglob("prebuilt-*"))


class Call:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    "content",
    [
        Call(exec, "import pathlib; pathlib.Path('owned').touch()"),
        (np.array([Call(exec, "open('owned', 'w')")], dtype=object), ["a"]),
        (np.zeros((1, 2), np.float32), [Call(getattr, "", "join")]),
        Call(np.frombuffer, b"1234"),
        Call(np.dtype, [("a", "O")]),
    ],
)
def test_a_pickle_that_would_call_something_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"bad.pkl cannot be read \((it would call|an array of)"):
        read_pickle(tmp_path / "bad.pkl")
    assert not (tmp_path / "owned").exists()


def test_a_pickle_that_is_torn_or_asks_for_a_huge_array_is_refused(tmp_path):
    whole = pickle.dumps((np.ones((4, 8), np.float32), ["a", "b", "c", "d"]))
    huge = Call(np._core.multiarray._reconstruct, np.ndarray, (10**13,), b"b")
    for content in (whole[:-20], b"", pickle.dumps(huge)):
        (tmp_path / "bad.pkl").write_bytes(content)
        with pytest.raises(InputError, match=r"bad.pkl cannot be read"):
            read_tevatron(tmp_path / "bad.pkl")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2, 3], "no pair of vectors and ids"),
        ((np.array(["a"]), ["a"]), "no table of vectors"),
        ((np.ones((2, 4), np.float32), ["a"]), "2 vectors for 1 ids"),
        ((np.ones((1, 4), np.float32), [None]), "no list of ids"),
    ],
)
def test_a_pickle_of_something_else_is_refused_in_a_sentence(tmp_path, content, problem):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=problem):
        read_tevatron(tmp_path / "bad.pkl")


def test_documents_without_a_vector_are_named(corpus, tmp_path, encoded):
    _, vectors, ids = encoded
    (tmp_path / "part.pkl").write_bytes(pickle.dumps((vectors[:-1], ids[:-1])))
    with pytest.raises(InputError, match=f"no vector for 1 documents .{ids[-1]}."):
        open_dense(corpus, tmp_path / "prebuilt", vectors=str(tmp_path / "part.pkl"))


def test_ids_are_read_from_json_text_and_pickles(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(["a", 7]))
    (tmp_path / "ids.txt").write_text("a\n7\n")
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps({1: "7", 0: "a"}))
    assert [read_ids(tmp_path / f"ids.{end}") for end in ("json", "txt", "pkl")] == [["a", "7"]] * 3


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF2,Flat"])
def test_an_index_of_faiss_with_its_ids_gives_the_same_hits(corpus, tmp_path, encoded, factory):
    faiss = pytest.importorskip("faiss", reason="faiss is an extra")
    hits, vectors, ids = encoded
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "theirs.faiss"))
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    given = {"vectors": str(tmp_path / "theirs.faiss"), "ids": str(tmp_path / "ids.txt")}
    assert open_dense(corpus, tmp_path / "prebuilt", **given).search(QUERIES, 5) == hits
    assert open_dense(corpus, tmp_path / "again", **given, index="IVF4,PQ8x2").search(QUERIES, 5)
