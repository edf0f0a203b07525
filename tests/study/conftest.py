import hashlib
import json

import msgspec
import pytest

from lrat_sim.errors import RetrieverError
from lrat_sim.records import canonical
from lrat_sim.retrieval import Retriever
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.training.folder import RECORD


class Broken(Retriever):
    """Another retriever, out of order for the tasks of which ``fails`` says so."""

    def __init__(self, whole, fails=lambda task: True):
        self.whole, self.fails = whole, fails

    def for_task(self, task):
        return self if self.fails(task.id) else self.whole

    def search(self, queries, k):
        raise RetrieverError("out of order")

    def document(self, docid):
        return self.whole.document(docid)

    def describe(self):
        return self.whole.describe()


@pytest.fixture(scope="session")
def broken():
    """broken(whole, fails) gives a retriever that fails for some tasks, by default for all."""
    return Broken


@pytest.fixture(scope="session")
def contents():
    """contents(folder) gives the bytes of all trajectories below it, by run folder."""

    def read(folder):
        return {str(path.parent.relative_to(folder)): path.read_bytes() for path in folder.rglob("trajectories.jsonl")}

    return read


@pytest.fixture(scope="session")
def snapshot():
    """snapshot(folder) gives every file's content in short, but for locks, which are empty."""

    def read(folder):
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.endswith(".lock")
        }

    return read


@pytest.fixture(scope="session")
def trajectories():
    """trajectories(folder) gives the canonical forms by run folder below it."""

    def read(folder):
        runs = [path.parent for path in sorted(folder.rglob("trajectories.jsonl"))]
        return {str(run.relative_to(folder)): sorted(map(canonical, read_trajectories(run))) for run in runs}

    return read


@pytest.fixture(scope="session")
def changed():
    """changed(settings, **fields) gives settings with other fields."""
    return msgspec.structs.replace


@pytest.fixture
def encoder_folder(tmp_path):
    """encoder_folder(name, own, trained) makes an encoder's folder: its own limit, and the length it was trained on."""

    def make(name, own=512, trained=None):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "modules.json").write_text("[]")
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": own}))
        if trained is not None:
            record = {"identity": {"max_document_length": trained}, "base_model": "b", "base_name": "b", "dataset": "d"}
            record |= {"pairs": 1, "steps": 1}
            (folder / RECORD).write_text(json.dumps(record | {"losses": [], "seconds": 1.0}))
        return str(folder)

    return make
