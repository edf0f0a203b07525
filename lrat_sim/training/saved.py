"""A saved encoder in the form that sentence-transformers 3, 5 and 6 all load.

Version 6 writes the new names of its modules and settings into a model folder, and reads the old ones too; earlier
versions know the old ones alone, and refuse a setting that they do not know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

_OLD_NAMES = {"Transformer", "Pooling", "Normalize", "Dense", "Dropout", "LayerNorm", "WordEmbeddings", "CNN", "LSTM"}
"""Modules that earlier versions have under ``sentence_transformers.models``."""

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


def save_encoder(model: Any, folder: Path) -> None:
    """Writes a ``SentenceTransformer`` to a new folder, without a card.

    What has no old form (a model of images, a module of version 6 alone) stays as version 6 writes it.
    """
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
