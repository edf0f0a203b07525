import json

import pytest


@pytest.fixture
def small(tmp_path, monkeypatch, one_layer):
    """A working folder whose own `corpora/` and `recipes/` make the world and the training small, as is the encoder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(one_layer)
    monkeypatch.setattr("lrat_sim.text.files", lambda _: tmp_path)
    sizes = {"documents": 1000, "train_tasks": 24, "dev_tasks": 6, "test_tasks": 8, "ood_tasks": 2}
    description = {"name": "world", "title": "small", "licence": "none", "url": "none", "get": "none"}
    training = {"epochs": 1, "batch_size": 16, "group_size": 3, "freeze_layers": 0, "max_query_length": 32}
    files = {
        "corpora/world.yaml": {**description, "reader": "world", "options": sizes},
        "recipes/train-small.yaml": {**training, "max_document_length": 32},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))  # YAML, too
    return tmp_path


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A working folder with `docs/`: three documents and a task of one's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    documents = [
        {"id": "a", "title": "Brindle Lighthouse", "text": "Brindle Lighthouse was designed by Maren Oxley."},
        {"id": "b", "title": "Maren Oxley", "text": "Maren Oxley was born in Thornmouth."},
        {"id": "c", "title": "Thornmouth", "text": "Thornmouth is a town with a harbour."},
    ]
    hop = {"subject": "Brindle Lighthouse", "relation": "designer", "object": "Maren Oxley"}
    task = {
        "id": "t",
        "question": "Who designed it?",
        "answer": "Maren Oxley",
        "evidence": ["a"],
        "plan": {"hops": [hop]},
    }
    (tmp_path / "docs" / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in documents))
    (tmp_path / "docs" / "train.jsonl").write_text(json.dumps(task))
    return tmp_path
