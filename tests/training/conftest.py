"""A corpus, pairs and encoders small enough to train in a second."""

import random
from pathlib import Path

import pytest
import small_models
import torch
from msgspec.structs import replace
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertConfig, BertModel

from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Document, Negative, Pair, Provenance
from lrat_sim.text import minilm_folder

WORDS = ["river", "stone", "bridge", "lantern", "orchard", "harbour", "signal", "meadow", "violin", "engine", "castle"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three random layers with the WordPiece of MiniLM, as a sentence-transformers folder."""
    backbone, folder = tmp_path_factory.mktemp("backbone"), tmp_path_factory.mktemp("tiny")
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BertModel(config).save_pretrained(backbone)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(backbone)
    transformer = Transformer(str(backbone), max_seq_length=64)
    model = SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("cross")
    torch.manual_seed(2)
    CrossEncoder(str(tiny_model), num_labels=1, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def static_model() -> SentenceTransformer:
    """A table of word vectors, which is no transformer."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """40 documents of different lengths; d38 and d39 have the text of d0 under other ids."""
    rng = random.Random(3)
    documents = [
        Document(id=f"d{n}", title=f"Title {n}", text=" ".join(rng.choices(WORDS, k=rng.randint(3, 40))))
        for n in range(38)
    ]
    twins = [Document(id=f"d{n}", title=documents[0].title, text=documents[0].text) for n in (38, 39)]
    return Corpus.build(tmp_path_factory.mktemp("corpus"), [*documents, *twins])


@pytest.fixture(scope="session")
def make_pair():
    """make_pair(query, positive, negatives, weight): a negative is an id or (id, weight)."""

    def make(query: str, positive: str, negatives: list = (), weight: float = 1.0) -> Pair:
        made = [Negative(docid=n) if isinstance(n, str) else Negative(docid=n[0], weight=n[1]) for n in negatives]
        where = Provenance(task="t", trajectory="t-0", turn=0, rank=1, rule="browsed")
        return Pair(
            query=query, positive=positive, negatives=made, weight=weight, raw_weight=0.5, length=9, provenance=where
        )

    return make


@pytest.fixture(scope="session")
def pairs(corpus: Corpus, make_pair) -> list[Pair]:
    """24 pairs with 0 to 6 negatives each; the query is made of the positive's own words."""
    rng = random.Random(5)
    made = []
    for n in range(24):
        query = " ".join(corpus.document(f"d{n}").text.split()[:3])
        negatives = rng.sample([f"d{m}" for m in range(24, 38)], n % 7)
        made.append(make_pair(query, f"d{n}", negatives, weight=0.5 + rng.random()))
    return made


@pytest.fixture(scope="session")
def questions(pairs: list[Pair]) -> list[Pair]:
    """The pairs, two of each question."""
    return [replace(p, provenance=replace(p.provenance, task=f"t{n // 2}")) for n, p in enumerate(pairs)]


@pytest.fixture(scope="session")
def tiny_multivector(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return small_models.save_multivector(tmp_path_factory.mktemp("multivector"), tiny_model)


@pytest.fixture(scope="session")
def tiny_masked_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.save_masked(tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="session")
def tiny_splade(tmp_path_factory: pytest.TempPathFactory, tiny_masked_model: Path) -> Path:
    return small_models.save_splade(tmp_path_factory.mktemp("splade"), tiny_masked_model)


@pytest.fixture(scope="session")
def tiny_inference_free(tmp_path_factory: pytest.TempPathFactory, tiny_masked_model: Path) -> Path:
    return small_models.save_inference_free(tmp_path_factory.mktemp("free"), tiny_masked_model)
