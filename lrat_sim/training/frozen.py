"""What frozen layers make of a document, worked out once, since nothing in them changes while a model is trained."""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from lrat_sim.training.data import Features

MOST = 1 << 29  # bytes that the table may take

Tokens = tuple[int, ...]


def remember_frozen(model: Any, parts: list[nn.Module], batches: Iterable[Features]) -> dict[Tokens, Tensor]:
    """Puts a table of known outputs in place of a model's embeddings and frozen layers (``parts``), without dropout.

    The table, of (tokens, hidden size) by token ids, is made from ``batches``, tokenised texts padded at the end, which
    depend on the pairs alone, so that a resumed training has the same numbers.  Other texts go through the layers as
    ever, and so do all where the table would be too large.
    """
    table = _table(model, parts[-1], batches)
    if not table:
        return table
    backbone = model.transformers_model
    known: list[Tensor] = []  # while a batch of known texts is under way, what the frozen layers make of it
    through_all = backbone.forward

    @wraps(through_all)
    def forward(*args: Any, **inputs: Any) -> Any:
        rows = [table.get(tokens) for tokens in _texts(inputs)]
        if all(row is not None for row in rows):
            hidden = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # type: ignore[arg-type]  # there is no None
            known.append(nn.functional.pad(hidden, (0, 0, 0, inputs["input_ids"].shape[1] - hidden.shape[1])))
        try:
            return through_all(*args, **inputs)
        finally:
            known.clear()

    def skipped(through: Any) -> Any:
        return lambda *args, **inputs: known[0] if known else through(*args, **inputs)

    backbone.forward = forward
    for part in parts:
        part.forward = skipped(part.forward)
    return table


class _Enough(Exception):
    """Ends a forward pass after the last frozen layer."""


@torch.no_grad()
def _table(model: Any, last: nn.Module, batches: Iterable[Features]) -> dict[Tokens, Tensor]:
    table: dict[Tokens, Tensor] = {}
    outputs: list[Any] = []
    taken = 0

    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output)
        raise _Enough

    hook = last.register_forward_hook(stop)
    try:
        for features in batches:
            try:
                model(dict(features))
            except _Enough:
                output = outputs.pop()
            taken += output.nbytes if isinstance(output, Tensor) else MOST  # some layers give more than their output
            if taken >= MOST:
                return {}
            texts = _texts(features)
            table |= {tokens: row[: len(tokens)].clone() for tokens, row in zip(texts, output, strict=True)}
    finally:
        hook.remove()
    return table


def _texts(features: Features) -> list[Tokens]:
    lengths = features["attention_mask"].sum(dim=1).tolist()
    return [tuple(tokens[:length]) for tokens, length in zip(features["input_ids"].tolist(), lengths, strict=True)]
