from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.records import Document
from lrat_sim.text import minilm_folder
from lrat_sim.training.folder import add_figures, read_record
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train

TINY = TrainingSettings(
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    temperature=0.05,
    group_size=4,
    max_query_length=16,
    max_document_length=32,
    freeze_layers=1,
    dropout=True,
    bf16=False,
    checkpoint_steps=2,
    seed=11,
)


class Killed(BaseException):
    """What a kill looks like from inside: nothing catches it."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


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
    assert not equal(weights(trained), weights(tiny_model))
    # what training switches off stays on
    assert (trained / "config.json").read_text() == (tiny_model / "config.json").read_text()


def test_model_folder_reads_documents_at_the_length_that_it_was_trained_at(trained):
    assert SentenceTransformer(str(trained), device="cpu").max_seq_length == TINY.max_document_length


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
    other = train(pairs, corpus, tiny_model, msgspec.structs.replace(TINY, seed=12), tmp_path / "other")
    assert not equal(weights(trained), weights(other))


@pytest.mark.parametrize("step", [1, 3, 5])
def test_killed_training_resumes_to_the_same_weights(trained, tmp_path, pairs, corpus, tiny_model, step):
    """Killed before the first checkpoint, in the first and in the second epoch."""
    seen = []

    def kill(done: int, total: int | None, what: str) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        train(pairs, corpus, tiny_model, TINY, tmp_path / "model", progress=kill)
    assert not (tmp_path / "model").exists()
    train(pairs, corpus, tiny_model, TINY, tmp_path / "model", progress=lambda done, total, what: seen.append(done))
    assert seen[0] == step // 2 * 2 + 1  # goes on from the last checkpoint
    assert equal(weights(trained), weights(tmp_path / "model"))
    assert read_record(tmp_path / "model").losses == read_record(trained).losses


def test_checkpoint_cut_off_by_a_kill_is_not_used(trained, tmp_path, pairs, corpus, tiny_model):
    def kill(done: int, total: int | None, what: str) -> None:
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        train(pairs, corpus, tiny_model, TINY, tmp_path / "model", progress=kill)
    torn = tmp_path / "model.training" / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"torn")
    train(pairs, corpus, tiny_model, TINY, tmp_path / "model")
    assert equal(weights(trained), weights(tmp_path / "model"))


def test_second_call_reuses_and_a_different_one_is_refused(trained, pairs, corpus, tiny_model):
    written = (trained / "model.safetensors").stat().st_mtime_ns
    said = []
    assert train(pairs, corpus, tiny_model, TINY, trained, progress=lambda *now: said.append(now[2])) == trained
    assert "reused" in said[0]
    assert (trained / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(FingerprintMismatch, match=r"learning_rate was 0\.001 and is now 0\.01"):
        train(pairs, corpus, tiny_model, msgspec.structs.replace(TINY, learning_rate=1e-2), trained)
    with pytest.raises(FingerprintMismatch, match="pairs was"):
        train(pairs[1:], corpus, tiny_model, TINY, trained)


def test_unfinished_training_of_other_pairs_is_refused(tmp_path, pairs, corpus, tiny_model):
    def kill(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        train(pairs, corpus, tiny_model, TINY, tmp_path / "model", progress=kill)
    with pytest.raises(FingerprintMismatch, match="unfinished training"):
        train(pairs[1:], corpus, tiny_model, TINY, tmp_path / "model")


def test_folder_that_holds_something_else_is_left_alone(tmp_path, pairs, corpus, tiny_model):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="another folder"):
        train(pairs, corpus, tiny_model, TINY, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_of_pairs_decide_the_model_unless_switched_off(trained, tmp_path, pairs, corpus, tiny_model):
    ones = [msgspec.structs.replace(pair, weight=1.0) for pair in pairs]
    off = msgspec.structs.replace(TINY, pair_weights=False)
    flat = weights(train(ones, corpus, tiny_model, TINY, tmp_path / "ones"))
    assert equal(flat, weights(train(pairs, corpus, tiny_model, off, tmp_path / "off")))
    assert not equal(flat, weights(trained))


def test_bad_input_is_refused_before_training(tmp_path, pairs, corpus, tiny_model, make_pair):
    def refuses(given, match, base=tiny_model, settings=TINY):
        with pytest.raises(InputError, match=match):
            train(given, corpus, base, settings, tmp_path / "model")
        assert not (tmp_path / "model").exists()

    refuses([], "no pairs")
    refuses([make_pair("q", "missing")], r"pair 1 \(query 'q'\): its document 'missing' is not in the corpus")
    refuses([*pairs, make_pair("q", "d1", ["gone"])], "pair 25 .*'gone'")
    refuses([make_pair("q", "d1", weight=float("nan"))], "weight is nan")
    refuses([make_pair("q", "d1", [("d2", -1.0)])], r"negative 'd2' is -1\.0")
    refuses([make_pair("q", "d1", ["d1"])], "positive and negative at once")
    refuses(pairs, "no model folder", base=tmp_path / "nowhere")
    refuses(pairs, "3 layers", settings=msgspec.structs.replace(TINY, freeze_layers=3))
    empty = tmp_path / "empty"
    empty.mkdir()
    refuses(pairs, "cannot be loaded", base=empty)


def test_loss_that_is_not_finite_stops_with_the_step_and_the_remedy(tmp_path, pairs, corpus, tiny_model):
    wild = msgspec.structs.replace(TINY, learning_rate=1e30, warmup=0.0, freeze_layers=0)
    with pytest.raises(InputError, match=r"at step \d.*lower learning_rate"):
        train(pairs, corpus, tiny_model, wild, tmp_path / "model")
    assert not list(tmp_path.iterdir())  # so that the same call with a lower rate is not refused


def test_caller_keeps_its_random_state(tmp_path, pairs, corpus, tiny_model):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(pairs[:4], corpus, tiny_model, msgspec.structs.replace(TINY, epochs=1), tmp_path / "model")
    assert torch.equal(torch.rand(3), expected)


def test_minilm_learns_eight_pairs(tmp_path, make_pair):
    from lrat_sim.corpus.documents import Corpus

    names = ["Alda", "Borin", "Celme", "Dorat", "Eskil", "Fenna", "Gorm", "Hild"]
    documents = [
        Document(id=f"{name}-{n}", title=name, text=f"{name} {fact}.")
        for name in names
        for n, fact in enumerate(["was raised beside a lighthouse", "sold clocks and bells", "wrote a book on moss"])
    ]
    corpus = Corpus.build(tmp_path / "corpus", documents)
    pairs = [make_pair(f"trade of {name}", f"{name}-1", [f"{name}-0", f"{name}-2"]) for name in names]
    settings = msgspec.structs.replace(TINY, epochs=6, batch_size=8, learning_rate=1e-4, freeze_layers=4, bf16="auto")
    losses = read_record(train(pairs, corpus, minilm_folder(), settings, tmp_path / "model")).losses
    assert losses[-1].loss < 0.7 * losses[0].loss
