import pytest

from lrat_sim.agent.answer import read_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Explanation: it says so [1].\nExact Answer: Maren Oxley\nConfidence: 80%", "Maren Oxley"),
        ("**Exact Answer:** Maren Oxley\n", "Maren Oxley"),
        ("**Exact Answer**: *Maren Oxley*", "Maren Oxley"),
        ("Exact Answer: first try\nNo, wait.\nExact answer: second try", "second try"),
        ("Maren Oxley", "Maren Oxley"),
        ("Exact Answer: &", "&"),
    ],
)
def test_the_exact_answer_is_read(text, answer):
    assert read_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  \n",
        "Explanation: nothing.\nExact Answer:\nConfidence: 0%",
        "Exact Answer: Unknown",
        "Exact Answer: I don't know.",
        "Explanation: The searches brought nothing on this. I could not find the answer.",
    ],
)
def test_giving_up_is_no_answer(text):
    assert read_answer(text) is None
