"""The same work by one process, by two workers on this machine, and by three nodes: seconds, memory, and whether all
that is written and found is equal.

    python benchmarks/cluster_table.py
    python benchmarks/cluster_table.py --documents 1000 --tasks 20 --latency 0.2 --queries 20

A generated world is encoded with MiniLM; tasks are run with a scripted model on loopback that answers after a while;
runs of the simulated agent, repeated under other ids, are mined; and queries are searched in the vectors.  Each row is
a process of its own, and its seconds begin when the cluster is there; they include the start of the workers.  Memory is
the largest sum of the proportional set sizes of that process and the workers, without Ray's own.  The three nodes are
Ray's on this machine (``ray.cluster_utils``), so what they show is that the work is done right, and what it costs to
hand it out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import agents_at_once
import msgspec
import throughput

from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.artifact import read_records, write_records
from lrat_sim.cluster import ClusterSettings, connected
from lrat_sim.corpus import Dataset, prepare
from lrat_sim.grading.relevance import RuleJudge
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.run import mine_run
from lrat_sim.records import Task, Trajectory, canonical
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.rollout.run import rollout

WAYS = ("one process", "two workers", "three nodes")
WORKS = ("encode and index", "rollout", "mine", "search")
ENCODER = {"max_length": 128, "shard_rows": 256, "dtype": "float32"}
TURNS, CONCURRENCY, SEARCHED_AT_ONCE, K = 4, 20, 16, 10


def digest(parts: Iterator[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def world(folder: Path, given: argparse.Namespace) -> Dataset:
    return prepare("world", folder / "world", options={"documents": given.documents})


def bm25(data: Dataset) -> Retriever:
    """Its index is made when the runs are laid out, so that no row pays for it."""
    return open_retriever("bm25", data.corpus, data.folder / "indexes")


def encode(data: Dataset, folder: Path, given: argparse.Namespace) -> str:
    open_retriever("dense", data.corpus, folder / "index", **ENCODER)
    return digest(path.read_bytes() for path in sorted((folder / "index").rglob("*.npy")))


def run(data: Dataset, folder: Path, given: argparse.Namespace) -> str:
    tasks = [
        Task(id=f"t{number}", question=f"Which harbour is meant in case {number}?") for number in range(given.tasks)
    ]
    agent = AgentSettings(model="openai/glm-4", base_url=given.url)
    calls = CallOptions(concurrency=CONCURRENCY, adaptive=False, cache=False)
    rollout(tasks, agent, bm25(data), folder / "run", calls=calls, table=False)
    return digest(iter(sorted(canonical(trajectory) for trajectory in read_trajectories(folder / "run"))))


def mine(data: Dataset, folder: Path, given: argparse.Namespace) -> str:
    report = mine_run(folder / "mined", load_recipe("mine-recommended"), judge=RuleJudge())
    assert report.pairs, "nothing was mined"
    return digest(iter([(folder / "mined" / "pairs.jsonl").read_bytes()]))


def search(data: Dataset, folder: Path, given: argparse.Namespace) -> str:
    how = {} if given.way == WAYS[0] else {"index": "spread"}
    retriever = open_retriever("dense", data.corpus, folder / "index", **ENCODER, **how)
    queries = [task.question for task in data.tasks("train")]
    queries = (queries * (given.queries // len(queries) + 1))[: given.queries]
    found = []
    for start in range(0, len(queries), SEARCHED_AT_ONCE):
        found += retriever.search(queries[start : start + SEARCHED_AT_ONCE], K)
    return digest(map(msgspec.json.encode, found))


def lay_out_runs(data: Dataset, folder: Path, given: argparse.Namespace) -> None:
    """Runs of the simulated agent, copied under other ids, so that there is something to mine."""
    agent, source = load_agent("simulated"), folder / "simulated"
    rollout(data.tasks("train"), agent, bm25(data), source, table=False)
    runs = list(read_records(source / "trajectories.jsonl", Trajectory))

    def copies() -> Iterator[Trajectory]:
        for number in range(given.mined):
            trajectory = runs[number % len(runs)]
            yield msgspec.structs.replace(trajectory, id=f"{trajectory.id}-{number // len(runs)}")

    for way in WAYS:
        write_records(folder / way / "mined" / "trajectories.jsonl", copies())


@contextmanager
def cluster(way: str) -> Iterator[None]:
    """Connects this process to what the way names."""
    if way == WAYS[0]:
        yield
        return
    if way == WAYS[1]:
        with connected(ClusterSettings(cluster="local", workers=2)):
            yield
        return
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = nodes.address
    try:
        with connected("auto"):
            yield
    finally:
        nodes.shutdown()


def measure(given: argparse.Namespace) -> None:
    """One cell of the table: seconds, megabytes and a digest of what came, printed as JSON."""
    data, peak, ended = world(given.folder, given), agents_at_once.memory(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.5):
            peak = max(peak, agents_at_once.memory())

    with cluster(given.way):
        threading.Thread(target=watch, daemon=True).start()
        began = time.monotonic()
        work = dict(zip(WORKS, (encode, run, mine, search), strict=True))[given.work]
        result = work(data, given.folder / given.way, given)
        seconds = time.monotonic() - began
        ended.set()
    print(msgspec.json.encode([seconds, peak, result]).decode())


def main(given: argparse.Namespace) -> None:
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores of {throughput.processor()}")
    print(f"load before: {os.getloadavg()[0]:.1f}; {given.documents:,} documents, {given.tasks:,} tasks with "
          f"{given.latency:g} s a call, {given.mined:,} runs mined, {given.queries:,} queries")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = world(folder, given)
        lay_out_runs(data, folder, given)
        with throughput.load_provider().Provider(folder / "log", turns=TURNS, latency=given.latency) as server:
            print(f"{'work':18}{'way':14}{'seconds':>9}{'MB':>8}  equal", flush=True)
            for work in WORKS:
                first = None
                for way in WAYS:
                    options = ["--work", work, "--way", way, "--folder", name, "--url", server.url]
                    said = subprocess.run(
                        [sys.executable, __file__, *sys.argv[1:], *options], stdout=subprocess.PIPE, check=True
                    ).stdout
                    seconds, peak, result = msgspec.json.decode(said.splitlines()[-1])
                    first = first or result
                    print(
                        f"{work:18}{way:14}{seconds:9.1f}{peak:8.0f}  {'yes' if result == first else 'NO'}", flush=True
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=100, help="of the rollout")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds until the model answers")
    parser.add_argument("--mined", type=int, default=3000, help="runs that are mined")
    parser.add_argument("--queries", type=int, default=400)
    for internal in ("--work", "--way", "--url"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    measure(arguments) if arguments.work else main(arguments)
