"""Run by torchrun in two processes: losses, gradients and a whole training, for test_distributed.py to compare.

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
from lrat_sim.training.data import PairDataset
from lrat_sim.training.distributed import join, process_count, process_index
from lrat_sim.training.kinds import KINDS, kind_of
from lrat_sim.training.model import add_adapters, without_dropout
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.trainer import train

SETTINGS = TrainingSettings(
    group_size=4, max_query_length=16, max_document_length=32, temperature=0.05, precision="fp32"
)
MODES: dict[str, dict[str, Any]] = {
    "in-batch": {},
    "mined-only": {"in_batch_negatives": False},
    "cached": {"mini_batch_size": 3},
    "lora": {"lora_rank": 2},
    "multivector": {},
    "sparse": {
        "similarity": "dot", "temperature": 200.0, "document_regularizer": 0.01, "query_regularizer": 0.02,
        "mini_batch_size": 3,
    },
}  # fmt: skip
BASES = {"multivector": "multivector", "sparse": "sparse"}  # folders of the base models, else `base`
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
    settings = msgspec.structs.replace(SETTINGS, **MODES[mode])
    if weights is None:
        settings = msgspec.structs.replace(settings, pair_weights=False)
    else:
        pairs = [msgspec.structs.replace(p, weight=w) for p, w in zip(pairs, weights, strict=True)]
    dataset = PairDataset(pairs, corpus, settings)
    encoder = KINDS[kind_of(model_folder)](model_folder, dataset, settings)
    model = encoder.model.eval()
    if mode == "sparse":  # which in evaluation changes its numbers in place
        without_dropout(model.train())
    if settings.lora_rank:
        torch.manual_seed(5)
        add_adapters(model.transformers_model, settings.lora_rank, 4.0)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # 0 at first, and then the gradient of A is 0
                torch.nn.init.normal_(parameter, std=0.05)
    weighted = encoder.loss()
    if process_count() > 1:  # as the loop does
        weighted.model = DistributedDataParallel(model, find_unused_parameters=True)
    loss = weighted(*encoder.collate([dataset.example(0, row) for row in range(len(dataset.examples))]))
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
            loss, found = gradients(folder / BASES.get(mode, "base"), corpus, pairs[:7], mode, weights)
            results[f"{mode}/{name}/loss"] = loss
            results |= {f"{mode}/{name}/gradient/{key}": value for key, value in found.items()}
    if process_index() == 1:  # the second one, of which nothing is written unless it has all of it
        save_file(results, folder / "results.safetensors")
    train(pairs, corpus, folder / "base", TRAINING, folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    torch.distributed.destroy_process_group()
