from itertools import product

import numpy as np
import pytest

from lrat_sim.comparison.measures import (
    calibration_parts,
    error_of,
    exchange_of,
    parts_of,
)
from lrat_sim.comparison.paired import Paired, compare_pair, permutation_tests
from lrat_sim.grading.metrics import calibration_error

STATED = {"a": [(90.0, 1.0)], "b": [(95.0, 0.0), (10.0, 0.0)], "c": [(100.0, 1.0)], "d": []}
OTHER = {"a": [(80.0, 0.0)], "b": [(30.0, 1.0)], "c": [(55.0, 1.0), (45.0, 0.0)], "d": [(70.0, 1.0)]}


def table(stated):
    return {task: calibration_parts(answers) for task, answers in stated.items()}


def parts(stated):
    return parts_of(table(stated), list(stated))


def compared(base, arm, **given):
    return compare_pair(base, arm, better="lower", statistic=error_of, **given)


def error(*stated):
    answers = [answer for each in stated for answer in each]
    return calibration_error([confidence for confidence, _ in answers], [right for _, right in answers])


def test_parts_of_tasks_add_up_to_the_calibration_error_of_all_their_answers():
    rng = np.random.default_rng(0)
    answers = {str(task): [(float(c), float(r))] for task, (c, r) in
               enumerate(zip(rng.uniform(0, 100, 200), rng.integers(0, 2, 200), strict=True))}  # fmt: skip
    for stated in (answers, STATED, OTHER):
        assert float(error_of(parts(stated).sum(axis=0))) == pytest.approx(error(*stated.values()))


def test_task_that_did_not_run_or_state_a_confidence_adds_nothing():
    assert parts_of({}, ["a", "b"]).sum() == 0
    assert parts(STATED)[3].sum() == 0
    assert float(error_of(parts_of({}, ["a"]).sum(axis=0))) == 0


def test_difference_is_that_of_the_two_arms_own_errors():
    found = compared(parts(STATED), parts(OTHER), seed=0, resamples=500)
    before, after = error(*STATED.values()), error(*OTHER.values())
    assert (found.base, found.arm) == (pytest.approx(before), pytest.approx(after))
    assert found.difference.value == pytest.approx(after - before)
    assert found.relative.value == pytest.approx(after / before - 1)
    # a: 10 against 80 points off; b: two answers 52.5 off on average against 70; c: 0 against 45; d: not paired
    assert (found.tasks, found.wins, found.ties, found.losses) == (4, 0, 1, 3)


def test_interval_resamples_tasks_with_both_their_arms():
    rng = np.random.default_rng(1)
    stated = {str(task): [(float(rng.uniform(0, 100)), float(rng.integers(0, 2)))] for task in range(60)}
    same = compared(parts(stated), parts(stated), seed=0, resamples=200)
    assert (same.difference.value, same.difference.low, same.difference.high) == (0, 0, 0)
    assert same.smallest is None
    sure = {task: [(100.0, right)] for task, ((_, right),) in stated.items()}
    clear = compared(parts(sure), parts({task: [(50.0, right)] for task, ((_, right),) in sure.items()}),
                                seed=0, resamples=1000)  # fmt: skip
    assert clear.difference.is_clear
    # every answer is in one bin, so that the difference is that of |50 - right| and |100 - right|
    assert clear.difference.value == pytest.approx(error([(50.0, r) for ((_, r),) in sure.values()])
                                                   - error([(100.0, r) for ((_, r),) in sure.values()]))  # fmt: skip
    assert clear.smallest == pytest.approx(2.8016 * (clear.difference.high - clear.difference.low) / 3.92, rel=1e-4)


def test_arm_that_never_states_a_confidence_is_not_compared():
    silent = {task: [] for task in STATED}
    assert compared(parts(STATED), parts(silent), seed=0, resamples=10) == Paired()


def test_exchanging_tasks_is_exchanging_their_answers_and_computing_anew():
    observed = error(*OTHER.values()) - error(*STATED.values())
    differences = []
    for swaps in product((False, True), repeat=len(STATED)):
        first = [(OTHER if swap else STATED)[task] for task, swap in zip(STATED, swaps, strict=True)]
        second = [(STATED if swap else OTHER)[task] for task, swap in zip(STATED, swaps, strict=True)]
        differences.append(error(*second) - error(*first))
    below = np.mean(np.array(differences) <= observed + 1e-9)
    above = np.mean(np.array(differences) >= observed - 1e-9)
    (p,) = permutation_tests([exchange_of(parts(STATED), parts(OTHER))], seed=0)
    assert p == pytest.approx(min(1, 2 * min(below, above)))
    assert p < 1
