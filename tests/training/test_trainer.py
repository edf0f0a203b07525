"""Whole trainings: of the default recipe, of what it leaves off, of other backbones, of a reranker."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from msgspec.structs import replace
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer, util
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, Qwen3Config, Qwen3Model, XLMRobertaConfig, XLMRobertaModel
from transformers import get_linear_schedule_with_warmup as linear_schedule

from lrat_sim import catalog
from lrat_sim.corpus import prepare
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.loading import load_model
from lrat_sim.retrieval.query_text import text_of
from lrat_sim.text import minilm_folder
from lrat_sim.training.data import PairDataset
from lrat_sim.training.folder import add_figures, read_record
from lrat_sim.training.guard import guard
from lrat_sim.training.held_out import HeldOutSearch
from lrat_sim.training.kinds import Encoder
from lrat_sim.training.loop import _schedule
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import teacher_scores, train

TINY = TrainingSettings(
    epochs=2, batch_size=8, learning_rate=1e-3, temperature=0.05, group_size=4, max_query_length=16,
    max_document_length=32, freeze_layers=1, dropout=True, precision="fp32", checkpoint_steps=2, seed=11,
)  # fmt: skip
ALL_LAYERS = replace(TINY, freeze_layers=0)
RERANKING = replace(
    ALL_LAYERS, in_batch_negatives=False, temperature=1.0, epochs=4, dropout=False, learning_rate=3e-3
)  # fmt: skip
MODES = {
    "frozen": TINY,
    "cached": replace(ALL_LAYERS, mini_batch_size=5),
    "lora": replace(ALL_LAYERS, lora_rank=2),
    "development": replace(ALL_LAYERS, development_share=0.3, evaluations=2),
    "everything": replace(
        ALL_LAYERS, mini_batch_size=5, lora_rank=2, development_share=0.3, evaluations=2, base_share=0.3,
        gradient_checkpointing=True,
    ),
    "fp16": replace(ALL_LAYERS, precision="fp16", epochs=1),
    "bf16": replace(ALL_LAYERS, precision="bf16", mini_batch_size=5, lora_rank=2, development_share=0.3, evaluations=2),
    "reranker": replace(RERANKING, epochs=2, development_share=0.2),
}  # fmt: skip


class Killed(BaseException):
    """What a kill looks like from inside: nothing catches it."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def killed_at(step: int, training, *arguments) -> None:
    def kill(done: int, *_: object) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        training(*arguments, progress=kill)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pairs, corpus, tiny_model) -> Path:
    return train(pairs, corpus, tiny_model, TINY, tmp_path_factory.mktemp("run") / "model")


def test_model_folder_is_whole_and_encodes(trained, tiny_model):
    files = {path.name for path in trained.rglob("*") if path.is_file()}
    assert {"model.safetensors", "README.md", "training.json", "modules.json"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert not trained.with_name("model.training").exists()
    model = SentenceTransformer(str(trained), device="cpu")
    assert model.encode(["a river", "a stone"]).shape == (2, 32)
    assert model.max_seq_length == TINY.max_document_length  # documents are read as long as they were trained at
    # what training switches off stays on
    assert (trained / "config.json").read_text() == (tiny_model / "config.json").read_text()


def test_a_model_is_asked_with_the_text_of_its_pairs_and_with_no_other(tmp_path, pairs, corpus, tiny_model, trained):
    plain = {"retriever": "dense", "options": {"query_text": "query"}}
    assert catalog.read_yaml(trained / "retriever.yaml") == plain
    reading = [replace(pair, query_text="iter-i7", search="river") for pair in pairs]
    once = replace(TINY, epochs=1)
    model = train(reading, corpus, trained, once, tmp_path / "reads" / "model")  # the base reads the query
    record = read_record(model)
    assert (record.query_text, record.base_query_text) == ("iter-i7", "query")
    assert "`iter-i7`" in (model / "README.md").read_text()
    found = open_retriever(str(model), corpus, tmp_path / "indexes", device="cpu")
    assert (found.describe()["query_text"], found.describe()["max_query_length"]) == ("iter-i7", TINY.max_query_length)
    shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("retriever.yaml"))
    length = f"max_query_length={TINY.max_query_length}"
    bare = open_retriever(f"{tmp_path / 'bare'}:device=cpu,{length}", corpus, tmp_path / "indexes")
    assert (
        found.search(["a river"], 3) == bare.search([text_of("iter-i7", "a river")], 3) != bare.search(["a river"], 3)
    )
    with pytest.raises(InputError, match="trained on the query text 'iter-i7' and is to be asked with 'agentir'"):
        open_retriever(f"{model}:query_text=agentir", corpus, tmp_path / "indexes")
    with pytest.raises(InputError, match=r"base model .* was trained on the query text 'iter-i7'.* pairs have 'query'"):
        train(pairs, corpus, model, once, tmp_path / "model")
    with pytest.raises(InputError, match=r"of several texts \(query, iter-i7\)"):
        train([*pairs, *reading], corpus, tiny_model, once, tmp_path / "model")
    assert read_record(train(reading, corpus, model, once, tmp_path / "again")).base_query_text == "iter-i7"


def test_training_starts_from_a_recipe(tmp_path, pairs, corpus, tiny_model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retrievers").mkdir()
    options = {"model": str(tiny_model), "pooling": "cls", "query_prompt": "search: ", "weights": "bfloat16"}
    (tmp_path / "retrievers" / "mine.yaml").write_text(catalog.dump_yaml({"retriever": "dense", "options": options}))
    model = train(pairs, corpus, "mine", replace(TINY, epochs=1), tmp_path / "model")
    saved = SentenceTransformer(str(model), device="cpu")
    assert (saved[1].pooling_mode, saved.prompts["query"]) == ("cls", "search: ")
    assert weights(model)["embeddings.word_embeddings.weight"].dtype == torch.float32


def test_files_have_the_umasks_modes_and_the_caller_its_random_state(tmp_path, pairs, corpus, tiny_model):
    before = os.umask(0o027)
    try:
        torch.manual_seed(1)
        model = train(pairs[:4], corpus, tiny_model, replace(TINY, epochs=1), tmp_path / "model")
        drawn = torch.rand(3)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in model.rglob("*") if path.is_file()} == {0o640}
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(1)))


def test_record_and_card_state_data_recipe_figures_and_fingerprints(trained, corpus, pairs):
    record = read_record(trained)
    assert record.pairs == len(pairs)
    assert record.steps == 6
    assert [entry.step for entry in record.losses] == [1, 2, 3, 4, 5, 6]
    assert record.identity["corpus"] == corpus.fingerprint
    add_figures(trained, {"evidence recall": 0.625})
    card = (trained / "README.md").read_text()
    for stated in ("| learning_rate | 0.001 |", corpus.fingerprint, record.identity["pairs"], "24 pairs", "0.625"):
        assert stated in card


def test_card_names_base_and_data_set_and_no_folder_of_this_machine(tmp_path, make_pair, tiny_model):
    world = prepare("world", tmp_path / "data", options={"documents": 1000, "train_tasks": 2, "test_tasks": 2})
    ids = world.corpus.ids()
    pairs = [make_pair("who was it", ids[0], [ids[1]])]
    first = train(pairs, world.corpus, minilm_folder(), replace(TINY, epochs=1), tmp_path / "first")
    second = train(pairs, world.corpus, first, replace(TINY, epochs=1), tmp_path / "second")
    for model in (first, second):
        card = (model / "README.md").read_text()
        front = yaml.safe_load(card.split("---\n")[1])
        assert front["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
        assert front["datasets"] == ["world"]
        assert front["license"] == "apache-2.0"
        assert str(tmp_path) not in card
        assert str(minilm_folder()) not in card


def test_frozen_layers_stay_and_the_others_move(trained, tiny_model):
    before, after = weights(tiny_model), weights(trained)
    assert before.keys() == after.keys()
    for name in before:
        frozen = name.startswith("embeddings.") or ".layer.0." in name
        unused = name.startswith("pooler.")
        unmoved = "key.bias" in name  # a bias of all keys cancels in the softmax over them
        if not unmoved:
            assert torch.equal(before[name], after[name]) == (frozen or unused), name


def test_same_seed_same_weights_and_another_seed_others(trained, tmp_path, pairs, corpus, tiny_model):
    again = train(iter(pairs), corpus, str(tiny_model), TINY, tmp_path / "again")
    assert equal(weights(trained), weights(again))
    other = train(pairs, corpus, tiny_model, replace(TINY, seed=12), tmp_path / "other")
    assert not equal(weights(trained), weights(other))


@pytest.mark.parametrize(
    ("mode", "step"),
    [("frozen", 1), ("frozen", 5), *((mode, 3) for mode in MODES if mode != "fp16"), ("fp16", 2)],
)
def test_killed_training_resumes_to_the_same_weights(mode, step, tmp_path, questions, corpus, tiny_model):
    """Killed before the first checkpoint, in the first and in the second epoch."""
    training = partial(train, kind="reranker" if mode == "reranker" else "encoder")
    given = (questions, corpus, tiny_model, MODES[mode])
    whole = training(*given, tmp_path / "whole")
    killed_at(step, training, *given, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    seen = []
    training(*given, tmp_path / "model", progress=lambda *now: seen.append(now[0]))
    assert seen[0] == step // 2 * 2 + 1  # goes on from the last checkpoint
    assert equal(weights(whole), weights(tmp_path / "model"))
    if mode != "reranker":
        assert not equal(weights(whole), weights(tiny_model))
        assert weights(whole).keys() == weights(tiny_model).keys()
    left, right = read_record(whole), read_record(tmp_path / "model")
    assert (left.losses, left.development, left.kept_step) == (right.losses, right.development, right.kept_step)


def test_checkpoint_cut_off_by_a_kill_is_not_used(trained, tmp_path, pairs, corpus, tiny_model):
    killed_at(5, train, pairs, corpus, tiny_model, TINY, tmp_path / "model")
    torn = tmp_path / "model.training" / "checkpoints" / "unfinished"
    torn.mkdir()
    (torn / "weights.safetensors").write_bytes(b"torn")
    train(pairs, corpus, tiny_model, TINY, tmp_path / "model")
    assert equal(weights(trained), weights(tmp_path / "model"))


def test_damaged_checkpoint_is_refused(tmp_path, pairs, corpus, tiny_model):
    killed_at(5, train, pairs, corpus, tiny_model, TINY, tmp_path / "model")
    (tmp_path / "model.training" / "checkpoints" / "4" / "optimizer.pt").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"checkpoint .* is damaged .*delete the folder"):
        train(pairs, corpus, tiny_model, TINY, tmp_path / "model")


def test_second_call_reuses_and_a_different_one_is_refused(trained, tmp_path, pairs, corpus, tiny_model):
    written = (trained / "model.safetensors").stat().st_mtime_ns
    said = []
    assert train(pairs, corpus, tiny_model, TINY, trained, progress=lambda *now: said.append(now[2])) == trained
    assert "reused" in said[0]
    assert (trained / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(FingerprintMismatch, match=r"learning_rate was 0\.001 and is now 0\.01"):
        train(pairs, corpus, tiny_model, replace(TINY, learning_rate=1e-2), trained)
    with pytest.raises(FingerprintMismatch, match="pairs was"):
        train(pairs[1:], corpus, tiny_model, TINY, trained)
    killed_at(1, train, pairs, corpus, tiny_model, TINY, tmp_path / "model")
    with pytest.raises(FingerprintMismatch, match="unfinished training"):
        train(pairs[1:], corpus, tiny_model, TINY, tmp_path / "model")


def test_folder_that_holds_something_else_is_left_alone(tmp_path, pairs, corpus, tiny_model):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="another folder"):
        train(pairs, corpus, tiny_model, TINY, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_of_pairs_decide_the_model_unless_switched_off(trained, tmp_path, pairs, corpus, tiny_model):
    ones = [replace(pair, weight=1.0) for pair in pairs]
    flat = weights(train(ones, corpus, tiny_model, TINY, tmp_path / "ones"))
    assert equal(flat, weights(train(pairs, corpus, tiny_model, replace(TINY, pair_weights=False), tmp_path / "off")))
    assert not equal(flat, weights(trained))


def test_rejected_documents_are_never_positives(trained, tmp_path, pairs, corpus, tiny_model, make_pair):
    rejected = [replace(make_pair("river", "d30", ["d1"]), satisfied=False) for _ in range(5)]
    mixed = [*rejected[:2], *pairs[:10], *rejected[2:], *pairs[10:]]
    model = train(mixed, corpus, tiny_model, TINY, tmp_path / "mixed")
    assert equal(weights(trained), weights(model))
    assert read_record(model).rejected == 5
    assert "5 further ones" in (model / "README.md").read_text()
    with pytest.raises(InputError, match="all 5 pairs are rejected"):
        PairDataset(rejected, corpus, TINY)


def test_bad_input_is_refused_before_training(tmp_path, pairs, corpus, tiny_model, make_pair):
    def refuses(given, match, base=tiny_model, **changed):
        with pytest.raises(InputError, match=match):
            train(given, corpus, base, replace(TINY, **changed), tmp_path / "model")
        assert not (tmp_path / "model").exists()

    refuses([], "no pairs")
    refuses([make_pair("q", "missing")], r"pair 1 \(query 'q'\): .* no document 'missing'")
    refuses([*pairs, make_pair("q", "d1", ["gone"])], "pair 25 .*'gone'")
    refuses([make_pair("q", "")], r"pair 1 \(query 'q'\) has no positive")
    refuses([make_pair("q", "d1", weight=float("nan"))], "weight is nan")
    refuses([make_pair("q", "d1", [("d2", -1.0)])], r"negative 'd2' is -1\.0")
    refuses([make_pair("q", "d1", ["d1"])], "positive and negative at once")
    refuses(pairs, "no model folder", base=tmp_path / "nowhere")
    refuses(pairs, "3 layers", freeze_layers=3)
    refuses(pairs, "with attn_implementation 'nonsense'", attn_implementation="nonsense")
    empty = tmp_path / "empty"
    empty.mkdir()
    refuses(pairs, "cannot be loaded", base=empty)
    bare = tmp_path / "bare"
    load_model(tiny_model, "cpu").save_pretrained(str(bare), create_model_card=False)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (bare / name).unlink(missing_ok=True)
    refuses(pairs, "has no tokenizer", base=bare)
    assert not (tmp_path / "model.training").exists()
    refuses(pairs, "cannot be loaded", teacher=str(empty))


def test_loss_that_is_not_finite_stops_with_the_step_and_the_remedy(tmp_path, pairs, corpus, tiny_model):
    wild = replace(TINY, learning_rate=1e9, warmup=0.0, freeze_layers=0)
    with pytest.raises(InputError, match=r"at step \d.*lower learning_rate"):
        train(pairs, corpus, tiny_model, wild, tmp_path / "model")
    assert not list(tmp_path.iterdir())  # so that the same call with a lower rate is not refused


@pytest.mark.parametrize(("steps", "warmup"), [(6, 0.1), (50, 0.25), (3, 0.0), (1, 0.9)])
def test_learning_rate_follows_the_usual_schedule(steps, warmup):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    usual = linear_schedule(optimizer, -int(-warmup * steps // 1), steps)
    for done in range(steps):
        assert _schedule(done, steps, warmup) == pytest.approx(usual.get_last_lr()[0])
        optimizer.step()
        usual.step()


@pytest.mark.parametrize(
    ("changed", "tolerance"),
    [
        ({"mini_batch_size": 3}, 2e-4),
        ({"gradient_checkpointing": True, "dropout": True}, 1e-6),
        ({"attn_implementation": "sdpa"}, 2e-4),
    ],
)
def test_what_only_saves_time_or_memory_trains_the_same(changed, tolerance, tmp_path, pairs, corpus, tiny_model):
    plain = replace(ALL_LAYERS, epochs=1, dropout=changed.get("dropout", False))
    one = weights(train(pairs, corpus, tiny_model, plain, tmp_path / "plain"))
    two = weights(train(pairs, corpus, tiny_model, replace(plain, **changed), tmp_path / "changed"))
    base = weights(tiny_model)
    assert max(float((one[name] - base[name]).abs().max()) for name in base) > 1e-3
    off = [name for name in base if not torch.allclose(one[name], two[name], atol=tolerance)]
    # the gradient of these is rounding alone, and Adam makes steps of it
    assert all("key.bias" in name for name in off)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_trains_the_same_and_is_saved_as_it_is(tmp_path, questions, corpus, tiny_model):
    plain = replace(ALL_LAYERS, epochs=1, dropout=False, development_share=0.3, evaluations=1)
    models = {
        compiled: train(questions, corpus, tiny_model, replace(plain, compile=compiled), tmp_path / str(compiled))
        for compiled in (False, True)
    }
    one, two = (weights(model) for model in models.values())
    off = [name for name in one if not torch.allclose(one[name], two[name], atol=1e-4)]
    assert all("key.bias" in name for name in off)
    assert one.keys() == two.keys()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_nearly_the_same(precision, tmp_path, pairs, corpus, tiny_model):
    plain = replace(ALL_LAYERS, epochs=1, dropout=False, mini_batch_size=5)
    one = train(pairs, corpus, tiny_model, plain, tmp_path / "plain")
    two = train(pairs, corpus, tiny_model, replace(plain, precision=precision), tmp_path / "mixed")
    losses = [[entry.loss for entry in read_record(model).losses] for model in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]  # so it did compute in another precision
    assert {weight.dtype for weight in weights(two).values()} == {torch.float32}


def test_best_measurement_is_kept_and_can_be_measured_again(tmp_path, questions, corpus, tiny_model):
    # far too high a rate at the end: a later step measures worse than an earlier one
    settings = replace(ALL_LAYERS, development_share=0.3, evaluations=6, learning_rate=0.02, dropout=False)
    model = train(questions, corpus, tiny_model, settings, tmp_path / "model")
    record = read_record(model)
    expected = [0, *sorted({round(record.steps * n / 6) for n in range(1, 7)})]
    assert [entry.step for entry in record.development] == expected
    best = max(record.development[1:], key=lambda entry: entry.figures["nDCG@10"])
    assert record.kept_step == best.step
    held_out = Encoder(tiny_model, PairDataset(questions, corpus, settings), settings).evaluator()
    assert held_out(SentenceTransformer(str(model), device="cpu")) == pytest.approx(best.figures)
    assert held_out(load_model(tiny_model, "cpu")) == pytest.approx(record.development[0].figures)
    assert f"after step {best.step}, kept" in (model / "README.md").read_text()


def test_measurement_finds_the_text_that_the_query_quotes(corpus, pairs):
    """MiniLM, which can read, comes near the top; so the figures are of positives among documents."""
    lengths = {"query": 16, "document": 32}
    held_out = HeldOutSearch(PairDataset(pairs, corpus, TINY).examples, corpus, TINY.seed, util.cos_sim, lengths)
    assert len(held_out.corpus) == 38  # two have the text of a third
    assert held_out(load_model(minilm_folder(), "cpu"))["RR"] > 0.4


def test_share_of_the_base_is_mixed_in(trained, tmp_path, pairs, corpus, tiny_model):
    half = weights(train(pairs, corpus, tiny_model, replace(TINY, base_share=0.5), tmp_path / "half"))
    whole, base = weights(trained), weights(tiny_model)
    assert not equal(half, whole)
    assert all(torch.allclose(half[name], (whole[name] + base[name]) / 2, atol=1e-6) for name in base)


@pytest.mark.parametrize("kind", ["kl", "margin_mse"])
def test_teacher_decides_the_model(kind, trained, tmp_path, pairs, corpus, tiny_model, tiny_cross_encoder):
    settings = replace(TINY, teacher=str(tiny_cross_encoder), distillation=kind, distillation_weight=0.5)
    taught = train(pairs, corpus, tiny_model, settings, tmp_path / "taught")
    assert not equal(weights(taught), weights(trained))
    assert "teacher" in read_record(taught).identity
    assert str(tiny_cross_encoder) not in (taught / "README.md").read_text()
    assert read_record(taught).losses[0].loss > read_record(trained).losses[0].loss


def test_teacher_is_asked_once_and_its_scores_are_kept(tmp_path):
    asked = []

    class Lengths:
        def predict(self, pairs, **_):
            asked.extend(pairs)
            return numpy.array([len(text) for _, text in pairs], numpy.float32)

    texts = [("q", "x" * n) for n in range(300)]
    for _ in range(2):
        teacher_scores(Lengths(), texts, tmp_path / "teacher.npy")
        assert numpy.load(tmp_path / "teacher.npy").tolist() == list(range(300))
    assert len(asked) == 300


SIZES = {"vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def qwen3():
    return Qwen3Model(Qwen3Config(**SIZES, intermediate_size=64, num_key_value_heads=1, head_dim=16))


def xlm_roberta():
    return XLMRobertaModel(XLMRobertaConfig(**SIZES, intermediate_size=64, max_position_embeddings=130))


@pytest.mark.parametrize(
    ("backbone", "pooling", "side"),
    [(qwen3, "lasttoken", "left"), (qwen3, "lasttoken", "right"), (xlm_roberta, "mean", "right"),
     (xlm_roberta, "cls", "right")],
)  # fmt: skip
def test_backbones_are_trained_with_their_own_pooling_and_prompts(backbone, pooling, side, tmp_path, pairs, corpus):
    torch.manual_seed(4)
    backbone().save_pretrained(tmp_path / "backbone")
    AutoTokenizer.from_pretrained(minilm_folder(), padding_side=side).save_pretrained(tmp_path / "backbone")
    modules = [Transformer(str(tmp_path / "backbone"), max_seq_length=64), Pooling(32, pooling_mode=pooling)]
    before = SentenceTransformer(modules=modules, device="cpu", prompts={"query": "Instruct: find it\nQuery:"})
    base = tmp_path / "base"
    before.save_pretrained(str(base), create_model_card=False)
    prompt = "Instruct: find it\nQuery: "
    settings = replace(ALL_LAYERS, epochs=3, dropout=False, query_prompt=prompt)
    model = train(pairs, corpus, base, settings, tmp_path / "trained")
    losses = read_record(model).losses
    assert losses[-1].loss < losses[0].loss
    assert not equal(weights(base), weights(model))
    loaded = SentenceTransformer(str(model), device="cpu")
    assert loaded.prompts["query"] == prompt
    assert loaded[1].get_config_dict() == before[1].get_config_dict()
    assert loaded.tokenizer.padding_side == side
    # padding is not read: alone and beside a longer text, the vector is the same
    alone, beside = loaded.encode(["the river"]), loaded.encode(["the river", "a bridge of stone " * 6])
    assert torch.allclose(torch.tensor(alone[0]), torch.tensor(beside[0]), atol=1e-5)
    small = replace(settings, lora_rank=2, mini_batch_size=4, epochs=1)
    assert not equal(weights(base), weights(train(pairs, corpus, base, small, tmp_path / "small")))


def test_reranker_learns_the_pairs_by_their_weights(tmp_path, questions, corpus, tiny_model):
    settings = replace(RERANKING, development_share=0.2)
    model = train(questions, corpus, tiny_model, settings, tmp_path / "model", kind="reranker")
    record = read_record(model)
    assert record.kind == "reranker"
    assert record.losses[-1].loss < 0.7 * record.losses[0].loss
    assert record.development
    assert CrossEncoder(str(model), device="cpu").predict([("river", "a text")]).shape == (1,)
    assert "CrossEncoder" in (model / "README.md").read_text()
    heavier = [questions[0], replace(questions[1], weight=9.0), *questions[2:]]
    other = train(heavier, corpus, tiny_model, settings, tmp_path / "heavier", kind="reranker")
    assert not equal(weights(model), weights(other))


@pytest.mark.parametrize(
    ("changed", "match"),
    [({"lora_rank": 2}, "lora_rank is for encoders"), ({"in_batch_negatives": True}, "turn it off")],
)
def test_reranker_refuses_what_only_encoders_have(changed, match, tmp_path, pairs, corpus, tiny_model):
    with pytest.raises(InputError, match=match):
        train(pairs, corpus, tiny_model, replace(RERANKING, **changed), tmp_path / "model", kind="reranker")


@pytest.fixture
def beir(tmp_path):
    """Twelve facts of which each answers one query."""
    folder = tmp_path / "facts"
    (folder / "qrels").mkdir(parents=True)
    things = ["iron", "honey", "granite", "salmon", "oak", "copper", "wheat", "coal", "silk", "salt", "wine", "glass"]
    with (folder / "corpus.jsonl").open("w") as corpus, (folder / "queries.jsonl").open("w") as queries:
        for n, thing in enumerate(things):
            text = f"Much {thing} is traded in the port."
            corpus.write(json.dumps({"_id": f"d{n}", "title": thing.title(), "text": text}) + "\n")
            queries.write(json.dumps({"_id": f"q{n}", "text": f"where is {thing} sold?"}) + "\n")
    rows = "".join(f"q{n}\td{n}\t1\n" for n in range(12))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return folder


def test_forgetting_is_seen_and_stands_on_the_card(tmp_path, beir, pairs, corpus):
    settings = TrainingSettings(epochs=1, batch_size=8, group_size=2, max_document_length=16, freeze_layers=5)
    model = train(pairs[:8], corpus, minilm_folder(), settings, tmp_path / "model")
    before, after = guard(model, beir, tmp_path / "kept")
    assert before == pytest.approx(1.0)
    assert 0.5 < after <= 1.0
    assert read_record(model).figures == {"nDCG@10 on facts before": before, "nDCG@10 on facts after": after}
    assert "nDCG@10 on facts after" in (model / "README.md").read_text()
    # a model that has forgotten everything
    blank = {name: weight * 0.0 + 0.01 for name, weight in load_file(model / "model.safetensors").items()}
    save_file(blank, model / "model.safetensors", metadata={"format": "pt"})
    assert guard(model, beir, tmp_path / "again")[1] < 0.6


def test_folder_without_our_record_is_refused(tmp_path, beir, tiny_model):
    with pytest.raises(InputError, match=r"training\.json"):
        guard(tiny_model, beir, tmp_path / "kept")


def test_reranker_is_refused(tmp_path, beir, pairs, corpus, tiny_model):
    settings = TrainingSettings(epochs=1, in_batch_negatives=False, freeze_layers=0, temperature=1.0)
    model = train(pairs[:4], corpus, tiny_model, settings, tmp_path / "model", kind="reranker")
    with pytest.raises(InputError, match="only encoders"):
        guard(model, beir, tmp_path / "kept")
