"""How fast and in how much memory the generated world grows: its documents streamed into a corpus on disk.

    python benchmarks/world_scale.py --documents 100000
    python benchmarks/world_scale.py --documents 1000000 --processes 2
    python benchmarks/world_scale.py --documents 1000000 --no-store

Prints seconds, documents a second, seconds of the processor (of all processes), the peak memory of this process, and
the size of the corpus, which lies in a temporary folder; ``--no-store`` generates the documents and drops them.
``--processes`` generate, and this one stores.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import deque
from pathlib import Path

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.world import WorldSettings, world_documents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--no-store", action="store_true", help="generate only")
    given = parser.parse_args()
    documents = world_documents(WorldSettings(documents=given.documents, seed=given.seed), given.processes)
    before = peak()
    began = time.perf_counter()
    if given.no_store:
        deque(documents, maxlen=0)
        size = 0
    else:
        with tempfile.TemporaryDirectory() as folder:
            Corpus.build(Path(folder) / "corpus", documents)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    processor = sum(each.ru_utime + each.ru_stime for each in used)
    print(f"{given.documents:,} documents, {'generated' if given.no_store else 'generated and stored'}")
    print(f"  {seconds:.1f} s, {given.documents / seconds:,.0f} documents/s; {processor:.1f} s of the processor")
    print(f"  peak memory {peak():,.0f} MiB, {before:,.0f} MiB of it before the first document")
    if size:
        print(f"  {size / 2**20:,.0f} MiB on disk")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    main()
