"""The losses of late interaction and of sparse vectors, against plain computations of their definitions."""

import math

import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss

from lrat_sim.training.loss import Distillation
from lrat_sim.training.loss_kinds import CachedWeightedMaxSim, CachedWeightedSplade, WeightedMaxSim, WeightedSplade
from lrat_sim.training.model import without_dropout

QUERIES = ["river by the mill", "the old bridge of stone", "a lantern"]
DOCUMENTS = [
    "The mill stands on the river.",
    "A bridge of stone, built twice.",
    "Lanterns were made of copper there, long ago.",
    "An orchard in winter.",
    "Signals at the harbour.",
    "The meadow.",
]
WEIGHTED = {
    "positive": torch.tensor([0, 1, 2]),
    "negatives": torch.tensor([[3, 4], [4, -1], [5, 0]]),
    "negative_weights": torch.tensor([[3.0, 0.5], [1.0, 9.0], [0.5, 2.0]]),
    "weights": torch.tensor([1.5, 0.5, 1.0]),
    "teacher": torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.0], [3.0, 0.5, 1.0]]),
}
PLAIN = {
    "positive": torch.tensor([0, 1, 2]),
    "negatives": torch.tensor([[3], [4], [5]]),
    "negative_weights": torch.ones(3, 1),
    "weights": torch.ones(3),
}


@pytest.fixture
def multivector(tiny_multivector):
    return MultiVectorEncoder(str(tiny_multivector), device="cpu").eval()


@pytest.fixture(params=["splade", "inference_free"])
def sparse(request):
    model = SparseEncoder(str(request.getfixturevalue(f"tiny_{request.param}")), device="cpu").train()
    without_dropout(model)  # and in training, since evaluation changes its numbers in place
    return model


def columns(model, sizes=(6,)):
    texts, start = [("query", QUERIES)], 0
    for size in sizes:
        texts.append(("document", DOCUMENTS[start : start + size]))
        start += size
    return [{**model.preprocess(part, task=task, prompt=model.prompts[task]), "task": task} for task, part in texts]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert any(gradient.abs().max() > 1e-6 for gradient in found.values())
    return found


def assert_same(model, left, right, most=1e-4):
    one, other = gradients(model, left), gradients(model, right)
    assert float(left.detach()) == pytest.approx(float(right.detach()), rel=1e-5)
    assert one.keys() == other.keys()
    for name in one:
        # off by rounding alone, which is of the size of the whole gradient
        assert (one[name] - other[name]).norm() <= most * other[name].norm() + 1e-7, name


def plain_loss(scores, labels, temperature, in_batch=True):
    """The equation of WeightedInfoNCE, term by term."""
    total = 0.0
    for row, positive in enumerate(labels["positive"].tolist()):
        mined = {
            document: weight
            for document, weight in zip(
                labels["negatives"][row].tolist(), labels["negative_weights"][row].tolist(), strict=True
            )
            if document >= 0
        }
        own = torch.exp(scores[row][positive] / temperature)
        others = [
            mined.get(document, 1.0) * torch.exp(scores[row][document] / temperature)
            for document in range(len(DOCUMENTS))
            if document != positive and (in_batch or document in mined)
        ]
        total = total - labels["weights"][row] * torch.log(own / (own + sum(others)))
    return total / len(labels["positive"])


def token_vectors(model, task, texts):
    """Of each text the vectors that count, with gradients; computed one text at a time, so without padding."""
    found = []
    for text in texts:
        output = model(model.preprocess([text], task=task, prompt=model.prompts[task]), task=task)
        found.append(output["token_embeddings"][0][output["attention_mask"][0].bool()])
    return found


def mean_maxsim(query, document):
    return sum((vector * document).sum(dim=1).max() for vector in query) / len(query)


@pytest.mark.parametrize("in_batch", [True, False])
def test_maxsim_loss_and_gradients_equal_a_plain_computation(multivector, in_batch):
    queries = token_vectors(multivector, "query", QUERIES)
    documents = token_vectors(multivector, "document", DOCUMENTS)
    scores = [[mean_maxsim(query, document) for document in documents] for query in queries]
    expected = plain_loss(scores, WEIGHTED, 0.05, in_batch)
    # documents in two columns, padded to other lengths
    loss = WeightedMaxSim(multivector, temperature=0.05, in_batch_negatives=in_batch)
    assert_same(multivector, loss(columns(multivector, (2, 4)), WEIGHTED), expected)


def test_plain_maxsim_equals_the_loss_of_sentence_transformers(multivector):
    from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores

    theirs = MultiVectorMultipleNegativesRankingLoss(multivector, scale=1 / 0.05, similarity_fct=mean_colbert_scores)
    expected = theirs(columns(multivector, (3, 3)))
    assert_same(multivector, WeightedMaxSim(multivector, temperature=0.05)(columns(multivector), PLAIN), expected)


def test_punctuation_that_the_model_skips_has_no_gradient(multivector):
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    mask = next(part for part in multivector if isinstance(part, MultiVectorMask))
    before = WeightedMaxSim(multivector, temperature=0.05)(columns(multivector), WEIGHTED)
    mask.skiplist_words = [".", ","]
    mask.resolve_with_tokenizer(multivector.tokenizer)
    loss = WeightedMaxSim(multivector, temperature=0.05)
    assert float(loss(columns(multivector), WEIGHTED).detach()) != float(before.detach())
    output = loss.encode(columns(multivector)[1])
    ids = columns(multivector)[1]["input_ids"]
    assert not output[..., -1][
        torch.isin(ids, torch.tensor(multivector.tokenizer.convert_tokens_to_ids([".", ","])))
    ].any()


@pytest.mark.parametrize("distillation", [None, Distillation("kl"), Distillation("margin_mse", 0.5)])
def test_cached_maxsim_has_the_same_gradients(multivector, distillation):
    options = {"temperature": 0.05, "distillation": distillation}
    expected = WeightedMaxSim(multivector, **options)(columns(multivector), WEIGHTED)
    cached = CachedWeightedMaxSim(multivector, mini_batch_size=2, **options)
    assert_same(multivector, cached(columns(multivector, (2, 4)), WEIGHTED), expected)


def vectors(model, task, texts):
    return torch.cat([model(model.preprocess([text], task=task), task=task)["sentence_embedding"] for text in texts])


def test_splade_loss_and_gradients_equal_a_plain_computation(sparse):
    queries, documents = vectors(sparse, "query", QUERIES), vectors(sparse, "document", DOCUMENTS)
    scores = [[(query * document).sum() for document in documents] for query in queries]
    penalty = 0.02 * sum((sum(row) / 6) ** 2 for row in documents.T) + 0.03 * sum(
        (sum(row) / 3) ** 2 for row in queries.T
    )
    expected = plain_loss(scores, WEIGHTED, 400.0) + penalty
    loss = WeightedSplade(
        sparse, temperature=400.0, similarity="dot", document_regularizer=0.02, query_regularizer=0.03
    )
    assert_same(sparse, loss(columns(sparse, (2, 4)), WEIGHTED), expected)
    assert penalty > 1e-4 * expected  # or the comparison would say nothing of it


def test_plain_splade_equals_the_loss_of_sentence_transformers(sparse):
    inner = SparseMultipleNegativesRankingLoss(sparse, scale=1 / 400)
    theirs = SpladeLoss(sparse, inner, document_regularizer_weight=0.02, query_regularizer_weight=0.03)
    expected = sum(theirs(columns(sparse, (3, 3)), labels=None).values())
    loss = WeightedSplade(
        sparse, temperature=400.0, similarity="dot", document_regularizer=0.02, query_regularizer=0.03
    )
    assert_same(sparse, loss(columns(sparse), PLAIN), expected)


def test_cached_splade_has_the_same_gradients(sparse):
    options = {"temperature": 400.0, "similarity": "dot", "document_regularizer": 0.02, "query_regularizer": 0.03}
    expected = WeightedSplade(sparse, **options)(columns(sparse), WEIGHTED)
    cached = CachedWeightedSplade(sparse, mini_batch_size=2, **options)
    assert_same(sparse, cached(columns(sparse, (2, 4)), WEIGHTED), expected)


def test_the_penalty_rises_quadratically_over_its_share_of_the_steps(sparse):
    loss = WeightedSplade(sparse, document_regularizer=2.0, regularizer_warmup=0.5)
    documents = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    found = []
    for loss.progress in (0.0, 0.25, 0.5, 1.0):
        found.append(float(loss.penalty(torch.zeros(1, 2), documents)))
    assert found == [0.0, 2.0, 8.0, 8.0]
    assert math.isclose(float(WeightedSplade(sparse, query_regularizer=1.0).penalty(documents, documents)), 4.0)
