"""Late interaction: the vectors on disk, exact MaxSim, and candidates by faiss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.retrieval import maxsim as maxsim_module
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.maxsim import ExactMaxSim, TokenVectors, exact_maxsim
from lrat_sim.retrieval.multivector import MultiVectorSettings, TokenEncoder, open_multivector
from lrat_sim.retrieval.query_text import Asked

QUERIES = ["Who finished the opera?", "ships and reefs", "town 2"]


@pytest.fixture
def open_small(corpus, small, tmp_path):
    def open_with(folder="indexes", model=None, **options):
        given = {"device": "cpu", "dtype": "float32", **options}
        return open_multivector(corpus, tmp_path / folder, model=str(model or small["multivector"]), **given)

    return open_with


def ids(retriever, k=5):
    return [[hit.docid for hit in hits] for hits in retriever.search(QUERIES, k)]


def test_ranks_by_the_maxsim_that_the_library_gives(corpus, small, open_small):
    model = MultiVectorEncoder(str(small["multivector"]), device="cpu", local_files_only=True)
    documents = model.encode_document([passage_text(document) for document in corpus])
    expected = model.similarity(model.encode_query(QUERIES), documents).numpy()
    retriever = open_small(stored="float32")
    for scores, hits in zip(expected, retriever.search(QUERIES, len(corpus)), strict=True):
        assert len(hits) == len(corpus)
        assert [hit.score for hit in hits] == pytest.approx([scores[corpus.row(h.docid)] for h in hits], abs=1e-4)
    assert len({hit.score for hit in hits}) > 20  # so that the order says something


def test_float16_halves_the_index_and_hardly_moves_a_score(open_small, tmp_path):
    whole, half = open_small("whole", stored="float32"), open_small("half")
    sizes = [sum(p.stat().st_size for p in (tmp_path / f).rglob("tokens-*.npy")) for f in ("whole", "half")]
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.01)
    scores = {hit.docid: hit.score for hit in whole.search(QUERIES[:1], 36)[0]}
    differences = [abs(scores[hit.docid] - hit.score) for hit in half.search(QUERIES[:1], 36)[0]]
    assert 0 < max(differences) < 0.01
    assert whole.fingerprint != half.fingerprint


def test_token_pooling_keeps_one_vector_in_so_many(open_small, small, corpus):
    whole, pooled = open_small("whole"), open_small("pooled", pool_factor=3)
    counts = [sum(len(r._vectors.of(row)) for row in range(len(corpus))) for r in (whole, pooled)]
    assert counts[1] < counts[0] / 2
    assert pooled.search(QUERIES, 3) != whole.search(QUERIES, 3)


def test_lengths_and_prompts_are_the_models_own_or_those_asked_for(small):
    own = TokenEncoder(str(small["multivector"]), MultiVectorSettings(model="", device="cpu"))
    assert (own.identity()["query_prompt"], own.identity()["document_prompt"]) == ("[Q] ", "[D] ")
    options = {"max_length": 8, "max_query_length": 6, "query_prompt": "", "device": "cpu"}
    cut = TokenEncoder(str(small["multivector"]), MultiVectorSettings(model="", **options))
    assert len(cut.documents(["word " * 50])[0][0]) == 8
    assert np.array_equal(cut.query("a b c d e"), cut.query("a b c d"))
    assert len(own.query("a b c")) == len(cut.query("a b c")) + 3  # the tokens of [Q]
    with pytest.raises(InputError, match="reads at most 512 tokens"):
        TokenEncoder(str(small["multivector"]), MultiVectorSettings(model="", max_length=513, device="cpu"))


def test_an_interrupted_encoding_goes_on_where_it_stopped(open_small, monkeypatch):
    whole = ids(open_small("whole"))
    encoded = []
    encode = TokenEncoder.documents

    def count(self, texts):
        encoded.append(len(texts))
        return encode(self, texts)

    def stop(done, total, what):
        if done >= 24:
            raise KeyboardInterrupt

    monkeypatch.setattr(TokenEncoder, "documents", count)
    with pytest.raises(KeyboardInterrupt):
        open_small(shard_rows=8, progress=stop)
    assert ids(open_small(shard_rows=8)) == whole
    assert encoded == [8, 8, 8, 8, 4]


def test_an_index_of_another_pooling_is_refused(open_small):
    open_small()
    with pytest.raises(FingerprintMismatch, match="pool_factor was 1 and is now 2"):
        open_small(pool_factor=2)


def test_a_model_of_another_kind_is_refused_with_what_serves_it(open_small, small):
    with pytest.raises(InputError, match=r"not a multi-vector model; search with sparse:model="):
        open_small(model=small["sparse"])


def test_a_missing_array_of_a_shard_is_a_damaged_index(open_small, tmp_path):
    open_small()
    next((tmp_path / "indexes").rglob("tokens-*.npy")).unlink()
    with pytest.raises(InputError, match=r"is damaged .*delete that folder"):
        open_small()


# --- the nearest documents --------------------------------------------------------------------------------------------


def written(folder, documents, shard_rows):
    for number, start in enumerate(range(0, len(documents), shard_rows)):
        shard = documents[start : start + shard_rows]
        np.save(folder / f"tokens-{number:05}.npy", np.concatenate(shard))
        np.save(folder / f"offsets-{number:05}.npy", np.cumsum([0, *map(len, shard)]).astype(np.int64))
    return TokenVectors(folder, len(documents), shard_rows)


def drawn(draw, count, longest, scale=1.0, shortest=1):
    return [
        (draw.normal(size=(draw.integers(shortest, longest + 1), 16)) * scale).astype(np.float32) for _ in range(count)
    ]


def truth(query, documents):
    wide = query.astype(np.float64)
    return np.array([(wide @ d.astype(np.float64).T).max(axis=1).sum() if len(d) else -np.inf for d in documents])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 120), distinct=st.integers(1, 25), shard=st.integers(1, 50),
    k=st.integers(1, 40), scale=st.sampled_from([1.0, 1e-3, 300.0]),
)  # fmt: skip
def test_candidates_hold_every_row_of_the_true_best_ties_included(
    tmp_path_factory, seed, rows, distinct, shard, k, scale
):
    draw = np.random.default_rng(seed)
    # few distinct documents, some that differ in the last bits only, some without a vector
    few = drawn(draw, distinct, 9, scale, shortest=0)
    documents = [few[n] * np.float32(1 + draw.integers(0, 3) * 2.0**-23) for n in draw.integers(0, distinct, rows)]
    if not any(map(len, documents)):
        documents[0] = np.ones((1, 16), np.float32)
    queries = drawn(draw, 5, 7)
    vectors = written(tmp_path_factory.mktemp("vectors"), documents, shard)
    k = min(k, rows)
    for query, found in zip(queries, ExactMaxSim(vectors, "cpu").candidates(queries, k), strict=True):
        scores = truth(query, documents)
        floor = np.sort(scores)[-k]
        assert set(np.flatnonzero((scores >= floor) & (scores > -np.inf))) <= set(found)
        assert len(found) == len(set(found))
        assert np.allclose(exact_maxsim(vectors, found, query), scores[found], rtol=1e-12)


def test_blocks_and_batches_of_queries_change_nothing(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    vectors, queries = written(tmp_path, drawn(draw, 500, 20), 130), drawn(draw, 9, 12)

    def best(queries):
        found = ExactMaxSim(vectors, "cpu").candidates(queries, 10)
        scored = [(rows, exact_maxsim(vectors, rows, query)) for rows, query in zip(found, queries, strict=True)]
        return [sorted(zip((-scores).tolist(), rows.tolist(), strict=True))[:10] for rows, scores in scored]

    whole = best(queries)
    monkeypatch.setattr(maxsim_module, "_TOKENS_AT_ONCE", {"cpu": 64})
    monkeypatch.setattr(maxsim_module, "_QUERY_TOKENS", 16)
    assert best(queries) == whole == [best([query])[0] for query in queries]


def test_few_candidates_are_scored_again_on_ordinary_vectors(tmp_path):
    draw = np.random.default_rng(1)
    vectors = written(tmp_path, drawn(draw, 3000, 20), 1000)
    (found,) = ExactMaxSim(vectors, "cpu").candidates(drawn(draw, 1, 12), 10)
    assert 10 <= len(found) <= 12


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "IVF4,PQ32x4"])
def test_faiss_candidates_are_ranked_by_their_exact_scores(open_small, factory):
    pytest.importorskip("faiss", reason="faiss is an extra")
    exact = open_small()
    for _ in range(2):  # built, then opened
        found = open_small(index=factory)
        # all lists are looked at, and there are fewer documents than candidates
        assert found.search(QUERIES, 5) == exact.search(QUERIES, 5)
    assert found.fingerprint != exact.fingerprint


def test_a_document_that_faiss_did_not_find_for_a_query_vector_counts_by_the_lowest_product(tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="faiss is an extra")
    monkeypatch.setattr(maxsim_module, "_FOUND", 2)
    first, second = np.eye(16, dtype=np.float32)[:2]
    # d0 is near both vectors of the query, d1 and d2 very near to one each
    documents = [np.stack([0.8 * first, 0.8 * second]), np.stack([first]), np.stack([second]), np.stack([-first])]
    vectors = written(tmp_path, documents, 3)
    search = maxsim_module.faiss_maxsim(vectors, tmp_path / "faiss", "Flat", 1, 2, {})
    (found,) = search([np.stack([first, second])], 1)
    assert set(found[:2].tolist()) == {1, 2}  # 1 + 0.8 each; d0 has 0.8 + 0.8
    (found,) = search([np.stack([first, second])], 2)
    assert set(found.tolist()) == {0, 1, 2}


def test_a_factory_that_faiss_does_not_know_is_refused(open_small):
    pytest.importorskip("faiss", reason="faiss is an extra")
    said = r"faiss cannot build index=Nonsense7 \(could not parse index string Nonsense7\); use another, or index=exact"
    with pytest.raises(InputError, match=said):
        open_small(index="Nonsense7")


def test_faiss_that_is_not_installed_is_named_with_the_remedy(open_small, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(InputError, match=r"lrat-sim\[faiss-cpu\].*index=exact"):
        open_small(index="IVF4,Flat")


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_agent_moderncolbert_reads_the_reasoning_after_its_own_marker(corpus, small, tmp_path, monkeypatch):
    read = []
    encode = MultiVectorEncoder.encode_query

    def noted(self, texts, *, prompt=None, **options):
        read.extend(f"{prompt or ''}{text}" for text in texts)
        return encode(self, texts, prompt=prompt, **options)

    monkeypatch.setattr(MultiVectorEncoder, "encode_query", noted)
    spec = f"agent-moderncolbert:model={small['multivector']},max_length=64,max_query_length=64,device=cpu"
    retriever = open_retriever(spec, corpus, tmp_path)
    assert retriever.search([Asked("town 2", question="Which town?", reasoning="A town.")], 3)[0]
    assert read[-1] == (
        "[Q] Instruct: Given a user's reasoning followed by a web search query, retrieve relevant passages that answer "
        "the query while incorporating the user's reasoning\\nQuery:Reasoning: A town.\n\nQuery: town 2"
    )
    assert retriever.describe()["query_text"] == "agentir"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("reason-moderncolbert", "multivector"), ("splade-v3", "sparse"), ("opensearch-sparse-v3", "inference-free")],
)
def test_recipes_open_models_of_their_form(corpus, small, tmp_path, name, kind):
    retriever = open_retriever(
        f"{name}:model={small[kind]},max_length=64,max_query_length=64,device=cpu", corpus, tmp_path
    )
    assert retriever.search(["town 2"], 3)[0]
