"""Small models with random weights, of the kinds for which none is installed."""

from pathlib import Path

import torch
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from lrat_sim.text import minilm_folder


def save_multivector(folder: Path, base: Path | None = None) -> Path:
    """A late-interaction model on an encoder, MiniLM by default: its tokens projected to 128 numbers, with ColBERT's
    prompts.  A random projection keeps products roughly, so that on MiniLM it can search."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        prompts = {"query": "[Q] ", "document": "[D] "}
        model = MultiVectorEncoder(str(base or minilm_folder()), device="cpu", prompts=prompts)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def save_masked(folder: Path) -> Path:
    """A BERT of three random layers with its head for masked words, and MiniLM's tokenizer."""
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        BertForMaskedLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return folder


def save_splade(folder: Path, masked: Path) -> Path:
    SparseEncoder(str(masked), device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def save_inference_free(folder: Path, masked: Path) -> Path:
    """The documents by the masked model, a query's terms by a table of weights."""
    router = Router.for_query_document(
        query_modules=[SparseStaticEmbedding(AutoTokenizer.from_pretrained(minilm_folder()))],
        document_modules=[Transformer(str(masked), transformer_task="fill-mask"), SpladePooling()],
    )
    SparseEncoder(modules=[router], device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder
