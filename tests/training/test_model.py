import json
import re
import shutil

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoTokenizer, Qwen3Config, Qwen3Model

from lrat_sim.errors import InputError
from lrat_sim.retrieval.loading import load_model
from lrat_sim.retrieval.pair_scorer import load_cross_encoder
from lrat_sim.text import minilm_folder
from lrat_sim.training.folder import base_fingerprint, base_licence, base_name
from lrat_sim.training.model import (
    add_adapters,
    freeze_layers,
    frozen_parts,
    load_weights,
    make_trainable,
    remember_frozen,
    save_encoder,
    save_weights,
    without_dropout,
)
from lrat_sim.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def tiny_decoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    config = Qwen3Config(
        vocab_size=30522, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1,
        head_dim=16, intermediate_size=64, attention_dropout=0.2,
    )  # fmt: skip
    Qwen3Model(config).save_pretrained(folder / "backbone")
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder / "backbone")
    modules = [Transformer(str(folder / "backbone")), Pooling(32, pooling_mode="lasttoken")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def trained_parameters(model: SentenceTransformer) -> set[str]:
    model.zero_grad()
    model.train()
    model(model.preprocess(["the river", "a bridge of stone"]))["sentence_embedding"].square().sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


@pytest.mark.parametrize(
    ("base", "trained"), [("tiny_model", r"\.layer\.2\."), ("tiny_decoder", r"\.layers\.2\.|model\.norm\.weight$")]
)
def test_lower_layers_and_embeddings_get_no_gradient(request, base, trained):
    model = load_model(request.getfixturevalue(base), "cpu")
    everything = trained_parameters(model)
    assert any("embed" in name for name in everything)
    freeze_layers(model, 2)
    left = trained_parameters(model)
    assert any("2." in name for name in left)
    assert left == {name for name in everything if re.search(trained, name)}


def test_without_dropout_two_passes_agree(tiny_model, tiny_decoder):
    for model in (load_model(base, "cpu") for base in (tiny_model, tiny_decoder)):
        model.train()
        features = model.preprocess(["the river by the old mill"])

        def embedding(model=model, features=features) -> torch.Tensor:
            return model(dict(features))["sentence_embedding"]

        assert not torch.equal(embedding(), embedding())
        without_dropout(model)
        assert torch.equal(embedding(), embedding())


def test_plain_attention_gives_the_same_embeddings(tiny_model):
    model = load_model(tiny_model, "cpu")
    before = torch.tensor(model.encode(["the river by the old mill", "a bridge"]))
    make_trainable(model, TrainingSettings(freeze_layers=0))
    assert model.transformers_model.config._attn_implementation == "eager"
    assert torch.allclose(before, torch.tensor(model.encode(["the river by the old mill", "a bridge"])), atol=1e-6)


def test_half_precision_checkpoint_is_trained_in_fp32(tiny_model, tmp_path):
    half = SentenceTransformer(str(tiny_model), device="cpu").bfloat16()
    half.save_pretrained(str(tmp_path / "half"), create_model_card=False)
    assert {parameter.dtype for parameter in load_model(tmp_path / "half", "cpu").parameters()} == {torch.float32}


def test_fingerprint_of_a_base_follows_its_weights_and_not_its_card(tiny_model, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "README.md").write_text("another card")
    assert base_fingerprint(copy) == base_fingerprint(str(tiny_model))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert base_fingerprint(copy) != base_fingerprint(tiny_model)


def test_model_without_transformer_layers_cannot_be_frozen(static_model):
    with pytest.raises(InputError, match="set freeze_layers to 0"):
        freeze_layers(static_model, 1)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x08" + b"\0" * 7 + b"[[[[[[[["])
def test_damaged_weights_of_an_unfinished_training_are_refused(tmp_path, content):
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.safetensors are damaged \(.*delete the folder"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("\ufeff---\r\nlicense: mit\r\n---\r\n# A model\r\n", "mit"),
        ("---\nlicense: 2001-99-99\n---\n", None),
        ("---\nlicense: &a [*a]\n---\n", None),
        ("---\n- mit\n---\n", None),
        ("# A model without a head\n", None),
    ],
)
def test_the_licence_of_a_base_model_is_read_or_left_open(tmp_path, card, licence):
    (tmp_path / "README.md").write_bytes(card.encode())
    assert base_licence(tmp_path) == licence


TEXTS = ["river by the mill", "the old bridge", "a copper lantern", "an orchard"]


def adapted(folder, rank=2):
    torch.manual_seed(1)
    model = load_model(folder, "cpu").eval()
    adapters = add_adapters(model.transformers_model, rank, 4.0)
    return model, adapters


def disturb(model):
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)


def test_new_adapters_change_nothing_and_are_trained_alone(tiny_model):
    before = torch.tensor(load_model(tiny_model, "cpu").encode(TEXTS))
    model, _ = adapted(tiny_model)
    assert torch.allclose(torch.tensor(model.encode(TEXTS)), before, atol=1e-6)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_merged_model_computes_the_same_and_has_the_base_s_parameters(tiny_model, tmp_path):
    model, adapters = adapted(tiny_model)
    disturb(model)
    before = torch.tensor(model.encode(TEXTS))
    assert not torch.allclose(before, torch.tensor(load_model(tiny_model, "cpu").encode(TEXTS)), atol=1e-3)
    adapters.merge_and_unload()
    model.save_pretrained(str(tmp_path / "merged"), create_model_card=False)
    loaded = SentenceTransformer(str(tmp_path / "merged"), device="cpu")
    assert torch.allclose(torch.tensor(loaded.encode(TEXTS)), before, atol=1e-5)
    assert loaded.state_dict().keys() == load_model(tiny_model, "cpu").state_dict().keys()


def test_adapters_in_frozen_layers_are_frozen_too(tiny_model):
    model, _ = adapted(tiny_model)
    freeze_layers(model, 2)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert any(".layer.2." in name for name in trained)
    assert not any(".layer.0." in name or ".layer.1." in name for name in trained)


def test_checkpoint_holds_the_adapters_alone_and_gives_them_back(tiny_model, tmp_path):
    model, _ = adapted(tiny_model)
    disturb(model)
    save_weights(model, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_size < 200_000
    other, _ = adapted(tiny_model)
    load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(left, right) for left, right in zip(model.parameters(), other.parameters(), strict=True))
    with pytest.raises(InputError, match="another model"):
        load_weights(load_model(tiny_model, "cpu"), tmp_path / "w.safetensors")


def test_base_is_named_by_its_hub_id_and_never_by_where_it_lies(tmp_path, tiny_model):
    assert base_name("Qwen/Qwen3-Embedding-0.6B") == "Qwen/Qwen3-Embedding-0.6B"
    assert base_name(minilm_folder()) == "sentence-transformers/all-MiniLM-L6-v2"
    cached = tmp_path / "models--intfloat--e5-small" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    assert base_name(cached) == "intfloat/e5-small"
    assert base_name(tiny_model) == tiny_model.name


@pytest.mark.parametrize("attention", ["flash_attention_2", "nonsense"])
def test_attention_that_is_not_available_is_named(tiny_model, tiny_cross_encoder, attention):
    for load, base in ((load_model, tiny_model), (load_cross_encoder, tiny_cross_encoder)):
        with pytest.raises(InputError, match=f"with attn_implementation '{attention}' .*leave attn_implementation out"):
            load(base, "cpu", attention=attention)


@pytest.mark.parametrize("most", [1 << 29, 1])
def test_known_outputs_of_frozen_layers_change_nothing_but_the_work(tiny_model, monkeypatch, most):
    monkeypatch.setattr("lrat_sim.training.model.MOST", most)
    plain, remembering = load_model(tiny_model, "cpu"), load_model(tiny_model, "cpu")
    for model in (plain, remembering):
        freeze_layers(model, 2)
    parts = frozen_parts(remembering, 2)
    known, unknown = ["the river by the old mill", "a bridge"], ["a copper lantern", "a bridge"]
    table = remember_frozen(remembering, parts, [remembering.preprocess(known)])
    assert len(table) == (2 if most > 1 else 0)
    for texts in (known, known[::-1], known[1:], unknown):
        vectors = []
        for model in (plain, remembering):
            model.zero_grad()
            vectors.append(model(model.preprocess(texts))["sentence_embedding"])
            vectors[-1].square().sum().backward()
        assert torch.allclose(*vectors, atol=1e-6)
        gradients = [{n: p.grad for n, p in m.named_parameters() if p.grad is not None} for m in (plain, remembering)]
        assert gradients[0].keys() == gradients[1].keys()
        assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])
    for row in table.values():
        row.zero_()  # so it is read, for known texts alone
    known_vectors, others = (torch.tensor(remembering.encode(texts)) for texts in (known, unknown))
    assert torch.allclose(known_vectors, torch.tensor(plain.encode(known)), atol=1e-6) == (most == 1)
    assert torch.allclose(others, torch.tensor(plain.encode(unknown)), atol=1e-6)


def read_json(path):
    return json.loads(path.read_text())


def test_earlier_versions_know_every_class_and_setting(tiny_model, tmp_path):
    transformer = SentenceTransformer(str(tiny_model), device="cpu")[0]
    parts = [transformer, Pooling(32, pooling_mode="max"), Dense(32, 8), Normalize()]
    model = SentenceTransformer(modules=parts, device="cpu", prompts={"query": "find: "})
    model.max_seq_length = 24
    save_encoder(model, tmp_path / "model")
    modules = read_json(tmp_path / "model" / "modules.json")
    names = ("Transformer", "Pooling", "Dense", "Normalize")
    assert [each["type"] for each in modules] == [f"sentence_transformers.models.{name}" for name in names]
    of_transformer, pooling, dense, normalize = (tmp_path / "model" / each["path"] for each in modules)
    assert read_json(of_transformer / "sentence_bert_config.json") == {"max_seq_length": 24, "do_lower_case": False}
    config = read_json(pooling / "config.json")
    assert config["word_embedding_dimension"] == 32
    assert [name for name, value in config.items() if value is True] == ["pooling_mode_max_tokens", "include_prompt"]
    assert read_json(dense / "config.json").keys() == {"in_features", "out_features", "bias", "activation_function"}
    assert read_json(normalize / "config.json") == {}
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert again.max_seq_length == 24
    texts = ["a bridge of stone", "the lantern in the orchard " * 20]
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))
    np.testing.assert_array_equal(again.encode_query(texts), model.encode_query(texts))
