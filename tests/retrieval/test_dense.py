import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.retrieval import nearest
from lrat_sim.retrieval.dense import DenseSettings, open_dense
from lrat_sim.retrieval.encoder import SentenceEncoder
from lrat_sim.retrieval.hardware import gains_from_bf16
from lrat_sim.retrieval.nearest import ExactSearch, exact_scores
from lrat_sim.retrieval.shards import rows_a_shard
from lrat_sim.retrieval.vectors import Vectors, pack, unpack
from lrat_sim.text import minilm_folder

WORKS = ("opera", "lighthouse", "bridge", "map", "song", "mill", "clock", "garden", "tower", "print")
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
    from lrat_sim.retrieval.vectors import VectorSettings

    class Lengths:
        def identity(self):
            return {"encoder": "lengths"}

        def documents(self, texts):
            print(len(texts), flush=True)
            return np.array([[len(text), 1.0] for text in texts], np.float32)

        def queries(self, texts):
            return np.array([[1.0, 0.0]] * len(texts), np.float32)

    def die(done, total, what):
        if len(sys.argv) > 3 and done >= int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    corpus = Corpus.open(Path(sys.argv[1]))
    retriever = open_vectors({}, corpus, Path(sys.argv[2]), Lengths(), VectorSettings(shard_rows=10), progress=die)
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


def written(folder, matrix, shard_rows, store="float32"):
    for number, start in enumerate(range(0, len(matrix), shard_rows)):
        np.save(folder / f"vectors-{number:05}.npy", pack(matrix[start : start + shard_rows], store))
    np.save(folder / "longest.npy", np.linalg.norm(unpack(pack(matrix, store)), axis=1).max())
    return Vectors(folder, len(matrix), shard_rows, store)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 700),
    distinct=st.integers(1, 40),
    shard=st.integers(1, 90),
    block=st.sampled_from([64, 200, 1 << 18]),
    k=st.integers(1, 50),
    store=st.sampled_from(["float32", "float16", "int8"]),
    length=st.sampled_from([1.0, 30.0]),
)
def test_every_row_of_the_true_best_is_found_ties_included(
    tmp_path_factory, seed, rows, distinct, shard, block, k, store, length
):
    draw = np.random.default_rng(seed)
    # few distinct vectors, and some that differ in the last bits only
    matrix = unit(draw.normal(size=(distinct, 16)))[draw.integers(0, distinct, rows)] * np.float32(length)
    matrix = matrix * (1 + draw.integers(0, 3, (rows, 1)) * 2.0**-23).astype(np.float32)
    queries = unit(draw.normal(size=(5, 16)))
    vectors = written(tmp_path_factory.mktemp("vectors"), matrix, shard, store)
    stored = vectors.take(np.arange(rows))
    k = min(k, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_ROWS_AT_ONCE", {"cpu": block})
        found = ExactSearch(vectors, "cpu")(queries, k)
    for query, (best, scores) in zip(queries, found, strict=True):
        truth = np.array([math.fsum(row.astype(np.float64) * query.astype(np.float64)) for row in stored])
        assert set(np.flatnonzero(truth >= np.sort(truth)[-k])) <= set(best)
        assert len(best) == len(set(best))
        assert np.abs(scores - truth[best]).max() <= 2.0**-52 * length
        assert np.array_equal(exact_scores(vectors, best, query), scores)


def test_blocks_and_batches_of_queries_change_no_bit(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    vectors = written(tmp_path, unit(draw.normal(size=(2000, 24))), 700)
    queries = unit(draw.normal(size=(9, 24)))

    def best(queries):
        found = ExactSearch(vectors, "cpu")(queries, 10)
        return [sorted(zip(-scores, rows, strict=True))[:10] for rows, scores in found]

    whole = best(queries)
    monkeypatch.setattr(nearest, "_ROWS_AT_ONCE", {"cpu": 300})
    monkeypatch.setattr(nearest, "_QUERIES_AT_ONCE", 2)
    assert best(queries) == whole == [best(query[None])[0] for query in queries]


def test_a_score_is_the_same_bits_in_whatever_order_it_is_summed():
    draw = np.random.default_rng(3)
    query, rows = (torch.from_numpy(unit(draw.normal(size=(size, 384)))) for size in (1, 50))
    order = torch.randperm(384, generator=torch.Generator().manual_seed(0))
    scores = nearest.fixed_point(rows[None], query, 1.0)
    assert torch.equal(nearest.fixed_point(rows[None][:, :, order], query[:, order], 1.0), scores)
    plain = (rows.double() * query.double()).sum(1), (rows[:, order].double() * query[:, order].double()).sum(1)
    assert not torch.equal(*plain)  # which ordinary sums are not


def test_few_candidates_are_scored_again_on_ordinary_vectors(tmp_path):
    draw = np.random.default_rng(1)
    vectors = written(tmp_path, unit(draw.normal(size=(20_000, 64))), 8192)
    ((found, _),) = ExactSearch(vectors, "cpu")(unit(draw.normal(size=(1, 64))), 10)
    assert 10 <= len(found) <= 15


@pytest.mark.parametrize(("store", "bytes_a_row", "error"), [("float16", 128, 5e-4), ("int8", 68, 8e-3)])
def test_smaller_types_are_stored_and_compared_as_they_are_stored(tmp_path, store, bytes_a_row, error):
    draw = np.random.default_rng(2)
    matrix, query = unit(draw.normal(size=(500, 64))), unit(draw.normal(size=(1, 64)))
    vectors = written(tmp_path, matrix, 100, store)
    assert sum(shard.nbytes for shard in vectors.shards) == 500 * bytes_a_row
    ((rows, scores),) = ExactSearch(vectors, "cpu")(query, 10)
    differences = np.abs(scores - matrix[rows].astype(np.float64) @ query[0])
    assert 0 < differences.max() < error


@pytest.mark.parametrize("store", ["float16", "int8"])
def test_an_index_of_a_smaller_type_ranks_like_the_full_one(corpus, tmp_path, store):
    full = open_dense(corpus, tmp_path / "full").search(QUERIES, 3)
    small = open_dense(corpus, tmp_path / "small", store=store)
    assert small.describe()["store"] == store
    for ours, theirs in zip(small.search(QUERIES, 3), full, strict=True):
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=0.01)
    with pytest.raises(FingerprintMismatch, match="store was"):
        open_dense(corpus, tmp_path / "small")


# --- queries of many agents -------------------------------------------------------------------------------------------


def test_queries_encoded_together_are_bit_for_bit_what_they_are_alone(monkeypatch):
    draw = np.random.default_rng(7)
    words = ["who", "finished", "the", "opera", "bridge", "before", "river", "storm", "1917", "écrivain", "東京"]
    texts = [" ".join(draw.choice(words, draw.integers(1, 60))) for _ in range(150)]
    model = SentenceEncoder(str(minilm_folder()), CPU)
    alone = np.stack([model.query(text) for text in texts])
    sizes, forward = set(), model._batches._forward
    monkeypatch.setattr(model._batches, "_forward", lambda *of: sizes.add(of[2]) or forward(*of))
    for _ in range(3):
        order = draw.permutation(len(texts))
        with ThreadPoolExecutor(32) as pool:
            together = np.stack(list(pool.map(model.query, [texts[row] for row in order])))
        assert np.array_equal(together, alone[order])
        assert np.array_equal(model.queries([texts[row] for row in order]), alone[order])
    assert max(sizes) == 16  # some were encoded together


def test_a_size_of_batch_that_rounds_its_rows_otherwise_is_not_used(monkeypatch):
    model = SentenceEncoder(str(minilm_folder()), CPU)
    alone = [model.query(text) for text in QUERIES * 8]
    forward = model._batches._forward
    monkeypatch.setattr(model._batches, "_forward", lambda *of: forward(*of) * np.float32(1 + 2.0**-20 * (of[2] == 16)))
    assert np.array_equal(model.queries(QUERIES * 8), alone)
    assert all(16 not in sizes for sizes in model._batches._sizes.values())


def test_a_query_that_fails_fails_alone(monkeypatch):
    model = SentenceEncoder(str(minilm_folder()), CPU)
    preprocess = model._model.preprocess

    def fail(texts, **how):
        if texts == ["bad"]:
            raise ValueError("no text")
        return preprocess(texts, **how)

    monkeypatch.setattr(model._model, "preprocess", fail)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(model.query, text) for text in ["good", "bad", "fine"] * 4]
    for number, future in enumerate(futures):
        if number % 3 == 1:
            with pytest.raises(ValueError, match="no text"):
                future.result()
        else:
            assert np.isfinite(future.result()).all()


@pytest.mark.slow
def test_int8_documents_are_near_the_full_ones_and_queries_the_same(capsys):
    if not importlib.util.find_spec("nncf"):
        pytest.skip("nncf is not installed")
    texts = [f"The {work} of Ada Holm, {'finished late ' * (number % 9)}" for number, work in enumerate(WORKS)]
    plain = SentenceEncoder(str(minilm_folder()), CPU)
    coarse = SentenceEncoder(str(minilm_folder()), CPU, "int8", sample=lambda: texts)
    assert np.array_equal(plain.query("a film"), coarse.query("a film"))
    found = coarse.documents(texts)
    cosines = (plain.documents(texts) * found).sum(axis=1)
    assert (cosines > 0.98).all()
    assert (cosines < 0.99999).all()
    alone = np.concatenate([coarse.documents([text]) for text in texts])  # padding and batches are not traced in
    assert ((alone * found).sum(axis=1) > 0.999).all()
    again = SentenceEncoder(str(minilm_folder()), CPU, "int8", sample=lambda: texts)
    assert np.array_equal(again.documents(texts), found)
    assert not capsys.readouterr().out
    assert sys.modules["openvino_telemetry"] is None, "what the libraries would report stays here"


def test_a_model_with_modules_of_its_own_for_queries_and_documents(tmp_path):
    shared = SentenceTransformer(str(minilm_folder()), device="cpu")
    routes = {"query_modules": [Dense(384, 8)], "document_modules": [Dense(384, 8)]}
    model = SentenceTransformer(modules=[*shared, Router.for_query_document(**routes)], device="cpu")
    model.save(str(tmp_path / "asymmetric"))
    encoder, texts = SentenceEncoder(str(tmp_path / "asymmetric"), CPU), ["The opera of Ada Holm", "a cape"]
    for ours, theirs in ((encoder.queries, model.encode_query), (encoder.documents, model.encode_document)):
        np.testing.assert_allclose(ours(texts), theirs(texts, normalize_embeddings=True), atol=1e-5)
    assert not np.allclose(encoder.queries(texts), encoder.documents(texts), atol=0.01)


def test_int8_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    coarse = SentenceEncoder(str(minilm_folder()), CPU, "int8")
    with pytest.raises(InputError, match=r"install lrat-sim\[int8\]"):
        coarse.documents(["a film"])


def test_attention_is_chosen_and_flash_needs_half_precision():
    usual = SentenceEncoder(str(minilm_folder()), CPU)
    eager = SentenceEncoder(str(minilm_folder()), DenseSettings(device="cpu", attn_implementation="eager"))
    texts = ["who finished the film", "a bridge"]
    np.testing.assert_allclose(usual.documents(texts), eager.documents(texts), atol=1e-5)
    assert eager.identity()["attn_implementation"] == "eager"
    with pytest.raises(InputError, match="weights=bfloat16"):
        SentenceEncoder(str(minilm_folder()), DenseSettings(device="cpu", attn_implementation="flash_attention_2"))


# --- faiss ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["Flat", "HNSW32"])
def test_faiss_that_is_not_installed_is_named_with_the_remedy(corpus, tmp_path, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"lrat-sim\[faiss-cpu\].*index=exact"):
        open_dense(corpus, tmp_path, index=index)
    assert not list(tmp_path.rglob("*.npy"))  # before anything is encoded


@pytest.mark.parametrize("index", ["Flat", "HNSW32", "IVF2,Flat", "IVF2,SQ8"])
def test_faiss_finds_what_exact_search_finds(corpus, tmp_path, index):
    pytest.importorskip("faiss", reason="faiss is an extra")
    queries = ["a lighthouse", "film of Carla Ruiz", "東京大学"]
    for _ in range(2):  # built, then opened
        found = open_dense(corpus, tmp_path, index=index).search(queries, 5)
        assert found == open_dense(corpus, tmp_path).search(queries, 5)


def test_search_parameters_go_to_faiss(corpus, tmp_path):
    pytest.importorskip("faiss", reason="faiss is an extra")
    few, all_ = (
        open_dense(corpus, tmp_path, index="IVF8,Flat", search_parameters=f"nprobe={number}") for number in (1, 8)
    )
    assert all_.search(QUERIES, 30) == open_dense(corpus, tmp_path).search(QUERIES, 30)
    assert len(few.search(QUERIES[:1], 30)[0]) < 30
    assert few.fingerprint != all_.fingerprint
    for options in ({"index": "IVF8,Flat", "search_parameters": "breadth=3"}, {"index": "Tree9"}):
        with pytest.raises(InputError, match=next(reversed(options.values()))):
            open_dense(corpus, tmp_path / "other", **options)
