from fractions import Fraction
from itertools import product
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lrat_sim.comparison import paired
from lrat_sim.comparison.paired import (
    Estimate,
    Exchange,
    compare_pair,
    gap_closed,
    holm,
    mcnemar,
    permutation_tests,
    smallest_difference,
)


def array(*values):
    return np.array(values, dtype=np.float64)


def pair(base, arm, better="higher", seed=0, resamples=100):
    return compare_pair(np.asarray(base, float), np.asarray(arm, float), better=better, seed=seed, resamples=resamples)


def test_difference_relative_and_wins_are_those_of_the_tasks():
    base, arm = [0, 0, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1]
    result = pair(base, arm, resamples=500)
    assert (result.base, result.arm) == (pytest.approx(3 / 6), pytest.approx(5 / 6))
    assert result.difference.value == pytest.approx(2 / 6)
    assert result.relative.value == pytest.approx(2 / 3)
    assert (result.wins, result.ties, result.losses) == (3, 2, 1)
    assert result.difference.low <= result.difference.value <= result.difference.high


def test_fewer_steps_win():
    result = pair([9, 8, 7], [5, 8, 9], better="lower")
    assert (result.wins, result.ties, result.losses) == (1, 1, 1)
    assert result.difference.value == pytest.approx(-2 / 3)


def test_equal_arms_have_an_interval_of_zero_and_no_evidence_of_a_difference():
    values = array(*([0, 1] * 20))
    result = pair(values, values, resamples=200)
    assert (result.difference.value, result.difference.low, result.difference.high) == (0, 0, 0)
    assert not result.difference.is_clear
    assert (result.wins, result.losses, result.p) == (0, 0, 1.0)


def test_interval_holds_the_true_difference_about_95_times_in_100():
    rng = np.random.default_rng(7)
    held = 0
    for experiment in range(200):
        hardness = rng.random(100)
        base, arm = (hardness < 0.4).astype(float), (hardness + 0.2 * rng.integers(-1, 2, 100) < 0.5).astype(float)
        result = pair(base, arm, seed=experiment, resamples=300)
        held += result.difference.low <= 0.1 <= result.difference.high
    assert 0.90 <= held / 200 <= 0.99


def test_pairing_takes_the_hardness_of_tasks_out_of_the_noise():
    rng = np.random.default_rng(3)
    base = rng.normal(20, 10, 300)
    arm = base - 1 + rng.normal(0, 0.5, 300)
    kept = pair(base, arm, better="lower", resamples=500).difference
    broken = pair(base, rng.permutation(arm), better="lower", resamples=500).difference
    assert kept.is_clear
    assert not broken.is_clear
    assert kept.high - kept.low < (broken.high - broken.low) / 5


def test_relative_interval_resamples_tasks_too():
    # base and arm rise and fall together, so their ratio is far better known than either mean
    rng = np.random.default_rng(5)
    base = rng.uniform(1, 100, 200)
    result = pair(base, base * 1.5, resamples=500)
    assert result.relative.value == pytest.approx(0.5)
    assert (result.relative.low, result.relative.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_mcnemar_is_the_exact_two_sided_binomial_of_the_discordant_pairs():
    assert mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(1, 8) == mcnemar(8, 1)
    assert mcnemar(0, 0) == 1.0


@pytest.mark.parametrize(
    ("base", "arm", "expected"),
    [
        ([0, 0, 0], [0, 1, 1], {"difference": 2 / 3, "relative": None}),  # from nothing, relative is undefined
        ([1, 0, 0, 0], [1, 1, 1, 0], {"relative": 2.0, "relative.high": None}),  # a base that may be zero: no bound
        ([0.5, 1], [1, 1], {"p": None, "test": "permutation"}),  # means over samples are not McNemar's
        ([0, 1], [1, 1], {"p": 1.0, "test": "mcnemar"}),
        ([0.1 + 0.2, 1], [0.3, 1], {"wins": 0, "ties": 2, "losses": 0}),  # thirds summed in another order tie
        ([0], [1], {"difference": 1.0, "difference.low": None, "difference.high": None, "difference.is_clear": False}),
        ([], [], {"tasks": 0, "base": None, "difference": None}),
    ],
)
def test_corner_cases_are_undefined_or_unbounded_rather_than_wrong(base, arm, expected):
    result = pair(base, arm, resamples=500)
    for name, value in expected.items():
        found = attrgetter(name)(result)
        assert pytest.approx(value) == (found.value if isinstance(found, Estimate) else found)


def test_same_seed_gives_the_same_interval_however_it_is_batched(monkeypatch):
    rng = np.random.default_rng(0)
    base, arm = rng.random(50), rng.random(50)
    whole = pair(base, arm, seed=4, resamples=300)
    paired._resampled.cache_clear()
    assert pair(base, arm, seed=4, resamples=300) == whole
    paired._resampled.cache_clear()
    monkeypatch.setattr(paired, "BATCH_CELLS", 50 * 7)
    batched = pair(base, arm, seed=4, resamples=300).difference
    assert (batched.low, batched.high) == pytest.approx((whole.difference.low, whole.difference.high), abs=1e-12)
    assert pair(base, arm, seed=5, resamples=300).difference.low != batched.low


def test_interval_is_scipys_of_the_paired_difference():
    rng = np.random.default_rng(9)
    base, arm = rng.random(30), rng.random(30)
    interval = stats.bootstrap(
        (base, arm),
        lambda a, b, axis=-1: b.mean(axis=axis) - a.mean(axis=axis),
        n_resamples=500,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    found = pair(base, arm, seed=4, resamples=500).difference
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_swapping_the_arms_turns_the_sign(pairs):
    base, arm = array(*(a for a, _ in pairs)), array(*(b for _, b in pairs))
    there = pair(base, arm, resamples=50)
    back = pair(arm, base, resamples=50)
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert there.difference.low == pytest.approx(-back.difference.high)
    assert (there.wins, there.losses, there.p) == (back.losses, back.wins, back.p)


def closed(base, arm, oracle):
    return gap_closed(*(np.asarray(values, float) for values in (base, arm, oracle)), seed=0, resamples=500)


def test_gap_closed_is_the_share_of_the_way_from_base_to_oracle():
    base, oracle = [0] * 4, [1] * 4
    half, whole, nothing = (closed(base, arm, oracle) for arm in ([1, 0, 1, 0], oracle, base))
    assert half.value == pytest.approx(0.5)
    assert 0 <= half.low < 0.5 < half.high <= 1
    assert (whole.value, whole.low, whole.high) == (1.0, 1.0, 1.0)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_gap_closed_is_undefined_where_there_is_none_and_unbounded_where_there_may_be_none():
    assert closed([1, 0], [1, 1], [1, 0]).value is None
    assert closed([1, 1], [1, 1], [1, 0]).value is None
    small = closed([0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1], [1] * 6)
    assert small.value == pytest.approx(0.0)
    assert small.low is None


def means(differences):
    """One exchange a column."""
    return [Exchange(differences=column[:, None]) for column in np.asarray(differences, dtype=float).T]


def exact(differences):
    """The share of all exchanges whose sum is as far out on the nearer side, twice; in fractions, so that ties are."""
    observed = sum(differences)
    sums = [sum(sign * value for sign, value in zip(signs, differences, strict=True))
            for signs in product((1, -1), repeat=len(differences))]  # fmt: skip
    below, above = sum(each <= observed for each in sums), sum(each >= observed for each in sums)
    return float(min(1, 2 * Fraction(min(below, above), len(sums))))


@pytest.mark.parametrize(
    "differences",
    [
        ["1/3", "2/3", "-1/3", "1"],
        ["1/3", "1/3", "-1/3", "-1/3", "2/3"],
        ["1/7", "2/7", "3/7", "-1/7", "0", "0"],
        ["1", "1", "1", "1", "1", "1"],
        ["0", "0", "0"],
    ],
)
def test_permutation_test_counts_every_exchange_and_every_tie(differences):
    parts = [Fraction(each) for each in differences]
    (p,) = permutation_tests(means(np.array([[float(each)] for each in parts])), seed=0)
    assert p == pytest.approx(exact(parts))


def test_permutation_test_is_scipys_for_each_of_several_metrics_at_once():
    differences = np.random.default_rng(0).normal(0.3, 1, (40, 3)) * [1, 1000, 0.001]
    together = permutation_tests(means(differences), seed=5, permutations=999)
    alone = [
        stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=999, rng=np.random.default_rng(5)
        ).pvalue
        for column in differences.T
    ]
    assert together == pytest.approx(alone)
    assert len(set(together)) == 3


def test_permutation_test_of_0_and_1_is_mcnemars():
    rng = np.random.default_rng(2)
    differences = rng.choice([-1.0, 0.0, 1.0], size=(12, 6), p=[0.2, 0.4, 0.4])
    permuted = permutation_tests(means(differences), seed=0)
    discordant = [(int((column > 0).sum()), int((column < 0).sum())) for column in differences.T]
    assert permuted == pytest.approx([mcnemar(*pair) for pair in discordant])


def test_tasks_without_a_difference_change_no_p_value():
    differences = np.random.default_rng(3).normal(0.5, 1, (9, 2))
    padded = np.concatenate([differences, np.zeros((2, 2))])
    assert permutation_tests(means(padded), seed=0) == pytest.approx(permutation_tests(means(differences), seed=0))


def test_no_test_and_no_exchange():
    assert permutation_tests([], seed=0) == []
    assert permutation_tests(means([[1.0, 2.0]]), seed=0) == [1.0, 1.0]


def test_holm_is_the_hand_computation():
    # sorted .005, .01, .03, .04: times 4, 3, 2, 1 is .02, .03, .06, .04, and what follows is no smaller
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_the_p_value_and_bonferroni_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= c <= min(1.0, len(p_values) * p) + 1e-12 for p, c in zip(p_values, corrected, strict=True))
    assert sorted(corrected) == [corrected[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert holm(p_values[::-1]) == pytest.approx(corrected[::-1])


def test_smallest_difference_is_found_four_times_in_five_by_the_permutation_test():
    rng = np.random.default_rng(21)
    tasks, spread, experiments = 80, 2.5, 1500
    true = smallest_difference(spread / np.sqrt(tasks))
    measured = rng.normal(true, spread, (tasks, experiments))
    found = np.mean(np.array(permutation_tests(means(measured), seed=0, permutations=1999)) <= 0.05)
    assert 0.77 <= found <= 0.83


def test_smallest_difference_in_success_is_found_about_four_times_in_five_by_mcnemar():
    rng = np.random.default_rng(22)
    tasks, won, lost = 300, 0.25, 0.25
    error = np.sqrt((won + lost - (won - lost) ** 2) / tasks)
    true = smallest_difference(error)
    wins, losses, _ = rng.multinomial(tasks, [won + true / 2, lost - true / 2, 1 - won - lost], 2000).T
    found = np.mean([mcnemar(win, loss) <= 0.05 for win, loss in zip(wins, losses, strict=True)])
    # exact, so a little more careful than the normal distribution that the formula assumes
    assert 0.72 <= found <= 0.83


def test_smallest_difference_shrinks_with_the_root_of_the_tasks():
    assert smallest_difference(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert smallest_difference(0.5) == pytest.approx(smallest_difference(1.0) / 2)
    assert smallest_difference(0.0) is None
