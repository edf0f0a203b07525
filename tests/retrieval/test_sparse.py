"""Learned sparse retrieval: SPLADE and inference-free models, and the inverted index on disk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SparseEncoder

from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.inverted import TERMS, InvertedIndex, invert
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.retrieval.shards import encode_shards
from lrat_sim.retrieval.sparse import SparseSettings, TermEncoder, open_sparse

QUERIES = ["Who finished the opera?", "ships and reefs", "town 2"]


@pytest.fixture
def open_small(corpus, small, tmp_path):
    def open_with(kind="sparse", folder="indexes", **options):
        return open_sparse(
            corpus, tmp_path / folder, model=str(small[kind]), device="cpu", **{"dtype": "float32", **options}
        )

    return open_with


@pytest.mark.parametrize("kind", ["sparse", "inference-free", "masked"])
def test_ranks_by_the_product_that_the_library_gives(corpus, small, open_small, kind):
    model = SparseEncoder(str(small[kind]), device="cpu", local_files_only=True)
    documents = model.encode_document([passage_text(document) for document in corpus])
    expected = model.similarity(model.encode_query(QUERIES), documents).to_dense().numpy()
    for scores, hits in zip(expected, open_small(kind).search(QUERIES, len(corpus)), strict=True):
        assert {hit.docid for hit in hits} == {corpus.ids()[row] for row in np.flatnonzero(scores)}
        assert [hit.score for hit in hits] == pytest.approx([scores[corpus.row(h.docid)] for h in hits], rel=1e-5)


def test_the_kept_terms_are_the_heaviest(small):
    whole, few = (
        TermEncoder(str(small["sparse"]), SparseSettings(model="", query_terms=kept, device="cpu"))
        for kept in (None, 7)
    )
    terms, weights = whole.query("an opera")
    kept, heaviest = few.query("an opera")
    assert len(terms) > 1000
    assert set(kept) == set(terms[np.argsort(-weights)[:7]])
    assert (np.diff(kept) > 0).all()
    assert sorted(heaviest) == sorted(weights)[-7:]


def test_an_interrupted_encoding_goes_on_where_it_stopped(open_small, monkeypatch, tmp_path):
    whole = open_small(folder="whole").search(QUERIES, 5)
    encoded = []
    encode = TermEncoder.documents

    def count(self, texts):
        encoded.append(len(texts))
        return encode(self, texts)

    def stop(done, total, what):
        if done >= 24:
            raise KeyboardInterrupt

    monkeypatch.setattr(TermEncoder, "documents", count)
    with pytest.raises(KeyboardInterrupt):
        open_small(shard_rows=8, progress=stop)
    found = open_small(shard_rows=8).search(QUERIES, 5)
    assert encoded == [8, 8, 8, 8, 4]
    assert [[hit.docid for hit in hits] for hits in found] == [[hit.docid for hit in hits] for hits in whole]
    assert not list((tmp_path / "indexes").rglob("shards"))


def test_an_index_that_lost_a_file_is_damaged(open_small, tmp_path):
    open_small()
    next((tmp_path / "indexes").rglob("weights.npy")).unlink()
    with pytest.raises(InputError, match=r"is damaged .*delete that folder"):
        open_small()


def test_an_encoder_of_another_kind_is_refused(corpus, tmp_path):
    from lrat_sim.text import minilm_folder

    with pytest.raises(InputError, match="neither a SparseEncoder nor a masked language model"):
        open_sparse(corpus, tmp_path, model=str(minilm_folder()), device="cpu")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shard=st.integers(1, 40), terms=st.integers(1, 60))
def test_the_inverted_index_gives_every_product_exactly(corpus, tmp_path_factory, seed, shard, terms):
    draw = np.random.default_rng(seed)
    matrix = np.where(draw.random((len(corpus), terms)) < 0.3, draw.normal(size=(len(corpus), terms)), 0.0)
    matrix, row = matrix.astype(np.float32), {passage_text(document): n for n, document in enumerate(corpus)}
    matrix[corpus.row("twin-a")] = matrix[corpus.row("twin-b")]  # one text
    folder = tmp_path_factory.mktemp("inverted")
    shards = folder / "shards"
    shards.mkdir()

    class Rows:
        def documents(self, texts):
            rows = [matrix[row[text]] for text in texts]
            return [(np.flatnonzero(weights).astype(np.int32), weights[weights != 0]) for weights in rows]

    encode_shards(shards, corpus, TERMS, Rows(), shard, None)
    invert(folder, shards, corpus, shard, terms)
    index = InvertedIndex(folder, len(corpus))
    query = np.where(draw.random(terms) < 0.4, draw.normal(size=terms), 0.0)
    found, scores = index.scores(np.flatnonzero(query), query[query != 0])
    assert found.tolist() == np.flatnonzero(((matrix != 0) & (query != 0)).any(axis=1)).tolist()
    assert np.allclose(scores, (matrix.astype(np.float64) @ query)[found], rtol=1e-12, atol=1e-12)


def test_a_model_folder_is_served_as_what_its_files_say(small, corpus, tmp_path):
    from lrat_sim.text import minilm_folder

    kinds = {minilm_folder(): "dense", small["multivector"]: "multivector", small["sparse"]: "sparse",
             small["inference-free"]: "sparse"}  # fmt: skip
    for folder, kind in kinds.items():
        assert parse_spec(f"{folder}:max_length=64") == (kind, {"model": str(folder), "max_length": "64"})
    opened = open_retriever(small["inference-free"], corpus, tmp_path, device="cpu")
    assert opened.describe()["kind"] == "sparse"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("config_sentence_transformers.json", '{"model_type": "ColBERT"}', "multivector"),
        ("modules.json", '[{"type": "pylate.models.Dense.Dense"}]', "multivector"),
        ("config.json", '{"architectures": ["HF_ColBERT"]}', "multivector"),
        ("modules.json", '[{"type": "sentence_transformers.sparse_encoder.models.SpladePooling"}]', "sparse"),
        ("modules.json", "[7]", "dense"),
        ("config.json", "{", "dense"),
    ],
)
def test_other_libraries_folders_are_known_and_broken_ones_left_to_the_loader(tmp_path, name, content, kind):
    (tmp_path / name).write_text(content)
    assert model_kind(tmp_path) == kind
