"""The device on which models run, and what it is good at; loads torch."""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta

Device = Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="cpu, cuda, cuda:N, or auto.")]


def best_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_named(name: str) -> str:
    """A device by its name, the best one for ``auto``."""
    return best_device() if name == "auto" else name


def gains_from_bf16(device: str) -> bool:
    """Whether the machine multiplies matrices in bf16 itself, rather than emulating it."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
