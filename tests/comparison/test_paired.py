from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lrat_sim.comparison import paired
from lrat_sim.comparison.paired import Estimate, compare_pair, gap_closed, mcnemar


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
