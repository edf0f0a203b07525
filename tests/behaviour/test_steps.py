"""A run is cut into steps as LRAT's Table 1 and Figure 4 count them."""

from __future__ import annotations

from lrat_sim.behaviour.steps import OFFLINE_RULES, retriever_name, steps_of
from lrat_sim.records import Call


def test_steps_and_what_follows_what_are_counted_and_the_answer_is_no_step(entry):
    run = steps_of(entry("t", "abc def =d =e ghi =a"))
    assert (run.searches, run.browses) == (3, 3)
    assert run.moves == (1, 2, 1, 1)  # search-search, search-browse, browse-search, browse-browse


def test_a_failed_call_is_no_step(entry):
    failed = Call(id="x", tool="search", arguments={"query": "q"}, error="refused")
    run = steps_of(entry("t", "abc =a", extra_calls=[failed]))
    assert (run.searches, run.browses, run.moves) == (1, 1, (0, 1, 0, 0))


def test_the_rank_is_that_of_the_latest_list_that_showed_the_document(entry):
    ranks = [each.rank for each in steps_of(entry("t", "abc =c cab =c xyz =b =q")).opened]
    assert ranks == [3, 1, 3, None]


def test_length_is_of_the_reasoning_right_after_and_none_where_there_is_none(entry):
    assert [each.length for each in steps_of(entry("t", "abc =a =b =c", lengths=[30, 0, 50])).opened] == [30, None, 50]


def test_evidence_is_unknown_without_annotations(entry):
    assert [each.evidence for each in steps_of(entry("t", "ab =a =b", evidence="b")).opened] == [False, True]
    bare = steps_of(entry("t", "ab =a"))
    assert bare.opened[0].evidence is None
    assert bare.evidence_opened is None


def test_opening_the_same_evidence_twice_counts_once(entry):
    assert steps_of(entry("t", "ab =a cd =a =b", evidence="ab")).evidence_opened == 2


def test_an_opened_document_that_a_later_list_shows_is_returned_again(entry):
    assert [each.again for each in steps_of(entry("t", "ab =a =b bc")).opened] == [False, True]


def test_new_results_are_those_that_no_earlier_list_held(entry):
    assert steps_of(entry("t", "abc =a abd ef")).new == [(3, 3), (1, 3), (2, 2)]


def test_query_words_count_as_adopted_where_a_tool_showed_them_first(entry):
    outputs = {"q0": "mill owner", "0": "Osk bought the weir", "q1": "Osk mill born where"}
    # "mill" stands in the question; of owner, osk, born and where only osk had been shown
    assert steps_of(entry("t", "ab cd", outputs=outputs)).terms == (1, 4)


def test_outcomes(entry):
    assert steps_of(entry("t", "ab", outcome="incorrect")).outcome == "incorrect"
    assert steps_of(entry("t", "ab", outcome="unanswered")).outcome == "incorrect"
    assert steps_of(entry("t", "ab", outcome="error")).outcome == "error"
    assert steps_of(entry("t", "ab", outcome=None)).outcome == "ungraded"


def test_recorded_verdicts_count_and_without_any_the_rules_judge(entry):
    judged = steps_of(entry("t", "ab =a =b", verdicts={1: "irrelevant"}))
    assert [each.verdict for each in judged.opened] == ["irrelevant", None]
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
