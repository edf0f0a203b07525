"""The model of a training run: which of its parts are trained, what the others compute, and how it is saved.

Encoders are saved in the form that sentence-transformers 3, 5 and 6 all load: version 6 writes new names of modules and
settings and reads the old ones too; earlier versions know the old ones alone, and refuse a setting they do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lrat_sim import foreign
from lrat_sim.artifact import replacing
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.training.data import Features
from lrat_sim.training.settings import TrainingSettings

MOST = 1 << 29  # bytes that the table of known outputs may take
_SHORT = 128  # tokens up to which plain attention is the faster one on a CPU, at little memory

Tokens = tuple[int, ...]

# modules that earlier versions have under sentence_transformers.models
_OLD_NAMES = {"Transformer", "Pooling", "Normalize", "Dense", "Dropout", "LayerNorm", "WordEmbeddings", "CNN", "LSTM"}
_READS_TEXT: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
}
_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_POOLING = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def check_tokenizer(base_model: str | Path) -> None:
    """Refuses a model folder without tokenizer before it is loaded, which might make one up."""
    known = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "sentencepiece.bpe.model", "spiece.model")
    folder = Path(base_model)
    if ((folder / "modules.json").is_file() or (folder / "config.json").is_file()) and not any(
        path.name in known for path in folder.rglob("*")
    ):
        raise InputError(f"the model at {folder} has no tokenizer ({known[0]}); put that of its base model there.")


def make_trainable(model: Any, settings: TrainingSettings) -> Any:
    """Adds adapters, freezes layers, and sets dropout, gradient checkpointing and attention as the settings say.

    Returns the adapters, whose ``merge_and_unload`` adds them to the weights; None without ``lora_rank``.
    """
    adapters = None
    if settings.lora_rank:
        torch.manual_seed(settings.seed)
        adapters = add_adapters(model.transformers_model, settings.lora_rank, settings.lora_alpha)
    freeze_layers(model, settings.freeze_layers)
    if not settings.dropout:
        without_dropout(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    plain = settings.attn_implementation is None and settings.max_document_length <= _SHORT
    if plain and best_device() == "cpu" and model.transformers_model is not None:
        # The backward pass of torch's fused kernel takes half of a training step there; plain products, which keep
        # length x length numbers a head, 60 % of the time of the whole step at about 100 tokens (2 cores with AMX).
        model.transformers_model.set_attn_implementation("eager")
    return adapters


def add_adapters(backbone: nn.Module | None, rank: int, alpha: float) -> Any:
    """Puts a low-rank adapter (LoRA, Hu et al. 2021), its output scaled by ``alpha / rank``, beside every linear layer.

    The adapters are trained alone; a model that is no transformer is an input error.
    """
    if backbone is None:
        raise InputError("this base model has no transformer to adapt; set lora_rank to 0.")
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    # not through peft's own wrapper, so that the modules keep their places and the model saves itself as ever
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")  # type: ignore[arg-type]
    return LoraModel(backbone, {"default": config}, "default")


def freeze_layers(model: Any, layers: int) -> None:
    """Keeps the embeddings and the lower ``layers`` transformer layers as they are, adapters within them too.

    Their dropout is off, since it would only disturb what cannot adapt.
    """
    for part in frozen_parts(model, layers):
        part.requires_grad_(False)
        without_dropout(part)


def frozen_parts(model: Any, layers: int) -> list[nn.Module]:
    """The embeddings and the lower ``layers`` transformer layers, in order; one layer must be left to train."""
    if layers == 0:
        return []
    backbone = model.transformers_model
    depth = getattr(getattr(backbone, "config", None), "num_hidden_layers", None)
    modules = backbone.modules() if backbone is not None else ()
    stack = next((part for part in modules if isinstance(part, nn.ModuleList) and len(part) == depth), None)
    if stack is None:
        raise InputError("this base model has no transformer layers to freeze; set freeze_layers to 0.")
    if layers >= len(stack):
        raise InputError(
            f"the training setting freeze_layers is {layers}, but the base model has {len(stack)} layers and one must "
            f"be trained; it must be {len(stack) - 1} or less."
        )
    embeddings = getattr(backbone.base_model, "embeddings", None) or backbone.get_input_embeddings()
    return [embeddings, *stack[:layers]]


def without_dropout(part: nn.Module) -> None:
    """Turns every dropout of a model or of a part of it off, the configuration that is saved with it untouched."""
    for module in part.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout"):  # kept as a number by some decoders
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


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


@torch.no_grad()
def mix(model: nn.Module, base: nn.Module, share: float) -> None:
    """Moves a model's weights towards its base's, in place: ``(1 - share) * trained + share * base`` (LM-Cocktail)."""
    origin = base.state_dict()
    for name, weight in model.state_dict().items():
        if weight.is_floating_point():
            weight.lerp_(origin[name].to(weight), share)


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes what of a model is trained, buffers included, as safetensors; whole or not at all."""
    state = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    kept = model.state_dict().keys()
    state |= {name: buffer for name, buffer in model.named_buffers() if name in kept}  # type: ignore[misc]  # tensors
    with replacing(path) as beside:
        save_file({name: weight.detach().cpu().contiguous().clone() for name, weight in state.items()}, beside)


def load_weights(model: nn.Module, path: Path) -> None:
    """Takes up what :func:`save_weights` wrote of the same model."""
    with foreign.reading(f"the weights in {path} are damaged", "delete the folder of the unfinished training"):
        loaded = load_file(path)
    _, unknown = model.load_state_dict(loaded, strict=False)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if unknown or trained - loaded.keys():
        raise InputError(f"{path} holds the weights of another model; delete the folder of the unfinished training.")


def save_encoder(model: Any, folder: Path) -> None:
    """Writes a ``SentenceTransformer`` to a new folder, without a card; what has no old form stays as it is written."""
    model.save_pretrained(str(folder), create_model_card=False)
    modules: list[dict[str, Any]] = from_json((folder / "modules.json").read_bytes())
    for module, part in zip(modules, model, strict=True):
        package, _, name = module["type"].rpartition(".")
        if not package.startswith("sentence_transformers.") or name not in _OLD_NAMES:
            continue
        module["type"] = f"sentence_transformers.models.{name}"
        path = folder / module["path"] / ("sentence_bert_config.json" if name == "Transformer" else "config.json")
        if path.is_file():
            _write(path, _old_settings(name, part, from_json(path.read_bytes())))
    _write(folder / "modules.json", modules)


def _old_settings(name: str, part: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a module by the names that earlier versions know."""
    if name == "Transformer":
        reads_text = config.get("modality_config", {}).get("text") == _TEXT
        if reads_text and all(config.get(key) == value for key, value in _READS_TEXT.items()):
            config = _without(config, "modality_config", *_READS_TEXT)
        return {"max_seq_length": part.max_seq_length, "do_lower_case": part.do_lower_case, **config}
    if name == "Pooling":
        modes = config["pooling_mode"]
        modes = (modes,) if isinstance(modes, str) else modes
        return {
            "word_embedding_dimension": config["embedding_dimension"],
            **{old: mode in modes for mode, old in _POOLING.items()},
            "include_prompt": config["include_prompt"],
        }
    # what is read and written goes unnamed where it is what earlier versions take
    names = ("module_input_name", "module_output_name")
    usual = all(config.get(key, "sentence_embedding") == "sentence_embedding" for key in names)
    return _without(config, *names) if name in ("Normalize", "Dense") and usual else config


def _without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in names}


def _write(path: Path, content: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
