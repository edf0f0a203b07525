"""The base model of a training run: what it is, which of its parts are trained."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch import nn

from lrat_sim import catalog, foreign
from lrat_sim.artifact import fingerprint, fingerprint_file, replacing
from lrat_sim.errors import InputError
from lrat_sim.retrieval.encoder import load_model

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


def base_licence(base_model: str | Path) -> str | None:
    """The licence that a base model's card names; None where it has no card on this disk, or its card names none."""
    card = Path(base_model) / "README.md"
    with suppress(InputError):  # a card that cannot be read names none
        _, *head = foreign.read_text(card).split("---\n", 2)
        content = catalog.parse_yaml(head[0], f"the card {card} is not YAML", "correct it") if len(head) == 2 else None
        if isinstance(content, dict) and content.get("license"):
            return str(content["license"])
    return None


def load_base(base_model: str | Path) -> SentenceTransformer:
    """The base model, in fp32 on the CPU, from where a trainer moves it.

    Raises:
        InputError: it cannot be loaded, or has no tokenizer.
    """
    folder = Path(base_model)
    if folder.is_dir():
        check_tokenizer(folder)
    return load_model(base_model, "cpu")


def check_tokenizer(folder: Path) -> None:
    """Refuses a model folder without tokenizer before it is loaded, which might make one up.

    Raises:
        InputError: no file of a tokenizer is there.
    """
    known = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "sentencepiece.bpe.model", "spiece.model")
    modules = folder / "modules.json"
    if (modules.is_file() or (folder / "config.json").is_file()) and not any(
        path.name in known for path in folder.rglob("*")
    ):
        raise InputError(f"the model at {folder} has no tokenizer ({known[0]}); put that of its base model there.")


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes what of a model is trained, buffers included, as safetensors; whole or not at all."""
    state = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = model.state_dict().keys()
    state |= {name: buffer for name, buffer in model.named_buffers() if name in kept}  # type: ignore[misc]  # tensors
    with replacing(path) as beside:
        save_file({name: weight.detach().cpu().contiguous().clone() for name, weight in state.items()}, beside)


def load_weights(model: nn.Module, path: Path) -> None:
    """Takes up what :func:`save_weights` wrote of the same model.

    Raises:
        InputError: the file is damaged, or of another model.
    """
    with foreign.reading(f"the weights in {path} are damaged", "delete the folder of the unfinished training"):
        loaded = load_file(path)
    _, unknown = model.load_state_dict(loaded, strict=False)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if unknown or trained - loaded.keys():
        raise InputError(f"{path} holds the weights of another model; delete the folder of the unfinished training.")


@torch.no_grad()
def mix(model: nn.Module, base: nn.Module, share: float) -> None:
    """Moves a model's weights towards its base's: ``(1 - share) * trained + share * base`` (LM-Cocktail).

    Args:
        model: changed in place.
        base: of the same architecture.
        share: from 0, which changes nothing, to 1.
    """
    origin = base.state_dict()
    for name, weight in model.state_dict().items():
        if weight.is_floating_point():
            weight.lerp_(origin[name].to(weight), share)


def freeze_layers(model: Any, layers: int) -> None:
    """Keeps the embeddings and the lower ``layers`` transformer layers as they are, adapters within them too.

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
    embeddings = getattr(backbone.base_model, "embeddings", None) or backbone.get_input_embeddings()
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


def attend_plainly(model: Any) -> None:
    """Computes attention by plain matrix products instead of torch's fused kernel.

    On a CPU the backward pass of the fused one takes half of a training step, and plain products 60 % of the time of
    the whole step, at lengths of about 100 tokens (2 cores with AMX).  They keep length x length numbers a head, so
    this is for short texts.
    """
    backbone = model.transformers_model
    if backbone is not None:
        backbone.set_attn_implementation("eager")
