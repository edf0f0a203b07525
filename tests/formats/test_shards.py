"""Shards of a run by hand: each a folder of its own, joined into what one process would have written."""

import msgspec
import pytest
from run_folder import content

import lrat_sim as ls
from lrat_sim.artifact import read_records
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.formats.shards import join_shards
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.records import Grade, Verdict
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.index import ShardBuilt, building_shard
from lrat_sim.rollout.index import asked_tasks, index_grades
from lrat_sim.work import Shard


def judged(run):
    files = ((GRADES, Grade), (VERDICTS, Verdict))
    return [sorted(map(repr, read_records(run / name, kind))) for name, kind in files]


@pytest.fixture(scope="module")
def whole(small_world, tmp_path_factory):
    run = ls.rollout(small_world, tmp_path_factory.mktemp("whole") / "run", limit=7)
    ls.grade(run)
    return run.folder


def test_joined_shards_equal_the_run_of_one_process(small_world, whole, tmp_path):
    run = tmp_path / "run"
    for number in (2, 3, 1):
        ls.rollout(small_world, run, limit=7, shard=f"{number}/3")
    ls.grade(run, shard="1/3"), ls.grade(run, shard="2/3"), ls.grade(run, shard="3/3")
    for _ in range(2):  # joining again adds nothing
        summary = ls.merge(run)
        assert (summary.trajectories, summary.tasks, summary.replaced) == (7, 7, 0)
        assert (run / "trajectories.jsonl").read_bytes().count(b"\n") == 7
        assert content(run) == content(whole)
        assert asked_tasks(run) == asked_tasks(whole)
        assert judged(run) == judged(whole)
        assert index_grades(run) == index_grades(whole)
    assert ls.rollout(small_world, run, limit=7).metrics.success == ls.evaluate(whole).runs[0].success


def test_a_whole_run_can_be_judged_in_shards(small_world, whole, tmp_path):
    run = ls.rollout(small_world, tmp_path / "run", limit=7).folder
    (run / GRADES).unlink()
    for number in (1, 2):
        ls.grade(run, shard=f"{number}/2")
    ls.merge(run)
    assert judged(run) == judged(whole)


def test_a_missing_shard_or_another_cut_is_refused(small_world, tmp_path):
    ls.rollout(small_world, tmp_path, limit=4, shard="2/3")
    with pytest.raises(InputError, match="lacks the shard 1-of-3 and 1 others"):
        join_shards(tmp_path)
    ls.rollout(small_world, tmp_path, limit=4, shard="1/2")
    with pytest.raises(InputError, match="cut into 2 and 3"):
        join_shards(tmp_path)
    with pytest.raises(InputError, match="has no shards"):
        join_shards(tmp_path / "shards" / "1-of-2")


def test_shards_of_different_settings_are_refused(small_world, tmp_path):
    ls.rollout(small_world, tmp_path, limit=4, shard="1/2")
    ls.rollout(small_world, tmp_path, limit=4, shard="2/2", k=3)
    with pytest.raises(FingerprintMismatch, match="run all shards with one command line"):
        join_shards(tmp_path)


def test_a_run_that_broke_gives_way_when_its_shard_was_resumed(small_world, whole, tmp_path):
    run = tmp_path / "run"
    ls.rollout(small_world, run, limit=7, shard="1/1")
    path = run / "shards" / "1-of-1" / "trajectories.jsonl"
    good = path.read_bytes()
    first, rest = good.split(b"\n", 1)
    broken = msgspec.json.encode({**msgspec.json.decode(first), "status": "error", "end_reason": "error"})
    path.write_bytes(broken + b"\n" + rest)
    join_shards(run)
    assert content(run) != content(whole)
    path.write_bytes(good)
    assert join_shards(run).replaced == 1
    assert content(run) == content(whole)


def test_an_index_built_in_shards_equals_one_built_at_once(small_world, one_layer, tmp_path):
    how = {"max_length": 32, "shard_rows": 50, "dtype": "float32"}
    for number in (1, 2):
        with building_shard(Shard(number, 2)), pytest.raises(ShardBuilt):
            open_retriever(one_layer, small_world.corpus, tmp_path / "parts", **how)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("vectors-*.npy")}
    finished = open_retriever(one_layer, small_world.corpus, tmp_path / "parts", **how)
    at_once = open_retriever(one_layer, small_world.corpus, tmp_path / "whole", **how)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("vectors-*.npy")} == written
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.npy")} for name in ("parts", "whole")]
    assert files[0] == files[1]
    assert len(files[0]) > 4
    assert finished.fingerprint == at_once.fingerprint


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="write I/N"):
        Shard.read(text)
