"""A training run of any kind of model: its folder, its parts in order, its record."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import sentence_transformers
import torch
import transformers
from filelock import FileLock, Timeout
from sentence_transformers import CrossEncoder

from lrat_sim.artifact import ensure_folder
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Pair
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.rerank import load_cross_encoder
from lrat_sim.training.base import (
    attend_plainly,
    base_fingerprint,
    base_licence,
    check_tokenizer,
    freeze_layers,
    load_weights,
    mix,
    without_dropout,
)
from lrat_sim.training.data import PairDataset
from lrat_sim.training.development import METRICS
from lrat_sim.training.distillation import teacher_scores
from lrat_sim.training.folder import (
    Measured,
    StepLoss,
    TrainingRecord,
    claim,
    discard,
    identity,
    is_trained,
    settle,
)
from lrat_sim.training.lora import add_adapters, merge_adapters
from lrat_sim.training.pair_trainer import (
    BEST,
    PairTrainer,
    best_measurement,
    last_checkpoint,
    measurements,
    not_finite,
)
from lrat_sim.training.processes import join, process_index, wait_for_all
from lrat_sim.training.saved import save_encoder
from lrat_sim.training.settings import TrainingSettings
from lrat_sim.training.surroundings import own_randomness, quiet

_SHORT = 128
"""Tokens up to which plain attention is the faster one on a CPU, at little memory."""


class Task(NamedTuple):
    """What training does differently for one kind of model.

    Attributes:
        kind: ``encoder`` or ``reranker``; a part of the identity of all but encoders.
        load: the model from its base.
        trainer: of the model on the pairs, with its checkpoints in the folder given.
    """

    kind: str
    load: Callable[[str | Path, TrainingSettings], Any]
    trainer: Callable[[Any, PairDataset, TrainingSettings, Path, ProgressCallback | None], PairTrainer]


def run_task(
    task: Task,
    pairs: Iterable[Pair],
    corpus: Corpus,
    base_model: str | Path,
    settings: TrainingSettings,
    folder: Path,
    progress: ProgressCallback | None,
) -> Path:
    """:func:`lrat_sim.training.trainer.train` for any kind of model."""
    join()
    main = process_index() == 0
    dataset = PairDataset(pairs, corpus, settings)
    fingerprints = {
        "pairs": dataset.fingerprint,
        "corpus": corpus.fingerprint,
        "base_model": base_fingerprint(base_model),
        **({"teacher": base_fingerprint(settings.teacher)} if settings.teacher else {}),
        **({"kind": task.kind} if task.kind != "encoder" else {}),
    }
    wanted = identity(settings, **fingerprints)
    unfinished = folder.with_name(folder.name + ".training")
    if is_trained(folder, wanted):
        if main:
            discard(unfinished)
        if progress and main:
            progress(1, 1, f"model, reused from {folder}: it is of these pairs and settings")
        return folder
    started = time.monotonic()
    with quiet(), own_randomness():
        model, adapters = _prepared(task, base_model, settings)
        if main:
            ensure_folder(unfinished)
        wait_for_all()
        lock = FileLock(unfinished / "lock")
        try:
            if main:
                lock.acquire(timeout=0)
                claim(unfinished, wanted)
            wait_for_all()
            if settings.teacher:
                _taught(dataset, settings.teacher, unfinished / "teacher.npy", progress)
            trainer = _trained(task, model, dataset, settings, unfinished, progress)
            if main:
                kept = _finished(trainer, model, adapters, task, base_model, settings, unfinished)
                record = _record(trainer, task, wanted, str(base_model), kept, time.monotonic() - started)
                settle(unfinished / "model", folder, record)
        except Timeout as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or choose another.") from error
        finally:
            lock.release()
    if main:
        discard(unfinished)
    wait_for_all()
    return folder


def _prepared(task: Task, base_model: str | Path, settings: TrainingSettings) -> tuple[Any, Any]:
    model = task.load(base_model, settings)
    adapters = None
    if settings.lora_rank:
        torch.manual_seed(settings.seed)
        adapters = add_adapters(model.transformers_model, settings.lora_rank, settings.lora_alpha)
    freeze_layers(model, settings.freeze_layers)
    if not settings.dropout:
        without_dropout(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if best_device() == "cpu" and settings.max_document_length <= _SHORT:
        attend_plainly(model)
    return model, adapters


def _taught(dataset: PairDataset, teacher: str, path: Path, progress: ProgressCallback | None) -> None:
    """Scores the pairs, by the first process, for all of them to read."""
    if process_index() == 0:
        if Path(teacher).is_dir():
            check_tokenizer(Path(teacher))
        model: CrossEncoder = load_cross_encoder(teacher, best_device())
        teacher_scores(model, dataset.groups(), path, progress)
    wait_for_all()
    dataset.teach(numpy.load(path, allow_pickle=False))


def _trained(
    task: Task,
    model: Any,
    dataset: PairDataset,
    settings: TrainingSettings,
    unfinished: Path,
    progress: ProgressCallback | None,
) -> PairTrainer:
    trainer = task.trainer(model, dataset, settings, unfinished, progress)
    checkpoint = last_checkpoint(unfinished / "checkpoints")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            raise not_finite(trainer.state.global_step, settings)
    except InputError:
        if process_index() == 0:
            discard(unfinished)  # going on from its checkpoints would end the same way
        raise
    return trainer


def _finished(
    trainer: PairTrainer,
    model: Any,
    adapters: Any,
    task: Task,
    base_model: str | Path,
    settings: TrainingSettings,
    unfinished: Path,
) -> int:
    """Writes the model as it shall be used; returns the step whose weights it has."""
    step = int(trainer.state.global_step)
    best = best_measurement(measurements(trainer.state.log_history))
    if best is not None:
        load_weights(model, unfinished / BEST)
        step = int(best["step"])
    if adapters is not None:
        merge_adapters(adapters)
    if settings.base_share:
        mix(model, task.load(base_model, settings), settings.base_share)
    if task.kind == "encoder":
        # whoever loads the folder shall encode documents as they were trained on
        model.max_seq_length = min(model.max_seq_length or math.inf, settings.max_document_length)
        save_encoder(model, unfinished / "model")
    else:
        model.save_pretrained(str(unfinished / "model"), create_model_card=False)
    return step


def _record(
    trainer: PairTrainer, task: Task, wanted: dict[str, Any], base_model: str, kept: int, seconds: float
) -> TrainingRecord:
    log = trainer.state.log_history
    return TrainingRecord(
        identity=wanted,
        base_model=base_model,
        pairs=len(trainer.dataset),
        steps=trainer.state.global_step,
        losses=[StepLoss(int(entry["step"]), entry["mean_loss"]) for entry in log if "mean_loss" in entry],
        seconds=seconds,
        kind=task.kind,
        development=[
            Measured(entry["step"], {name: entry["development"][name] for name in METRICS})
            for entry in measurements(log)
        ],
        kept_step=kept,
        rejected=trainer.dataset.rejected,
        licence=base_licence(base_model),
        machine={
            "device": str(trainer.args.device),
            "processes": trainer.args.world_size,
            "bf16": trainer.args.bf16,
            "threads": torch.get_num_threads(),
            "processor": platform.processor() or platform.machine(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
        },
    )
