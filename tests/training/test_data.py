import msgspec
import pytest
import torch
from sentence_transformers import SentenceTransformer

from lrat_sim import catalog
from lrat_sim.corpus.documents import passage_text
from lrat_sim.errors import InputError
from lrat_sim.training.data import BUCKET, PairDataset
from lrat_sim.training.folder import identity
from lrat_sim.training.kinds import Encoder
from lrat_sim.training.settings import TrainingSettings

SETTINGS = TrainingSettings(group_size=3, max_query_length=8, max_document_length=12, epochs=3, batch_size=5, seed=2)
WIDE = msgspec.structs.replace(SETTINGS, max_document_length=64)


@pytest.fixture
def batch_of(tiny_model, corpus):
    """batch_of(pairs, settings, base): the queries' features, the documents' by bucket, and the labels."""

    def made(pairs, settings=WIDE, base=tiny_model):
        dataset = PairDataset(pairs, corpus, settings)
        examples = [dataset.example(0, row) for row in range(len(dataset.examples))]
        (queries, *documents), labels = Encoder(base, dataset, settings).collate(examples)
        return queries, documents, labels

    return made


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return SentenceTransformer(str(tiny_model), device="cpu").tokenizer


def texts_of(tokenizer, columns) -> list[str]:
    """The texts of features in the order of their columns."""
    return [text for part in columns for text in tokenizer.batch_decode(part["input_ids"], skip_special_tokens=True)]


def test_columns_point_at_the_texts_of_the_pair(tokenizer, batch_of, corpus, make_pair):
    pairs = [make_pair("first", "d1", [("d2", 3.0), "d3"], weight=1.5), make_pair("second", "d4", ["d2"])]
    queries, documents, labels = batch_of(pairs)
    texts = texts_of(tokenizer, documents)

    def shown(docid: str) -> str:
        return " ".join(passage_text(corpus.document(docid)).lower().split())

    assert texts_of(tokenizer, [queries]) == ["first", "second"]
    assert sorted(texts) == sorted(shown(docid) for docid in ("d1", "d2", "d3", "d4"))
    assert [texts[column] for column in labels["positive"]] == [shown("d1"), shown("d4")]
    assert [texts[column] for column in labels["negatives"][0]] == [shown("d2"), shown("d3")]
    assert texts[labels["negatives"][1, 0]] == shown("d2")
    assert labels["negatives"][1, 1] == -1
    assert labels["negative_weights"][0].tolist() == [3.0, 1.0]
    assert labels["weights"].tolist() == [1.5, 1.0]


def test_document_under_two_ids_is_one_column(batch_of, make_pair):
    """d0, d38 and d39 have one text: none of them is a negative of the others' rows."""
    _, documents, labels = batch_of([make_pair("a", "d0", ["d38", "d1"]), make_pair("b", "d39", ["d2"])])
    assert len(documents[0]["input_ids"]) == 3
    assert labels["positive"][0] == labels["positive"][1] == labels["negatives"][0, 0]


def test_batch_of_pairs_without_negatives_is_padded(batch_of, make_pair):
    labels = batch_of([make_pair("a", "d1"), make_pair("b", "d2")])[2]
    assert torch.equal(labels["negatives"], torch.full((2, 1), -1))


def test_lengths_are_cut_and_never_above_the_model_s(batch_of, pairs):
    queries, documents, _ = batch_of(pairs, SETTINGS)
    assert queries["input_ids"].shape[1] <= 8
    assert documents[0]["input_ids"].shape[1] == 12
    _, wide, _ = batch_of(pairs, msgspec.structs.replace(SETTINGS, max_document_length=500))
    assert 12 < wide[0]["input_ids"].shape[1] <= 64


def test_buckets_hold_documents_of_like_length(batch_of, pairs):
    _, documents, _ = batch_of(pairs, msgspec.structs.replace(WIDE, group_size=7))
    assert documents[0]["input_ids"].shape[0] == BUCKET
    assert documents[0]["input_ids"].shape[1] < documents[1]["input_ids"].shape[1]


@pytest.mark.parametrize(
    "prompts", [None, {"query": "find: "}, {"passage": "read: "}, {"document": "a", "corpus": "b"}]
)
def test_batch_is_encoded_as_search_and_index_encode(tiny_model, tmp_path, batch_of, corpus, make_pair, prompts):
    model = SentenceTransformer(str(tiny_model), device="cpu", prompts=prompts).eval()
    model.save_pretrained(str(tmp_path / "base"), create_model_card=False)
    queries, documents, _ = batch_of([make_pair("violin", "d1")], base=tmp_path / "base")
    for features, encode, text in (
        (queries, model.encode_query, "violin"),
        (documents[0], model.encode_document, passage_text(corpus.document("d1"))),
    ):
        embedding = model(features)["sentence_embedding"]
        assert torch.allclose(embedding[0].detach(), torch.tensor(encode(text)), atol=1e-6)


def test_group_is_first_ranks_or_a_draw_that_seed_and_epoch_decide(corpus, make_pair):
    pair = make_pair("q", "d0", [(f"d{n}", float(n)) for n in range(1, 20)])
    first = PairDataset([pair], corpus, msgspec.structs.replace(SETTINGS, negatives="first"))
    assert first.example(0, 0).negatives == first.example(7, 0).negatives == (1, 2)
    sampled = PairDataset([pair], corpus, msgspec.structs.replace(SETTINGS, negatives="sample"))
    draws = [sampled.example(epoch, 0) for epoch in range(10)]
    assert draws == [sampled.example(epoch, 0) for epoch in range(10)]
    assert len({example.negatives for example in draws}) > 3
    assert all(len(set(example.negatives)) == 2 for example in draws)
    # the weight travels with the negative that was drawn
    assert all(example.negative_weights == tuple(map(float, example.negatives)) for example in draws)


def test_every_epoch_holds_every_pair_once_in_an_order_of_its_own(corpus, pairs):
    def queries(seed: int) -> list[list[str]]:
        dataset = PairDataset(pairs[:12], corpus, msgspec.structs.replace(SETTINGS, seed=seed))
        return [[example.query for example in dataset.batch(step)] for step in range(dataset.steps)]

    batches = queries(2)
    assert [len(batch) for batch in batches] == [5, 5, 2] * 3
    epochs = [[query for batch in batches[start : start + 3] for query in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == sorted(pair.query for pair in pairs[:12]) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert batches == queries(2)
    assert batches != queries(3)


def test_fingerprint_follows_every_field_of_the_pairs(corpus, pairs):
    one = PairDataset(pairs, corpus, SETTINGS).fingerprint
    assert one == PairDataset(iter(pairs), corpus, SETTINGS).fingerprint
    heavier = [msgspec.structs.replace(pairs[0], weight=9.0), *pairs[1:]]
    assert len({one, *(PairDataset(p, corpus, SETTINGS).fingerprint for p in (heavier, pairs[1:], pairs[::-1]))}) == 4


def test_mined_only_without_any_negative_is_refused(corpus, make_pair):
    mined = msgspec.structs.replace(SETTINGS, in_batch_negatives=False)
    with pytest.raises(InputError, match="no pair has a negative"):
        PairDataset([make_pair("q", "d0")], corpus, mined)


def test_held_out_questions_are_whole_and_never_trained_on(questions, corpus):
    dataset = PairDataset(questions, corpus, msgspec.structs.replace(SETTINGS, development_share=0.3))
    by_question = {corpus.row(pair.positive): pair.provenance.task for pair in questions}
    trained = {by_question[example.positive] for example in dataset.examples}
    held_out = {by_question[example.positive] for example in dataset.development}
    assert len(held_out) == round(0.3 * 12)
    assert not trained & held_out
    assert len(dataset.examples) + len(dataset.development) == len(questions)
    assert dataset.fingerprint == PairDataset(questions, corpus, SETTINGS).fingerprint


def test_one_question_cannot_be_split(pairs, corpus):
    with pytest.raises(InputError, match="all pairs are of one question"):
        PairDataset(pairs, corpus, msgspec.structs.replace(SETTINGS, development_share=0.3))


def test_paper_recipe_is_the_paper_s():
    paper = catalog.load("recipes", "train-paper", TrainingSettings)
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.temperature) == (2, 32, 1e-6, 0.02)
    assert (paper.group_size, paper.max_query_length, paper.max_document_length) == (10, 512, 512)
    assert paper.in_batch_negatives
    assert paper.pair_weights
    assert paper.freeze_layers == 0


def test_recipes_of_the_package_can_be_read():
    assert catalog.load("recipes", "train-small", TrainingSettings) == TrainingSettings()
    e5 = catalog.load("recipes", "train-paper-e5", TrainingSettings)
    assert e5.query_prompt.startswith("Instruct: ")
    assert e5.query_prompt.endswith("\nQuery: ")
    assert not catalog.load("recipes", "train-reranker", TrainingSettings).in_batch_negatives


def test_fewer_pairs_than_a_recipe_was_chosen_with_give_a_sentence_and_decide_no_model():
    small = catalog.load("recipes", "train-small", TrainingSettings)
    assert small.warning(499).startswith("499 pairs are fewer than the 500 that the training recipe was chosen with")
    assert small.warning(500) is None
    assert catalog.load("recipes", "train-reranker", TrainingSettings).warning(1) is None
    assert "pairs_expected" not in identity(small)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.0),
        ("learning_rate", float("nan")),
        ("batch_size", 0),
        ("warmup", 1.0),
        ("freeze_layers", -1),
        ("negatives", "best"),
        ("precision", "int8"),
        ("max_query_length", 3),
        ("mini_batch_size", 0),
        ("lora_rank", -1),
        ("lora_alpha", 0.0),
        ("development_share", 1.0),
        ("evaluations", 0),
        ("base_share", -0.1),
        ("distillation", "mse"),
        ("distillation_weight", float("inf")),
    ],
)
def test_value_that_is_not_allowed_is_named(field, value):
    with pytest.raises(InputError, match=field):
        TrainingSettings(**{field: value})


def test_group_of_one_needs_in_batch_negatives():
    assert TrainingSettings(group_size=1).in_batch_negatives
    with pytest.raises(InputError, match="no pair has a negative"):
        TrainingSettings(group_size=1, in_batch_negatives=False)
