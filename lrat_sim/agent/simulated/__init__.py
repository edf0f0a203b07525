"""The simulated agent, a litellm provider under the name ``sim``."""

from __future__ import annotations

from typing import Any

from lrat_sim.models import import_litellm


def register() -> None:
    """Makes ``sim/...`` models known to litellm in this process; calling it again does nothing."""
    litellm: Any = import_litellm()
    if any(entry["provider"] == "sim" for entry in litellm.custom_provider_map):
        return
    from lrat_sim.agent.simulated.provider import SimulatedAgent

    litellm.custom_provider_map = [
        *litellm.custom_provider_map,
        {"provider": "sim", "custom_handler": SimulatedAgent()},
    ]
