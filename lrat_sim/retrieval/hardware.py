"""What the machine is good at; loads torch."""

from __future__ import annotations

import torch


def best_device() -> str:
    """``cuda`` where there is one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def gains_from_bf16(device: str) -> bool:
    """Whether the machine multiplies matrices in bf16 itself, rather than emulating it."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
