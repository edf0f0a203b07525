"""The simulated agent, a model of our own: ``sim/NAME``."""

from __future__ import annotations

from functools import lru_cache

from lrat_sim.models.call import OWN_MODELS, Model


@lru_cache(maxsize=1)
def _simulated() -> Model:
    from lrat_sim.agent.simulated.model import SimulatedModel  # with its dictionaries, only where it is wanted

    return SimulatedModel()


OWN_MODELS["sim"] = _simulated
