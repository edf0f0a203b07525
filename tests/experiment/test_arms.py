"""The encoders of a comparison read texts of one length."""

import json

import pytest

from lrat_sim.agent import load_agent
from lrat_sim.experiment import alike, run_experiment
from lrat_sim.experiment import cells as experiment
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.training.folder import RECORD


@pytest.fixture
def model(tmp_path):
    """model(name, own, trained) makes the folder of an encoder: its own limit, and the length it was trained on."""

    def make(name, own=512, trained=None):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "modules.json").write_text("[]")
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": own}))
        if trained is not None:
            record = {"identity": {"max_document_length": trained}, "base_model": "b", "pairs": 1, "steps": 1}
            (folder / RECORD).write_text(json.dumps(record | {"losses": [], "seconds": 1.0}))
        return str(folder)

    return make


def read(spec, options):
    """What an opened spec would read."""
    return int({**parse_spec(spec)[1], **options}["max_length"])


@pytest.mark.parametrize(
    ("specs", "asked", "lengths"),
    [
        (["dense", "short:48"], None, [48, 48]),
        (["dense", "short:48", "short-2:96"], None, [96, 96, 96]),
        (["dense", "short:48"], 64, [64, 64]),
        (["dense:max_length=32", "short:48"], None, [32, 32]),
        (["dense:max_length=32", "short:48,max_length=40", "dense"], None, [32, 40, 48]),
        (["dense", "long"], None, [256, 256]),
        (["embedding-api:model=m", "dense"], None, [256, 256]),
    ],
)
def test_one_length_for_all_the_trained_models_unless_one_is_asked_for(model, specs, asked, lengths):
    def spec(text):
        name, _, rest = text.partition(":")
        if not name.startswith(("short", "long")):
            return text
        trained, _, option = rest.partition(",")
        folder = model(name, own=int(trained or 512), trained=int(trained) if trained else None)
        return f"{folder}:{option}" if option else folder

    named = {f"arm-{number}": spec(text) for number, text in enumerate(specs)}
    found = alike(named, asked)
    assert [read(named[arm], options) for arm, options in found.items()] == lengths


def test_nothing_is_set_where_no_encoder_or_one_kind_of_them_runs():
    assert alike({"a": "bm25", "b": "oracle"}) == {"a": {}, "b": {}}
    assert alike({"a": "bm25", "b": "dense", "c": "dense:index=faiss"}) == {"a": {}, "b": {}, "c": {}}


def test_what_a_retriever_is_made_of_reads_the_same(model):
    trained = model("trained", own=48, trained=48)
    specs = {"t": trained, "r": "rerank:model=x", "h": f"hybrid:bm25+{trained}", "b": "rerank:model=x,base=bm25"}
    assert alike(specs) == {
        "t": {"max_length": 48},
        "r": {"base": "dense:max_length=48"},
        "h": {"members": f"bm25+{trained}:max_length=48"},
        "b": {},
    }


def test_comparison_opens_its_arms_so(model, small_world, tmp_path, monkeypatch):
    opened = {}

    def open_(spec, dataset, **options):
        opened[spec] = options
        return open_retriever("bm25", dataset.corpus, tmp_path / "indexes")

    monkeypatch.setattr(experiment, "opened", open_)
    trained = model("trained", own=96, trained=96)
    monkeypatch.setattr(experiment, "compare_retrievers", lambda *_, **__: (_ for _ in ()).throw(InterruptedError))
    specs = {"base": "dense", "trained": trained, "bm25": "bm25"}
    for length, wanted in ((None, 96), (64, 64)):
        with pytest.raises(InterruptedError):
            run_experiment(specs, {"w": small_world}, [load_agent("simulated")], tmp_path / "out", max_length=length)
        assert opened == {"dense": {"max_length": wanted}, trained: {"max_length": wanted}, "bm25": {}}
