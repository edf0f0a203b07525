import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from lrat_sim.errors import InputError
from lrat_sim.training.loss import (
    CachedWeightedInfoNCE,
    Distillation,
    WeightedInfoNCE,
    denominator_weights,
    weighted_info_nce,
)
from lrat_sim.training.model import add_adapters

QUERIES = ["river by the mill", "the old bridge", "a copper lantern"]
DOCUMENTS = [
    "The mill stands on the river.",
    "A bridge of stone, built twice.",
    "Lanterns were made of copper there.",
    "An orchard in winter.",
    "Signals at the harbour.",
    "The meadow behind the castle.",
]


def labels(positive, negatives, negative_weights=None, weights=None, **more):
    negatives = torch.tensor(negatives)
    return {
        "positive": torch.tensor(positive),
        "negatives": negatives,
        "negative_weights": torch.ones(negatives.shape) if negative_weights is None else torch.tensor(negative_weights),
        "weights": torch.ones(len(positive)) if weights is None else torch.tensor(weights),
        **{name: torch.tensor(value) for name, value in more.items()},
    }


@pytest.fixture
def model(tiny_model) -> SentenceTransformer:
    return SentenceTransformer(str(tiny_model), device="cpu").eval()


def run(model, given, queries=QUERIES, documents=DOCUMENTS, **options):
    """The loss and every gradient of the model, by parameter."""
    model.zero_grad()
    options = {"temperature": 0.05, **options}
    loss = WeightedInfoNCE(model, **options)([model.preprocess(queries), model.preprocess(documents)], given)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert any(gradient.abs().max() > 1e-6 for gradient in gradients.values()) or loss.item() == 0.0
    return loss.detach(), gradients


def close(left, right, rtol=1e-4, atol=1e-6):
    return left.keys() == right.keys() and all(
        torch.allclose(left[name], right[name], rtol=rtol, atol=atol) for name in left
    )


def ones(width: int = 3) -> list[list[float]]:
    return [[1.0] * width for _ in range(3)]


PLAIN = labels([0, 1, 2], [[3], [4], [5]])


def test_hand_computed_value():
    """Two queries, three documents, tau 1: row 0 has d1 in the batch and d2 mined with v 3; row 1 has both at v 1."""
    similarity = torch.tensor([[2.0, 1.0, 0.0], [0.5, 1.5, -1.0]])
    given = labels([0, 1], [[2], [-1]], [[3.0], [9.0]], [1.5, 0.5])
    loss = weighted_info_nce(similarity, given["positive"], denominator_weights(given, 3), given["weights"], 1.0)
    first = 1.5 * math.log(math.exp(2) / (math.exp(2) + math.exp(1) + 3 * math.exp(0)))
    second = 0.5 * math.log(math.exp(1.5) / (math.exp(1.5) + math.exp(0.5) + math.exp(-1)))
    assert float(loss) == pytest.approx(-(first + second) / 2, rel=1e-6)


def test_plain_case_equals_multiple_negatives_ranking_loss(model):
    loss, gradients = run(model, PLAIN)
    model.zero_grad()
    columns = [model.preprocess(texts) for texts in (QUERIES, DOCUMENTS[:3], DOCUMENTS[3:])]
    expected = MultipleNegativesRankingLoss(model, scale=1 / 0.05)(columns, labels=None)
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    assert close(gradients, {name: p.grad for name, p in model.named_parameters() if p.grad is not None})


def test_one_weight_changes_value_and_gradient(model):
    plain, gradients = run(model, PLAIN)
    heavy, other = run(model, labels([0, 1, 2], [[3], [4], [5]], weights=[1.0, 2.0, 1.0]))
    assert float(heavy) > float(plain)
    assert not close(gradients, other)


def test_sum_is_divided_by_rows_so_a_weight_counts_in_a_batch_of_one(model):
    one, gradients = run(model, labels([0], [[3]], weights=[1.0]), queries=QUERIES[:1])
    two, doubled = run(model, labels([0], [[3]], weights=[2.0]), queries=QUERIES[:1])
    assert float(two) == pytest.approx(2 * float(one), rel=1e-5)
    assert close(doubled, {name: 2 * gradient for name, gradient in gradients.items()})


def test_weight_zero_drops_the_rows_term_and_nothing_else(model):
    """N stays 3 and the row's positive and negative stay negatives of the others."""
    loss, gradients = run(model, labels([0, 1, 2], [[3], [4], [5]], weights=[1.0, 0.0, 1.0]))
    kept, expected = run(model, labels([0, 2], [[3], [5]]), queries=[QUERIES[0], QUERIES[2]])
    assert float(loss) == pytest.approx(2 / 3 * float(kept), rel=1e-5)
    assert close(gradients, {name: 2 / 3 * gradient for name, gradient in expected.items()})


def test_negative_weight_multiplies_its_term_alone(model):
    given = labels([0, 1, 2], [[3], [4], [5]], [[3.0], [1.0], [0.5]])
    expected = torch.ones(3, 6)
    expected[[0, 1, 2], [0, 1, 2]] = 0.0
    expected[0, 3], expected[2, 5] = 3.0, 0.5
    assert torch.equal(denominator_weights(given, 6), expected)
    loss, gradients = run(model, given)
    plain, other = run(model, PLAIN)
    assert float(loss) != pytest.approx(float(plain))
    assert not close(gradients, other)


def test_negative_of_weight_zero_leaves_the_denominator(model):
    without, gradients = run(model, labels([0], [[3, 4]], [[1.0, 0.0]]), queries=QUERIES[:1], in_batch_negatives=False)
    expected, other = run(model, labels([0], [[3, -1]], [[1.0, 7.0]]), queries=QUERIES[:1], in_batch_negatives=False)
    assert torch.equal(without, expected)
    assert close(gradients, other)


def test_padding_of_ragged_negatives_adds_nothing(model):
    ragged, gradients = run(model, labels([0, 1, 2], [[3, 4, 5], [4, -1, -1], [-1, -1, -1]], ones()))
    wider, other = run(model, labels([0, 1, 2], [[3, 4, 5, -1], [4, -1, -1, -1], [-1, -1, -1, -1]], ones(4)))
    assert torch.equal(ragged, wider)
    assert close(gradients, other)


def test_mined_only_leaves_out_what_other_rows_brought(model):
    given = labels([0, 1, 2], [[3], [4], [5]])
    rows = [run(model, labels([n], [[3 + n]]), queries=[QUERIES[n]], in_batch_negatives=False)[0] for n in range(3)]
    loss, _ = run(model, given, in_batch_negatives=False)
    assert float(loss) == pytest.approx(float(sum(rows)) / 3, rel=1e-5)
    assert float(loss) < float(run(model, given)[0])


def test_rows_that_share_a_positive_do_not_push_it_away():
    """Both queries have document 0; it is mined as a negative of the second by mistake, and still is none."""
    given = labels([0, 0], [[1], [0]])
    assert torch.equal(denominator_weights(given, 3), torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]))


def test_row_without_negatives_costs_nothing_and_stays_finite(model):
    loss, gradients = run(model, labels([0], [[-1]]), queries=QUERIES[:1], documents=DOCUMENTS[:1])
    assert float(loss) == 0.0
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_documents_in_buckets_give_the_loss_of_one_column(model):
    whole, _ = run(model, PLAIN)
    features = [model.preprocess(texts) for texts in (QUERIES, DOCUMENTS[:2], DOCUMENTS[2:])]
    assert WeightedInfoNCE(model, temperature=0.05)(features, PLAIN).item() == pytest.approx(float(whole), rel=1e-5)


def test_dot_product_is_not_normalised():
    queries, documents = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    given = labels([0], [[1]])
    dot = WeightedInfoNCE(torch.nn.Identity(), temperature=1.0, similarity="dot")
    cosine = WeightedInfoNCE(torch.nn.Identity(), temperature=1.0)
    assert float(dot.from_embeddings(queries, documents, given)) == pytest.approx(math.log1p(math.exp(-6)), rel=1e-4)
    assert float(cosine.from_embeddings(queries, documents, given)) == pytest.approx(math.log1p(math.exp(-1)), rel=1e-5)


def test_similarities_are_fp32_under_bf16_autocast():
    generator = torch.Generator().manual_seed(1)
    queries, documents = torch.randn(4, 16, generator=generator), torch.randn(6, 16, generator=generator)
    given = labels([0, 1, 2, 3], [[4], [5], [4], [5]])
    loss = WeightedInfoNCE(torch.nn.Identity())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = loss.from_embeddings(queries, documents, given)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, loss.from_embeddings(queries, documents, given))


def test_loss_is_finite_at_the_smallest_temperature_and_opposite_embeddings():
    queries = torch.tensor([[1.0, 0.0]], requires_grad=True)
    documents = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    loss = WeightedInfoNCE(torch.nn.Identity(), temperature=0.001).from_embeddings(
        queries, documents, labels([0], [[1]])
    )
    loss.backward()
    assert loss.item() == pytest.approx(2000.0)
    assert torch.isfinite(queries.grad).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_the_formula_summed_term_by_term(data):
    rows, documents = data.draw(st.integers(1, 4)), data.draw(st.integers(4, 7))
    number = st.floats(-1, 1, width=32)
    similarity = [[data.draw(number) for _ in range(documents)] for _ in range(rows)]
    positive = [data.draw(st.integers(0, documents - 1)) for _ in range(rows)]
    mined = [data.draw(st.lists(st.integers(0, documents - 1), max_size=3, unique=True)) for _ in range(rows)]
    v = [[data.draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])) for _ in range(3)] for _ in range(rows)]
    w = [data.draw(st.sampled_from([0.0, 0.5, 1.0, 1.7])) for _ in range(rows)]
    in_batch = data.draw(st.booleans())
    total = 0.0
    for i in range(rows):
        own = math.exp(similarity[i][positive[i]] / 0.2)
        weight = {j: 1.0 for j in range(documents)} if in_batch else {}
        weight |= {j: v[i][place] for place, j in enumerate(mined[i])}
        weight.pop(positive[i], None)
        rest = sum(weight[j] * math.exp(similarity[i][j] / 0.2) for j in weight)
        total -= w[i] * math.log(own / (own + rest))
    given = labels(positive, [m + [-1] * (3 - len(m)) for m in mined], v, w)
    denominator = denominator_weights(given, documents, in_batch_negatives=in_batch)
    loss = weighted_info_nce(torch.tensor(similarity), given["positive"], denominator, given["weights"], 0.2)
    assert float(loss) == pytest.approx(total / rows, rel=1e-4, abs=1e-5)


AT_ONCE = 2
MORE_QUERIES = [*QUERIES, "an orchard where the violin was played"]
MORE_DOCUMENTS = [*DOCUMENTS, "An orchard in winter, and in summer, and in the year after that too."]


def nearly(left, right):
    return close(left, right, rtol=1e-3, atol=2e-6)


def mined(weights=(1.0, 0.4, 1.7, 0.9)):
    negative_weights = [[3.0, 1.0], [0.3, 0.0], [0.0, 0.0], [1.0, 1.0]]
    return labels([0, 1, 2, 3], [[4, 5], [6, -1], [-1, -1], [0, 1]], negative_weights, list(weights))


@pytest.fixture(params=["whole", "lora", "frozen", "checkpointed"])
def any_model(request, tiny_model) -> SentenceTransformer:
    model = SentenceTransformer(str(tiny_model), device="cpu").eval()
    torch.manual_seed(3)
    if request.param == "lora":
        add_adapters(model.transformers_model, 2, 4.0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    if request.param == "frozen":
        model.transformers_model.embeddings.requires_grad_(False)
    if request.param == "checkpointed":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def parts(model, texts):
    """The mini-batches of a column, each padded as a mini-batch is: to its own longest text."""
    return [model.preprocess(texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE)]


def plain(model, given, seed, **options):
    """The loss in one graph over the same mini-batches, so that dropout draws in the same order."""
    model.zero_grad()
    torch.manual_seed(seed)
    queries, documents = (
        torch.cat([model(part)["sentence_embedding"] for part in parts(model, texts)])
        for texts in (MORE_QUERIES, MORE_DOCUMENTS)
    )
    loss = WeightedInfoNCE(model, temperature=0.1, **options).from_embeddings(queries, documents, given)
    loss.backward()
    return loss.item(), gradients(model)


def cached(model, given, seed, scale=1.0, **options):
    model.zero_grad()
    torch.manual_seed(seed)
    loss = CachedWeightedInfoNCE(model, mini_batch_size=AT_ONCE, temperature=0.1, **options)(
        [model.preprocess(MORE_QUERIES), model.preprocess(MORE_DOCUMENTS)], given
    )
    (loss * scale).backward()
    return loss.item(), gradients(model)


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert max(float(gradient.abs().max()) for gradient in found.values()) > 1e-3
    return found


@pytest.mark.parametrize("in_batch_negatives", [True, False])
@pytest.mark.parametrize("dropout", [False, True])
def test_cached_value_and_every_gradient_are_those_of_the_plain_loss(any_model, dropout, in_batch_negatives):
    any_model.train(dropout)
    value, expected = plain(any_model, mined(), 8, in_batch_negatives=in_batch_negatives)
    same, found = cached(any_model, mined(), 8, in_batch_negatives=in_batch_negatives)
    assert same == pytest.approx(value, rel=1e-5)
    assert nearly(found, expected)
    if dropout:  # the draw matters, so equal gradients mean that it was replayed
        assert not nearly(expected, plain(any_model, mined(), 9, in_batch_negatives=in_batch_negatives)[1])


def test_cached_loss_follows_a_weight(any_model):
    ones, found = cached(any_model, mined([1.0] * 4), 1)
    heavier, other = cached(any_model, mined([1.0, 2.0, 1.0, 1.0]), 1)
    assert heavier > ones
    assert not nearly(found, other)
    value, expected = plain(any_model, mined([1.0] * 4), 1)
    assert ones == pytest.approx(value, rel=1e-5)
    assert nearly(found, expected)


def test_cached_loss_drops_the_term_of_weight_zero_and_nothing_else(any_model):
    """The rows' terms add up: without a row, the loss and the gradients are those of the others' terms."""
    everything, found = cached(any_model, mined([1.0] * 4), 1)
    without, rest = cached(any_model, mined([1.0, 0.0, 1.0, 1.0]), 1)
    alone, own = cached(any_model, mined([0.0, 1.0, 0.0, 0.0]), 1)
    assert without == pytest.approx(everything - alone, rel=1e-5)
    assert nearly({name: rest[name] + own[name] for name in found}, found)


def test_scale_of_the_backward_pass_reaches_every_mini_batch(any_model):
    _, found = cached(any_model, mined(), 1)
    _, doubled = cached(any_model, mined(), 1, scale=2.0)
    assert nearly({name: 2 * gradient for name, gradient in found.items()}, doubled)


def test_model_whose_inputs_cannot_be_cut_is_refused(static_model):
    with pytest.raises(InputError, match="mini_batch_size needs a transformer"):
        CachedWeightedInfoNCE(static_model)


LOGITS = torch.tensor([[2.0, 0.5, -1.0, 0.0], [0.0, 1.0, 3.0, -2.0]])


def taught(negatives=((1, 2), (3, -1)), negative_weights=((1.0, 1.0), (1.0, 9.0)), weights=(1.0, 0.5)):
    return labels([0, 2], negatives, negative_weights, weights, teacher=[[4.0, 1.0, 0.0], [1.0, 2.0, 99.0]])


def softmax(numbers):
    total = sum(math.exp(number) for number in numbers)
    return [math.exp(number) / total for number in numbers]


def kl(teacher, student):
    return sum(p * math.log(p / q) for p, q in zip(softmax(teacher), softmax(student), strict=True))


def test_distillation_by_hand():
    divergence = kl([4, 1, 0], [2, 0.5, -1]) + 0.5 * kl([1, 2], [3, -2])
    assert float(Distillation("kl", 2.0)(LOGITS, taught())) == pytest.approx(2 * divergence / 2, rel=1e-5)
    margins = ((1.5 - 3.0) ** 2 + (3.0 - 4.0) ** 2) / 2 + 0.5 * (5.0 - (-1.0)) ** 2
    assert float(Distillation("margin_mse", 1.0)(LOGITS, taught())) == pytest.approx(margins / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["kl", "margin_mse"])
@pytest.mark.parametrize(
    "given",
    [
        taught(weights=(1.0, 0.0)),
        taught(negatives=((1, 2), (-1, -1))),
        taught(negative_weights=((1.0, 1.0), (0.0, 0.0))),
    ],
)
def test_row_of_weight_zero_or_without_negatives_is_not_taught(kind, given):
    """So is one whose negatives all weigh 0; the value is that of the first row alone, and its gradient is finite."""
    logits = LOGITS.clone().requires_grad_()
    term = Distillation(kind)(logits, given)
    assert term.item() == pytest.approx(Distillation(kind)(LOGITS, taught(weights=(1.0, 0.0))).item())
    term.backward()
    assert torch.isfinite(logits.grad).all()
    assert float(logits.grad[0].abs().max()) > 0.01
    assert float(logits.grad[1].abs().max()) == 0.0
