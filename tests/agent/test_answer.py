import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.answer import read_answer, states_answer


@pytest.mark.parametrize(
    "text",
    [
        "Explanation: it says so [1].\nExact Answer: Maren Oxley\nConfidence: 80%",
        "**Exact Answer:** Maren Oxley\n",
        "**Exact Answer**: *Maren Oxley*",
        "**Exact Answer: Maren Oxley**",
        "*Exact answer: Maren Oxley*",
        "__Exact Answer:__ __Maren Oxley__",
        "Exact Answer:\nMaren Oxley\n",
        "Exact Answer:\r\n\r\nMaren Oxley\r\n\r\nConfidence: 80%\r\n",
        "Exact Answer:\n\n\n   Maren Oxley   \n",
        "### Exact Answer\nMaren Oxley\n### Confidence\n80%",
        "# Exact Answer:\n\n**Maren Oxley**",
        "###### **Exact Answer**\n> Maren Oxley",
        "**Exact Answer**\nMaren Oxley",
        "EXACT ANSWER\n\nMaren Oxley",
        "- **Exact Answer:** Maren Oxley\n- **Confidence:** 80%",
        "* Exact Answer: Maren Oxley",
        "2. Exact Answer: Maren Oxley\n3. Confidence: 80%",
        "> **Exact Answer:**\n> Maren Oxley",
        "Exact Answer:\n- Maren Oxley\nConfidence: 80%",
        "Exact Answer:\n* **Maren Oxley**",
        "Exact Answer:\n```\nMaren Oxley\n```",
        "```text\nExact Answer: Maren Oxley\n```",
        "Exact Answer: ```Maren Oxley```",
        "Exact Answer: `Maren Oxley`",
        "Exact Answer: “Maren Oxley”",
        'Exact Answer: "Maren Oxley"',
        "Exact Answer: «Maren Oxley»",
        "Exact Answer：Maren Oxley",
        "**Exact Answer**：\nMaren Oxley",
        "Exact answer is: Maren Oxley",
        "The exact answer is: Maren Oxley",
        "The exact answer is Maren Oxley.",
        "Thus the final answer is: **Maren Oxley**.",
        "So the answer is Maren Oxley.",
        "Exact Answer (a name): Maren Oxley",
        "Exact Answer - Maren Oxley",
        "Exact answer = Maren Oxley",
        "Exact_Answer: Maren Oxley",
        "Final Answer: Maren Oxley",
        "**Final answer:** **Maren Oxley**",
        "It says so. Exact Answer: Maren Oxley",
        "Exact Answer: Maren Oxley. Confidence: 80%",
        "Exact Answer: Maren Oxley **Confidence:** 80%",
        "Exact Answer: Maren Oxley | Confidence: 80%",
        "| Exact Answer | Maren Oxley |\n| Confidence | 80% |",
        "| Explanation | Exact Answer | Confidence |\n|---|:-:|---|\n| it says so | **Maren Oxley** | 80% |",
        "Exact Answer: <b>Maren Oxley</b>",
        r"Exact Answer: \boxed{Maren Oxley}",
        r"So it is she: $\boxed{\text{Maren Oxley}}$.",
        r"\[ \boxed{\textbf{Maren {Oxley}}} \]".replace("{Oxley}", "Oxley"),
        '{"explanation": "it says so", "exact_answer": "Maren Oxley", "confidence": 80}',
        '```json\n{\n  "answer": "Maren Oxley",\n  "confidence": 0.8\n}\n```',
        "{'final_answer': 'Maren Oxley', 'confidence': 80}",
        '{"answer": ["Maren Oxley"]}',
        '{"answer": {"exact answer": "Maren Oxley"}}',
        '{"exact_answer": "Maren Oxley',
        'Exact Answer: {"answer": "Maren Oxley"}',
        "<answer>Maren Oxley</answer>",
        "<answer>\nExact Answer:\nMaren Oxley\n</answer>",
        "Answer: Maren Oxley",
        "## Answer\n\nMaren Oxley\n\n## Sources\n[1]",
        "It says so on two pages. The answer is Maren Oxley.",
        "It says so, so the answer is **Maren Oxley**. No page denies it.",
        "The answer to the question is: Maren Oxley",
        "Maren Oxley",
        "Exact Answer: Maren Oxley<|im_end|>",
        # a second heading that is empty, an earlier mention, a heading's name in prose
        "Exact Answer: Maren Oxley\n\nExact Answer:\nConfidence: 80%",
        "Exact Answer:\nFinal answer: Maren Oxley",
        "Exact Answer: Per Lind\nNo, wait.\nExact answer: Maren Oxley",
        "Explanation: the exact answer is unclear at first: Per Lind?\nExact Answer: Maren Oxley",
        "The exact answer is hard to find.\n\nExact Answer: Maren Oxley\nExplanation: the answer is hers alone.",
        'Explanation: "answer": "Per Lind" is what another page has.\nExact Answer: Maren Oxley',
        "Exact Answer: Maren Oxley\nExplanation: a page asks for the exact answer: none is given.",
    ],
)
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


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  \n",
        "Explanation: nothing.\nExact Answer:\nConfidence: 0%",
        "### Exact Answer\n\n### Confidence\n0%",
        "**Exact Answer:**\n\n**Explanation:** nothing was found.",
        "Exact Answer",
        "Exact Answer: **",
        "Exact Answer: Unknown",
        "**Exact Answer:**\n\n*unknown.*",
        "Exact Answer: I don't know.",
        "Exact Answer: N/A",
        "Exact Answer: could not be determined",
        '{"exact_answer": null, "confidence": 0}',
        '{"exact_answer": "", "confidence": 0}',
        "<answer></answer>",
        "Explanation: The searches brought nothing on this. I could not find the answer.",
        "The answer is not in any document. I could not find it.",
    ],
)
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
