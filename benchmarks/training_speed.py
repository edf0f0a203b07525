"""How fast and in how much memory a recipe trains, on texts that fill its lengths.

    python benchmarks/training_speed.py --recipe train-small --steps 20
    python benchmarks/training_speed.py --recipe train-paper --steps 3 --set mini_batch_size=16
    python benchmarks/training_speed.py --recipe train-paper --steps 20 --random qwen3-0.6b --peak 989

Prints pairs and texts a second over all steps but the first two, and the peak memory. ``--random`` takes an
architecture with random weights, which costs what the trained one does. On a GPU, ``--peak`` (the chip's bf16 peak in
TFLOP/s, without sparsity) prints the share of it that the model's own arithmetic takes: 6 operations a parameter of the
transformer and token, and 12 a layer, hidden unit, token and token attended to; what is computed twice does not count.
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


def random_model(name: str, folder: Path) -> Path:
    """An encoder of a known architecture with random weights, and the tokenizer at hand."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, Qwen3Config, Qwen3Model, XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(0)
    if name == "qwen3-0.6b":
        config = Qwen3Config(
            vocab_size=151669, hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
            head_dim=128, intermediate_size=3072, max_position_embeddings=32768,
        )  # fmt: skip
        backbone, pooling = Qwen3Model(config), "lasttoken"
    else:
        config = XLMRobertaConfig(
            vocab_size=250002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
            max_position_embeddings=514,
        )  # fmt: skip
        backbone, pooling = XLMRobertaModel(config), "mean"
    backbone.save_pretrained(folder / "backbone")
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder / "backbone")
    modules = [Transformer(str(folder / "backbone"), max_seq_length=512), Pooling(1024, pooling_mode=pooling)]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "base"), create_model_card=False)
    return folder / "base"


def operations(model: str, tokens: list[int]) -> float:
    """What one step computes of its own, forward and backward, for texts of so many tokens."""
    from sentence_transformers import SentenceTransformer

    backbone = SentenceTransformer(model, device="cpu").transformers_model
    tables = {
        id(weight) for part in backbone.modules() if type(part).__name__ == "Embedding" for weight in part.parameters()
    }
    dense = sum(weight.numel() for weight in backbone.parameters() if id(weight) not in tables)
    config = backbone.config
    heads = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = heads * config.num_attention_heads
    return sum(6 * dense * n + 12 * config.num_hidden_layers * width * n * n for n in tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="train-small")
    parser.add_argument("--model", default=str(minilm_folder()))
    parser.add_argument("--random", choices=["qwen3-0.6b", "e5-large"], help="instead of --model")
    parser.add_argument("--peak", type=float, help="TFLOP/s in bf16 of the chip")
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
        model = str(random_model(given.random, Path(folder))) if given.random else given.model
        tokens = [given.query_tokens + 2] * settings.batch_size
        tokens += [settings.max_document_length] * settings.batch_size * group
        work = operations(model, tokens) if given.peak else 0.0
        corpus = Corpus.build(Path(folder) / "corpus", documents)
        train(
            pairs,
            corpus,
            model,
            settings,
            Path(folder) / "model",
            progress=lambda *_: moments.append(time.perf_counter()),
        )
    # the first step warms up, and of the second one the optimizer makes its state
    if len(moments) < 3:
        parser.error("--steps must be 3 or more")
    seconds = (moments[-1] - moments[1]) / (len(moments) - 2)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if torch.cuda.is_available():
        machine = torch.cuda.get_device_name()
        place = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB on the GPU, {memory:.2f} GiB in the process"
    else:
        machine = f"{torch.get_num_threads()} threads of {torch.backends.cpu.get_cpu_capability()}"
        place = f"{memory:.2f} GiB"
    texts_a_step = settings.batch_size * (group + 1)
    print(f"{given.recipe} {overrides or ''} on {machine}")
    print(
        f"  {settings.batch_size / seconds:.1f} pairs/s, {texts_a_step / seconds:.0f} texts/s, {seconds:.2f} s a step"
    )
    print(f"  peak memory {place}")
    if given.peak:
        rate = work / seconds / 1e12
        print(f"  {rate:.0f} TFLOP/s, {100 * rate / given.peak:.1f} % of the bf16 peak")


if __name__ == "__main__":
    main()
