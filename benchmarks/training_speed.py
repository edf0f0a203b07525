"""How fast and in how much memory a recipe trains, on texts that fill its lengths.

    python benchmarks/training_speed.py --recipe train-small --steps 20
    python benchmarks/training_speed.py --recipe train-paper --steps 2 --set batch_size=8

Prints pairs and texts a second over all steps but the first, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

from lrat_sim import catalog
from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Document, Negative, Pair, Provenance
from lrat_sim.text import minilm_folder, tokenizer
from lrat_sim.training.settings import TrainingSettings


def texts(count: int, tokens: int, rng: random.Random) -> list[str]:
    words = sorted(word for word in tokenizer().get_vocab() if word.isalpha() and len(word) > 3)
    return [" ".join(rng.choices(words, k=tokens)) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="train-small")
    parser.add_argument("--model", default=str(minilm_folder()))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--query-tokens", type=int, default=16)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the recipe")
    given = parser.parse_args()
    overrides = dict(item.split("=", 1) for item in given.set)
    settings = catalog.load(
        "recipes", given.recipe, TrainingSettings, {"epochs": 1, "checkpoint_steps": 10**6, **overrides}
    )

    import torch

    from lrat_sim.training.trainer import train

    rng = random.Random(0)
    count = settings.batch_size * given.steps
    group = settings.group_size
    documents = [
        Document(id=str(n), text=text) for n, text in enumerate(texts(count * group, settings.max_document_length, rng))
    ]
    where = Provenance(task="t", trajectory="t-0", turn=0, rank=1, rule="benchmark")
    pairs = [
        Pair(
            query=query,
            positive=str(n * group),
            negatives=[Negative(docid=str(n * group + place)) for place in range(1, group)],
            weight=1.0,
            raw_weight=0.5,
            length=1,
            provenance=where,
        )
        for n, query in enumerate(texts(count, given.query_tokens, rng))
    ]
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus.build(Path(folder) / "corpus", documents)
        train(
            pairs,
            corpus,
            given.model,
            settings,
            Path(folder) / "model",
            progress=lambda *_: moments.append(time.perf_counter()),
        )
    seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    machine = f"{torch.get_num_threads()} threads of {torch.backends.cpu.get_cpu_capability()}"
    texts_a_step = settings.batch_size * (group + 1)
    print(f"{given.recipe} {overrides or ''} on {machine}")
    print(
        f"  {settings.batch_size / seconds:.1f} pairs/s, {texts_a_step / seconds:.0f} texts/s, {seconds:.2f} s a step"
    )
    print(f"  peak memory {memory:.2f} GiB")


if __name__ == "__main__":
    main()
