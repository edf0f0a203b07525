"""The trainer of sentence-transformers on our batches, loss and checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback

from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.retrieval.hardware import best_device, gains_from_bf16
from lrat_sim.training.data import Collator, EpochBatches, PairDataset
from lrat_sim.training.loss import WeightedInfoNCE
from lrat_sim.training.settings import TrainingSettings

_WHOLE = "whole"
"""A file in a checkpoint that is written after all others: one without it was cut off by a kill."""

_LOGGED = 200
"""Entries of the loss log of a whole run, about."""


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
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]  # a loader stays one

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
            raise not_finite(self.state.global_step + 1, self.settings)
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


def last_checkpoint(checkpoints: Path) -> Path | None:
    """The latest whole checkpoint in a trainer's folder, None where there is none."""
    found = {
        int(mark.parent.name.rpartition("-")[2]): mark.parent for mark in checkpoints.glob(f"checkpoint-*/{_WHOLE}")
    }
    return found[max(found)] if found else None


def not_finite(step: int, settings: TrainingSettings) -> InputError:
    """The error for a run whose loss or weights left the finite numbers at a step."""
    return InputError(
        f"the training loss is no longer a finite number at step {step} (learning_rate {settings.learning_rate}, "
        f"temperature {settings.temperature}); lower learning_rate or raise temperature."
    )
