"""Trains a retriever on mined pairs (LRAT, section 5.2)."""

from __future__ import annotations

import logging
import math
import platform
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import sentence_transformers
import torch
import transformers
from filelock import FileLock, Timeout
from sentence_transformers import SentenceTransformer

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Pair
from lrat_sim.retrieval.encoder import load_model
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.store import ensure_folder
from lrat_sim.training.base import attend_plainly, base_fingerprint, freeze_layers, without_dropout
from lrat_sim.training.data import PairDataset
from lrat_sim.training.folder import StepLoss, TrainingRecord, claim, discard, identity, is_trained, settle
from lrat_sim.training.pair_trainer import PairTrainer, last_checkpoint, not_finite
from lrat_sim.training.settings import TrainingSettings

_SHORT = 128
"""Tokens up to which plain attention is the faster one on a CPU, at little memory."""


def train(
    pairs: Iterable[Pair],
    corpus: Corpus,
    base_model: str | Path,
    settings: TrainingSettings,
    folder: Path,
    *,
    progress: ProgressCallback | None = None,
) -> Path:
    """Trains an encoder on pairs and writes it as a sentence-transformers model folder.

    The same call again goes on from the last checkpoint after a kill, to the same weights as without one, and returns
    at once when the model is there.  Until the model is whole it lies, with the checkpoints, in ``<folder>.training``
    beside it, which is removed at the end.  The same seed gives the same weights on the same machine.

    Args:
        pairs: read once, in order.
        corpus: holds every positive and negative.
        base_model: a sentence-transformers folder, or a hub id.
        settings: the recipe.
        folder: where the model shall lie; must not exist, be empty, or hold this very model.
        progress: told (steps done, all steps, the loss of the last one in words).

    Returns:
        ``folder``: weights in safetensors, ``README.md`` (the model card) and ``training.json`` (the record).

    Raises:
        InputError: there are no pairs, a pair names a document that the corpus does not hold, the base model cannot
            be loaded, the folder holds something else, another process trains there, or the loss is no longer finite.
        FingerprintMismatch: the folder holds a model, or an unfinished one, from other pairs, settings, corpus or
            base; names what differs.
    """
    dataset = PairDataset(pairs, corpus, settings)
    wanted = identity(
        settings, pairs=dataset.fingerprint, corpus=corpus.fingerprint, base_model=base_fingerprint(base_model)
    )
    unfinished = folder.with_name(folder.name + ".training")
    if is_trained(folder, wanted):
        discard(unfinished)
        if progress:
            progress(1, 1, f"model, reused from {folder}: it is of these pairs and settings")
        return folder
    started = time.monotonic()
    with _quiet(), _own_randomness():
        model = _prepared(base_model, settings)
        ensure_folder(unfinished)
        try:
            with FileLock(unfinished / "lock", timeout=0):
                claim(unfinished, wanted)
                trainer = _trained(model, dataset, settings, unfinished, progress)
                # whoever loads the folder shall encode documents as they were trained on
                model.max_seq_length = min(model.max_seq_length or math.inf, settings.max_document_length)
                model.save_pretrained(str(unfinished / "model"), create_model_card=False)
                record = _record(trainer, wanted, str(base_model), time.monotonic() - started)
                settle(unfinished / "model", folder, record)
        except Timeout as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or choose another.") from error
    discard(unfinished)
    return folder


def _prepared(base_model: str | Path, settings: TrainingSettings) -> SentenceTransformer:
    model = load_model(base_model, "cpu")  # the trainer moves it
    freeze_layers(model, settings.freeze_layers)
    if not settings.dropout:
        without_dropout(model)
    if best_device() == "cpu" and settings.max_document_length <= _SHORT:
        attend_plainly(model)
    return model


def _trained(
    model: SentenceTransformer,
    dataset: PairDataset,
    settings: TrainingSettings,
    unfinished: Path,
    progress: ProgressCallback | None,
) -> PairTrainer:
    trainer = PairTrainer(model, dataset, settings, unfinished / "checkpoints", progress)
    checkpoint = last_checkpoint(unfinished / "checkpoints")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            raise not_finite(trainer.state.global_step, settings)
    except InputError:
        discard(unfinished)  # going on from its checkpoints would end the same way
        raise
    return trainer


def _record(trainer: PairTrainer, wanted: dict[str, Any], base_model: str, seconds: float) -> TrainingRecord:
    log = trainer.state.log_history
    return TrainingRecord(
        identity=wanted,
        base_model=base_model,
        pairs=len(trainer.dataset),
        steps=trainer.state.global_step,
        losses=[StepLoss(int(entry["step"]), entry["mean_loss"]) for entry in log if "mean_loss" in entry],
        seconds=seconds,
        machine={
            "device": str(trainer.args.device),
            "bf16": trainer.args.bf16,
            "threads": torch.get_num_threads(),
            "processor": platform.processor() or platform.machine(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "sentence-transformers": sentence_transformers.__version__,
        },
    )


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Gives the caller's random states back: the trainer seeds Python's, numpy's and torch's global ones."""
    python, arrays = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(arrays)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what loading and training print of themselves; progress is reported by the callback alone."""
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers", "accelerate")]
    levels = [logger.level for logger in loggers]
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
