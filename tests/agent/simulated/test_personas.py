"""The personalities in agents/ are files, and each behaves as its file says."""

from __future__ import annotations

import statistics
from typing import Any

import msgspec
import pytest

from lrat_sim.agent import load_agent
from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.simulated.policy import Answer, Browse, Search
from lrat_sim.errors import InputError
from lrat_sim.records import Document

PERSONAS = ["simulated", "simulated-hasty", "simulated-stubborn", "simulated-weak"]
HOPELESS = [Document(id="d4", title="The Salt Lantern of Wick", text="Tolls were paid in salt at every quay.")]


def _persona(name: str) -> dict[str, Any]:
    return load_agent(name).simulation or {}


def _searches(converse: Any, name: str) -> float:
    counts = []
    for seed in range(12):
        run = converse(documents=HOPELESS, seed=seed, **_persona(name))
        run.run(turns=120)
        counts.append(sum(isinstance(action, Search) for action in run.actions))
    return statistics.mean(counts)


@pytest.mark.parametrize("name", PERSONAS)
def test_every_personality_loads_and_ends_its_run(name, converse):
    settings = load_agent(name)
    assert settings.simulated
    msgspec.convert(settings.simulation or {}, Persona)
    run = converse(**(settings.simulation or {}))
    assert isinstance(run.run(turns=200), Answer)


def test_the_default_agent_is_the_default_persona():
    assert msgspec.convert(_persona("simulated"), Persona) == Persona()


def test_the_stubborn_one_searches_longest_and_the_hasty_one_least(converse):
    hasty, default, stubborn = (
        _searches(converse, name) for name in ("simulated-hasty", "simulated", "simulated-stubborn")
    )
    assert hasty < default < stubborn


def test_a_pickier_agent_opens_less(converse):
    def browses(pickiness: float) -> int:
        runs = [converse(seed=seed, pickiness=pickiness) for seed in range(15)]
        for run in runs:
            run.run()
        return sum(isinstance(action, Browse) for run in runs for action in run.actions)

    assert browses(1.6) < browses(0.6)


def test_a_personality_with_an_unknown_or_impossible_trait_is_refused(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("model: sim/odd\nsimulation: {credulity: 2}\n")
    with pytest.raises(InputError, match="credulity"):
        load_agent(str(path)).resolved()
    path.write_text("model: sim/odd\nsimulation: {temper: 2}\n")
    with pytest.raises(InputError, match="temper"):
        load_agent(str(path)).resolved()
