"""How many model calls a second each client makes beside bare litellm, and a rollout beside a slow provider's ideal.

    python benchmarks/throughput.py [repeats]

A scripted provider on loopback, in a process of its own that a call costs a tenth of a millisecond, plays the agent.

*Without latency* what limits is the processor.  The requests of one rollout are sent again at concurrency 200 by bare
litellm, through ``LiteLLMModel`` and through ``OpenAIModel`` with all that wraps them, and by whole rollouts, written
to disk and indexed as always.  All run in one process, in turn; ratios are taken within a repeat, and their median
counts.  Processor time stands beside the clock, since other work on the machine does not lengthen it.

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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models.call import Answer, Request, Retries
from lrat_sim.models.client import Client, close_connections
from lrat_sim.models.limiter import AdaptiveLimiter
from lrat_sim.models.litellm_model import LiteLLMModel, import_litellm
from lrat_sim.models.openai_model import OpenAIModel
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import CallOptions
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


def run(url: str, tasks: int, folder: Path) -> None:
    """One whole rollout."""
    questions = [Task(id=f"t{number}", question=f"Which harbour is meant in case {number}?") for number in range(tasks)]
    agent = AgentSettings(model="openai/glm-4", base_url=url, retries=Retries(attempts=1))
    calls = CallOptions(concurrency=PLACES, adaptive=False)
    summary = rollout(questions, agent, Fixed(), folder, calls=calls, table=False)
    assert summary.errors == 0, f"{summary.errors} of {summary.asked} runs failed"


def timed(work: Callable[[], Any]) -> np.ndarray:
    """Seconds by the clock and of this process's processor time; what came before leaves no garbage to it."""
    gc.collect()
    began = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - began[0], time.process_time() - began[1]])


async def at_once(requests: list[Request], ask: Callable[[Request], Awaitable[Any]]) -> None:
    """The calls, so many at once."""
    left = iter(requests)

    async def place() -> None:
        for request in left:
            await ask(request)

    await asyncio.gather(*(place() for _ in range(PLACES)))
    await close_connections()


async def bare(request: Request) -> None:
    """A call by litellm alone, as anybody would make it."""
    await import_litellm().acompletion(
        model=request.model,
        messages=list(request.messages),
        api_base=request.base_url,
        api_key="none",
        timeout=request.timeout,
        max_retries=0,
        num_retries=0,
        **request.parameters(),
    )


def through(model: Any) -> Callable[[Request], Awaitable[Any]]:
    return Client(model=model, limiter=AdaptiveLimiter(PLACES, adaptive=False)).complete


def recorded(work: Callable[[], None]) -> list[Request]:
    """The requests that ``work`` makes; their messages as they were then."""
    requests, plain = [], OpenAIModel.answer

    async def recording(self: OpenAIModel, request: Request) -> Answer:
        requests.append(msgspec.structs.replace(request, messages=list(request.messages)))
        return await plain(self, request)

    OpenAIModel.answer = recording  # type: ignore[method-assign]
    try:
        work()
    finally:
        OpenAIModel.answer = plain  # type: ignore[method-assign]
    return requests


ARMS = ("bare litellm", "LiteLLMModel", "OpenAIModel", "whole rollouts")


def without_latency(url: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each arm, in turn."""
    requests = recorded(lambda: run(url, 300, folder / "first"))
    asks = [bare, through(LiteLLMModel()), through(OpenAIModel())]
    for ask in asks:
        asyncio.run(at_once(requests[:100], ask))
    seconds = []
    for repeat in range(repeats):
        arms = [timed(lambda: asyncio.run(at_once(requests, ask))) for ask in asks]  # noqa: B023
        arms.append(timed(lambda: run(url, 300, folder / str(repeat))))  # noqa: B023
        seconds.append(arms)
    return {"calls": len(requests), "seconds": np.array(seconds).tolist()}  # repeat, arm, (clock, processor)


def with_latency(url: str, folder: Path, _: int) -> dict[str, Any]:
    """Seconds and peak memory (MB) of one rollout against a slow provider."""
    seconds = timed(lambda: run(url, 900, folder / "slow"))
    return {"seconds": seconds.tolist(), "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


MEASURES = {"without-latency": without_latency, "with-latency": with_latency}


def apart(measure: str, repeats: int, **settings: Any) -> tuple[dict[str, Any], float]:
    """A measure in a process of its own: what it says, and the share of places that was busy at the provider."""
    provider = load_provider()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests.jsonl"
        with provider.Provider(log, turns=TURNS, **settings) as server:
            command = [sys.executable, __file__, "--measure", measure, server.url, folder, str(repeats)]
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
    print("shared, without pinning, by this process, the provider and whatever else runs here")
    print(f"load before: {os.getloadavg()[0]:.1f}; concurrency {PLACES}, {TURNS} calls a task at most\n")
    found, _ = apart("without-latency", repeats)
    seconds, calls = np.array(found["seconds"]), found["calls"]  # repeat, arm, (clock, processor)
    ratios = seconds[:, :1] / seconds
    targets = {"LiteLLMModel": "target .90", "OpenAIModel": "target 2"}
    print(f"no latency, one process, {calls:,} calls, median of {repeats}")
    for arm, name in enumerate(ARMS):
        clock, cpu = np.median(seconds[:, arm], axis=0)
        report(f"{name}: calls a second", f"{calls / clock:.0f}")
        report(f"{name}: processor time a call (ms)", f"{1000 * cpu / calls:.2f}")
        if arm:
            clock, cpu = np.median(ratios[:, arm], axis=0)
            report(f"{name}: ratio by the clock, median", f"{clock:.2f}", targets.get(name, ""))
            report("  each repeat", " ".join(f"{ratio:.2f}" for ratio in ratios[:, arm, 0]))
            report(f"{name}: ratio by processor time, median", f"{cpu:.2f}")
    found, steady = apart("with-latency", repeats, latency=LATENCY)
    ideal = PLACES / LATENCY
    print(f"latency {LATENCY:g} s, one process, {found['requests']:,} calls; ideal {ideal:g} calls a second")
    report("share of the ideal, steady", f"{steady:.2f}", "target .90")
    report("share of the ideal, whole", f"{found['requests'] / found['seconds'][0] / ideal:.2f}")
    report("peak memory of the rollout's process (MB)", f"{found['memory']:.0f}", "target 600")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _, _, name, url, folder, repeats = sys.argv
        print(json.dumps(MEASURES[name](url, Path(folder), int(repeats))))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 3)
