"""The base model of a training run: what it is, which of its parts are trained."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer
from torch import nn

from lrat_sim.errors import InputError
from lrat_sim.fingerprint import fingerprint, fingerprint_file

_NOT_WEIGHTS = {"README.md", "training.json"}
"""Files of a model folder that may change without changing what it computes."""


def base_fingerprint(base_model: str | Path) -> str:
    """The identity of a base model: of a folder's files but for its card, of a hub model its id."""
    folder = Path(base_model)
    if not folder.is_dir():
        return fingerprint({"hub": str(base_model)})
    return fingerprint(
        {
            str(path.relative_to(folder)): fingerprint_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in _NOT_WEIGHTS
        }
    )


def freeze_layers(model: SentenceTransformer, layers: int) -> None:
    """Keeps the embeddings and the lower ``layers`` transformer layers as they are.

    Nothing below the first trained layer then needs a gradient, so neither their activations nor a backward pass is
    paid for; and their dropout is off, since it would only disturb what cannot adapt.

    Raises:
        InputError: the model has no more layers than that.
    """
    if layers == 0:
        return
    backbone = model.transformers_model
    stack = _layer_stack(backbone) if backbone is not None else None
    if backbone is None or stack is None:
        raise InputError("this base model has no transformer layers to freeze; set freeze_layers to 0.")
    if layers >= len(stack):
        raise InputError(
            f"the training setting freeze_layers is {layers}, but the base model has {len(stack)} layers and one must "
            f"be trained; it must be {len(stack) - 1} or less."
        )
    embeddings = getattr(backbone, "embeddings", None) or backbone.get_input_embeddings()
    for part in (embeddings, *stack[:layers]):
        part.requires_grad_(False)
        without_dropout(part)


def _layer_stack(backbone: nn.Module) -> nn.ModuleList | None:
    depth = getattr(backbone.config, "num_hidden_layers", None)
    stacks = (module for module in backbone.modules() if isinstance(module, nn.ModuleList) and len(module) == depth)
    return next(stacks, None)


def without_dropout(part: nn.Module) -> None:
    """Turns every dropout of a model or of a part of it off, the configuration that is saved with it untouched."""
    for module in part.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):  # kept as a number by some decoders
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def attend_plainly(model: SentenceTransformer) -> None:
    """Computes attention by plain matrix products instead of torch's fused kernel.

    On a CPU the backward pass of the fused one takes half of a training step, and plain products 60 % of the time of
    the whole step, at lengths of about 100 tokens (2 cores with AMX).  They keep length x length numbers a head, so
    this is for short texts.
    """
    backbone = model.transformers_model
    if backbone is not None:
        backbone.set_attn_implementation("eager")
