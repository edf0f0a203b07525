"""What a model computes in while its weights are trained in fp32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import nn

from lrat_sim.retrieval.hardware import gains_from_bf16
from lrat_sim.training.distributed import process_count
from lrat_sim.training.settings import TrainingSettings


def compute_dtype(settings: TrainingSettings, device: str) -> torch.dtype:
    """What the model computes in on a kind of device."""
    if settings.precision == "auto":
        return torch.bfloat16 if gains_from_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[settings.precision]


def computing_in(model: nn.Module, dtype: torch.dtype, device: str) -> Autocast:
    """Makes a model compute in ``dtype``, until :meth:`Autocast.end`; its weights must be fp32, on their device."""
    # several processes would sum the gradients of the copies, in bf16
    kind = HalfWeights if dtype == torch.bfloat16 and process_count() == 1 else Autocast
    return kind(model, dtype, device)


class Autocast:
    """Torch's own: products in ``dtype``, norms and sums in fp32, each weight converted in every pass."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, device: str):
        self.model, self._cast = model, partial(torch.autocast, device, dtype, enabled=dtype != torch.float32)
        # around the model, and not around the loss alone: GradCache encodes again in the backward pass
        model.forward = self._cast()(model.forward)

    def passes(self) -> AbstractContextManager[object]:
        """A context for the loss of a batch."""
        return self._cast()

    def full(self) -> AbstractContextManager[object]:
        """A context in which the model has its weights in fp32, to be measured or saved."""
        return nullcontext()

    def renew(self) -> None:
        """To be called after each step of the optimizer."""

    def end(self) -> None:
        """Leaves the model as it was, with the weights that it has now."""
        del self.model.forward  # the class's own again


class HalfWeights(Autocast):
    """The model holds copies of its weights in bf16, made once a step.

    GradCache makes many passes to a step, in each of which autocast would convert every weight.  A gradient is added to
    that of the weight in fp32 as soon as it is known, so that a sum over many mini-batches loses nothing.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, device: str):
        self.model, self._cast = model, partial(torch.autocast, device, dtype)
        self._places = [
            (module, name, weight)
            for module in model.modules()
            for name, weight in module._parameters.items()
            if weight is not None and weight.is_floating_point()
        ]
        self._copies: dict[nn.Parameter, nn.Parameter] = {}
        for _, _, weight in self._places:
            if weight not in self._copies:  # tied weights are one
                copy = nn.Parameter(weight.detach().to(dtype), requires_grad=weight.requires_grad)
                if weight.requires_grad:
                    copy.register_post_accumulate_grad_hook(partial(_hand_on, weight))  # type: ignore[no-untyped-call]  # torch's
                self._copies[weight] = copy
        self._exchange()

    def passes(self) -> AbstractContextManager[object]:
        """See :meth:`Autocast.passes`."""
        return nullcontext()

    @contextmanager
    def full(self) -> Iterator[None]:
        """See :meth:`Autocast.full`; computed is with autocast."""
        self.end()
        try:
            with self._cast():
                yield
        finally:
            self._exchange()

    @torch.no_grad()
    def renew(self) -> None:
        """Makes the copies anew."""
        for weight, copy in self._copies.items():
            if weight.requires_grad:
                copy.copy_(weight)

    def end(self) -> None:
        """See :meth:`Autocast.end`."""
        for module, name, weight in self._places:
            module._parameters[name] = weight

    def _exchange(self) -> None:
        for module, name, weight in self._places:
            module._parameters[name] = self._copies[weight]


def _hand_on(weight: nn.Parameter, copy: torch.Tensor) -> None:
    gradient, copy.grad = copy.grad, None
    if gradient is not None:
        weight.grad = gradient.float() if weight.grad is None else weight.grad.add_(gradient)
