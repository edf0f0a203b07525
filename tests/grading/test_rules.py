from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lrat_sim.grading.rules import judge_by_rules

TABLE = Path(__file__).with_name("reasoning.tsv").read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize("row", TABLE)
def test_only_a_clear_rejection_of_the_document_is_irrelevant(row):
    state, reasoning = row.split("\t")
    assert judge_by_rules(reasoning).state == state


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
