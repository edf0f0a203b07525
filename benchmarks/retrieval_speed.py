"""Search and encoding on the CPU beside the libraries that people use, on the same data in one run.

    python benchmarks/retrieval_speed.py bm25 exact queries documents [--passages 178775] [--threads 2] [--processor]
    python benchmarks/retrieval_speed.py scifact
    python benchmarks/retrieval_speed.py million

``bm25`` compares with bm25s (compiled by numba where that is installed) on OTT-QA's passages and questions in
``LRAT_SIM_DATA``: top 10, one by one, both memory-mapped and with our words.  Their top 10 is equal where scores are,
since each library breaks ties in its own way.  ``exact`` compares with torch's matmul and topk on random clusters of
vectors, held by torch in memory and by us in mapped shards.  ``queries`` compares 64 threads with one, ``documents``
each dtype with sentence-transformers' own encode.  ``scifact`` gives nDCG@10 of documents encoded in int8 and stored in
smaller types.  ``million`` searches as many vectors in random clusters, one by one, exactly and through faiss, which
it needs, with 26 candidates a query; recall is against exact search of the vectors in float32, memory that of the
process that only searches, mapped files included.

Everything runs in turn, and ratios are those of one repeat; the median repeat counts.  With ``--processor`` the
processor's time is taken instead of the clock's, which other work on a shared machine does not lengthen; it is honest
with one thread only.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import lzma
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.records import Document

DATA = Path(os.environ.get("LRAT_SIM_DATA", "data"))
QUESTIONS, AGENTS, DIMENSIONS, REPEATS = 300, 64, 384, 5
options = argparse.Namespace()


def in_turn(what: str, ways: dict[str, tuple[Callable[[], Any], int]]) -> None:
    """Runs each way several times, in turn, and prints how many a second; ratios are to the first."""
    clock = time.process_time if options.processor else time.perf_counter
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, (work, count) in ways.items():
            began = clock()
            work()
            rates[name].append(count / (clock() - began))
    first = next(iter(ways))
    print(what)
    for name, found in rates.items():
        ratio = statistics.median(ours / peer for ours, peer in zip(found, rates[first], strict=True))
        print(f"  {name:45} {statistics.median(found):10.1f} per second, {ratio:5.2f} of {first}", flush=True)


def passages(count: int) -> Iterator[Document]:
    with lzma.open(DATA / "ottqa-scale" / "passages.jsonl.xz", "rt") as lines:
        for _, line in zip(range(count), lines, strict=False):
            yield Document(**json.loads(line))


def questions() -> list[str]:
    with gzip.open(DATA / "ottqa-scale" / "dev.traced.json.gz", "rt") as stream:
        return [entry["question"] for entry in json.load(stream)[:QUESTIONS]]


def bm25(folder: Path) -> None:
    import bm25s

    from lrat_sim.retrieval.bm25 import open_bm25, tokenize

    corpus = Corpus.build(folder / "corpus", passages(options.passages))
    began = time.perf_counter()
    ours = open_bm25(corpus, folder)
    print(f"indexed {len(corpus)} passages in {time.perf_counter() - began:.0f} s")
    index = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
    index.index([tokenize(passage_text(document)) for document in corpus], show_progress=False)
    index.save(folder / "bm25s")
    peer = bm25s.BM25.load(folder / "bm25s", mmap=True, show_progress=False)
    if importlib.util.find_spec("numba"):  # a loaded index keeps to numpy unless told
        peer.backend = "numba"
        peer.activate_numba_scorer()
    asked = questions()

    def theirs() -> list[Any]:
        return [peer.retrieve([tokenize(query)], k=10, show_progress=False, n_threads=0) for query in asked]

    def own() -> list[Any]:
        return [ours.search([query], 10)[0] for query in asked]

    equal = sum(
        np.allclose([hit.score for hit in hits], scores[0], rtol=1e-6)
        for hits, (_, scores) in zip(own(), theirs(), strict=True)
    )
    print(f"equal scores of the top 10: {equal} of {len(asked)} questions")
    in_turn(
        f"BM25, {len(corpus)} passages, one by one",
        {f"bm25s ({peer.backend})": (theirs, len(asked)), "bm25": (own, len(asked))},
    )


def clusters(count: int) -> np.ndarray:
    """Unit vectors around a few hundred centres, as those of texts lie."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((300, DIMENSIONS), dtype=np.float32) * 2
    vectors = draw.standard_normal((count, DIMENSIONS), dtype=np.float32) + centres[draw.integers(0, 300, count)]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stored(folder: Path, matrix: np.ndarray, store: Any) -> Any:
    from lrat_sim.retrieval.vectors import Vectors, pack

    folder.mkdir()
    for number, start in enumerate(range(0, len(matrix), 2048)):
        np.save(folder / f"vectors-{number:05}.npy", pack(matrix[start : start + 2048], store))
    np.save(folder / "longest.npy", 1.001)
    return Vectors(folder, len(matrix), 2048, store)


def exact(folder: Path) -> None:
    import torch

    from lrat_sim.retrieval.nearest import ExactSearch

    matrix = clusters(options.passages)
    held, queries = torch.from_numpy(matrix), clusters(options.passages + 64)[-64:]
    ours = ExactSearch(stored(folder / "vectors", matrix, "float32"), "cpu")

    def theirs(size: int) -> list[Any]:
        batches = torch.split(torch.from_numpy(queries), size)
        return [(batch @ held.T).topk(10).indices for batch in batches]

    def own(size: int) -> list[Any]:
        return [hits for start in range(0, 64, size) for hits in ours(queries[start : start + size], 10)]

    found = [set(rows[np.argsort(-scores)[:10]]) for rows, scores in own(64)]
    assert found == [set(rows[np.argsort(-scores)[:10]]) for rows, scores in own(1)], "a batch changes the result"
    for size, name in ((1, "one by one"), (64, "in batches of 64")):
        ways = {
            "torch matmul + topk": (lambda size=size: theirs(size), 64),
            "exact": (lambda size=size: own(size), 64),
        }
        in_turn(f"exact search, {len(matrix)} x {DIMENSIONS}, {name}", ways)


def encoder(dtype: str = "float32", length: int | None = None) -> Any:
    from lrat_sim.retrieval.dense import DenseSettings
    from lrat_sim.retrieval.encoder import SentenceEncoder
    from lrat_sim.text import minilm_folder

    return SentenceEncoder(str(minilm_folder()), DenseSettings(device="cpu", max_length=length), dtype)  # type: ignore[arg-type]


def queries(_: Path) -> None:
    model, asked = encoder(), questions()[:192]
    alone = [model.query(query) for query in asked]

    def together() -> list[Any]:
        with ThreadPoolExecutor(AGENTS) as pool:
            return list(pool.map(model.query, asked))

    assert np.array_equal(together(), alone), "a query is not what it is alone"
    print(f"{len(asked)} queries of {AGENTS} threads are bit for bit what they are alone")
    ways: dict[str, Any] = {"one by one": (lambda: [model.query(query) for query in asked[:64]], 64)}
    in_turn(f"encoding queries, {AGENTS} at once", ways | {"together": (together, len(asked))})


def documents(_: Path) -> None:
    texts = [passage_text(document) for document in passages(128)]
    plain = encoder(length=128)._model
    plain.max_seq_length = 128
    ways: dict[str, Any] = {
        "sentence-transformers fp32": (lambda: plain.encode(texts, show_progress_bar=False), len(texts))
    }
    for dtype in ("float32", "bfloat16", "int8"):
        model = encoder(dtype, 128)
        ways[f"dtype={dtype}"] = (lambda model=model: model.documents(texts), len(texts))
    in_turn("encoding documents, 128 tokens", ways)


def scifact(folder: Path) -> None:
    from lrat_sim.retrieval import open_retriever
    from lrat_sim.retrieval.metrics import retrieval_metrics

    here = DATA / "scifact"
    with gzip.open(here / "corpus.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    corpus = Corpus.build(folder / "corpus", [Document(id=r["_id"], title=r["title"], text=r["text"]) for r in rows])
    judged: dict[str, dict[str, int]] = {}
    for line in (here / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, docid, grade = line.split("\t")
        judged.setdefault(query, {})[docid] = int(grade)
    asked = {entry["_id"]: entry["text"] for entry in map(json.loads, (here / "queries.jsonl").open())}
    for number, spec in enumerate(("bm25", "dense:dtype=int8", "dense:dtype=int8,store=int8")):
        retriever = open_retriever(spec, corpus, folder / f"indexes-{number}")
        hits = retriever.search([asked[query] for query in judged], 10)
        measured = retrieval_metrics(dict(zip(judged, hits, strict=True)), judged, ("nDCG@10",))
        print(f"SciFact {spec}: nDCG@10 {measured['nDCG@10']:.4f}", flush=True)


def million(folder: Path) -> None:
    draw, count = np.random.default_rng(0), options.passages
    matrix = clusters(count)
    asked = matrix[draw.integers(0, count, 64)] + draw.standard_normal((64, DIMENSIONS), dtype=np.float32) * 0.02
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    best = np.argsort(-(asked @ matrix.T), axis=1)[:, :10]
    for store in ("float16", "int8"):
        stored(folder / store, matrix, store)
        for index in ("exact", "IVF4096,SQ8"):
            opened(folder / store, count, store, index)  # and so built
            # opened again by a process of its own, so that its memory is that of searching
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                said = alone.submit(searched, folder / store, count, store, index, asked, best).result()
            print(f"{count:,} x {DIMENSIONS} in {store}, {index}: {said}", flush=True)


def opened(folder: Path, count: int, store: Any, index: str) -> Any:
    from lrat_sim.retrieval.faiss_index import faiss_search
    from lrat_sim.retrieval.nearest import ExactSearch
    from lrat_sim.retrieval.vectors import Vectors, VectorSettings

    vectors = Vectors(folder, count, 2048, store)
    if index == "exact":
        return ExactSearch(vectors, "cpu")
    return faiss_search(vectors, folder, VectorSettings(index=index, candidates=16), {}, "cpu")


def searched(folder: Path, count: int, store: Any, index: str, asked: np.ndarray, best: np.ndarray) -> str:
    search, rates = opened(folder, count, store, index), []
    for _ in range(3):
        began = time.perf_counter()
        found = [search(query[None], 10)[0] for query in asked]
        rates.append(len(asked) / (time.perf_counter() - began))
    tops = [set(rows[np.argsort(-scores)[:10]]) for rows, scores in found]
    recall = statistics.mean(len(ours & {*theirs}) / 10 for ours, theirs in zip(tops, best.tolist(), strict=True))
    # not what getrusage says, which counts the process that began this one
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    disk = sum(file.stat().st_size for file in folder.parent.glob(f"{folder.name}*/*")) / 1e6
    return (
        f"recall@10 {recall:.3f}, {statistics.median(rates):.0f} per second, {int(peak.split()[1]) / 1e3:.0f} MB, "
        f"{disk:.0f} MB on disk"
    )


def main() -> None:
    works = {work.__name__: work for work in (bm25, exact, queries, documents, scifact, million)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="+", choices=list(works))
    parser.add_argument("--passages", type=int, default=178_775)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--processor", action="store_true")
    parser.parse_args(namespace=options)
    import torch

    torch.set_num_threads(options.threads)
    for name in options.works:
        with tempfile.TemporaryDirectory() as folder:
            works[name](Path(folder))
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
