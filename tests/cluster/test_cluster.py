"""Work on a cluster of three nodes equals that of one process, with a node killed in the middle, too."""

import os
import platform
import threading
import time
from pathlib import Path

import numpy as np
import provider
import pytest
import scripted
import small_models
from run_folder import content

from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.artifact import read_records
from lrat_sim.cluster import ClusterSettings, connected
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import MatchJudge
from lrat_sim.grading.run import grade_run
from lrat_sim.mining import run as mining
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.models.call import Retries
from lrat_sim.records import Grade, Pair, Provenance, Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.dense import open_vectors
from lrat_sim.retrieval.vectors import VectorSettings
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.run import rollout

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def sent_by_value():
    """The retriever of the tests lies in no module that workers can import."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(scripted)
    yield
    cloudpickle.unregister_pickle_by_value(scripted)


class NodeKiller:
    """Kills one of the nodes when its condition holds, and adds another in the end; says whether it did."""

    def __init__(self, nodes, holds):
        self.nodes, self.holds, self.killed = nodes, holds, False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.holds() and not self.ended:
            time.sleep(0.01)
        if not self.ended:
            victim = next(iter(self.nodes.worker_nodes))
            self.nodes.remove_node(victim, allow_graceful=False)
            self.killed = True

    def __enter__(self):
        self.ended = False
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()
        if self.killed:
            self.nodes.add_node(num_cpus=1, object_store_memory=100 << 20)
            self.nodes.wait_for_nodes()


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.npy")}


def simulated(run, world, **how):
    agent = load_agent("simulated")
    tasks = [task for task in world.tasks("train") if task.plan]
    bm25 = open_retriever("bm25", world.corpus, world.folder / "indexes" / "for-cluster")
    return rollout(tasks, agent, bm25, run, table=False, **how)


def test_vectors_are_those_of_one_process_when_a_node_is_killed(three_nodes, small_world, tmp_path, capsys):
    settings = VectorSettings(shard_rows=10)
    encoder = scripted.SlowEncoder()

    def all_have_begun():
        return len(files(tmp_path / "three")) >= 40

    with connected("auto"), NodeKiller(three_nodes, all_have_begun) as killer:
        open_vectors({}, small_world.corpus, tmp_path / "three", encoder, settings)
    assert killer.killed
    assert "was lost" in capsys.readouterr().err
    open_vectors({}, small_world.corpus, tmp_path / "one", encoder, settings)
    assert files(tmp_path / "three") == files(tmp_path / "one")
    assert len(files(tmp_path / "one")) > 90


@pytest.mark.parametrize("kind", ["dense", "multivector", "sparse"])
def test_an_index_is_that_of_one_process(kind, three_nodes, small_world, one_layer, tmp_path):
    model = one_layer if kind == "dense" else tmp_path / "model"
    if kind == "multivector":
        small_models.save_multivector(model)
    elif kind == "sparse":
        small_models.save_splade(model, small_models.save_masked(tmp_path / "masked"))
    options = {"dtype": "float32", "shard_rows": 100, "max_length": 32}
    open_retriever(f"{kind}:model={model}", small_world.corpus, tmp_path / "one", **options)
    with connected("auto"):
        open_retriever(f"{kind}:model={model}", small_world.corpus, tmp_path / "three", **options)
    assert files(tmp_path / "three") == files(tmp_path / "one") != {}


def test_runs_and_pairs_are_those_of_one_process_when_nodes_are_killed(three_nodes, small_world, tmp_path, monkeypatch):
    simulated(tmp_path / "one", small_world, samples=8)
    path = tmp_path / "three" / "trajectories.jsonl"
    begun = lambda: path.exists() and path.stat().st_size > 100_000  # noqa: E731
    with connected("auto"), NodeKiller(three_nodes, begun) as killer:
        summary = simulated(tmp_path / "three", small_world, samples=8)
    assert killer.killed
    assert (summary.ran, summary.errors) == (summary.asked, 0)
    assert path.read_bytes().count(b"\n") == summary.asked, "a run was recorded twice"
    assert content(tmp_path / "three") == content(tmp_path / "one")
    monkeypatch.setattr(mining, "_RUNS", 2)  # so that there are pieces enough to be in the middle of
    recipe, reports = load_recipe("mine-recommended"), {}
    read = []
    progress = lambda done, total, what: read.append(done)  # noqa: E731
    for name in ("one", "three"):
        grade_run(tmp_path / name)
    reports["one"] = mining.mine_run(tmp_path / "one", recipe, judge=mining.RuleJudge())
    with connected("auto"), NodeKiller(three_nodes, lambda: len(read) > 10) as killer:
        reports["three"] = mining.mine_run(tmp_path / "three", recipe, judge=mining.RuleJudge(), progress=progress)
    assert killer.killed
    assert reports["three"].pairs > 20
    assert reports["three"].weights == reports["one"].weights
    for name in ("pairs.jsonl", "verdicts.jsonl"):
        one, three = ((tmp_path / folder / name).read_bytes().splitlines() for folder in ("one", "three"))
        assert sorted(three) == sorted(one)
        assert name != "pairs.jsonl" or three == one


def test_a_killed_node_loses_no_run_of_a_model_behind_a_server(three_nodes, tmp_path):
    tasks = [Task(id=f"t{number}", question=provider.question(number)) for number in range(60)]
    calls = CallOptions(concurrency=12)
    with provider.Provider(tmp_path / "requests.jsonl", seed=5, turns=3, latency=0.1) as server:
        agent = AgentSettings(model="openai/glm-4", base_url=server.url, retries=Retries(attempts=4, seconds=30.0))
        rollout(tasks, agent, scripted.Tiny(), tmp_path / "one", calls=calls, table=False)
        path = tmp_path / "three" / "trajectories.jsonl"
        begun = lambda: path.exists() and path.read_bytes().count(b"\n") > 10  # noqa: E731
        with connected("auto"), NodeKiller(three_nodes, begun) as killer:
            summary = rollout(tasks, agent, scripted.Tiny(), tmp_path / "three", calls=calls, table=False)
    assert killer.killed
    assert (summary.ran, summary.errors) == (60, 0)
    assert path.read_bytes().count(b"\n") == 60
    assert content(tmp_path / "three") == content(tmp_path / "one")


def test_one_budget_and_one_limit_hold_for_all_workers(three_nodes, tmp_path):
    tasks = [Task(id=f"t{number}", question=provider.question(number)) for number in range(40)]
    calls = CallOptions(concurrency=4, max_seconds=25.0, cache=False)
    with provider.Provider(tmp_path / "requests.jsonl", seed=5, turns=3, latency=2.0) as server, connected("auto"):
        agent = AgentSettings(model="openai/glm-4", base_url=server.url)
        summary = rollout(tasks, agent, scripted.Tiny(), tmp_path / "run", calls=calls, table=False)
        assert max(request["in_flight"] for request in server.requests()) <= 4
        assert summary.stopped == "seconds"
        assert summary.ran < 40
        finished = rollout(tasks, agent, scripted.Tiny(), tmp_path / "run", table=False)
    assert (finished.reused, finished.ran + finished.reused) == (summary.ran, 40)


def test_a_judge_on_a_cluster_gives_the_grades_of_one_process(three_nodes, small_world, tmp_path):
    for name in ("one", "three"):
        simulated(tmp_path / name, small_world)
    grade_run(tmp_path / "one", MatchJudge())
    with connected("auto"):
        grade_run(tmp_path / "three", MatchJudge())
    grades = [sorted(map(repr, read_records(tmp_path / name / "grades.jsonl", Grade))) for name in ("one", "three")]
    assert grades[0] == grades[1]
    assert grades[0]


def opened_wrongly():
    raise InputError("there is no model folder here.")


def dies_over_one():
    return lambda item: os._exit(1) if item == 1 else (item, platform.node())


def test_what_a_worker_cannot_open_is_said_with_its_machine(three_nodes):
    with connected(ClusterSettings(cluster="auto", workers=1)) as cluster:
        workers = cluster.workers(opened_wrongly)
        with workers, pytest.raises(InputError, match=f"no model folder here .on {platform.node()}"):
            list(workers.map([1]))


def test_what_a_worker_says_after_it_was_given_up_counts_for_nothing(three_nodes, tmp_path):
    def fails_late_the_first_time(folder):
        if (folder / "begun").exists():
            return "done by another"
        (folder / "begun").touch()
        while not (folder / "given up").exists():
            time.sleep(0.01)
        raise InputError("the network is gone")

    with connected(ClusterSettings(cluster="auto", workers=2)) as cluster:
        workers = cluster.workers(lambda: fails_late_the_first_time)
        with workers:
            future = workers.submit(tmp_path)
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            (busy,) = (handle for handle in workers._handles if handle.load)
            busy.lost = True  # as where its machine was silent for too long
            (tmp_path / "given up").touch()
            assert future.result(60) == "done by another"


def test_an_item_that_ends_every_worker_is_given_up(three_nodes):
    with connected(ClusterSettings(cluster="auto", workers=1)) as cluster:
        workers = cluster.workers(dies_over_one)
        with workers, pytest.raises(InputError, match="want of memory"):
            list(workers.map([0, 1]))


def test_what_cannot_be_sent_is_refused(three_nodes):
    lock = threading.Lock()
    with connected("auto") as cluster, pytest.raises(InputError, match="cannot be sent to other machines"):
        cluster.workers(lambda: lock.acquire)


def test_training_by_ray_train_is_that_of_one_process(three_nodes, small_world, one_layer, tmp_path, monkeypatch):
    from safetensors.numpy import load_file

    from lrat_sim.corpus.documents import Corpus
    from lrat_sim.training.settings import TrainingSettings
    from lrat_sim.training.trainer import train

    pairs = [
        Pair(
            query=f"query {number}", positive=small_world.corpus[number].id, weight=1.0, raw_weight=1.0, length=10,
            provenance=Provenance(task=f"t{number}", trajectory="x", turn=0, rank=1, rule="r"), negatives=[],
        )
        for number in range(16)
    ]  # fmt: skip
    how = {"epochs": 1, "batch_size": 8, "group_size": 2, "freeze_layers": 0, "max_query_length": 16}
    settings = TrainingSettings(**how, max_document_length=24, precision="fp32")
    train(pairs, small_world.corpus, one_layer, settings, tmp_path / "one")
    with connected(ClusterSettings(cluster="auto", workers=2)):
        # by a relative path, as on the command line
        monkeypatch.chdir(small_world.corpus.folder.parent)
        train(pairs, Corpus.open(Path(small_world.corpus.folder.name)), one_layer, settings, tmp_path / "two")
        # resumed where it is whole
        train(pairs, small_world.corpus, one_layer, settings, tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    base = load_file(one_layer / "model.safetensors")
    assert max(np.abs(one[name] - base[name]).max() for name in one) > 1e-5, "nothing was learned"
    for name in one:
        # Adam makes a step of a rounding error where a gradient is nearly 0
        assert np.abs(two[name] - one[name]).mean() < 1e-5


def test_a_search_spread_over_machines_is_exact_when_one_is_killed(three_nodes, small_world, one_layer, tmp_path):
    how = {"dtype": "float32", "shard_rows": 40, "max_length": 32}
    one = open_retriever(one_layer, small_world.corpus, tmp_path, **how)
    queries = ["who designed the lighthouse", "a river in the north", "composer of the opera"]
    with connected("auto"):
        spread = open_retriever(one_layer, small_world.corpus, tmp_path, **how, index="spread")
        assert spread.fingerprint == one.fingerprint
        assert spread.search(queries, 7) == one.search(queries, 7)
        with NodeKiller(three_nodes, lambda: True):
            time.sleep(0.5)
            assert spread.search(queries, 300) == one.search(queries, 300)


def test_search_is_not_spread_without_a_cluster(small_world, one_layer, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match="name one with --cluster"):
        open_retriever(one_layer, small_world.corpus, tmp_path, max_length=32, index="spread")
