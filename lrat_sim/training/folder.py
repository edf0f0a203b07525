"""The folder of a trained model: what it was made from, its card, and how it comes to be there whole."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, field

from lrat_sim.artifact import check_fingerprint, read_json, write_json, write_text
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.training.settings import TrainingSettings

RECORD, _IDENTITY = "training.json", "identity.json"


class StepLoss(Struct, frozen=True):
    """The mean loss of the steps up to and including ``step``, since the entry before."""

    step: int
    loss: float


class Measured(Struct, frozen=True):
    """What the model of a step measured on the development pairs; step 0 is the base model."""

    step: int
    figures: dict[str, float]


class TrainingRecord(Struct, frozen=True, kw_only=True):
    """``training.json``: all that is known of how a model was made.

    ``identity`` decides the weights (settings, fingerprints of pairs, corpus and base model); ``machine`` is what it
    ran on; ``figures`` are results that were measured later and belong on the card.  ``kept_step`` is the step whose
    weights these are, ``rejected`` counts pairs that were passed over since the agent rejected their document,
    ``licence`` is the base model's as its card names it.
    """

    identity: dict[str, Any]
    base_model: str
    pairs: int
    steps: int
    losses: list[StepLoss]
    seconds: float
    kind: str = "encoder"
    development: list[Measured] = field(default_factory=list)
    kept_step: int | None = None
    rejected: int = 0
    licence: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | str] = field(default_factory=dict)


_ALWAYS = {
    "epochs", "batch_size", "learning_rate", "warmup", "temperature", "similarity", "group_size", "negatives",
    "in_batch_negatives", "pair_weights", "max_query_length", "max_document_length", "freeze_layers", "dropout",
    "weight_decay", "max_gradient_norm", "bf16", "seed",
}  # fmt: skip
"""Settings that an identity names whatever their value; the rest where it is not the default, so that a folder from
before they existed is still known."""


def identity(settings: TrainingSettings, **fingerprints: str) -> dict[str, Any]:
    """What decides the weights: equal identities on one machine give equal weights.

    Args:
        settings: of the run; how often it saves itself plays no part.
        fingerprints: those of ``pairs``, ``corpus``, ``base_model``, and of a ``teacher`` where there is one.
    """
    usual = TrainingSettings()
    fields = {
        key: value
        for key, value in msgspec.to_builtins(settings).items()
        if key != "checkpoint_steps" and (key in _ALWAYS or value != getattr(usual, key))
    }
    return {**fields, **fingerprints}


def read_record(folder: Path) -> TrainingRecord:
    """How the model in a folder was made.

    Raises:
        InputError: the folder holds no model that lrat-sim trained.
    """
    path = folder / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainingRecord)
    except (OSError, *NOT_JSON) as error:
        raise InputError(f"{path} does not describe a trained model ({error}); train into another folder.") from error


def is_trained(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether a folder already holds the model of this identity.

    Raises:
        FingerprintMismatch: it holds a model of another identity; names what differs.
        InputError: it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    check_fingerprint(
        f"the model at {folder}", read_record(folder).identity, wanted, "delete that folder or train into another one"
    )
    return True


def claim(unfinished: Path, wanted: dict[str, Any]) -> None:
    """Makes the folder of an unfinished run this run's own, or takes up one of the same identity.

    Raises:
        FingerprintMismatch: a run of another identity was left there unfinished; names what differs.
    """
    path = unfinished / _IDENTITY
    if not path.exists() and (strangers := {each.name for each in unfinished.iterdir()} - {"lock"}):
        raise InputError(
            f"{unfinished} is to hold the training until it is finished, and holds {min(strangers)}, which is of none; "
            "train into another folder."
        )
    if path.exists():
        check_fingerprint(
            f"the unfinished training at {unfinished}",
            read_json(path, dict[str, Any], "what a training was begun with", "train into another folder"),
            wanted,
            "delete that folder or train into another one",
        )
    else:
        write_json(path, wanted)


def settle(finished: Path, folder: Path, record: TrainingRecord) -> None:
    """Writes record and card beside the weights, and puts the whole in its place by one renaming."""
    _describe(finished, record)
    if folder.is_dir():
        folder.rmdir()  # empty, as is_trained has seen; anything else stays and the error says so
    finished.replace(folder)


def add_figures(folder: Path, figures: Mapping[str, float | str]) -> None:
    """Adds results measured on a trained model to its record and its card; those of the same name are replaced.

    Args:
        folder: of the model.
        figures: a name ("success on 300 held-out tasks") to a value, or to a text with its interval.
    """
    record = read_record(folder)
    record = msgspec.structs.replace(record, figures={**record.figures, **figures})
    _describe(folder, record)


def _describe(folder: Path, record: TrainingRecord) -> None:
    write_json(folder / RECORD, record)
    write_text(folder / "README.md", model_card(record))


def model_card(record: TrainingRecord) -> str:
    """The README.md of a trained model: data, recipe, figures, fingerprints, licence, how to use it."""
    encoder = record.kind == "encoder"
    head: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity" if encoder else "text-ranking",
        "tags": ["sentence-transformers", "sentence-similarity" if encoder else "cross-encoder", "lrat"],
    }
    if encoder:
        head["tags"].append("dense-retrieval")
    if "/" in record.base_model and not Path(record.base_model).is_absolute():
        head["base_model"] = record.base_model
    if record.licence:
        head["license"] = record.licence
    fingerprints = {"pairs", "corpus", "base_model", "teacher", "kind"} & record.identity.keys()
    recipe = {key: value for key, value in record.identity.items() if key not in fingerprints}
    base = Path(record.base_model).name
    what = "An encoder for dense retrieval" if encoder else "A cross-encoder that ranks what a retriever found"
    passed = f" {record.rejected} further ones name a document that the agent rejected and were passed over."
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
            f"# A {'retriever' if encoder else 'reranker'} trained from agent trajectories",
            f"{what}, trained from `{base}` on what search agents "
            "found useful, after LRAT (Learning to Retrieve from Agent Trajectories, arXiv 2604.04949), with lrat-sim.",
            "## Data",
            f"{record.pairs} pairs of a query that an agent wrote and a document that helped it, with the documents "
            "it passed over as negatives. The text of a document is its title, a line break and its text."
            + (passed if record.rejected else ""),
            "## Recipe",
            _table("setting", {**recipe, "steps": record.steps, "seconds": round(record.seconds, 1)}),
            "## Figures",
            _table("figure", _figures(record)),
            "## Fingerprints",
            _table("of", {name: record.identity[name] for name in sorted(fingerprints)} | record.machine),
            "## Licence",
            f"The weights derive from `{base}`, "
            + (f"whose card names the licence {record.licence}" if record.licence else "whose own licence holds")
            + "; see to the terms of the documents and of the agents' models too before passing them on.\n",
            "## Use",
            _USE[record.kind],
        ]
    )


_USE = {
    "encoder": "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
    'model = SentenceTransformer("path/of/this/folder")\n'
    'model.similarity(model.encode_query("a query"), model.encode_document(["a title\\na text"]))\n```\n',
    "reranker": "```python\nfrom sentence_transformers import CrossEncoder\n\n"
    'model = CrossEncoder("path/of/this/folder")\n'
    'model.predict([("a query", "a title\\na text")])\n```\n',
}


def _figures(record: TrainingRecord) -> dict[str, float | str]:
    figures: dict[str, float | str] = {}
    if record.losses:
        figures |= {"loss at the start": record.losses[0].loss, "loss at the end": record.losses[-1].loss}
    for measured in record.development:
        when = f"after step {measured.step}" if measured.step else "of the base model"
        kept = ", kept" if measured.step == record.kept_step else ""
        figures |= {f"development {name} {when}{kept}": value for name, value in measured.figures.items()}
    return {**figures, **record.figures}


def _table(head: str, rows: Mapping[str, Any]) -> str:
    def shown(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value).replace("|", "\\|")

    lines = [f"| {head} | value |", "|---|---|", *(f"| {name} | {shown(value)} |" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def discard(unfinished: Path) -> None:
    """Removes the trainer's own files; they never leave the training folder."""
    if (unfinished / _IDENTITY).exists():
        shutil.rmtree(unfinished, ignore_errors=True)
