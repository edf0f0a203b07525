"""Several processes that train one model, as ``torchrun`` or ``accelerate launch`` start them.

Each reads the same batch, encodes its share of the texts, gathers the vectors of all and computes the whole loss, so
that a batch, its in-batch negatives and the result are those of one process.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from lrat_sim.retrieval.hardware import best_device

T = TypeVar("T")


def join() -> None:
    """Joins the other processes, where this one was started with others; to be called before anything is shared."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        from accelerate import PartialState  # type: ignore[import-untyped]

        PartialState(cpu=best_device() == "cpu")


def process_count() -> int:
    """How many processes train together, 1 or more."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_index() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that alone writes files and reports."""
    return process_index() == 0


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if process_count() > 1:
        distributed.barrier()


def share(items: list[T]) -> list[T]:
    """This process's part of a list: every n-th item, of equal number for all, the first ones again at the end.

    A list sorted by length so falls into parts of equal work.
    """
    count = process_count()
    whole = -(-len(items) // count) * count
    return [items[index % len(items)] for index in range(process_index(), whole, count)]


def gather(own: Tensor, total: int) -> Tensor:
    """What all processes computed of their :func:`share`, (S, ...), in the order of the whole list, (total, ...).

    The gradient of ``own`` is multiplied by the number of processes: DistributedDataParallel takes the mean of their
    gradients, where the sum over shares is wanted.
    """
    if process_count() == 1:
        return own
    gathered: Tensor = _Gather.apply(own)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return gathered[:total]


def largest(number: int, device: torch.device) -> int:
    """The largest of the numbers that the processes give."""
    if process_count() == 1:
        return number
    shared = torch.tensor(number, device=device)
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(process_count())]
        distributed.all_gather(parts, own.contiguous())
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0][process_index() :: process_count()] * process_count()
