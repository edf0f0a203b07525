"""How fast and in how much memory a recipe trains, on texts that fill its lengths.

    python benchmarks/training_speed.py --recipe train-small --steps 20 --peer
    python benchmarks/training_speed.py --recipe train-paper --steps 3 --set mini_batch_size=16
    python benchmarks/training_speed.py --gpu --peak 989        # a GPU's rows, in under four minutes

Prints pairs and texts a second over all steps but the first two, and the peak memory. ``--random`` takes an
architecture with random weights, which costs what the trained one does. ``--peer`` trains the same batches by
sentence-transformers' CachedMultipleNegativesRankingLoss, too, as its trainer does in bf16, and prints the ratio. On a
GPU, ``--peak`` (the chip's bf16 peak in TFLOP/s, without sparsity) prints the share of it that the model's own
arithmetic takes: 6 operations a parameter of the transformer and token, and 12 a layer, hidden unit, token and token
attended to; what is computed twice does not count.
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
from lrat_sim.errors import LratSimError
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


def workload(settings: TrainingSettings, steps: int, query_tokens: int) -> tuple[list[Document], list[Pair]]:
    """Pairs for so many steps, each with documents of its own."""
    rng, group, count = random.Random(0), settings.group_size, settings.batch_size * steps
    written = texts(count * group, settings.max_document_length, rng)
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
        for n, query in enumerate(texts(count, query_tokens, rng))
    ]
    return [Document(id=str(n), text=text) for n, text in enumerate(written)], pairs


def step_seconds(moments: list[float]) -> float:
    """Of the steps but the first two: the first warms up, and in the second one the optimizer makes its state."""
    return (moments[-1] - moments[1]) / (len(moments) - 2)


def peer_seconds(model: str, settings: TrainingSettings, documents: list[Document], pairs: list[Pair]) -> float:
    """Seconds a step of sentence-transformers' loss on the same batches: autocast to bf16 and AdamW, as its trainer."""
    import torch
    from accelerate.utils import send_to_device
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    device = "cuda" if torch.cuda.is_available() else "cpu"
    peer = SentenceTransformer(model, device=device)
    peer.max_seq_length = settings.max_document_length
    mini = settings.mini_batch_size or settings.batch_size
    loss = CachedMultipleNegativesRankingLoss(peer, scale=1 / settings.temperature, mini_batch_size=mini)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-5, fused=True)
    columns = [[pair.query for pair in pairs], [documents[int(pair.positive)].text for pair in pairs]]
    for place in range(settings.group_size - 1):
        columns.append([documents[int(pair.negatives[place].docid)].text for pair in pairs])
    moments: list[float] = []
    peer.train()
    for start in range(0, len(pairs), settings.batch_size):
        rows = slice(start, start + settings.batch_size)
        batch = [send_to_device(dict(peer.preprocess(column[rows])), device) for column in columns]
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision != "fp32"):
            value = loss(batch, torch.arange(len(batch[0]["input_ids"]), device=device))
            value.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value.item()
        moments.append(time.perf_counter())
    return step_seconds(moments)


def measure(settings: TrainingSettings, title: str, given: argparse.Namespace, steps: int) -> None:
    """Trains by a recipe and prints its figures."""
    import torch

    from lrat_sim.training.trainer import train

    documents, pairs = workload(settings, steps, given.query_tokens)
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        model = str(random_model(given.random, Path(folder))) if given.random else given.model
        group = settings.group_size
        tokens = [given.query_tokens + 2] * settings.batch_size
        tokens += [settings.max_document_length] * settings.batch_size * group
        work = operations(model, tokens) if given.peak else 0.0
        corpus = Corpus.build(Path(folder) / "corpus", documents)
        train(
            pairs,
            corpus,
            model,
            settings,
            Path(folder) / "trained",
            progress=lambda *_: moments.append(time.perf_counter()),
        )
        seconds = step_seconds(moments)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if torch.cuda.is_available():
            machine = torch.cuda.get_device_name()
            place = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB on the GPU, {memory:.2f} GiB in the process"
        else:
            machine = f"{torch.get_num_threads()} threads of {torch.backends.cpu.get_cpu_capability()}"
            place = f"{memory:.2f} GiB"
        print(f"{title} on {machine}")
        rate = settings.batch_size / seconds
        print(f"  {rate:.1f} pairs/s, {rate * (group + 1):.0f} texts/s, {seconds:.2f} s a step")
        print(f"  peak memory {place}")
        if given.peak:
            rate = work / seconds / 1e12
            print(f"  {rate:.0f} TFLOP/s, {100 * rate / given.peak:.1f} % of the bf16 peak")
        if given.peer:
            other = peer_seconds(model, settings, documents, pairs)
            print(
                f"  sentence-transformers, the same batches: {other:.2f} s a step; {other / seconds:.2f} times as fast"
            )


GPU_ROWS = [
    # model, recipe, settings, steps
    ("qwen3-0.6b", "train-paper", {"mini_batch_size": 64}, 6),
    ("qwen3-0.6b", "train-paper", {"mini_batch_size": 64, "attn_implementation": "flash_attention_2"}, 6),
    ("qwen3-0.6b", "train-paper", {"mini_batch_size": 64, "compile": True}, 8),
    (None, "train-small", {}, 60),
    (None, "train-small", {"compile": True}, 60),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="train-small")
    parser.add_argument("--model", default=str(minilm_folder()))
    parser.add_argument("--random", choices=["qwen3-0.6b", "e5-large"], help="instead of --model")
    parser.add_argument("--peak", type=float, help="TFLOP/s in bf16 of the chip")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--query-tokens", type=int, default=16)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the recipe")
    parser.add_argument("--peer", action="store_true", help="sentence-transformers on the same batches as well")
    parser.add_argument("--gpu", action="store_true", help="all rows of a GPU; one that fails says so")
    given = parser.parse_args()
    if given.steps < 3:
        parser.error("--steps must be 3 or more")
    if not given.gpu:
        overrides = dict(item.split("=", 1) for item in given.set)
        measure(recipe(given.recipe, overrides), f"{given.recipe} {overrides or ''}", given, given.steps)
        return
    seen = set()
    for model, name, overrides, steps in GPU_ROWS:
        given.random, given.peer = model, (model, name) not in seen
        seen.add((model, name))
        try:
            measure(recipe(name, overrides), f"{model or 'MiniLM'}, {name} {overrides or ''}", given, steps)
        except (LratSimError, RuntimeError) as error:  # flash attention may not be installed, memory too small
            print(f"{model or 'MiniLM'}, {name} {overrides}: {error}")


def recipe(name: str, overrides: dict[str, object]) -> TrainingSettings:
    """A training recipe for one epoch, without checkpoints on the way."""
    fixed = {"epochs": 1, "checkpoint_steps": 10**6, "pairs_expected": None}
    return catalog.load("recipes", name, TrainingSettings, {**fixed, **overrides})


if __name__ == "__main__":
    main()
