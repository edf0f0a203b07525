"""The folder of a trained model: what it was made from, its card, and its atomic creation."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import yaml
from msgspec import Struct

from lrat_sim import catalog, foreign
from lrat_sim.artifact import check_fingerprint, fingerprint, fingerprint_file, read_json, write_json, write_text
from lrat_sim.errors import InputError
from lrat_sim.text import minilm_folder
from lrat_sim.training.settings import TrainingSettings

RECORD, _IDENTITY = "training.json", "identity.json"
_NOT_WEIGHTS = {"README.md", RECORD}  # files of a model folder that may change without changing what it computes

METRIC = "nDCG@10"
"""The figure of a measurement that decides which weights are kept."""
_LOGGED = 200  # entries of the loss log of a whole run, about


class StepLoss(Struct, frozen=True):
    """The mean loss of the steps up to and including ``step``, since the entry before."""

    step: int
    loss: float


class Measured(Struct, frozen=True):
    """What the model of a step measured on the development pairs; step 0 is the base model."""

    step: int
    figures: dict[str, float]


class TrainingRecord(Struct, frozen=True, kw_only=True):
    """``training.json``: all that is known of how a model was made."""

    identity: dict[str, Any]  # decides the weights: settings, fingerprints of pairs, corpus and base model
    base_model: str  # where the base lay
    base_name: str  # what others know it by
    dataset: str  # the name of the data set of the documents
    pairs: int
    steps: int
    losses: list[StepLoss]
    seconds: float
    kind: str = "encoder"
    query_text: str = "query"  # what the queries of the pairs are, and what the model is to be asked with
    base_query_text: str = "query"
    development: list[Measured] = []
    kept_step: int | None = None  # whose weights these are
    rejected: int = 0  # pairs that were passed over since the agent rejected their document
    licence: str | None = None  # the base model's, as its card names it
    machine: dict[str, Any] = {}  # what it ran on
    figures: dict[str, float | str] = {}  # results that were measured later and belong on the card


def mean_losses(losses: Sequence[float]) -> list[StepLoss]:
    """The losses of all steps as about 200 means; the first and the last step have one in any case."""
    every = math.ceil(len(losses) / _LOGGED)
    ends = sorted({1, len(losses), *range(every, len(losses), every)})
    return [
        StepLoss(end, sum(losses[start:end]) / (end - start))
        for start, end in zip([0, *ends], ends, strict=False)
    ]  # fmt: skip


def identity(settings: TrainingSettings, **fingerprints: str) -> dict[str, Any]:
    """What decides the weights: equal identities on one machine give equal weights."""
    fields = settings.decisive()
    # how often a run saves itself plays no part; of a teacher its fingerprint counts, not where it lies
    del fields["checkpoint_steps"], fields["teacher"]
    return {**fields, **fingerprints}


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


def read_record(folder: Path) -> TrainingRecord:
    """How the model in a folder was made."""
    return read_json(folder / RECORD, TrainingRecord, "the record of a trained model", "train into another folder")


def is_trained(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether a folder already holds the model of this identity; one that holds anything else is refused."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    check_fingerprint(
        f"the model at {folder}", read_record(folder).identity, wanted, "delete that folder or train into another one"
    )
    return True


def claim(unfinished: Path, wanted: dict[str, Any]) -> None:
    """Makes the folder of an unfinished run this run's own, or takes up one of the same identity; refuses others."""
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
    """Adds results measured on a trained model to its record and its card, numbers or texts by name."""
    record = read_record(folder)
    _describe(folder, msgspec.structs.replace(record, figures={**record.figures, **figures}))


def _describe(folder: Path, record: TrainingRecord) -> None:
    write_json(folder / RECORD, record)
    write_text(folder / "README.md", model_card(record))


def model_card(record: TrainingRecord) -> str:
    """The README.md of a trained model: data, recipe, figures, fingerprints, licence, how to use it."""
    task, *tags = {
        "encoder": ("sentence-similarity", "sentence-similarity", "dense-retrieval"),
        "multivector": ("sentence-similarity", "multi-vector", "late-interaction", "colbert"),
        "sparse": ("feature-extraction", "sparse-encoder", "splade"),
        "reranker": ("text-ranking", "cross-encoder"),
    }[record.kind]
    head: dict[str, Any] = {
        "library_name": "sentence-transformers",
        "pipeline_tag": task,
        "tags": ["sentence-transformers", *tags, "lrat"],
        "base_model": record.base_name,
        "datasets": [record.dataset],
    }
    if record.licence:
        head["license"] = record.licence
    fingerprints = {"pairs", "corpus", "base_model", "teacher", "kind"} & record.identity.keys()
    recipe = {key: value for key, value in record.identity.items() if key not in fingerprints}
    figures: dict[str, Any] = {}
    if record.losses:
        figures |= {"loss at the start": record.losses[0].loss, "loss at the end": record.losses[-1].loss}
    for measured in record.development:
        when = f"after step {measured.step}" if measured.step else "of the base model"
        kept = ", kept" if measured.step == record.kept_step else ""
        figures |= {f"development {name} {when}{kept}": value for name, value in measured.figures.items()}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["shown"] = _shown
    template = environment.from_string((files("lrat_sim.training") / "card.md.jinja").read_text("utf-8"))
    return template.render(
        record=record,
        head=yaml.safe_dump(head, sort_keys=False),
        recipe={**recipe, "steps": record.steps, "seconds": round(record.seconds, 1)},
        figures={**figures, **record.figures},
        fingerprints={name: record.identity[name] for name in sorted(fingerprints)} | record.machine,
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
