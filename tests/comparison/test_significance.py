from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrat_sim.comparison.paired import Exchange, holm, mcnemar, permutation_tests, smallest_difference


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
