"""How many model calls a second a rollout makes: beside bare litellm, and beside the ideal rate of a slow provider.

    python benchmarks/throughput.py [repeats]

A scripted provider on loopback, in a process of its own that a call costs a tenth of a millisecond, plays the agent.

*Without latency* what limits is the processor.  A rollout at concurrency 200 without an adaptive limit, written to
disk and indexed as always, is timed; so are its very requests, sent once more by bare litellm at the same
concurrency.  Both run in one process, in turn, and the median of the repeats counts.  Processor time stands beside
the clock, since other work on the machine does not lengthen it.

*With a latency of 2 s* what limits is the provider: 200 places give 100 calls a second at most.  The share of that is
the mean number of calls at the provider, of 200 (Little's law), from when the 200 places were first taken to when they
last were (``steady``); and the calls a second over the whole rollout with its ramp and its tail, in which the last runs
take their turns one after the other (``whole``).
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models.client import Retries
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.run import rollout

SUPPORT = Path(__file__).parents[1] / "tests" / "support" / "provider.py"
PLACES, LATENCY, TURNS = 200, 2.0, 6
WORDS = "the old lighthouse keeper wrote letters about storms tides ships and quiet winters near northern harbours"
DOCUMENTS = [Document(id=str(n), title=f"Page {n}", text=f"{n} {WORDS} " * 40) for n in range(500)]


class Fixed(Retriever):
    """Ten documents that the query's length chooses: it costs nothing, so that the calls are what is measured."""

    def search(self, queries: Any, k: int) -> list[list[Hit]]:
        return [
            [Hit(docid=str((len(query) * 7 + n) % 500), score=1.0 - n / 100, rank=n + 1) for n in range(k)]
            for query in queries
        ]

    def document(self, docid: str) -> Document:
        return DOCUMENTS[int(docid)]

    def describe(self) -> dict[str, Any]:
        return {"kind": "fixed"}


def load_provider() -> Any:
    spec = importlib.util.spec_from_file_location("provider", SUPPORT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["provider"] = module
    spec.loader.exec_module(module)
    return module


def run(url: str, tasks: int, folder: Path, **options: Any) -> None:
    """One whole rollout."""
    questions = [Task(id=f"t{number}", question=f"Which harbour is meant in case {number}?") for number in range(tasks)]
    agent = AgentSettings(model="openai/glm-4", base_url=url, retries=Retries(attempts=1))
    summary = rollout(questions, agent, Fixed(), folder, concurrency=PLACES, adaptive=False, table=False, **options)
    assert summary.errors == 0, f"{summary.errors} of {summary.asked} runs failed"


def timed(work: Callable[[], Any]) -> np.ndarray:
    """Seconds by the clock and of this process's processor time; what came before leaves no garbage to it."""
    gc.collect()
    began = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - began[0], time.process_time() - began[1]])


async def bare(calls: list[dict[str, Any]]) -> None:
    """The calls by litellm alone, at the same concurrency."""
    litellm, left = import_litellm(), iter(calls)

    async def place() -> None:
        for arguments in left:
            await litellm.acompletion(**arguments)

    await asyncio.gather(*(place() for _ in range(PLACES)))


def recorded(work: Callable[[], None]) -> list[dict[str, Any]]:
    """The calls of litellm that ``work`` makes, as anybody would make them: with the client that litellm itself has."""
    litellm, calls = import_litellm(), []
    plain = litellm.acompletion

    async def recording(**arguments: Any) -> Any:
        calls.append({name: value for name, value in arguments.items() if name != "client"})
        return await plain(**arguments)

    litellm.acompletion = recording
    try:
        work()
    finally:
        litellm.acompletion = plain
    return calls


def without_latency(url: str, folder: Path, repeats: int, processes: int) -> dict[str, Any]:
    """Seconds of rollouts and of bare litellm, in turn."""
    tasks = 300
    calls = recorded(lambda: run(url, tasks, folder / "first"))
    asyncio.run(bare(calls[:200]))
    pairs = []
    for repeat in range(repeats):
        whole = timed(lambda: run(url, tasks, folder / str(repeat), processes=processes))  # noqa: B023
        pairs.append((whole, timed(lambda: asyncio.run(bare(calls)))))
    seconds = np.array(pairs)  # repeat, (rollout, bare), (clock, processor)
    return {"calls": len(calls), "seconds": seconds.tolist()}


def with_latency(url: str, folder: Path, _: int, processes: int) -> dict[str, Any]:
    """Seconds and peak memory (MB) of one rollout against a slow provider."""
    seconds = timed(lambda: run(url, 900, folder / "slow", processes=processes))
    return {"seconds": seconds.tolist(), "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


MEASURES = {"without-latency": without_latency, "with-latency": with_latency}


def apart(measure: str, repeats: int, processes: int = 0, **settings: Any) -> tuple[dict[str, Any], float]:
    """A measure in a process of its own: what it says, and the share of places that was busy at the provider."""
    provider = load_provider()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        with provider.Provider(log, turns=TURNS, **settings) as server:
            command = [sys.executable, __file__, "--measure", measure, server.url, folder, str(repeats), str(processes)]
            said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
            requests = list(server.requests())
    taken = [request["at"] for request in requests if request["in_flight"] >= 0.95 * PLACES]
    steady = busy(np.array([request["at"] for request in requests]), taken[0], taken[-1]) if len(taken) > 1 else 0.0
    return {**json.loads(said.splitlines()[-1]), "requests": len(requests)}, steady


def busy(arrivals: np.ndarray, start: float, end: float) -> float:
    """The share of all places that calls of ``LATENCY`` seconds fill, on average between two times."""
    within = np.clip(arrivals + LATENCY, start, end) - np.clip(arrivals, start, end)
    return float(within.sum() / (PLACES * (end - start)))


def report(name: str, value: str, target: str = "") -> None:
    print(f"  {name:<66}{value:>12}  {target}", flush=True)


def processor() -> str:
    """What /proc says the processor is, where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def main(repeats: int) -> None:
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores of {processor()},")
    print("shared, without pinning, by the rollout (and its workers), the provider and whatever else runs here")
    print(f"load before: {os.getloadavg()[0]:.1f}; concurrency {PLACES}, {TURNS} calls a task at most\n")
    for processes in (0, 2):
        found, _ = apart("without-latency", repeats, processes)
        seconds, calls = np.array(found["seconds"]), found["calls"]  # repeat, (rollout, bare), (clock, processor)
        clock, cpu = np.median(seconds, axis=0).T
        title = "no latency, one process" if not processes else f"no latency, {processes} worker processes"
        print(f"{title}, {calls:,} calls, median of {repeats}")
        report("bare litellm, one process: calls a second", f"{calls / clock[1]:.0f}")
        report("whole rollouts: calls a second", f"{calls / clock[0]:.0f}")
        ratios = seconds[:, 1] / seconds[:, 0]  # repeat, (clock, processor)
        report("ratio by the clock, each repeat", " ".join(f"{ratio:.2f}" for ratio in ratios[:, 0]))
        report("ratio by the clock, median", f"{np.median(ratios[:, 0]):.2f}", "" if processes else "target .90")
        report("this process's processor time a call: bare litellm (ms)", f"{1000 * cpu[1] / calls:.1f}")
        report("this process's processor time a call: rollout (ms)", f"{1000 * cpu[0] / calls:.1f}")
        if not processes:
            report("ratio by processor time, median", f"{np.median(ratios[:, 1]):.2f}")
    found, steady = apart("with-latency", repeats, latency=LATENCY)
    ideal = PLACES / LATENCY
    print(f"latency {LATENCY:g} s, one process, {found['requests']:,} calls; ideal {ideal:g} calls a second")
    report("share of the ideal, steady", f"{steady:.2f}", "target .90")
    report("share of the ideal, whole", f"{found['requests'] / found['seconds'][0] / ideal:.2f}")
    report("peak memory of the rollout's process (MB)", f"{found['memory']:.0f}", "target 600")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _, _, name, url, folder, repeats, processes = sys.argv
        print(json.dumps(MEASURES[name](url, Path(folder), int(repeats), int(processes))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 3)
