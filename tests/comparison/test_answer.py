"""What the answer says: whether a gain is clear, the steps, and first what else differs between the arms."""

import pytest

from lrat_sim.comparison import Estimate, Paired, compare
from lrat_sim.comparison.answer import describe_gain, differences, sentences, text_lengths

DENSE = {"kind": "dense", "max_length": 96, "dtype": "float32", "corpus": "c", "query_prompt": ""}
DENSE |= {"document_prompt": ""}
BM25 = {"kind": "bm25", "k1": 0.9, "corpus": "c"}


def paired(value, low, high, **changed):
    given = {
        "tasks": 40, "base": 0.5, "arm": 0.5 + value, "difference": Estimate(value=value, low=low, high=high),
        "relative": Estimate(value=None), "wins": 10, "ties": 26, "losses": 4, "test": "mcnemar",
    }  # fmt: skip
    return Paired(**{**given, **changed})


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.02, 0.15, 0.01, "a solves 58.0 % of 40 tasks, b 50.0 %: 8.0 points more (95 % interval 2.0 to 15.0), "
         "a clear gain"),
        (-0.15, -0.02, 0.01, "a solves 42.0 % of 40 tasks, b 50.0 %: 8.0 points less (95 % interval −15.0 to −2.0), "
         "a clear loss"),
        (-0.01, 0.15, 0.04, "8.0 points more (95 % interval −1.0 to 15.0), not a clear difference"),
        (0.0, 0.15, 0.04, "8.0 points more (95 % interval 0.0 to 15.0), not a clear difference"),
        (0.0002, 0.15, 0.03, "8.0 points more (95 % interval 0.02 to 15.00), a clear gain"),
        (None, None, 1.0, "8.0 points more, not a clear difference"),
        (0.02, 0.15, 0.07, "not a clear difference by McNemar's exact test (p = 0.07): only 14 of 40 tasks differ"),
    ],
)  # fmt: skip
def test_difference_is_clear_by_its_interval_unless_the_test_finds_nothing(low, high, p, said):
    success = paired(-0.08 if high is not None and high < 0 else 0.08, low, high, p=p)
    answer = describe_gain("a", "b", {"success": success, "steps_both_solve": Paired()})
    assert f"{said}. " in answer
    assert answer.endswith(" No task is solved by both.")


@pytest.mark.parametrize(
    ("value", "smallest", "said"),
    [
        (0.04, 0.12, "4.0 points more (95 % interval −5.0 to 13.0), not a clear difference: 40 tasks can show one of "
         "12.0 points and more. "),
        (0.0, 0.12, "no difference (95 % interval −9.0 to 9.0): 40 tasks can show one of 12.0 points and more. "),
        (0.04, 0.03, "not a clear difference. "),  # so that more tasks are not what is lacking
        (0.04, None, "not a clear difference. "),
    ],
)  # fmt: skip
def test_an_unclear_difference_says_what_so_many_tasks_can_show(value, smallest, said):
    success = paired(value, value - 0.09, value + 0.09, smallest=smallest)
    assert said in describe_gain("a", "b", {"success": success, "steps_both_solve": Paired()})


@pytest.mark.parametrize(
    ("value", "low", "high", "tasks", "said"),
    [
        (-2.0, -3.0, -1.0, 10, "It takes 2.0 fewer steps on the 10 tasks that both solve."),
        (2.0, 1.0, 3.0, 10, "It takes 2.0 more steps on the 10 tasks that both solve."),
        (-0.2, -1.0, 0.5, 10, "Steps on the 10 tasks that both solve do not clearly differ (−0.2)."),
        (-2.0, None, None, 1, "Steps on the one task that both solve do not clearly differ (−2.0)."),
    ],
)
def test_steps_are_those_on_tasks_that_both_solve(value, low, high, tasks, said):
    steps = paired(value, low, high, tasks=tasks, test=None)
    assert describe_gain("a", "b", {"success": paired(0.0, -0.1, 0.1), "steps_both_solve": steps}).endswith(said)


def test_equal_arms_have_no_difference_and_ungraded_ones_no_answer(row):
    assert ": no difference (95 % interval 0.0 to 0.0). No" in describe_gain(
        "a", "b", {"success": paired(0.0, 0.0, 0.0), "steps_both_solve": Paired()}
    )
    arms = {"base": {"t": row(None)}, "arm": {"t": row(1.0)}}
    answer = compare(arms, "base", None, ["t"], resamples=9).answer
    assert answer == "arm and base cannot be compared: no task has a graded answer from both."


def test_answer_follows_the_tasks(arms, row, compared):
    comparison = compared(arms, oracle="oracle")
    difference = comparison.pairing("trained").measures["success"].difference
    low, high = f"{100 * difference.low:.1f}", f"{100 * difference.high:.1f}"
    assert comparison.answer == (
        f"trained solves 50.0 % of 40 tasks, base 25.0 %: 25.0 points more (95 % interval {low} to {high}), a clear "
        "gain. It takes 2.0 fewer steps on the 10 tasks that both solve."
    )
    assert "25.0 points less" in compared(arms, base="trained").answer


def test_answer_does_not_claim_a_gain_that_few_tasks_cannot_show(row):
    # every resample of three wins is three wins, so that the interval alone would call this certain
    arms = {"base": {task: row(0.0) for task in "abc"}, "arm": {task: row(1.0) for task in "abc"}}
    comparison = compare(arms, "base", None, list("abc"), resamples=50)
    assert comparison.pairing("arm").measures["success"].difference.is_clear
    assert comparison.pairing("arm").measures["success"].p == 0.25
    assert "100.0 points more (95 % interval 100.0 to 100.0), not a clear difference by McNemar" in comparison.answer


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"max_length": 256}, "text length in tokens (one: 96; other: 256)"),
        ({"max_query_length": 64}, "query length in tokens (one: 96; other: 64)"),
        ({"query_prompt": "query: "}, "query prompt (one: none; other: 'query: ')"),
        ({"document_prompt": "p" * 99}, "document prompt (one: none; other: 'ppp"),
        ({"dtype": "bfloat16"}, "vector precision (one: 'float32'; other: 'bfloat16')"),
        ({"corpus": "another"}, "corpus (one, bm25: 'c'; other: 'another')"),
        ({"weights": "w", "model": "m"}, None),
    ],
)
def test_each_shared_setting_that_differs_is_named(changed, said):
    sentence = differences({"one": DENSE, "bm25": BM25, "other": DENSE | changed})
    assert sentence is None if said is None else said in sentence


def test_what_a_retriever_is_made_of_counts_and_the_length_of_pairs_does_not():
    reranked = {"kind": "rerank", "max_length": 192, "base": DENSE}
    fused = {"kind": "hybrid", "members": [BM25, DENSE | {"max_length": 48}]}
    assert differences({"one": DENSE, "reranked": reranked}) is None
    assert "one, reranked: 96; fused: 48" in differences({"one": DENSE, "reranked": reranked, "fused": fused})
    assert text_lengths({"one": DENSE, "bm25": BM25, "fused": fused}) == {"one": 96, "fused": 48}


def test_answer_begins_with_what_differs_and_with_runs_that_broke(arms, row, compared):
    retrievers = {"base": DENSE, "trained": DENSE | {"max_length": 128}, "oracle": {"kind": "oracle", "fill": BM25}}
    arms["trained"]["task-3"] = row(0.0, steps=None)
    comparison = compared(arms, oracle="oracle", permutations=50, retrievers=retrievers)
    first, second = sentences(comparison).values()
    assert first == (
        "The arms differ in more than their retriever: text length in tokens (base: 96; trained: 128). "
        "Runs that broke count as failures: 1 of trained."
    )
    assert second.startswith("trained solves ")
    assert comparison.answer == f"{first} {second}"
    assert comparison.setting["text_length"] == {"base": 96, "trained": 128}
    others = {"base": {}, "trained": {"list_queries": "each"}}
    answer = compared(arms, permutations=50, retrievers=retrievers, others=others).answer
    assert "list_queries (base, oracle: none; trained: 'each')" in answer
