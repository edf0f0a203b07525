"""Trains a retriever on mined pairs (LRAT, section 5.2)."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy
import sentence_transformers
import torch
import transformers
from filelock import FileLock, Timeout

from lrat_sim.artifact import ensure_folder
from lrat_sim.corpus.dataset import dataset_name
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Pair
from lrat_sim.retrieval.encoder import quiet
from lrat_sim.retrieval.hardware import best_device
from lrat_sim.retrieval.rerank import load_cross_encoder
from lrat_sim.training.data import PairDataset
from lrat_sim.training.distillation import teacher_scores
from lrat_sim.training.distributed import is_main, join, process_count, wait_for_all
from lrat_sim.training.encoder import Encoder
from lrat_sim.training.folder import (
    TrainingRecord,
    claim,
    discard,
    identity,
    is_trained,
    mean_losses,
    settle,
)
from lrat_sim.training.loop import BEST, Trainee, compute_dtype, fit
from lrat_sim.training.model import (
    base_fingerprint,
    base_licence,
    base_name,
    check_tokenizer,
    load_weights,
    make_trainable,
    mix,
)
from lrat_sim.training.settings import TrainingSettings


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

    Rerun after a kill, it resumes from the last checkpoint, to the same weights as without one; it returns at once
    when the model is there.  Until the model is whole it lies, with the checkpoints, in ``<folder>.training`` beside
    it, which is removed at the end.  The same seed gives the same weights on the same machine.

    Started by ``torchrun`` or ``accelerate launch``, all processes train together: ``batch_size`` is that of all of
    them, every document of it is a negative for every row, and but for rounding the result is that of one process.

    Args:
        pairs: read once, in order.
        corpus: holds every positive and negative.
        base_model: a sentence-transformers folder, or a hub id.
        settings: the recipe.
        folder: where the model goes; must not exist, be empty, or hold this very model.
        progress: told (steps done, all steps, the loss of the last one in words).

    Returns:
        ``folder``: weights in safetensors, ``README.md`` (the model card) and ``training.json`` (the record).

    Raises:
        InputError: there are no pairs, a pair names a document that the corpus does not hold, the base model cannot
            be loaded, the folder holds something else, another process trains there, or the loss is no longer finite.
        FingerprintMismatch: the folder holds a model, or an unfinished one, from other pairs, settings, corpus or
            base; names what differs.
    """
    return train_model(Encoder, pairs, corpus, base_model, settings, folder, progress)


class KindOfModel(Trainee, Protocol):
    """A model in training that can be saved."""

    kind: str
    """``encoder`` or ``reranker``."""

    def save(self, folder: Path) -> None:
        """Writes the model without card."""
        ...


def train_model(
    kind: Callable[[str | Path, PairDataset, TrainingSettings], KindOfModel],
    pairs: Iterable[Pair],
    corpus: Corpus,
    base_model: str | Path,
    settings: TrainingSettings,
    folder: Path,
    progress: ProgressCallback | None,
) -> Path:
    """:func:`train` for any kind of model; ``kind`` loads its base."""
    join()
    dataset = PairDataset(pairs, corpus, settings)
    fingerprints = {
        "kind": kind.kind,  # type: ignore[attr-defined]  # both kinds are classes
        "pairs": dataset.fingerprint,
        "corpus": corpus.fingerprint,
        "base_model": base_fingerprint(base_model),
    }
    if settings.teacher:
        fingerprints["teacher"] = base_fingerprint(settings.teacher)
    wanted = identity(settings, **fingerprints)
    unfinished = folder.with_name(folder.name + ".training")
    if is_trained(folder, wanted):
        if is_main():
            discard(unfinished)
            if progress:
                progress(1, 1, f"model, reused from {folder}: it is of these pairs and settings")
        return folder
    started = time.monotonic()
    lock = FileLock(unfinished / "lock")
    # what is drawn in training, and what the libraries say of it, is none of the caller's business
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), quiet():
        for model_folder in (base_model, settings.teacher or base_model):
            check_tokenizer(model_folder)
        trainee = kind(base_model, dataset, settings)
        adapters = make_trainable(trainee.model, settings)
        try:
            if is_main():
                ensure_folder(unfinished)
                lock.acquire(timeout=0)
                claim(unfinished, wanted)
            wait_for_all()
            if settings.teacher:
                _teach(dataset, settings.teacher, unfinished / "teacher.npy", progress)
            try:
                history = fit(trainee, dataset, settings, unfinished / "checkpoints", progress)
            except InputError:
                if is_main():
                    discard(unfinished)  # resumed from its checkpoints it would end the same way
                raise
            if is_main():
                best = history.best
                if best is not None:
                    load_weights(trainee.model, unfinished / "checkpoints" / BEST)
                if adapters is not None:
                    adapters.merge_and_unload()
                if settings.base_share:
                    mix(trainee.model, kind(base_model, dataset, settings).model, settings.base_share)
                trainee.save(unfinished / "model")
                record = TrainingRecord(
                    identity=wanted,
                    base_model=str(base_model),
                    base_name=base_name(base_model),
                    dataset=dataset_name(corpus),
                    pairs=len(dataset.examples),
                    steps=dataset.steps,
                    losses=mean_losses(history.losses),
                    seconds=time.monotonic() - started,
                    kind=trainee.kind,
                    development=history.development,
                    kept_step=best.step if best else dataset.steps,
                    rejected=dataset.rejected,
                    licence=base_licence(base_model),
                    machine=_machine(settings),
                )
                settle(unfinished / "model", folder, record)
        except Timeout as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or choose another.") from error
        finally:
            lock.release()
    if is_main():
        discard(unfinished)
    wait_for_all()
    return folder


def _teach(dataset: PairDataset, teacher: str, path: Path, progress: ProgressCallback | None) -> None:
    """Scores the pairs, by the first process, for all of them to read."""
    if is_main():
        teacher_scores(load_cross_encoder(teacher, best_device()), dataset.groups(), path, progress)
    wait_for_all()
    dataset.teach(numpy.load(path, allow_pickle=False))


def _machine(settings: TrainingSettings) -> dict[str, Any]:
    device = best_device()
    return {
        "device": device,
        "processes": process_count(),
        "precision": str(compute_dtype(settings, device)).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "sentence-transformers": sentence_transformers.__version__,
    }
