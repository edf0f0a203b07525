"""The folder of a trained model: what it was made from, its card, and how it comes to be there whole."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import yaml
from msgspec import Struct, field

from lrat_sim.artifact import check_fingerprint, read_json, write_json, write_text
from lrat_sim.errors import InputError
from lrat_sim.training.settings import TrainingSettings

RECORD, _IDENTITY = "training.json", "identity.json"

_LOGGED = 200
"""Entries of the loss log of a whole run, about."""


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
    ran on; ``figures`` are results that were measured later and belong on the card.  ``base_model`` is where the base
    lay, ``base_name`` what others know it by, ``dataset`` the name of the data set of the documents.  ``kept_step`` is
    the step whose weights these are, ``rejected`` counts pairs that were passed over since the agent rejected their
    document, ``licence`` is the base model's as its card names it.
    """

    identity: dict[str, Any]
    base_model: str
    base_name: str
    dataset: str
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


def mean_losses(losses: Sequence[float]) -> list[StepLoss]:
    """The losses of all steps as about 200 means; the first and the last step have one in any case."""
    every = math.ceil(len(losses) / _LOGGED)
    ends = sorted({1, len(losses), *range(every, len(losses), every)})
    return [
        StepLoss(end, sum(losses[start:end]) / (end - start))
        for start, end in zip([0, *ends], ends, strict=False)
    ]  # fmt: skip


def identity(settings: TrainingSettings, **fingerprints: str) -> dict[str, Any]:
    """What decides the weights: equal identities on one machine give equal weights.

    Args:
        settings: of the run; how often it saves itself plays no part.
        fingerprints: those of ``pairs``, ``corpus``, ``base_model``, and of a ``teacher`` where there is one.
    """
    fields: dict[str, Any] = msgspec.to_builtins(settings)
    del fields["checkpoint_steps"], fields["teacher"]  # of a teacher its fingerprint counts, not where it lies
    return {**fields, **fingerprints}


def read_record(folder: Path) -> TrainingRecord:
    """How the model in a folder was made.

    Raises:
        InputError: the folder holds no model that lrat-sim trained.
    """
    return read_json(folder / RECORD, TrainingRecord, "the record of a trained model", "train into another folder")


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
        InputError: the folder holds something else.
    """
    path = unfinished / _IDENTITY
    if path.exists():
        check_fingerprint(
            f"the unfinished training at {unfinished}",
            read_json(path, dict[str, Any], "what a training was begun with", "train into another folder"),
            wanted,
            "delete that folder or train into another one",
        )
    elif strangers := {entry.name for entry in unfinished.iterdir()} - {"lock"}:
        raise InputError(
            f"{unfinished} is to hold the training until it is finished, and holds {min(strangers)}, which is of none; "
            "train into another folder."
        )
    else:
        write_json(path, wanted)


def settle(finished: Path, folder: Path, record: TrainingRecord) -> None:
    """Writes record and card beside the weights, and puts the whole in its place by one renaming."""
    _describe(finished, record)
    mode = (finished / RECORD).stat().st_mode  # as the umask has it; safetensors lets nobody else read its files
    for path in finished.rglob("*"):
        if path.is_file():
            path.chmod(mode)
    if folder.is_dir():
        folder.rmdir()  # empty, as is_trained has seen; anything else stays and the error says so
    finished.replace(folder)


def discard(unfinished: Path) -> None:
    """Removes the files of a run; its checkpoints never leave the training folder."""
    if (unfinished / _IDENTITY).exists():
        shutil.rmtree(unfinished, ignore_errors=True)


def add_figures(folder: Path, figures: Mapping[str, float | str]) -> None:
    """Adds results measured on a trained model to its record and its card; those of the same name are replaced.

    Args:
        folder: of the model.
        figures: a name ("success on 300 held-out tasks") to a value, or to a text with its interval.
    """
    record = read_record(folder)
    _describe(folder, msgspec.structs.replace(record, figures={**record.figures, **figures}))


def _describe(folder: Path, record: TrainingRecord) -> None:
    write_json(folder / RECORD, record)
    write_text(folder / "README.md", model_card(record))


def model_card(record: TrainingRecord) -> str:
    """The README.md of a trained model: data, recipe, figures, fingerprints, licence, how to use it."""
    task, *tags = {
        "encoder": ("sentence-similarity", "sentence-similarity", "dense-retrieval"),
        "reranker": ("text-ranking", "cross-encoder"),
    }[record.kind]
    head = {
        "library_name": "sentence-transformers",
        "pipeline_tag": task,
        "tags": ["sentence-transformers", *tags, "lrat"],
        "base_model": record.base_name,
        "datasets": [record.dataset],
        **({"license": record.licence} if record.licence else {}),
    }
    fingerprints = {"pairs", "corpus", "base_model", "teacher", "kind"} & record.identity.keys()
    recipe = {key: value for key, value in record.identity.items() if key not in fingerprints}
    figures: dict[str, Any] = {}
    if record.losses:
        figures |= {"loss at the start": record.losses[0].loss, "loss at the end": record.losses[-1].loss}
    for measured in record.development:
        when = f"after step {measured.step}" if measured.step else "of the base model"
        kept = ", kept" if measured.step == record.kept_step else ""
        figures |= {f"development {name} {when}{kept}": value for name, value in measured.figures.items()}
    return _template().render(
        record=record,
        head=yaml.safe_dump(head, sort_keys=False),
        recipe={**recipe, "steps": record.steps, "seconds": round(record.seconds, 1)},
        figures={**figures, **record.figures},
        fingerprints={name: record.identity[name] for name in sorted(fingerprints)} | record.machine,
    )


@lru_cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["shown"] = _shown
    return environment.from_string((files("lrat_sim.training") / "card.md.jinja").read_text("utf-8"))


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
