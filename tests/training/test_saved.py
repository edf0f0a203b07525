"""A saved encoder names what sentence-transformers had before version 6, and gives the same vectors."""

import json

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from lrat_sim.training.saved import save_encoder


def read(path):
    return json.loads(path.read_text())


def test_earlier_versions_know_every_class_and_setting(tiny_model, tmp_path):
    transformer = SentenceTransformer(str(tiny_model), device="cpu")[0]
    parts = [transformer, Pooling(32, pooling_mode="max"), Dense(32, 8), Normalize()]
    model = SentenceTransformer(modules=parts, device="cpu", prompts={"query": "find: "})
    model.max_seq_length = 24
    save_encoder(model, tmp_path / "model")
    modules = read(tmp_path / "model" / "modules.json")
    names = ("Transformer", "Pooling", "Dense", "Normalize")
    assert [each["type"] for each in modules] == [f"sentence_transformers.models.{name}" for name in names]
    of_transformer, pooling, dense, normalize = (tmp_path / "model" / each["path"] for each in modules)
    assert read(of_transformer / "sentence_bert_config.json") == {"max_seq_length": 24, "do_lower_case": False}
    config = read(pooling / "config.json")
    assert config["word_embedding_dimension"] == 32
    assert [name for name, value in config.items() if value is True] == ["pooling_mode_max_tokens", "include_prompt"]
    assert read(dense / "config.json").keys() == {"in_features", "out_features", "bias", "activation_function"}
    assert read(normalize / "config.json") == {}
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert again.max_seq_length == 24
    texts = ["a bridge of stone", "the lantern in the orchard " * 20]
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))
    np.testing.assert_array_equal(again.encode_query(texts), model.encode_query(texts))
