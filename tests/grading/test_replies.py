from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import read_ruling
from lrat_sim.grading.confidence import stated_confidence
from lrat_sim.grading.relevance import read_verdict
from lrat_sim.grading.replies import fill, plain, stated

WORDS = [f"{name}:" for name in ("verdict", "correct", "confidence")]
WORDS += ["relevant", "irrelevant", "not", "yes", "no", "true", "or", "80%", "0.8"]
MARKS = [*["<think>", "</think>", "**", "```json", "```", "{", "}"], '"verdict"', '"correct"', *":,?-\n", ". "]
PIECES = st.sampled_from([*WORDS, *MARKS])
LOOPS = ["relevant ", "! ", "* ", "<think>", "is correct ", "Confidence: ", "not ", "verdict ", '"verdict": ', "_ "]


@given(st.lists(PIECES | st.text(max_size=5), max_size=25).map(" ".join))
def test_any_reply_is_read_as_one_of_the_states(reply):
    text = plain(reply)
    assert read_verdict(text) in ("relevant", "irrelevant", "unjudged")
    assert read_ruling(text) in ("correct", "incorrect", None)
    confidence = stated_confidence(text)
    assert confidence is None or 0 <= confidence <= 100


@given(st.permutations(["Verdict: relevant", "Verdict: irrelevant", "It is so."]))
def test_two_different_verdicts_are_none_in_any_order(lines):
    assert read_verdict("\n".join(lines)) == "unjudged"


@pytest.mark.parametrize("piece", LOOPS)
def test_a_model_gone_into_a_loop_costs_no_time(piece):
    began = time.process_time()
    text = plain(piece * 6_000)
    read_verdict(text)
    read_ruling(text)
    stated_confidence(text)
    assert time.process_time() - began < 2.0


def test_every_value_stated_by_a_name_is_given():
    assert stated("**Verdict:** a.\nSo. Verdict: b\n1. final verdict = c", "verdict") == ["a.", "b", "c"]
    assert stated('{"Verdict": "a \\"b\\"", "n": 1}\nVerdict: c', "verdict") == ['a "b"']
    assert stated("the verdicts: a", "verdict") == []


def test_a_prompt_is_filled_in_one_pass_and_lacks_no_slot():
    assert fill("{a} {b} {c}", a="{b}", b="2") == "{b} 2 {c}"
    with pytest.raises(InputError, match=r"no place for \{c\}"):
        fill("{a}", c="")
