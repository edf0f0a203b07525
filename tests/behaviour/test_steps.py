"""A run is cut into steps as LRAT's Table 1 and Figure 4 count them."""

from __future__ import annotations

import pytest

from lrat_sim.behaviour.observed import OFFLINE_RULES, retriever_name, steps_of
from lrat_sim.records import Call

FAILED = Call(id="x", tool="search", arguments={"query": "q"}, error="refused")
# "mill" stands in the question; of owner, osk, born and where only osk had been shown
READ = {"q0": "mill owner", "0": "Osk bought the weir", "q1": "Osk mill born where"}


@pytest.mark.parametrize(
    ("steps", "options", "counted"),
    [
        # search-search, search-browse, browse-search, browse-browse; the answer is no step
        ("abc def =d =e ghi =a", {}, {"searches": 3, "browses": 3, "moves": (1, 2, 1, 1)}),
        ("abc =a", {"extra_calls": [FAILED]}, {"searches": 1, "browses": 1, "moves": (0, 1, 0, 0)}),
        ("ab =a cd =a =b", {"evidence": "ab"}, {"evidence_opened": 2}),  # the same twice counts once
        ("ab =a", {}, {"evidence_opened": None}),
        ("abc =a abd ef", {}, {"new": [(3, 3), (1, 3), (2, 2)]}),  # results that no earlier list held
        ("ab cd", {"outputs": READ}, {"terms": (1, 4)}),
        ("ab", {"outcome": "incorrect"}, {"outcome": "incorrect"}),
        ("ab", {"outcome": "unanswered"}, {"outcome": "incorrect"}),
        ("ab", {"outcome": "error"}, {"outcome": "error"}),
        ("ab", {"outcome": None}, {"outcome": "ungraded"}),
    ],
)
def test_what_a_run_did_is_counted(entry, steps, options, counted):
    run = steps_of(entry("t", steps, **options))
    assert {field: getattr(run, field) for field in counted} == counted


@pytest.mark.parametrize(
    ("field", "steps", "options", "values"),
    [
        ("rank", "abc =c cab =c xyz =b =q", {}, [3, 1, 3, None]),  # in the latest list that showed the document
        ("length", "abc =a =b =c", {"lengths": [30, 0, 50]}, [30, None, 50]),
        ("evidence", "ab =a =b", {"evidence": "b"}, [False, True]),
        ("evidence", "ab =a", {}, [None]),  # unknown without annotations
        ("again", "ab =a =b bc", {}, [False, True]),  # shown by a later list
    ],
)
def test_what_is_known_of_each_opened_document(entry, field, steps, options, values):
    opened = steps_of(entry("t", steps, **options)).opened
    assert [getattr(document, field) for document in opened] == values


def test_recorded_verdicts_count_and_without_any_the_rules_judge(entry):
    judged = steps_of(entry("t", "ab =a =b", verdicts={1: "irrelevant"}))
    assert [document.verdict for document in judged.opened] == ["irrelevant", None]
    assert judged.judged_by == "hand"
    by_rules = steps_of(entry("t", "ab =a"))
    assert by_rules.opened[0].verdict == "relevant"
    assert by_rules.judged_by == OFFLINE_RULES


def test_the_setting_names_the_retriever_with_its_model_and_what_it_wraps(entry):
    dense = {"kind": "dense", "model": "/models/minilm/"}
    assert retriever_name(dense) == "dense:minilm"
    assert retriever_name({"kind": "degraded", "rate": 0.5, "base": dense}) == "degraded(0.5) of dense:minilm"
    setting = steps_of(entry("t", "ab", retriever={"kind": "shuffled", "base": dense})).setting
    assert (setting.shuffled, setting.k, setting.snippet_tokens) == (True, 10, 64)
