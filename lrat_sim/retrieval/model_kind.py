"""What a model folder holds, by its files alone: light, so that a name can be checked without loading a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lrat_sim.decoding import from_json
from lrat_sim.foreign import NOT_JSON

ModelKind = Literal["dense", "multivector", "sparse"]

_BY_TYPE: dict[str, ModelKind] = {
    "MultiVectorEncoder": "multivector",
    "ColBERT": "multivector",  # PyLate
    "SparseEncoder": "sparse",
}
_BY_MODULE: dict[str, ModelKind] = {"pylate.": "multivector", "sentence_transformers.sparse_encoder.": "sparse"}


def model_kind(model: str | Path) -> ModelKind:
    """The retriever that serves a model: by its folder's files; ``dense`` for a hub id or where they do not say."""
    folder = Path(model)
    config, modules, backbone = (
        _json(folder / name) for name in ("config_sentence_transformers.json", "modules.json", "config.json")
    )
    if (kind := _BY_TYPE.get(str(_field(config, "model_type")))) is not None:
        return kind
    for module in modules if isinstance(modules, list) else []:
        for start, found in _BY_MODULE.items():
            if str(_field(module, "type")).startswith(start):
                return found
    architectures = _field(backbone, "architectures")  # Stanford's ColBERT
    return "multivector" if isinstance(architectures, list) and "HF_ColBERT" in architectures else "dense"


def _json(path: Path) -> Any:
    try:
        return from_json(path.read_bytes())
    except (OSError, *NOT_JSON):
        return None  # whoever loads the model says what is wrong with it


def _field(content: Any, name: str) -> Any:
    return content.get(name) if isinstance(content, dict) else None
