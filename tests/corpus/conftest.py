from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Document


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file below a source folder: a list as jsonl, anything else that is no text as JSON."""

    def to(name: str, content: Any) -> Path:
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
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def build(tmp_path: Path) -> Callable[[Iterable[Document]], Corpus]:
    return lambda documents: Corpus.build(tmp_path / "corpus", documents)


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    data = os.environ.get("LRAT_SIM_DATA")
    if not data:
        pytest.skip("LRAT_SIM_DATA does not name the folder with the real data sets")
    return Path(data)
