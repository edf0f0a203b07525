import math

import pytest

from lrat_sim.errors import InputError
from lrat_sim.records import Hit
from lrat_sim.retrieval.metrics import retrieval_metrics


def hits(*docids):
    return [Hit(docid=docid, score=1.0, rank=rank) for rank, docid in enumerate(docids, start=1)]


def test_metrics_by_hand():
    found = retrieval_metrics(
        {"q": hits("x", "a", "y", "b")}, {"q": {"a": 1, "b": 1, "c": 1}}, ["nDCG@10", "R@2", "RR"]
    )
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["nDCG@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert found["R@2"] == pytest.approx(1 / 3)
    assert found["RR"] == pytest.approx(1 / 2)


def test_ranks_decide_where_scores_tie():
    assert retrieval_metrics({"q": hits("b", "a")}, {"q": {"b": 1}}, ["RR"])["RR"] == 1
    assert retrieval_metrics({"q": hits("a", "b")}, {"q": {"b": 1}}, ["RR"])["RR"] == 0.5


def test_a_query_without_hits_counts_as_zero_and_one_without_judgements_not_at_all():
    run = {"q": hits("a"), "nothing": [], "unjudged": hits("a")}
    assert retrieval_metrics(run, {"q": {"a": 1}, "nothing": {"a": 1}, "absent": {"a": 1}}, ["RR"])["RR"] == (
        pytest.approx(1 / 3)
    )


def test_no_judgements_or_an_unknown_metric_is_refused():
    with pytest.raises(InputError, match="no relevance judgements"):
        retrieval_metrics({"q": hits("a")}, {})
    for name in ("nope@3", "nDCG@", ""):
        with pytest.raises(InputError, match="metric is unknown"):
            retrieval_metrics({"q": hits("a")}, {"q": {"a": 1}}, [name])
