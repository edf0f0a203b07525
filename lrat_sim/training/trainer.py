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
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Pair
from lrat_sim.retrieval.hardware import best_device, gains_from_bf16
from lrat_sim.store import ensure_folder
from lrat_sim.training.base import attend_plainly, base_fingerprint, freeze_layers, load_base, without_dropout
from lrat_sim.training.data import Collator, EpochBatches, PairDataset
from lrat_sim.training.folder import StepLoss, TrainingRecord, claim, discard, identity, is_trained, settle
from lrat_sim.training.loss import WeightedInfoNCE
from lrat_sim.training.settings import TrainingSettings

_WHOLE = "whole"
"""A file in a checkpoint that is written after all others: one without it was cut off by a kill."""

_SHORT = 128
"""Tokens up to which plain attention is the faster one on a CPU, at little memory."""

_LOGGED = 200
"""Entries of the loss log of a whole run, about."""


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
            progress(1, 1, f"the model at {folder} is from these pairs and settings: reused")
        return folder
    started = time.monotonic()
    with _quiet(), _own_randomness():
        model = _prepared(base_model, settings)
        ensure_folder(unfinished)
        try:
            with FileLock(unfinished / "lock", timeout=0):
                claim(unfinished, wanted)
                trainer = _trained(model, dataset, settings, unfinished, progress)
                model.save_pretrained(str(unfinished / "model"), create_model_card=False)
                record = _record(trainer, wanted, str(base_model), time.monotonic() - started)
                settle(unfinished / "model", folder, record)
        except Timeout as error:
            raise InputError(f"{folder} is being trained by another process; wait for it or choose another.") from error
    discard(unfinished)
    return folder


def _prepared(base_model: str | Path, settings: TrainingSettings) -> SentenceTransformer:
    model = load_base(base_model)
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
    checkpoint = _last_checkpoint(unfinished / "checkpoints")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            raise _not_finite(trainer.state.global_step, settings)
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


class PairTrainer(SentenceTransformerTrainer):
    """The trainer of sentence-transformers on our batches, loss and checkpoints.

    Args:
        model: trained in place; frozen parameters stay.
        dataset: the pairs.
        settings: the recipe.
        checkpoints: a folder for the trainer's own files.
        progress: told every step.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        dataset: PairDataset,
        settings: TrainingSettings,
        checkpoints: Path,
        progress: ProgressCallback | None = None,
    ):
        self.settings, self.dataset = settings, dataset
        self.batches = EpochBatches(len(dataset), settings)
        self.step_loss = math.nan
        device = best_device()
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=1,  # EpochBatches lays all epochs out as one
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=math.ceil(settings.warmup * len(self.batches)),
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_gradient_norm,
            use_cpu=device == "cpu",
            bf16=gains_from_bf16(device) if settings.bf16 == "auto" else settings.bf16,
            seed=settings.seed,
            save_strategy="steps",
            save_steps=settings.checkpoint_steps,
            save_total_limit=1,
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_num_workers=0,
            dataloader_pin_memory=device != "cpu",
            ddp_find_unused_parameters=True,  # a BERT's pooler is never used
        )
        loss = WeightedInfoNCE(
            model,
            temperature=settings.temperature,
            similarity=settings.similarity,
            in_batch_negatives=settings.in_batch_negatives,
        )
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=dataset,
            loss=loss,
            data_collator=Collator(model, dataset.corpus, settings),
            callbacks=[_Reporter(self, progress)],
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Our batches in our order."""
        loader = DataLoader(
            self.dataset,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]

    def preprocess_dataset(self, dataset: Any = None, dataset_name: str | None = None) -> Any:
        """Pairs need no preparation: the collator makes the columns."""
        return dataset

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: the card is our own, and theirs would ask the hub for the base model."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The loss of one batch.

        Raises:
            InputError: it is not finite.
        """
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        assert isinstance(loss, torch.Tensor)
        self.step_loss = float(loss.detach())
        if not math.isfinite(self.step_loss):
            raise _not_finite(self.state.global_step + 1, self.settings)
        return loss

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # the inherited one writes a model card and a pickle of the arguments, neither of which a checkpoint needs
        self.model.save_pretrained(str(output_dir or self.args.output_dir), create_model_card=False)


class _Reporter(TrainerCallback):
    """Reports every step, keeps the loss log in the trainer's state, and marks checkpoints as whole."""

    def __init__(self, trainer: PairTrainer, progress: ProgressCallback | None):
        self._trainer, self._progress = trainer, progress
        self._sum, self._count = 0.0, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        loss = self._trainer.step_loss
        self._sum, self._count = self._sum + loss, self._count + 1
        # a checkpoint ends an entry, so that a resumed run logs what an uninterrupted one does
        if (
            self._count * _LOGGED >= state.max_steps
            or state.global_step in (1, state.max_steps)
            or state.global_step % args.save_steps == 0
        ):
            state.log_history.append({"step": state.global_step, "mean_loss": self._sum / self._count})
            self._sum, self._count = 0.0, 0
        if self._progress:
            self._progress(state.global_step, state.max_steps, f"training steps, loss {loss:.3f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / _WHOLE).touch()


def _last_checkpoint(checkpoints: Path) -> Path | None:
    found = {
        int(mark.parent.name.rpartition("-")[2]): mark.parent for mark in checkpoints.glob(f"checkpoint-*/{_WHOLE}")
    }
    return found[max(found)] if found else None


def _not_finite(step: int, settings: TrainingSettings) -> InputError:
    return InputError(
        f"the training loss is no longer a finite number at step {step} (learning_rate {settings.learning_rate}, "
        f"temperature {settings.temperature}); lower learning_rate or raise temperature."
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
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
