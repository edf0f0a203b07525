from __future__ import annotations

import numpy as np
import pytest

from lrat_sim.mining.pairs import BrowseVerdict
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.weights import WEIGHTS, PairNumbers


def weighting(name, lengths, agents=None, shares=None):
    lengths = np.array(lengths, np.float64)
    agents = np.zeros(len(lengths), np.int64) if agents is None else np.array(agents)
    return WEIGHTS[name](PairNumbers(lengths, agents, np.ones(len(lengths)) if shares is None else np.array(shares)))


def test_length_is_half_at_the_median():
    found = weighting("length", [5, 10, 20])
    assert found.beta == 10
    assert found.raw == pytest.approx([1 - 0.5**0.5, 0.5, 0.75])
    assert found.weights == pytest.approx(found.raw / found.raw.mean())


@pytest.mark.parametrize("name", ["length", "length_clipped", "length_within_agent"])
def test_pair_without_reasoning_weighs_one_and_moves_no_other(name):
    without, found = weighting(name, [10, 20, 30]), weighting(name, [0, 10, 20, 30])
    assert found.beta == without.beta
    assert found.weights.tolist() == [1, *without.weights.tolist()]
    assert weighting(name, [0, 0]).weights.tolist() == [1, 1]


def test_recipe_drops_useful_documents_without_reasoning_or_keeps_them_unweighted(mine, make, judged):
    runs = [make.opening("ab", "a", tokens=10), make.run(*make.opening("cd", "c").turns[:2], id="t2", task="q2")]
    pairs, report = mine(runs, judged(*runs))
    assert ([pair.positive for pair in pairs], report.pairs_without_reasoning) == (["a"], 0)
    assert report.browses["no_reasoning"] == 1
    pairs, report = mine(runs, judged(*runs), MiningRecipe(silent="unweighted", outcome_weights={"ungraded": 0.5}))
    assert [(pair.positive, pair.weight, pair.length) for pair in pairs] == [("a", 1.0, 10), ("c", 0.5, 0)]
    assert report.pairs_without_reasoning == 1
    assert "pairs without reasoning" in report.table().to_markdown()


def test_clipped_weights_differ_by_a_factor_of_three_at_most():
    found = weighting("length_clipped", [1, 100, 100, 100_000])
    assert found.raw.min() == 0.25
    assert found.raw.max() == 0.75
    assert found.weights.mean() == pytest.approx(1)


def test_within_agent_a_verbose_agent_takes_no_more_weight():
    lengths, agents = [10, 20, 40, 100, 200, 400, 7], [0, 0, 0, 1, 1, 1, 2]
    plain, standard = weighting("length", lengths, agents), weighting("length_within_agent", lengths, agents)
    assert plain.weights[3:6].sum() > 1.5 * plain.weights[:3].sum()
    assert standard.weights[3:6].sum() == pytest.approx(standard.weights[:3].sum(), rel=0.05)
    assert standard.raw[6] == 0.5
    assert list(np.argsort(standard.raw[:3])) == [0, 1, 2]


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_weighting_has_mean_one_and_bears_no_pairs(name):
    found = weighting(name, [3, 9, 27, 81], [0, 1, 0, 1], [1.0, 0.5, 1.0, 0.8])
    assert found.weights.mean() == pytest.approx(1)
    assert found.weights.min() >= 0
    assert weighting(name, []).weights.size == 0


def runs_of(make):
    return [make.opening("ab", "a", tokens=10, id=name) for name in ("right", "wrong", "open")]


def test_judge_weight_is_the_share_of_votes(mine, make):
    verdicts = {(name, 1, 0): BrowseVerdict("relevant", share) for name, share in (("right", 1.0), ("wrong", 0.5))}
    pairs, _ = mine(runs_of(make), verdicts, MiningRecipe(weight="judge"))
    assert [pair.raw_weight for pair in pairs] == [1.0, 0.5]


def test_outcomes_weigh_as_asked_and_the_report_says_who_takes_how_much(mine, make, judged):
    runs = runs_of(make)
    recipe = MiningRecipe(outcome_weights={"incorrect": 0.5})
    grades = {"right": "correct", "wrong": "incorrect"}
    pairs, report = mine(runs, judged(*runs), recipe, grades=grades)
    assert [pair.weight for pair in pairs] == pytest.approx([1.2, 0.6, 1.2])
    shares = {name: (share.pairs, round(share.weight_share, 3)) for name, share in report.by_outcome.items()}
    assert shares == {"correct": (1, 0.4), "incorrect": (1, 0.2), "ungraded": (1, 0.4)}
    assert sum(report.weight_histogram.counts) == 3
