"""Runs are held against what a real agent was seen to do, and misses are said."""

from __future__ import annotations

import pytest

from lrat_sim.behaviour.measures import measures
from lrat_sim.behaviour.observed import ObservedRuns, steps_of
from lrat_sim.behaviour.resample import MeasureEstimate
from lrat_sim.behaviour.targets import Lognormal, Population, Target, Targets, distances, load_targets, total_variation
from lrat_sim.errors import InputError


def _targets(**target):
    return Targets(title="t", populations={"p": Population(title="p")}, targets=[Target(population="p", **target)])


def _gap(seen, targets):
    (gap,) = distances(seen, measures(seen), targets)
    return gap


@pytest.fixture
def seen(entry):
    # after a search: a browse in two of ten cases
    entries = [entry(f"t{place}", "abc abd acd ade =e abf" if place < 2 else "abc abd") for place in range(4)]
    return ObservedRuns("g", [steps_of(each) for each in entries], resamples=200)


def test_the_targets_of_the_package_name_measures_and_populations(seen):
    targets = load_targets()
    gaps = distances(seen, measures(seen), targets)
    assert len(gaps) == len(targets.targets)
    assert {gap.state for gap in gaps} <= {"met", "missed", "not comparable", "unknown"}
    held = {gap.target.measure for gap in gaps if gap.target.held}
    rows = {f"after_{step}.browse.{run}" for step in ("search", "browse") for run in ("correct", "incorrect")}
    assert rows < held
    assert all(target.within == 0.10 for target in targets.targets if target.measure in rows)


SHARE, MEAN = "after_search.browse.correct", "searches.correct"


@pytest.mark.parametrize(
    ("target", "found", "distance", "state"),
    [
        ({"measure": SHARE, "value": 0.25, "within": 0.10}, 0.2, 0.05, "met"),
        ({"measure": SHARE, "value": 0.35, "within": 0.10}, 0.2, 0.15, "missed"),
        ({"measure": MEAN, "value": 3.5, "relative": 0.2}, 3.5, 0.0, "met"),
        ({"measure": MEAN, "value": 2.4, "relative": 0.2}, 3.5, 1.1 / 2.4, "missed"),
        ({"measure": SHARE, "low": 0.0}, 0.2, 0.0, "met"),
        ({"measure": SHARE, "low": 0.15, "high": 0.25}, 0.2, 0.0, "met"),
        ({"measure": SHARE, "low": 0.3, "high": 0.4}, 0.2, 0.1, "missed"),
        ({"measure": SHARE, "high": 0.1}, 0.2, 0.1, "missed"),
    ],
)
def test_target_is_met_within_its_tolerance_or_range(seen, target, found, distance, state):
    gap = _gap(seen, _targets(**target))
    assert gap.found.value == pytest.approx(found)
    assert gap.distance.value == pytest.approx(distance)
    assert gap.distance.low <= gap.distance.value <= gap.distance.high
    assert gap.state == state


def test_what_the_runs_do_not_show_is_unknown(seen):
    assert _gap(seen, _targets(measure="searches.incorrect", value=1.0, relative=0.2)).state == "unknown"


def test_a_population_made_otherwise_is_not_comparable_rather_than_missed(entry):
    entries = [entry("t1", "abc =a"), entry("t2", "abc =b")]
    natural = ObservedRuns("g", [steps_of(each) for each in entries])
    (gap,) = [gap for gap in distances(natural, measures(natural), load_targets()) if gap.target.measure == "rank_top3"]
    assert (gap.state, gap.why) == ("not comparable", "the lists were not shuffled")
    again = [entry(each.trajectory.task_id, "abc =a", retriever={"kind": "shuffled", "base": {}}) for each in entries]
    shuffled = ObservedRuns("g", [steps_of(each) for each in again])
    states = {gap.target.measure: gap.state for gap in distances(shuffled, measures(shuffled), load_targets())}
    assert states["rank_top3"] == "missed"  # all of it at rank 1
    assert states["searches.correct"] == "not comparable"


def test_total_variation_of_ranks_is_half_the_difference(entry):
    seen = ObservedRuns("g", [steps_of(entry(f"t{place}", "abcd =a =b")) for place in range(3)], resamples=50)
    assert total_variation(seen, [0.5, 0.5, 0.0, 0.0]).value == pytest.approx(0.0)
    assert total_variation(seen, [0.25, 0.25, 0.25, 0.25]).value == pytest.approx(0.5)


def test_lengths_drawn_from_the_target_are_near_it_and_others_far(entry):
    import numpy as np

    rng = np.random.default_rng(0)

    def gap(scale: float):
        lengths = np.maximum(1, np.round(scale * rng.lognormal(np.log(137), 0.7, (100, 3)))).astype(int)
        entries = [entry(f"t{place}", "abc =a =b =c", lengths=row.tolist()) for place, row in enumerate(lengths)]
        seen = ObservedRuns("g", [steps_of(each) for each in entries], resamples=50)
        wanted = Lognormal(median=137, sigma=0.7)
        return _gap(seen, _targets(measure="length.pairs", lognormal=wanted, within=0.1))

    assert gap(1.0).state == "met"
    assert gap(0.5).state == "missed"


def test_a_target_of_two_minds_or_none_is_refused(tmp_path):
    for wrong in (
        {"value": 1.0},
        {"value": 1.0, "within": 0.1, "relative": 0.1},
        {"within": 0.1},
        {"low": 0, "within": 1},
    ):
        with pytest.raises(ValueError, match="target success"):
            _targets(measure="success", **wrong)
    path = tmp_path / "behaviour-odd.yaml"
    path.write_text("title: odd\npopulations: {p: {title: p}}\ntargets: [{measure: success, population: q, low: 0}]\n")
    with pytest.raises(InputError, match="population"):
        load_targets(str(path))


def test_a_target_of_no_measure_is_refused(seen):
    with pytest.raises(InputError, match="happiness"):
        _gap(seen, _targets(measure="happiness", low=0.0))


def test_estimates_without_an_interval_have_none_at_a_distance(entry):
    seen = ObservedRuns("g", [steps_of(entry("t", "abc =a"))])
    gap = _gap(seen, _targets(measure="searches.correct", value=2.0, relative=0.2))
    assert gap.distance == MeasureEstimate(value=0.5, n=1)
