"""Checks of the instrument: what must hold on any world, and agents held to how real ones behaved."""

import pytest

from lrat_sim.artifact import read_records
from lrat_sim.comparison import compare
from lrat_sim.corpus import prepare
from lrat_sim.mining.recipe import load_recipe
from lrat_sim.mining.run import REPORT, mine_run
from lrat_sim.records import Pair
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study import Controls, ControlsSettings, ProbeSettings, probe
from lrat_sim.study import controls as run_controls
from lrat_sim.study.instrument import SHUFFLED, oracle_bounds_all, shuffled_gains_nothing


def compared(**success):
    """A comparison of arms that succeed on the tasks whose place is 1; the base and the oracle among them."""
    arms = {
        name: {f"t{place}": {"success": float(value), "steps": 3.0} for place, value in enumerate(values)}
        for name, values in success.items()
    }
    return compare(arms, "base", "oracle", [f"t{place}" for place in range(len(success["base"]))], resamples=500)


@pytest.fixture(scope="module")
def controls(small_world, wheel_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    small = {"base_model": wheel_settings.base_model, "training_options": wheel_settings.training_options}
    settings = ControlsSettings(train_tasks=24, test_tasks=6, repeats=2, **small)
    return folder, run_controls(small_world, folder, settings)


@pytest.mark.slow
def test_every_control_holds_on_a_small_world(controls):
    _, found = controls
    assert [result.what for result in found.results if not result.held] == []
    assert len(found.results) == 5
    assert found.held


@pytest.mark.slow
def test_the_shuffled_flywheel_trains_on_the_same_queries_with_exchanged_positives(controls, wheel, tmp_path):
    folder, _ = controls
    shuffled = list(read_records(folder / "shuffled" / "round-1" / "pairs.jsonl", Pair))
    mine_run(wheel.folder / "round-1" / "collect", load_recipe("mine-paper"), tmp_path)
    mined = list(read_records(tmp_path / "pairs.jsonl", Pair))
    first = [pair for pair in shuffled if f"{pair.provenance.task}.0." in pair.provenance.trajectory]
    assert len(first) < len(shuffled)  # the controls run each task twice, the wheel once
    assert sorted(pair.query for pair in first) == sorted(pair.query for pair in mined)
    right = {(pair.query, pair.positive) for pair in mined}
    assert sum((pair.query, pair.positive) in right for pair in shuffled) < len(mined) / 3
    assert (folder / "shuffled" / "round-1" / REPORT).is_file()


@pytest.mark.slow
def test_the_gentle_flywheel_trains_on_documents_of_the_same_lists(controls):
    folder, _ = controls
    listed = list(read_records(folder / "listed" / "round-1" / "pairs.jsonl", Pair))
    exchanged = list(read_records(folder / "shuffled" / "round-1" / "pairs.jsonl", Pair))
    assert [pair.query for pair in listed] == [pair.query for pair in exchanged]
    shown = {}
    for trajectory in read_trajectories(folder / "listed" / "round-1" / "collect"):
        for number, turn in enumerate(trajectory.turns):
            for index, call in enumerate(turn.calls):
                shown[trajectory.id, number, index] = {hit.docid: hit.rank for hit in call.hits or []}
    ranks = [shown[at.trajectory, at.turn, at.call][pair.positive] for pair in listed for at in [pair.provenance]]
    assert sum(rank != pair.provenance.rank for rank, pair in zip(ranks, listed, strict=True)) > len(listed) / 3


@pytest.mark.parametrize(
    ("base", "trained", "held"),
    [
        ([0] * 8, [1] * 8, False),  # a clear gain
        ([0, 1] * 4, [1, 0] * 4, True),
        ([1] * 8, [0] * 8, True),
        ([0], [1], False),  # without an interval nothing is known
    ],
)
def test_shuffled_control_holds_unless_a_gain_is_clear_or_unknown(base, trained, held):
    control = shuffled_gains_nothing(compared(base=base, trained=trained, oracle=[1] * len(base)))
    assert control.held == held
    assert ("unknown" in control.figures) == (len(base) == 1)


def test_an_arm_above_the_oracle_breaks_the_bound_and_one_broken_control_fails_them_all():
    held = oracle_bounds_all(compared(base=[0, 1], trained=[1, 0], oracle=[1, 0]))
    broken = oracle_bounds_all(compared(base=[0, 0], trained=[1, 1], oracle=[1, 0]))
    assert (held.held, broken.held) == (True, False)
    assert Controls([held]).held
    assert not Controls([held, broken]).held


@pytest.mark.slow
def test_controls_hold_at_the_size_of_a_real_run(tmp_path):
    world = prepare("world", tmp_path / "world", options={"documents": 1000, "train_tasks": 60, "test_tasks": 60})
    found = run_controls(world, tmp_path / "run", ControlsSettings(train_tasks=60, test_tasks=60))
    assert found.held, [(result.what, result.figures) for result in found.results]


@pytest.mark.slow
def test_every_target_of_the_simulated_agent_is_met_on_a_new_world(tmp_path):
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
