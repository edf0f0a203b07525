"""The simulated agent with the paper's habits is held to how a real agent behaved."""

from __future__ import annotations

import pytest

from lrat_sim.corpus import prepare
from lrat_sim.study import ProbeSettings, probe
from lrat_sim.study.probe import SHUFFLED


@pytest.mark.slow
def test_every_target_it_is_held_to_is_met_on_questions_of_a_new_world(tmp_path):
    data = prepare("world", tmp_path / "world", options={"seed": 4})
    found = probe(data, tmp_path / "probe", ProbeSettings(limit=300))
    held = [gap for group in found.behaviour.groups for gap in group.gaps if gap.target.held]
    # every one is shown by one of the three runs
    assert {gap.target.measure for gap in held} == {
        gap.target.measure for gap in held if gap.state in ("met", "missed")
    }
    assert [(gap.group, gap.target.measure, gap.found.value) for gap in held if gap.state == "missed"] == []
    assert found.order.tau.value == 1.0


def test_probe_runs_the_four_kinds_and_is_resumed(small_world, tmp_path):
    settings = ProbeSettings(retriever="bm25", agent_options={"limits.turns": 6}, limit=3, rates=(1.0,))
    found = probe(small_world, tmp_path / "probe", settings)
    names = ["natural", SHUFFLED, "long-snippets"]
    assert [group.name for group in found.behaviour.groups] == names
    before = {path: path.read_bytes() for path in (tmp_path / "probe").rglob("trajectories.jsonl")}
    assert {path.parent.name for path in before} == {*names, "degraded-1"}
    again = probe(small_world, tmp_path / "probe", settings)
    assert {path: path.read_bytes() for path in before} == before
    assert again.order.tau.value == found.order.tau.value
