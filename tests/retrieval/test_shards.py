"""Indexes of ragged rows that are built by several jobs."""

import pytest

from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.index import ShardBuilt, building_shard
from lrat_sim.work import Shard


def arrays(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npy")}


@pytest.mark.parametrize("kind", ["multivector", "sparse"])
def test_an_index_built_by_several_jobs_equals_one_built_at_once(kind, small, corpus, tmp_path):
    spec, options = f"{kind}:model={small[kind]}", {"device": "cpu", "dtype": "float32", "shard_rows": 7}
    for number in (2, 1, 3):
        with building_shard(Shard(number, 3)), pytest.raises(ShardBuilt, match=f"shard {number}/3 of the index"):
            open_retriever(spec, corpus, tmp_path / "jobs", **options)
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "jobs").rglob("offsets-*.npy")}
    assert len(parts) == -(-len(corpus) // 7) > 3
    finished = open_retriever(spec, corpus, tmp_path / "jobs", **options)
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "jobs").rglob("offsets-*.npy")}
    assert left.items() <= parts.items(), "a shard was encoded twice"
    at_once = open_retriever(spec, corpus, tmp_path / "one", **options)
    assert arrays(tmp_path / "jobs") == arrays(tmp_path / "one")
    assert finished.fingerprint == at_once.fingerprint
    assert finished.search(["a bridge"], 5) == at_once.search(["a bridge"], 5)
