"""Where arms differ in more than their retriever, the answer says so first."""

import pytest

from lrat_sim.comparison import compare
from lrat_sim.comparison.answer import answer_sentence
from lrat_sim.comparison.fairness import differences, text_lengths
from lrat_sim.comparison.paired import NOTHING, Estimate, Paired

DENSE = {
    "kind": "dense",
    "max_length": 96,
    "query_prompt": "",
    "document_prompt": "",
    "dtype": "float32",
    "corpus": "c",
}
BM25 = {"kind": "bm25", "k1": 0.9, "corpus": "c"}


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
    found = differences({"one": DENSE, "bm25": BM25, "other": DENSE | changed})
    assert found is None if said is None else said in found


def test_what_a_retriever_is_made_of_counts_and_the_length_of_pairs_does_not():
    reranked = {"kind": "rerank", "max_length": 192, "base": DENSE}
    fused = {"kind": "hybrid", "members": [BM25, DENSE | {"max_length": 48}]}
    assert differences({"one": DENSE, "reranked": reranked}) is None
    assert "one, reranked: 96; fused: 48" in differences({"one": DENSE, "reranked": reranked, "fused": fused})
    assert text_lengths({"one": DENSE, "bm25": BM25, "fused": fused}) == {"one": 96, "fused": 48}


def test_answer_begins_with_what_differs_and_with_runs_that_broke(arms, row):
    retrievers = {"base": DENSE, "trained": DENSE | {"max_length": 128}, "oracle": {"kind": "oracle", "fill": BM25}}
    arms["trained"]["task-3"] = row(0.0, steps=None)
    tasks = list(arms["base"])
    found = compare(arms, "base", "oracle", tasks, resamples=50, permutations=50, retrievers=retrievers)
    assert found.answer.startswith(
        "The arms differ in more than their retriever: text length in tokens (base: 96; trained: 128). "
        "Runs that broke count as failures: 1 of trained. trained finds "
    )
    assert found.setting["text_length"] == {"base": 96, "trained": 128}
    others = {"base": {}, "trained": {"search_with": "history"}}
    said = compare(arms, "base", None, tasks, resamples=50, permutations=50, retrievers=retrievers, others=others)
    assert "search_with (base, oracle: none; trained: 'history')" in said.answer


@pytest.mark.parametrize(
    ("low", "high", "p", "begins", "holds"),
    [
        (0.02, 0.15, 0.01, "a finds 8.0 points more than b, 95 % interval 2.0 to 15.0", None),
        (-0.15, -0.02, 0.01, "a finds 8.0 points less than b", None),
        (-0.01, 0.15, 0.04, "a is not clearly better or worse than b", None),
        (0.0, 0.15, 0.04, "a is not clearly better or worse than b", None),
        (0.0002, 0.15, 0.03, "a finds 8.0 points more than b, 95 % interval 0.02 to 15.00", None),
        (0.02, 0.15, 0.07, "a is not clearly better or worse than b",
         "95 % interval 2.0 to 15.0 (McNemar's exact test decided, p = 0.07: the sample is small, 14 of 40 tasks"),
    ],
)  # fmt: skip
def test_sentence_follows_the_interval_or_names_the_test_that_decided(low, high, p, begins, holds):
    value = -0.08 if high < 0 else 0.08
    success = Paired(
        tasks=40, base=0.5, arm=0.5 + value, difference=Estimate(value=value, low=low, high=high),
        relative=Estimate(value=None), wins=10, ties=26, losses=4, p=p, test="mcnemar",
    )  # fmt: skip
    said = answer_sentence("a", "b", {"success": success, "steps_both_solve": NOTHING})
    assert said.startswith(begins)
    assert "decided" not in said if holds is None else holds in said
