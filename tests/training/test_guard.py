import json

import pytest
from safetensors.torch import load_file, save_file

from lrat_sim.errors import InputError
from lrat_sim.text import minilm_folder
from lrat_sim.training.folder import read_record
from lrat_sim.training.guard import guard
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train


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
