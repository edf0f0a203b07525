"""How fast and in how much memory a generated world grows: laid down as a corpus, indexed by BM25 and searched.

    python benchmarks/world_scale.py --documents 100000
    python benchmarks/world_scale.py --documents 1000000 --processes 2
    python benchmarks/world_scale.py --documents 1000000 --only generate

Each step is a process of its own, in which its seconds by the clock and of the processor (of all its processes) and its
peak memory are taken.  The questions of the world's tasks are searched for, one by one, k = 10; two rounds, of which
the second finds the index in memory.  All lies in a temporary folder unless ``--keep`` names one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.world import WorldSettings, world_documents, world_tasks
from lrat_sim.retrieval.bm25 import open_bm25


def generate(folder: Path, world: WorldSettings, processes: int) -> str:
    deque(world_documents(world, processes), maxlen=0)
    return ""


def lay(folder: Path, world: WorldSettings, processes: int) -> str:
    Corpus.build(folder / "corpus", world_documents(world, processes))
    return f"{_bytes(folder / 'corpus'):,.0f} MB on disk"


def index(folder: Path, world: WorldSettings, processes: int) -> str:
    open_bm25(Corpus.open(folder / "corpus"), folder)
    return f"{_bytes(folder / 'bm25'):,.0f} MB on disk"


def search(folder: Path, world: WorldSettings, processes: int) -> str:
    bm25 = open_bm25(Corpus.open(folder / "corpus"), folder)
    asked = [task.question for tasks in world_tasks(world).values() for task in tasks]
    rates = []
    for _ in range(2):
        began = time.perf_counter()
        for question in asked:
            bm25.search([question], 10)
        rates.append(len(asked) / (time.perf_counter() - began))
    return f"{rates[0]:,.0f} and {rates[1]:,.0f} queries a second, {len(asked):,} questions"


STEPS: dict[str, Callable[[Path, WorldSettings, int], str]] = {
    step.__name__: step for step in (generate, lay, index, search)
}


def measured(name: str, folder: Path, world: WorldSettings, processes: int) -> str:
    """One step in this process."""
    began = time.perf_counter()
    said = STEPS[name](folder, world, processes)
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor, peak = sum(each.ru_utime + each.ru_stime for each in used), max(each.ru_maxrss for each in used) / 1e3
    return f"{name:9} {seconds:7.1f} s {processor:7.1f} s of the processor {peak:7,.0f} MB at most   {said}"


def _bytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", choices=list(STEPS), action="append")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    world = WorldSettings(documents=given.documents, seed=given.seed)
    print(f"{time.strftime('%Y-%m-%d')}, {given.documents:,} documents, {given.processes} processes", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        for name in given.only or ("lay", "index", "search"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                print(alone.submit(measured, name, folder, world, given.processes).result(), flush=True)


if __name__ == "__main__":
    main()
