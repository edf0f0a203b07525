"""The model of a training run: what its base is, which of its parts are trained, and how it is saved.

Encoders are saved in the form that sentence-transformers 3, 5 and 6 all load: version 6 writes new names of modules and
settings and reads the old ones too; earlier versions know the old ones alone, and refuse a setting they do not know.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lrat_sim import catalog, foreign
from lrat_sim.artifact import fingerprint, fingerprint_file, replacing
from lrat_sim.errors import InputError
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.text import minilm_folder
from lrat_sim.training.folder import RECORD, read_record
from lrat_sim.training.settings import TrainingSettings

_NOT_WEIGHTS = {"README.md", RECORD}  # files of a model folder that may change without changing what it computes
_SHORT = 128  # tokens up to which plain attention is the faster one on a CPU, at little memory

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


def base_name(base_model: str | Path) -> str:
    """What others know a base model by: its hub id, that of the model it was trained from, or its folder's name."""
    folder = Path(base_model)
    if not folder.is_dir():
        return str(base_model)
    if folder.resolve() == minilm_folder().resolve():
        return "sentence-transformers/all-MiniLM-L6-v2"
    for part in folder.absolute().parts:
        if part.startswith("models--"):  # the hub's cache: models--ORGANISATION--NAME/snapshots/REVISION
            return part.removeprefix("models--").replace("--", "/", 1)
    return read_record(folder).base_name if (folder / RECORD).is_file() else folder.resolve().name


def base_licence(base_model: str | Path) -> str | None:
    """The licence that a base model's card names; None where it has no card on this disk, or its card names none."""
    card = Path(base_model) / "README.md"
    with suppress(InputError):  # a card that cannot be read names none
        _, *head = foreign.read_text(card).split("---\n", 2)
        content = catalog.parse_yaml(head[0], f"the card {card} is not YAML", "correct it") if len(head) == 2 else None
        if isinstance(content, dict) and content.get("license"):
            return str(content["license"])
    return None


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
    modules: list[dict[str, Any]] = msgspec.json.decode((folder / "modules.json").read_bytes())
    for module, part in zip(modules, model, strict=True):
        package, _, name = module["type"].rpartition(".")
        if not package.startswith("sentence_transformers.") or name not in _OLD_NAMES:
            continue
        module["type"] = f"sentence_transformers.models.{name}"
        path = folder / module["path"] / ("sentence_bert_config.json" if name == "Transformer" else "config.json")
        if path.is_file():
            _write(path, _old_settings(name, part, msgspec.json.decode(path.read_bytes())))
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
