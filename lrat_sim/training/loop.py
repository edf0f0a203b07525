"""The training loop: AdamW, warm-up and linear decay, gradient clipping, mixed precision, checkpoints and resume."""

from __future__ import annotations

import math
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs  # type: ignore[import-untyped]
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from msgspec import Struct
from torch import nn

from lrat_sim import foreign
from lrat_sim.artifact import ensure_folder, read_json, write_json, writing
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.training.distributed import is_main, process_index
from lrat_sim.training.folder import METRIC, Measured
from lrat_sim.training.kinds import Trainee
from lrat_sim.training.model import frozen_parts, load_weights, remember_frozen, save_weights
from lrat_sim.training.precision import compute_dtype, computing_in
from lrat_sim.training.settings import TrainingSettings

BEST = "best.safetensors"
"""The weights that measured best on the development pairs, beside the checkpoints."""
_WEIGHTS, _OPTIMIZER, _HISTORY = "weights.safetensors", "optimizer.pt", "history.json"
_DAMAGED = "delete the folder of the unfinished training"
_SHOWN_STEPS = 50  # over which the loss that is shown is averaged


class History(Struct):
    """What a run has done: the loss of every step, and its measurements on the development pairs."""

    losses: list[float] = []
    development: list[Measured] = []

    @property
    def best(self) -> Measured | None:
        """The best measurement after training began, the first of equals; None where there is none."""
        return max((m for m in self.development if m.step), key=lambda m: m.figures[METRIC], default=None)


def fit(trainee: Trainee, folder: Path, progress: ProgressCallback | None = None) -> History:
    """Trains a model on all batches of its pairs, from the last checkpoint in a folder, if there is one.

    It is left with the weights of the last step; those that measured best are in the file :data:`BEST`.  A damaged
    checkpoint and a loss that is no longer finite are input errors.
    """
    dataset, settings = trainee.dataset, trainee.settings
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no",  # see below
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],  # a BERT's pooler is never used
    )
    device = accelerator.device
    dtype = compute_dtype(settings, device.type)
    model = trainee.model.to(device)
    loss: Any = trainee.loss()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},  # biases and norms
        ],
        fused=True,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)  # fp16 loses small gradients otherwise
    history = _resume(folder, model, optimizer, scaler)
    computing = computing_in(model, dtype, device.type)
    loss.model = accelerator.prepare_model(model)
    if settings.compile:
        model.transformers_model.compile(dynamic=True)
    parts = frozen_parts(model, settings.freeze_layers)
    # not on a GPU, whose memory is for batches; and padding at the start moves a text's positions
    if parts and device.type == "cpu" and model.tokenizer.padding_side == "right":
        remember_frozen(model, parts, trainee.documents())
    evaluate = trainee.evaluator() if is_main() else None  # the other processes wait at their next step
    if evaluate and not history.development:
        with computing.full():
            history.development.append(Measured(0, evaluate(model)))
    evaluated = {round(dataset.steps * part / settings.evaluations) for part in range(1, settings.evaluations + 1)}

    first = len(history.losses)
    model.train()
    with ThreadPoolExecutor(1) as beside:  # tokenises the next batch while this one is computed
        ahead = [beside.submit(trainee.collate, dataset.batch(first))] if first < dataset.steps else []
        for step in range(first + 1, dataset.steps + 1):
            batch = send_to_device(ahead.pop().result(), device)
            if step < dataset.steps:
                ahead.append(beside.submit(trainee.collate, dataset.batch(step)))
            # what is drawn in a step follows from seed, step and process alone, so that a checkpoint needs no states
            torch.manual_seed(
                int(numpy.random.SeedSequence([settings.seed, step, process_index()]).generate_state(1)[0])
            )
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step - 1, dataset.steps, settings.warmup)
            loss.progress = step / dataset.steps  # of a penalty that grows with it
            with computing.passes():
                value = loss(*batch)
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            computing.renew()
            history.losses.append(value.item())
            if not math.isfinite(history.losses[-1]):
                raise _not_finite(step, settings)
            with computing.full():
                if evaluate and step in evaluated:
                    wait(ahead)  # one tokenizer does not serve two at once
                    before = history.best
                    history.development.append(Measured(step, evaluate(model)))
                    model.train()
                    if before is None or history.best is not before:
                        save_weights(model, folder / BEST)
                if is_main() and (step % settings.checkpoint_steps == 0 or step == dataset.steps):
                    _save(folder, step, model, optimizer, scaler, history)
            if progress and is_main():
                progress(step, dataset.steps, f"training steps, mean loss {fmean(history.losses[-_SHOWN_STEPS:]):.3f}")
    computing.end()
    if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters):
        raise _not_finite(dataset.steps, settings)
    return history


def _schedule(done: int, steps: int, warmup: float) -> float:
    """The share of the peak learning rate after so many steps: linearly up, then linearly down to 0."""
    rising = math.ceil(warmup * steps)
    return done / rising if done < rising else (steps - done) / max(1, steps - rising)


def _save(folder: Path, step: int, model: nn.Module, optimizer: Any, scaler: Any, history: History) -> None:
    """Writes a checkpoint, whole or not at all, and removes the one before."""
    unfinished = ensure_folder(folder / "unfinished")
    with writing(folder):
        save_weights(model, unfinished / _WEIGHTS)
        torch.save({"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}, unfinished / _OPTIMIZER)
        write_json(unfinished / _HISTORY, history)
        unfinished.replace(folder / str(step))
    for name in _checkpoints(folder) - {step}:
        shutil.rmtree(folder / str(name))


def _resume(folder: Path, model: nn.Module, optimizer: Any, scaler: Any) -> History:
    """Takes up the last checkpoint; an empty history where there is none."""
    if not (steps := _checkpoints(folder)):
        return History()
    last = folder / str(max(steps))
    load_weights(model, last / _WEIGHTS)
    with foreign.reading(f"the checkpoint {last} is damaged", _DAMAGED):
        state = torch.load(last / _OPTIMIZER, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
    return read_json(last / _HISTORY, History, "the history of a training", _DAMAGED)


def _checkpoints(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.glob("*") if path.name.isdigit()}


def _not_finite(step: int, settings: TrainingSettings) -> InputError:
    return InputError(
        f"the training loss is no longer a finite number at step {step} (learning_rate {settings.learning_rate}, "
        f"temperature {settings.temperature}); lower learning_rate or raise temperature."
    )
