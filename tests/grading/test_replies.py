from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import read_ruling
from lrat_sim.grading.metrics import calibration_error
from lrat_sim.grading.relevance import read_verdict
from lrat_sim.grading.replies import fill, plain, stated, stated_confidence

WORDS = [f"{name}:" for name in ("verdict", "correct", "confidence")]
WORDS += ["relevant", "irrelevant", "not", "yes", "no", "true", "or", "80%", "0.8"]
MARKS = [*["<think>", "</think>", "**", "```json", "```", "{", "}"], '"verdict"', '"correct"', *":,?-\n", ". "]
PIECES = st.sampled_from([*WORDS, *MARKS])
LOOPS = ["relevant ", "! ", "* ", "<think>", "is correct ", "Confidence: ", "not ", "verdict ", '"verdict": ', "_ "]


@given(st.lists(PIECES | st.text(max_size=5), max_size=25).map(" ".join))
def test_any_reply_is_read_as_one_of_the_states(reply):
    text = plain(reply)
    assert read_verdict(text) in ("relevant", "irrelevant", None)
    assert read_ruling(text) in ("correct", "incorrect", None)
    confidence = stated_confidence(text)
    assert confidence is None or 0 <= confidence <= 100


@given(st.permutations(["Verdict: relevant", "Verdict: irrelevant", "It is so."]))
def test_two_different_verdicts_are_none_in_any_order(lines):
    assert read_verdict("\n".join(lines)) is None


@pytest.mark.parametrize("piece", LOOPS)
def test_a_model_gone_into_a_loop_costs_no_time(piece):
    began = time.process_time()
    text = plain(piece * 60_000)
    read_verdict(text)
    read_ruling(text)
    stated_confidence(text)
    assert time.process_time() - began < 300


def test_every_value_stated_by_a_name_is_given():
    assert stated("**Verdict:** a.\nSo. Verdict: b\n1. final verdict = c", "verdict") == ["a.", "b", "c"]
    assert stated('{"Verdict": "a \\"b\\"", "n": 1}\nVerdict: c', "verdict") == ['a "b"']
    assert stated("the verdicts: a", "verdict") == []


def test_a_prompt_is_filled_in_one_pass_and_lacks_no_slot():
    assert fill("{a} {b} {c}", a="{b}", b="2") == "{b} 2 {c}"
    with pytest.raises(InputError, match=r"no place for \{c\}"):
        fill("{a}", c="")


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("Verdict: relevant", "relevant"),
        ("**Verdict:** Irrelevant.", "irrelevant"),
        ("verdict - irrelevant", "irrelevant"),
        ("RELEVANT", "relevant"),
        ("The document is **not relevant**", "irrelevant"),
        ("<think>Verdict: irrelevant? No.</think>\n\n**relevant**", "relevant"),
        ("irrelevant, perhaps ... no</think> Verdict: relevant", "relevant"),
        ("It could be relevant or irrelevant.\nVerdict: irrelevant", "irrelevant"),
        ("It could be relevant or irrelevant.", None),
        ("VERDICT: relevant\nVerdict: irrelevant", None),
        ("Verdict: relevant or irrelevant", None),
        ("Final verdict: relevant. Nothing in it is irrelevant.", None),
        ("Verdict: relevant. It is not irrelevant.", "relevant"),
        ("The agent drew a date from it. Verdict: relevant", "relevant"),
        ("## Verdict\n\n**Irrelevant**", "irrelevant"),
        ("**Verdict:**\nrelevant", "relevant"),
        ("```\nVerdict: irrelevant\n```", "irrelevant"),
        ('```json\n{"verdict": "irrelevant", "reason": "the agent said it is not relevant"}\n```', "irrelevant"),
        ('{\n  "Verdict": "RELEVANT"\n}', "relevant"),
        ('{"relevant": false}', "irrelevant"),
        ("Relevant: no", "irrelevant"),
        ("\\boxed{irrelevant}", "irrelevant"),
        ("It says nothing of the man, so the document is irrelevant.", "irrelevant"),
        ("The document isn't really relevant.", "irrelevant"),
        ("This is by no means irrelevant.", None),
        ("I do not think that it is relevant.", None),
        ("I cannot tell whether it is relevant.", None),
        ("Is it relevant?", None),
        ("<think>The agent rejects it.\n\nVerdict: irrelevant", "irrelevant"),
        ("<think>It may be\nVerdict: relevant\nor not, so", None),
        ("<think>relevant", None),
        ("I do not know", None),
        ("", None),
    ],
)
def test_verdict_is_read_through_markup_case_and_thinking(reply, state):
    assert read_verdict(plain(reply)) == state


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("Extracted: x\nReason: not the same, no doubt.\nCorrect: yes", "correct"),
        ("**extracted:** x\n- **correct**: *no*, it is Rome", "incorrect"),
        ("CORRECT: YES.", "correct"),
        ("1. Extracted: x\n2. Correct: no", "incorrect"),
        ("Correct:\nyes", "correct"),
        ('```json\n{"extracted": "x", "correct": true, "reason": "is it correct: no doubt"}\n```', "correct"),
        ('{"correct": "no"}', "incorrect"),
        ("<think>Correct: no ... no, wait</think>\nCorrect: yes", "correct"),
        ("so it is wrong</think>Correct: yes", "correct"),
        ("<think>Both are Paris.\n\nExtracted: Paris\nCorrect: yes\nConfidence: none", "correct"),
        ("Verdict: incorrect", "incorrect"),
        ("Incorrect.", "incorrect"),
        ("The response is **correct**.", "correct"),
        ("The response is not correct.", "incorrect"),
        # no verdict, or two
        ("Correct: yes\nCorrect: no", None),
        ("Correct: yes or no", None),
        ("Correct: yes/no", None),
        ("Correct: yes? no.", None),
        ("The correct answer is Paris.", None),
        ("It is correct that the response names Rome.", None),
        ("I do not think that it is correct.", None),
        ("Is it correct?", None),
        ("The first part is correct, the second is wrong.", None),
        ("<think>Correct: yes\nbut then it says Rome, so", None),
        ("Extracted: yes\nReason: fine", None),
    ],
)
def test_ruling_is_read_through_dress_and_two_rulings_are_none(reply, state):
    assert read_ruling(plain(reply)) == state


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Confidence: 80%", 80),
        ("**Confidence:** 65.5 %", 65.5),
        ("confidence (0-100): 70", 70),
        ("Confidence level = ~85 percent", 85),
        ("Confidence - 90%", 90),
        ("Confidence:\n75%", 75),
        ('{"confidence": 0.8}', 80),
        ("Confidence: 1.0", 100),
        ("Confidence: 0", 0),
        ("Confidence: 0.5%", 0.5),
        ("Confidence: 80/100", 80),
        ("Confidence: 8 out of 10", 80),
        ("Confidence: 70-80%", 75),
        ("Confidence: between 70% and 80%", 75),
        ("Confidence: high (90%)", 90),
        ("Confidence: 95%, as 3 of 4 documents agree", 95),
        ("Confidence: 20%\nI looked again.\nConfidence: 60%", 60),
        ("Confidence：80%", 80),
        ("### Confidence\n\n80%", 80),
        ("**Confidence:**\r\n\r\n80%", 80),
        ("**Confidence Level**\n~80%", 80),
        ("| Confidence | 80% |", 80),
        ("| Exact Answer | Confidence |\n|---|---|\n| Lind | 80% |", 80),
        (r"Confidence: $\boxed{80\%}$", 80),
        ("Confidence is 80%", 80),
        ("Confidence 80%", 80),
        ("Confidence: eighty percent", 80),
        ("Confidence: .8", 80),
        ("Confidence: 0,8", 80),
        ("Confidence: ٨٠٪", 80),
        # no number of that scale
        ("My confidence is low, as 50% of the pages deny it", None),
        ("Confidence: high", None),
        ("Confidence: high, as 3 documents agree", None),
        ("Confidence: 1", None),
        ("Confidence: 300%", None),
        ("Confidence: -5", None),
        ("Confidence: 3/0", None),
        ("Confidence: none", None),
        ("80% sure", None),
        ("", None),
    ],
)
def test_confidence_is_a_number_from_0_to_100_stated_after_its_name(text, confidence):
    assert stated_confidence(text) == confidence


def test_calibration_error_by_hand_over_all_bins():
    # bin 20-30: two answers, said 0.25, right 0.5; the last bin: said 0.95 and 1.0, both wrong
    error = calibration_error([20, 30 - 1e-9, 95, 100], [1, 0, 0, 0])
    assert error == pytest.approx((2 * 0.25 + 2 * 0.975) / 4)


def test_an_agent_as_often_right_as_it_says_is_calibrated():
    assert calibration_error([80] * 5, [1, 1, 1, 1, 0]) == pytest.approx(0)
    assert calibration_error([100] * 3, [0] * 3) == 1.0
    assert calibration_error([], []) is None
