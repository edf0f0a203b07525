"""A saved encoder in the form that sentence-transformers 3, 5 and 6 all load.

Version 6 writes the new names of its modules and settings into a model folder, and reads the old ones too; earlier
versions know the old ones alone, and refuse a setting that they do not know.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

_OLD_NAMES = {"Transformer", "Pooling", "Normalize", "Dense", "Dropout", "LayerNorm", "WordEmbeddings", "CNN", "LSTM"}
"""Modules that earlier versions have under ``sentence_transformers.models``."""

_OF_TEXT: dict[str, Any] = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
_READ_TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}
_POOLING = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def save_encoder(model: Any, folder: Path) -> None:
    """Writes an encoder to a folder, without a card.

    What has no old form (a model of images, a module of version 6 alone) stays as version 6 writes it.

    Args:
        model: a ``SentenceTransformer``.
        folder: made by this.
    """
    model.save_pretrained(str(folder), create_model_card=False)
    modules: list[dict[str, Any]] = msgspec.json.decode((folder / "modules.json").read_bytes())
    for module, part in zip(modules, model, strict=True):
        name = module["type"].rpartition(".")[2]
        if not module["type"].startswith("sentence_transformers.") or name not in _OLD_NAMES:
            continue
        module["type"] = f"sentence_transformers.models.{name}"
        place = folder / module["path"]
        if name == "Transformer":
            _rewrite(place / "sentence_bert_config.json", partial(_transformer, part))
        elif name in _CONFIGS:
            _rewrite(place / "config.json", _CONFIGS[name])
    _write(folder / "modules.json", modules)


def _transformer(part: Any, config: dict[str, Any]) -> dict[str, Any]:
    reads_text = config.get("modality_config", {}).get("text") == _READ_TEXT
    if reads_text and all(config.get(key) == value for key, value in _OF_TEXT.items()):
        config = {key: value for key, value in config.items() if key not in ("modality_config", *_OF_TEXT)}
    return {"max_seq_length": part.max_seq_length, "do_lower_case": part.do_lower_case, **config}


def _pooling(config: dict[str, Any]) -> dict[str, Any]:
    modes = config["pooling_mode"]
    modes = (modes,) if isinstance(modes, str) else modes
    return {
        "word_embedding_dimension": config["embedding_dimension"],
        **{old: mode in modes for mode, old in _POOLING.items()},
        "include_prompt": config["include_prompt"],
    }


def _on_texts(config: dict[str, Any]) -> dict[str, Any]:
    """Without the names of what is read and written, where they are those that earlier versions take."""
    names = ("module_input_name", "module_output_name")
    if any(config.get(name, "sentence_embedding") != "sentence_embedding" for name in names):
        return config
    return {key: value for key, value in config.items() if key not in names}


_CONFIGS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Pooling": _pooling,
    "Normalize": _on_texts,
    "Dense": _on_texts,
}


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if path.is_file():
        _write(path, change(msgspec.json.decode(path.read_bytes())))


def _write(path: Path, content: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
