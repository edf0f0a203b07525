"""The kinds of model in training, by name."""

from __future__ import annotations

from pathlib import Path

from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.training.encoders import Encoder, MultiVector, Sparse
from lrat_sim.training.reranker import Reranker
from lrat_sim.training.settings import Kind

Trainee = Encoder | Reranker

KINDS: dict[Kind, type[Trainee]] = {
    "encoder": Encoder,
    "multivector": MultiVector,
    "sparse": Sparse,
    "reranker": Reranker,
}

RETRIEVERS: dict[Kind, str] = {
    "encoder": "dense",
    "multivector": "multivector",
    "sparse": "sparse",
    "reranker": "rerank",
}
"""The retriever that searches with each kind of model."""


def kind_of(base_model: str | Path) -> Kind:
    """What is trained from a base model where nobody says: what it is, and an encoder where its files do not tell."""
    kind = model_kind(base_model)
    return "encoder" if kind == "dense" else kind
