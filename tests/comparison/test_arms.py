import pytest

from lrat_sim.comparison.arms import compare
from lrat_sim.comparison.measures import calibration_parts
from lrat_sim.comparison.paired import holm
from lrat_sim.errors import InputError


def test_gap_closed_is_given_for_all_arms_but_the_oracle(arms, compared):
    comparison = compared(arms, oracle="oracle")
    closed = comparison.pairing("trained").gap_closed
    assert closed.value == pytest.approx(10 / 30)
    assert closed.low < closed.value < closed.high
    assert comparison.pairing("oracle").gap_closed is None
    assert compare(arms, "base", None, ["task-1"], resamples=10).pairing("trained").gap_closed is None


def test_task_that_did_not_run_is_a_failure_without_evidence_and_of_unknown_length(arms, compared):
    del arms["trained"]["task-0"]
    comparison = compared(arms)
    pairing, summary = comparison.pairing("trained"), comparison.arm("trained")
    assert (summary.means["success"], summary.not_run, pairing.lost) == (pytest.approx(19 / 40), 1, ["task-0"])
    assert [pairing.measures[name].tasks for name in ("success", "evidence_recall", "steps")] == [40, 40, 39]
    assert pairing.measures["evidence_recall"].arm == pytest.approx(0.5 * 39 / 40)


def test_ungraded_answer_is_left_out_and_success_is_bounded(arms, row, compared):
    arms["trained"]["task-0"] = row(None)
    arms["trained"]["task-39"] = row(None)
    comparison = compared(arms)
    own = comparison.arm("trained")
    assert own.ungraded == 2
    assert own.means["success"] == pytest.approx(19 / 38)
    assert (own.success_low, own.success_high) == (pytest.approx(19 / 40), pytest.approx(21 / 40))
    assert comparison.pairing("trained").measures["success"].tasks == 38


def test_tasks_without_evidence_are_left_out_of_evidence_metrics_and_counted(arms, compared):
    for arm in arms.values():
        for task in ("task-0", "task-1", "task-2"):
            arm[task] |= {"evidence_recall": None, "evidence_hit": None, "evidence_opened": None}
    comparison = compared(arms)
    assert comparison.tasks_with_evidence == 37
    measures = comparison.pairing("trained").measures
    assert {measures[name].tasks for name in ("evidence_recall", "evidence_hit", "evidence_opened")} == {37}
    assert measures["success"].tasks == 40


def test_steps_are_compared_on_tasks_that_both_solve(arms, compared):
    # an arm that gives up at once on what it cannot solve saves steps that do not count
    for number in range(20, 40):
        arms["trained"][f"task-{number}"]["steps"] = 1.0
    measures = compared(arms).pairing("trained").measures
    assert measures["steps_both_solve"].tasks == 10
    assert measures["steps_both_solve"].difference.value == pytest.approx(-2.0)
    assert measures["steps"].difference.value < -4


def test_one_unknown_price_makes_the_cost_unknown(arms, compared):
    for arm in arms.values():
        for metrics in arm.values():
            metrics["cost"] = 0.01
    arms["trained"]["task-7"]["cost"] = None
    comparison = compared(arms)
    assert comparison.arm("base").means["cost"] == pytest.approx(0.01)
    assert comparison.arm("trained").means["cost"] is None
    assert comparison.pairing("trained").measures["cost"].difference.value is None
    assert comparison.pairing("oracle").measures["cost"].difference.value == pytest.approx(0.0)


def test_neither_the_order_of_arms_nor_tasks_that_were_not_asked_change_a_number(arms, row, compared):
    before = compared(arms, oracle="oracle")
    arms["trained"]["another"] = row(1.0)
    assert compared(arms, oracle="oracle") == before
    back = compared(dict(reversed(arms.items())), oracle="oracle")
    assert before.pairing("trained") == back.pairing("trained")


@pytest.mark.parametrize(
    ("base", "oracle", "tasks", "said"),
    [
        ("nobody", None, ["task-1"], r"the base 'nobody' is none of the arms \(base, trained, oracle, empty\)"),
        ("base", "nobody", ["task-1"], "the oracle 'nobody'"),
        ("base", None, [], "one or more ids"),
        ("base", None, ["task-1", "task-1"], "each once"),
        ("base", None, ["task-1"], "'empty' has no table"),
    ],
)
def test_bad_input_is_said_in_a_sentence(arms, base, oracle, tasks, said):
    given = {**arms, "empty": []} if "empty" in said else arms
    with pytest.raises(InputError, match=said):
        compare(given, base, oracle, tasks)


def test_every_pair_of_arms_is_compared_those_with_the_base_first(arms, compared):
    arms = {"other": arms["base"], **arms}
    comparison = compared(arms, oracle="oracle")
    pairs = " ".join(f"{pairing.base}-{pairing.arm}" for pairing in comparison.pairings)
    assert pairs == "base-other base-trained base-oracle other-trained other-oracle trained-oracle"
    assert comparison.pairing("oracle", "trained").measures["success"].difference.value == pytest.approx(0.5)
    assert comparison.pairing("oracle", "trained").gap_closed is None
    assert "oracle" not in comparison.answer


def test_every_task_is_won_tied_or_lost_by_name(arms, compared):
    pairing = compared(arms).pairing("trained")
    assert (pairing.won, pairing.lost) == ([f"task-{number}" for number in range(10, 20)], [])
    assert sorted(pairing.won + pairing.tied) == sorted(arms["base"])
    success = pairing.measures["success"]
    assert (len(pairing.won), len(pairing.tied), len(pairing.lost)) == (success.wins, success.ties, success.losses)


def test_success_is_tested_by_mcnemar_and_the_rest_by_exchanging_tasks(arms, compared):
    measures = compared(arms).pairing("trained").measures
    assert measures["success"].test == "mcnemar"
    assert measures["success"].p == pytest.approx(2 / 2**10)
    assert measures["steps"].test == "permutation"
    # every task takes two steps fewer, and of 15,600 exchanges none does that again
    assert measures["steps"].p < 0.001
    assert measures["tokens"].p == 1.0
    assert (measures["cost"].test, measures["cost"].p, measures["cost"].p_holm) == (None, None, None)


def test_p_values_of_all_pairs_and_measures_are_corrected_together(arms, compared):
    comparison = compared(arms, oracle="oracle")
    tested = [paired for each in comparison.pairings for paired in each.measures.values() if paired.test]
    assert comparison.tests == len(tested) == 3 * 8
    assert [paired.p_holm for paired in tested] == pytest.approx(holm([paired.p for paired in tested]))
    assert comparison.permutations >= 200 * comparison.tests


def test_calibration_error_is_compared_and_tested(arms, compared):
    stated = {"base": 95.0, "trained": 50.0, "oracle": 100.0}
    for name, confidence in stated.items():
        for metrics in arms[name].values():
            metrics |= calibration_parts([(confidence, metrics["success"])])
    comparison = compared(arms, oracle="oracle")
    found = comparison.pairing("trained").measures["calibration_error"]
    assert (found.base, found.arm) == (pytest.approx(0.95 - 0.25), pytest.approx(0.0))
    assert comparison.arm("oracle").means["calibration_error"] == pytest.approx(0.0)
    assert found.p < 0.01
    assert found.smallest > 0


def test_several_seeds_are_one_task_with_their_mean(arms, compared):
    again = {task: metrics | {"success": 1.0} for task, metrics in arms["trained"].items()}
    comparison = compared({"base": arms["base"], "trained": [arms["trained"], again]})
    own = comparison.arm("trained")
    assert own.means["success"] == pytest.approx(0.75)
    assert (own.seeds, comparison.arm("base").seeds) == (2, 1)
    assert own.over_seeds["success"] == pytest.approx(0.5 / 2**0.5)  # of 0.5 and 1.0
    assert own.over_tasks["success"] == pytest.approx(0.25 * (40 / 39) ** 0.5 / 40**0.5)  # half the tasks 1, half 0.5
    assert comparison.arm("base").over_seeds["success"] is None
    measures = comparison.pairing("trained").measures
    assert measures["success"].tasks == 40
    assert measures["success"].test == "permutation"
    assert measures["success"].over_seeds is None


def test_spread_of_the_difference_between_seeds_is_that_of_paired_seeds(arms, compared):
    worse = {task: metrics | {"steps": metrics["steps"] + 1} for task, metrics in arms["base"].items()}
    # the seeds of both arms differ by one step, and so not in their difference
    shifted = {task: metrics | {"steps": metrics["steps"] + 1} for task, metrics in arms["trained"].items()}
    arms = {"base": [arms["base"], worse], "trained": [arms["trained"], shifted]}
    measures = compared(arms).pairing("trained").measures
    assert measures["steps"].over_seeds == pytest.approx(0.0)
    assert measures["steps"].difference.value == pytest.approx(-2.0)


def test_same_answers_in_two_seeds_give_the_numbers_of_one(arms, compared):
    once = compared(arms, oracle="oracle")
    twice = compared({name: [arm, arm] for name, arm in arms.items()}, oracle="oracle")
    for one, two in zip(once.pairings, twice.pairings, strict=True):
        for name, paired in one.measures.items():
            assert two.measures[name].difference == paired.difference
            assert two.measures[name].p == paired.p
            assert two.measures[name].over_seeds in (0.0, None)
