"""1,000 agents at once against a server with 2 s of latency, in worker processes of a cluster.

    python benchmarks/agents_at_once.py [agents] [workers]

The scripted provider on loopback counts the calls that it holds; the share of places that is busy is their mean
(Little's law) from when 95 % of the places were first taken to when they last were.  Memory is the sum of the
proportional set sizes of the rollout's process and the workers, without Ray's own.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import throughput

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.cluster import ClusterSettings, connected
from lrat_sim.models.call import Retries
from lrat_sim.records import Task
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.run import rollout

LATENCY, TURNS, TASKS_A_PLACE = 2.0, 6, 10


def memory() -> float:
    """Megabytes of this process and of the workers."""
    total = 0
    for status in Path("/proc").glob("[0-9]*"):
        try:
            name = (status / "cmdline").read_bytes()
            if int(status.name) == os.getpid() or b"ray::_Worker" in name or b"ray::Governor" in name:
                lines = (status / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it ended meanwhile
            continue
    return total / 1000


def main(agents: int, workers: int) -> None:
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores of {throughput.processor()}")
    print(f"load before: {os.getloadavg()[0]:.1f}; {agents:,} agents at once, {workers} workers, latency {LATENCY:g} s")
    peak, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(2.0):
            peak = max(peak, memory())

    provider = throughput.load_provider()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        tasks = [
            Task(id=f"t{number}", question=f"Which harbour is meant in case {number}?")
            for number in range(TASKS_A_PLACE * agents)
        ]
        with provider.Provider(log, turns=TURNS, latency=LATENCY) as server:
            agent = AgentSettings(model="openai/glm-4", base_url=server.url, retries=Retries(attempts=1))
            calls = CallOptions(concurrency=agents, adaptive=False, cache=False)
            with connected(ClusterSettings(cluster="local", workers=workers)):
                threading.Thread(target=watch, daemon=True).start()
                began = time.monotonic()
                summary = rollout(tasks, agent, throughput.Fixed(), Path(folder) / "run", calls=calls, table=False)
                took = time.monotonic() - began
                ended.set()
            requests = list(server.requests())
    assert summary.errors == 0, f"{summary.errors} of {summary.asked} runs failed"
    arrivals = np.array([request["at"] for request in requests])
    full = [request["at"] for request in requests if request["in_flight"] >= 0.95 * agents]
    throughput.PLACES, steady = agents, 0.0
    if len(full) > 1:
        steady = throughput.busy(arrivals, full[0], full[-1])
    throughput.report("places busy, steady", f"{steady:.3f}", "target .95")
    throughput.report("most calls in flight", f"{max(request['in_flight'] for request in requests):,}")
    throughput.report("calls, and a second over all", f"{len(requests):,}, {len(requests) / took:.0f}")
    throughput.report("peak memory (MB)", f"{peak:.0f}", "target 1500")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000, int(sys.argv[2]) if sys.argv[2:] else 2)
