import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.retrieval import vectors as vectors_module
from lrat_sim.retrieval.dense import DenseSettings, open_dense
from lrat_sim.retrieval.encoder import SentenceEncoder
from lrat_sim.retrieval.hardware import gains_from_bf16
from lrat_sim.retrieval.vectors import ExactSearch, Vectors, exact_scores, rows_a_shard
from lrat_sim.text import minilm_folder

CPU = DenseSettings(device="cpu")
QUERIES = ["Who finished the opera?", "ships and reefs", "town 2"]


def test_ranks_by_the_cosine_that_the_library_gives(corpus, tmp_path):
    model = SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True)
    documents = model.encode([passage_text(document) for document in corpus], normalize_embeddings=True)
    queries = model.encode(QUERIES, normalize_embeddings=True)
    retriever = open_dense(corpus, tmp_path, dtype="float32")
    for query, hits in zip(queries, retriever.search(QUERIES, 8), strict=True):
        expected = documents @ query
        assert [hit.score for hit in hits] == pytest.approx(np.sort(expected)[::-1][:8], abs=1e-5)
        assert [hit.score for hit in hits] == pytest.approx([expected[corpus.row(h.docid)] for h in hits], abs=1e-5)


def test_bf16_is_used_for_documents_where_the_machine_gains_and_can_be_forced(corpus, tmp_path):
    automatic = open_dense(corpus, tmp_path / "auto").describe()["dtype"]
    assert automatic == ("bfloat16" if gains_from_bf16("cpu") else "float32")
    exact = open_dense(corpus, tmp_path / "forced", dtype="float32")
    coarse = open_dense(corpus, tmp_path / "coarse", dtype="bfloat16")
    assert exact.fingerprint != coarse.fingerprint
    plain, rounded = (r.search(QUERIES[:1], 36)[0] for r in (exact, coarse))
    scores = {hit.docid: hit.score for hit in rounded}
    differences = [abs(hit.score - scores[hit.docid]) for hit in plain]
    assert 0 < max(differences) < 0.02


def test_auto_dtype_takes_an_index_as_it_was_made(corpus, tmp_path):
    for dtype in ("float32", "bfloat16"):
        made = open_dense(corpus, tmp_path / dtype, dtype=dtype)
        assert open_dense(corpus, tmp_path / dtype).fingerprint == made.fingerprint


def test_queries_are_encoded_in_fp32_whatever_the_documents():
    plain = SentenceEncoder(str(minilm_folder()), CPU, dtype="float32")
    coarse = SentenceEncoder(str(minilm_folder()), CPU, dtype="bfloat16")
    assert np.array_equal(plain.query("a film"), coarse.query("a film"))
    assert not np.array_equal(plain.documents(["a film"]), coarse.documents(["a film"]))


def test_the_models_own_prompts_are_used_and_can_be_overridden(corpus, tmp_path):
    prompted = SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True)
    prompted.prompts = {"query": "query: ", "document": "passage: "}
    prompted.save(str(tmp_path / "model"))
    model = str(tmp_path / "model")
    own, plain = SentenceEncoder(model, CPU), SentenceEncoder(str(minilm_folder()), CPU)
    assert (own.identity()["query_prompt"], own.identity()["document_prompt"]) == ("query: ", "passage: ")
    assert np.allclose(own.query("town"), plain.query("query: town"), atol=1e-6)
    assert np.allclose(own.documents(["town"]), plain.documents(["passage: town"]), atol=1e-6)
    without = SentenceEncoder(model, DenseSettings(query_prompt="", document_prompt="", device="cpu"))
    assert np.array_equal(without.query("town"), plain.query("town"))
    open_dense(corpus, tmp_path / "indexes", model=model)
    with pytest.raises(FingerprintMismatch, match="query_prompt was 'query: ' and is now ''"):
        open_dense(corpus, tmp_path / "indexes", model=model, query_prompt="")


def test_other_weights_in_the_same_folder_are_refused(corpus, tmp_path):
    model = SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True)
    model.save(str(tmp_path / "model"))
    open_dense(corpus, tmp_path / "indexes", model=str(tmp_path / "model"))
    next(model.parameters()).data[0, 0] += 1.0
    shutil.rmtree(tmp_path / "model")
    model.save(str(tmp_path / "model"))
    with pytest.raises(FingerprintMismatch, match="weights was"):
        open_dense(corpus, tmp_path / "indexes", model=str(tmp_path / "model"))


def test_a_text_is_cut_at_the_length_asked_for():
    short = SentenceEncoder(str(minilm_folder()), DenseSettings(max_length=8, device="cpu"))
    head = "one two three four five six"
    assert np.array_equal(short.query(f"{head} seven eight"), short.query(head))
    with pytest.raises(InputError, match="reads at most 512 tokens"):
        SentenceEncoder(str(minilm_folder()), DenseSettings(max_length=513))


DAMAGED = {
    "weights cut off": ("model.safetensors", None),
    "weights of another kind": ("model.safetensors", b"\xff" * 100),
    "modules that are none": ("modules.json", b"[7]"),
    "no modules": ("modules.json", b"null"),
    "modules without end": ("modules.json", b"[" * 100_000),
    "modules in another encoding": ("modules.json", "[]".encode("utf-16")),
    "a configuration of another kind": ("config.json", b"[]"),
    "a wrong field": ("config.json", b'{"model_type": "bert", "hidden_size": "many"}'),
    "a tokenizer that is none": ("tokenizer_config.json", b"[]"),
    "a length that is none": ("sentence_bert_config.json", b'{"max_seq_length": "many"}'),
    "pooling that is none": ("1_Pooling/config.json", b"[]"),
    "prompts that are none": ("config_sentence_transformers.json", b'{"prompts": 5}'),
}


@pytest.mark.parametrize(("name", "content"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_model_folder_is_refused_in_a_sentence(tmp_path, name, content):
    for path in minilm_folder().rglob("*"):
        if path.is_file():
            there = tmp_path / path.relative_to(minilm_folder())
            there.parent.mkdir(exist_ok=True)
            there.symlink_to(path)
    if content is None:
        content = (tmp_path / name).read_bytes()[:5_000_000]
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(content)
    for model in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"^the model .* cannot be loaded \(.+\); give a sent") as caught:
            SentenceEncoder(str(model), CPU)
        assert "\n" not in str(caught.value)


def test_an_interrupted_encoding_goes_on_where_it_stopped(corpus, tmp_path, monkeypatch):
    whole = open_dense(corpus, tmp_path / "whole", dtype="float32")
    encoded: list[int] = []
    encode = SentenceEncoder.documents

    def count(self, texts):
        encoded.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(SentenceEncoder, "documents", count)

    def stop(done, total, what):
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dense(corpus, tmp_path, shard_rows=8, dtype="float32", progress=stop)
    assert encoded == [8, 8, 8]
    retriever = open_dense(corpus, tmp_path, shard_rows=8, dtype="float32")
    assert encoded == [8, 8, 8, 8, 4]
    found, expected = (r.search(QUERIES, 5) for r in (retriever, whole))
    assert [[hit.docid for hit in hits] for hits in found] == [[hit.docid for hit in hits] for hits in expected]


def test_an_unfinished_index_of_other_settings_is_refused(corpus, tmp_path):
    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dense(corpus, tmp_path, max_length=64, progress=stop)
    with pytest.raises(FingerprintMismatch, match=r"unfinished index .* max_length was 64 and is now 32"):
        open_dense(corpus, tmp_path, max_length=32)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from lrat_sim.corpus.documents import Corpus
    from lrat_sim.retrieval.dense import open_vectors

    class Lengths:
        def identity(self):
            return {"encoder": "lengths"}

        def documents(self, texts):
            print(len(texts), flush=True)
            return np.array([[len(text), 1.0] for text in texts], np.float32)

        def query(self, text):
            return np.array([1.0, 0.0], np.float32)

    def die(done, total, what):
        if len(sys.argv) > 3 and done >= int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    corpus = Corpus.open(Path(sys.argv[1]))
    retriever = open_vectors({}, corpus, Path(sys.argv[2]), Lengths(), shard_rows=10, progress=die)
    print(retriever.search(["x"], 1)[0][0].docid)
"""


def test_a_process_killed_in_the_middle_loses_only_the_shard_under_way(corpus, tmp_path):
    def run(*more):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(corpus.folder), str(tmp_path / "index"), *more]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    killed = run("20")
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["10", "10"]
    (tmp_path / "index" / "vectors-00002.part").write_bytes(b"torn")
    longest = max(corpus, key=lambda document: len(passage_text(document))).id
    assert run().stdout.split() == ["10", "6", longest]


def test_vectors_are_memory_mapped(opened):
    shards = opened("dense")._vectors.shards  # the point is how they are held
    assert all(isinstance(shard, np.memmap) for shard in shards)


def test_a_large_corpus_has_larger_shards_rather_than_too_many_files():
    assert rows_a_shard(1_000_000, 2048) == 2048
    assert -(-11_000_000 // rows_a_shard(11_000_000, 2048)) <= 512


def test_an_encoder_that_gives_nan_is_refused_by_document(corpus, tmp_path, monkeypatch):
    encode = SentenceEncoder.documents

    def spoil(self, texts):
        vectors = encode(self, texts)
        vectors[[text.startswith("A lighthouse") for text in texts]] = np.nan
        return vectors

    monkeypatch.setattr(SentenceEncoder, "documents", spoil)
    with pytest.raises(InputError, match="no finite vector for document 'twin-b'"):
        open_dense(corpus, tmp_path)


# --- the nearest vectors ----------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(vectors_module, "_ROWS_AT_ONCE", 64)
    monkeypatch.setattr(vectors_module, "_QUERIES_AT_ONCE", 2)
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
