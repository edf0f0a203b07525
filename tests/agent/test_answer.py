from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.answer import read_answer, states_answer

TEXTS = yaml.safe_load(Path(__file__).with_name("texts.yaml").read_text("utf-8"))


@pytest.mark.parametrize("text", TEXTS["stated"])
def test_the_answer_is_read_wherever_it_stands(text):
    assert (read_answer(text) or "").rstrip(".") == "Maren Oxley"


@pytest.mark.parametrize(
    "answer",
    [
        "&", "!!!", "★★", "A*", "C++", "-7", "+49", "1. FC Lind", "#1 Crush", "M*A*S*H", "Dune: Part Two", "*NSYNC",
        "3:30 pm", "{x | x > 0}", "AT&T", "50%", "$5", "St. Lind", "Confidence Man", "Rock 'n' Roll", ">100",
        "half_life", "The Answer", "মারেন", "[sic]", "f(x) = 2", "a|b", "Yes", "None",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["Exact Answer: {}", "**Exact Answer:**\n\n{}\n\n**Confidence:** 80%", "{}"])
def test_an_answer_is_kept_as_it_is(form, answer):
    assert read_answer(form.format(answer) if form != "{}" else answer) == answer


def test_the_items_of_a_list_are_one_answer():
    assert read_answer("Exact Answer:\n- Maren Oxley\n- Per Lind\n\nConfidence: 80%") == "Maren Oxley; Per Lind"
    assert read_answer('{"answer": ["Maren Oxley", "Per Lind"]}') == "Maren Oxley; Per Lind"


@pytest.mark.parametrize("text", TEXTS["given_up"])
def test_giving_up_is_no_answer(text):
    assert read_answer(text) is None


@pytest.mark.parametrize(
    "text", ["Exact Answer: x", "# Final Answer\nx", '{"answer": "x"}', r"\boxed{x}", "Exact Answer:"]
)
def test_a_stated_answer_is_told_from_a_text(text):
    assert states_answer(f"Explanation: it says so.\n{text}")
    assert not states_answer("The one you ask for is Maren Oxley. She was born in Arven and wrote of the north.")


PIECES = ["Exact Answer", "Answer", ":", "\n", "**", "*", "`", "- ", "> ", "| ", "#", " ", '"answer": ', "{", "}",
          "\\boxed{", "the answer is ", "Confidence: ", "x", '"', "'", "<answer>"]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_what_was_read_is_read_again_as_it_is(text):
    answer = read_answer(text)
    if answer is not None and not states_answer(answer) and "nswer" not in answer:
        assert read_answer(answer) in (answer, None)


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_message_is_read_in_time_that_grows_with_its_length(piece):
    read_answer(piece * 60_000 + "x")
    states_answer(piece * 60_000 + "x")
