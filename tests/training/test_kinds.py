"""Whole trainings of late interaction and of sparse encoders, as of any encoder."""

import msgspec
import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file
from sentence_transformers import MultiVectorEncoder, SparseEncoder

from lrat_sim.errors import InputError
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.training.data import PairDataset
from lrat_sim.training.folder import read_record
from lrat_sim.training.kinds import MultiVector, Sparse, kind_of
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train

TINY = TrainingSettings(
    epochs=4, batch_size=8, learning_rate=3e-3, temperature=0.05, group_size=4, max_query_length=16,
    max_document_length=32, freeze_layers=1, precision="fp32", checkpoint_steps=2, seed=11, development_share=0.2,
    evaluations=2,
)  # fmt: skip
SPARSE = replace(TINY, similarity="dot", temperature=200.0, document_regularizer=1e-3, regularizer_warmup=0.5)
KINDS = {
    "multivector": ("tiny_multivector", TINY, MultiVectorEncoder),
    "splade": ("tiny_splade", replace(SPARSE, query_regularizer=1e-3), SparseEncoder),
    "inference_free": ("tiny_inference_free", SPARSE, SparseEncoder),
}


class Killed(BaseException):
    """What a kill looks like from inside: nothing catches it."""


@pytest.fixture(params=KINDS)
def case(request):
    fixture, settings, library = KINDS[request.param]
    return request.getfixturevalue(fixture), settings, library


def weights(folder):
    return {f"{path.relative_to(folder)} {name}": weight
            for path in sorted(folder.rglob("*.safetensors")) for name, weight in load_file(path).items()}  # fmt: skip


def test_a_trained_folder_is_of_its_bases_kind_and_is_searched_as_that(case, tmp_path, questions, corpus):
    base, settings, library = case
    folder = train(questions, corpus, base, settings, tmp_path / "model")
    record = read_record(folder)
    assert record.kind == kind_of(base) == model_kind(folder) == parse_spec(str(folder))[0]
    assert library.__name__ in (folder / "README.md").read_text()
    assert record.losses[-1].loss < record.losses[0].loss
    assert [measured.step for measured in record.development] == [0, record.steps // 2, record.steps]
    before, after = weights(base), weights(folder)
    assert any(not torch.equal(after[name], before[name]) for name in before.keys() & after.keys())
    model = library(str(folder), device="cpu", local_files_only=True)
    text = f"{corpus.document('d5').title}\n{corpus.document('d5').text}"
    query = questions[5].query
    expected = model.similarity(model.encode_query([query]), model.encode_document([text]))
    retriever = open_retriever(folder, corpus, tmp_path / "indexes", device="cpu", dtype="float32")
    scores = {hit.docid: hit.score for hit in retriever.search([query], 40)[0]}
    assert scores["d5"] == pytest.approx(float(expected.to_dense()), rel=2e-3)


def test_a_killed_training_resumes_to_the_same_weights(case, tmp_path, questions, corpus):
    base, settings, _ = case
    whole = train(questions, corpus, base, settings, tmp_path / "whole")

    def kill(done, *_):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        train(questions, corpus, base, settings, tmp_path / "model", progress=kill)
    resumed = train(questions, corpus, base, settings, tmp_path / "model")
    left, right = weights(whole), weights(resumed)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_little_memory_trains_the_same(case, tmp_path, questions, corpus):
    base, settings, _ = case
    settings = replace(settings, epochs=1, freeze_layers=0, development_share=0.0)
    plain = train(questions, corpus, base, settings, tmp_path / "plain")
    small = train(questions, corpus, base, replace(settings, mini_batch_size=3), tmp_path / "small")
    left, right = weights(plain), weights(small)
    assert all(torch.allclose(left[name], right[name], atol=2e-3) for name in left)


def test_weights_of_pairs_decide_the_model(case, tmp_path, pairs, corpus):
    base, settings, _ = case
    settings = replace(settings, epochs=1, development_share=0.0)
    one = train(pairs, corpus, base, settings, tmp_path / "weighted")
    other = train(pairs, corpus, base, replace(settings, pair_weights=False), tmp_path / "plain")
    left, right = weights(one), weights(other)
    assert any(not torch.equal(left[name], right[name]) for name in left)


def test_late_interaction_starts_from_any_encoder_with_a_projection_of_the_seed(tmp_path, pairs, corpus, tiny_model):
    settings = replace(TINY, epochs=1, development_share=0.0, learning_rate=1e-9)
    made = [
        train(pairs, corpus, tiny_model, replace(settings, seed=seed), tmp_path / name, kind="multivector")
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    projections = [load_file(next(folder.glob("*_Dense")) / "model.safetensors")["linear.weight"] for folder in made]
    assert torch.equal(projections[0], projections[1])
    assert not torch.allclose(projections[0], projections[2], atol=1e-3)


def test_lengths_and_prompts_of_training_are_those_of_the_model(tmp_path, pairs, corpus, tiny_multivector):
    settings = replace(TINY, epochs=1, development_share=0.0, query_prompt="ask: ")
    folder = train(pairs, corpus, tiny_multivector, settings, tmp_path / "model")
    model = MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)
    assert (model[0].query_length, model[0].document_length) == (16, 32)
    assert model.prompts == {"query": "ask: ", "document": "[D] "}
    assert len(model.encode_document(["river " * 100])[0]) == 32


def test_measurement_finds_the_text_that_the_query_quotes(questions, corpus, tiny_multivector, tiny_splade):
    for kind, base, settings in ((MultiVector, tiny_multivector, TINY), (Sparse, tiny_splade, SPARSE)):
        trainee = kind(base, PairDataset(questions, corpus, settings), settings)
        figures = trainee.evaluator()(trainee.model)
        assert set(figures) == {"nDCG@10", "RR"}
        assert 0 < figures["nDCG@10"] <= 1


@pytest.mark.parametrize(
    ("kind", "base", "changed", "match"),
    [
        ("sparse", "tiny_splade", {}, "similarity is 'cosine'.*train-sparse"),
        ("sparse", "tiny_model", {"similarity": "dot"}, "neither a SparseEncoder nor a masked language model"),
        ("encoder", "tiny_model", {"document_regularizer": 0.1}, "document_regularizer is for sparse encoders"),
        ("multivector", "tiny_multivector", {"query_regularizer": 0.1}, "not for kind multivector"),
        ("reranker", "tiny_cross_encoder", {"regularizer_warmup": 0.1}, "not for kind reranker"),
    ],
)
def test_what_does_not_fit_a_kind_is_refused(kind, base, changed, match, tmp_path, pairs, corpus, request):
    settings = replace(TINY, development_share=0.0, **changed)
    with pytest.raises(InputError, match=match):
        train(pairs, corpus, request.getfixturevalue(base), settings, tmp_path / "model", kind=kind)


def test_settings_of_sparse_encoders_alone_change_no_other_models_identity():
    assert "document_regularizer" not in TINY.decisive()
    assert SPARSE.decisive()["document_regularizer"] == msgspec.to_builtins(SPARSE)["document_regularizer"]
