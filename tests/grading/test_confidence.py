from __future__ import annotations

import pytest

from lrat_sim.grading.confidence import calibration_error, stated_confidence


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
