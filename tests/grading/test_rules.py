from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lrat_sim.grading.rules import judge_by_rules

REJECTED = [
    "The document does not mention the mayor. Let's search again.",
    "This page is about a different John Smith.",
    "Not relevant. Let me try another query.",
    'Hmm, that didn\'t help. Next search: "foo".',
    "The document is about the 1990 film, not the 2005 film.",
    "Okay, so this is not what we are looking for.",
    "It doesn't contain any information on the director.",
    "There is no mention of Ivan here. We should search for the brother.",
    "I don't see any mention of the treaty in this document.",
    "This article describes something else entirely.",
    "Unrelated. We need the founder.",
    "The page about Lake Tana seems irrelevant.",
    "This isn't it. Let's look for the other.",
    "The document fails to mention her birthplace.",
    "Nothing useful there.",
    "The text doesn't seem to be relevant to our question.",
    "This document is not helpful, but we should search for more.",
    "We need the birth year of the founder. The document doesn't give it.",
    "Unfortunately, the article says nothing about the award.",
    "The document talks about another person.",
]
NOT_REJECTED = [
    "The document says Smith was born in 1950. It does not mention his wife.",
    "It does not mention his wife, but says that he was born in 1950 in Paris.",
    "Great, the founder is X. Now search for X's birth date.",
    "He did not have children. So the line died out.",
    "We did not find the name elsewhere, so this confirms it.",
    "The document does not explicitly mention the year, so search for it.",
    "This may not be the right person; let's verify.",
    "Although it does not mention the year, the article states that the bridge was built by Y.",
    "Does this document mention the year? It was built in 1890.",
    "The country does not exist any more; its successor is Y.",
    "Smith was born in Ghent. The document does not mention his death.",
    "The document mentions that Y founded the club. However we need the year.",
    "According to this, the film was directed by Z, not the producer.",
    "The question asks for a mayor who is not a member. The page gives Z.",
    "I was not sure about X. Now it is clear: X is the capital.",
    "The document does not mention the mayor. However, it says the town is in Z.",
    "Thus the lake is not the largest one. The largest is lake T.",
    "It was not until 1950 that the club was founded by Y.",
    "The page is not irrelevant.",
    "It does not seem irrelevant to us.",
]


@pytest.mark.parametrize("reasoning", REJECTED)
def test_clear_rejection_of_the_document_is_irrelevant(reasoning):
    assert judge_by_rules(reasoning).state == "irrelevant"


@pytest.mark.parametrize("reasoning", NOT_REJECTED)
def test_everything_short_of_a_clear_rejection_is_relevant(reasoning):
    assert judge_by_rules(reasoning).state == "relevant"


@pytest.mark.parametrize("reasoning", [None, "", "  \n", "这份文件没有提到市长。", "...", "123"])
def test_what_the_rules_cannot_read_is_unjudged(reasoning):
    assert judge_by_rules(reasoning).state == "unjudged"


def test_a_rejection_after_the_opening_does_not_count():
    opening = "The founder was Ada. She came from Ghent. She built the mill in 1850. "
    assert judge_by_rules(opening + "This is a dead end. The document is irrelevant.").state == "relevant"


def test_the_statement_that_decided_is_told():
    verdict = judge_by_rules("Hmm. The document doesn't mention the mayor. Let's search again.")
    assert verdict == ("irrelevant", "the document does not mention the mayor")


@bounded(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gets_a_verdict_without_an_error(reasoning):
    assert judge_by_rules(reasoning).state in ("relevant", "irrelevant", "unjudged")
