from __future__ import annotations

import gzip
import json

import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats import reader_class


@pytest.fixture
def write(tmp_path):
    """Writes a file below a source folder: a list as jsonl, anything else that is no text as JSON."""

    def to(name, content):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if ".jsonl" in name:
            content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content)
        elif not isinstance(content, str):
            content = json.dumps(content, ensure_ascii=False)
        data = content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return to


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def build(tmp_path):
    return lambda documents: Corpus.build(tmp_path / "corpus", documents)


@pytest.fixture
def read(source, build):
    """Reads the source as some format: gives the reader, the corpus (None where it has none) and the tasks."""

    def read(name, **options):
        kind = reader_class(name)
        reader = kind(source, kind.options_type(**options))
        corpus = build(reader.kept_documents()) if reader.has_documents else None
        return reader, corpus, list(reader.kept_tasks(corpus))

    return read
