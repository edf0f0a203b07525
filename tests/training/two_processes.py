"""Run by torchrun in two processes: losses, gradients and a whole training, for test_processes.py to compare.

Imported in one process it gives the same of the joint batch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from lrat_sim.artifact import read_records
from lrat_sim.corpus.documents import Corpus
from lrat_sim.records import Pair
from lrat_sim.training.base import load_base
from lrat_sim.training.cached_loss import CachedWeightedInfoNCE
from lrat_sim.training.collator import Collator
from lrat_sim.training.data import PairDataset
from lrat_sim.training.lora import add_adapters
from lrat_sim.training.loss import WeightedInfoNCE
from lrat_sim.training.processes import join, process_count, process_index
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train

SETTINGS = TrainingSettings(group_size=4, max_query_length=16, max_document_length=32, temperature=0.05, bf16=False)
MODES: dict[str, dict[str, Any]] = {
    "in-batch": {},
    "mined-only": {"in_batch_negatives": False},
    "cached": {"mini_batch_size": 3},
    "lora": {"lora_rank": 2},
}
WEIGHTS: dict[str, list[float] | None] = {
    "ones": [1.0] * 7,
    "unweighted": None,
    "one-heavier": [1.0, 1.0, 3.0, 1.0, 1.0, 1.0, 1.0],
    "zero": [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
}
TRAINING = msgspec.structs.replace(
    SETTINGS,
    epochs=2,
    batch_size=5,
    learning_rate=1e-3,
    freeze_layers=1,
    checkpoint_steps=4,
    development_share=0.2,
    evaluations=2,
)


def gradients(model_folder: Path, corpus: Corpus, pairs: list[Pair], mode: str, weights: list[float] | None) -> Any:
    """The loss of one batch of seven pairs, and the gradient of every parameter that has one."""
    options = dict(MODES[mode])
    model = load_base(model_folder).eval()
    if rank := options.pop("lora_rank", 0):
        torch.manual_seed(5)
        add_adapters(model.transformers_model, rank, 4.0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # 0 at first, and then the gradient of A is 0
                torch.nn.init.normal_(parameter, std=0.05)
    settings = SETTINGS
    if weights is None:
        settings = msgspec.structs.replace(SETTINGS, pair_weights=False)
    else:
        pairs = [msgspec.structs.replace(p, weight=w) for p, w in zip(pairs, weights, strict=True)]
    dataset = PairDataset(pairs, corpus, settings)
    collated = Collator(model, corpus, settings)([dataset[(0, row)] for row in range(len(dataset))])
    names = ["query", *(f"document_{n}" for n in range(100) if f"document_{n}_input_ids" in collated)]
    columns = [{k.removeprefix(f"{n}_"): v for k, v in collated.items() if k.startswith(f"{n}_")} for n in names]
    kind = CachedWeightedInfoNCE if "mini_batch_size" in options else WeightedInfoNCE
    weighted = kind(model, temperature=0.05, **options)
    if process_count() > 1:  # as the trainer does
        weighted.model = DistributedDataParallel(model, find_unused_parameters=True)
    loss = weighted(columns, collated["label"])
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach().clone(), found


def main(folder: Path) -> None:
    join()
    assert process_count() == 2
    corpus = Corpus.open(folder / "corpus")
    pairs = list(read_records(folder / "pairs.jsonl", Pair))
    results = {}
    for mode in MODES:
        for name, weights in WEIGHTS.items():
            loss, found = gradients(folder / "base", corpus, pairs[:7], mode, weights)
            results[f"{mode}/{name}/loss"] = loss
            results |= {f"{mode}/{name}/gradient/{key}": value for key, value in found.items()}
    if process_index() == 1:  # the second one, of which nothing is written unless it has all of it
        save_file(results, folder / "results.safetensors")
    train(pairs, corpus, folder / "base", TRAINING, folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()
