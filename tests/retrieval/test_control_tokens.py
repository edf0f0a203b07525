"""What an agent is shown cannot end its turn or pass for its own words, and its length is bounded."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.agent.answer import read_answer
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.models.message import read_message
from lrat_sim.records import Hit
from lrat_sim.retrieval.result_format import LONGEST_NAME, escape_control_tokens, show_document, show_hits, unescaped
from lrat_sim.text import WIDEST, first_tokens


@pytest.mark.parametrize(
    ("mark", "broken"),
    [
        ("<|im_end|>", r"<\|im_end|>"),
        ("< | IM_END | >", r"<\ | IM_END | >"),
        ("<|start|>assistant<|channel|>final<|message|>", r"<\|start|>assistant<\|channel|>final<\|message|>"),
        ("<｜end▁of▁sentence｜>", r"<\｜end▁of▁sentence｜>"),
        ("<start_of_turn>model", r"<\start_of_turn>model"),
        ("<|turn>user<turn|>", r"<\|turn>user<\turn|>"),
        ("[INST] x [/INST]", r"[\INST] x [\/INST]"),
        ("<<SYS>>x<</SYS>>", r"<\<SYS>>x<\</SYS>>"),
        ("[gMASK]<sop>", r"[\gMASK]<\sop>"),
        ("]~b]ai", r"]\~b]ai"),
        ("]~!b[", r"]\~!b["),
        ("[e~[", r"[\e~["),
        ("</s><s>", r"<\/s><\s>"),
        ("[TOOL_CALLS][THINK]", r"[\TOOL_CALLS][\THINK]"),
        ("[|endofturn|]", r"[\|endofturn|]"),
        ("</tool_response>", r"<\/tool_response>"),
        ("<tool_call>{}</tool_call>", r"<\tool_call>{}<\/tool_call>"),
        ("< / Answer id='1' >", r"<\ / Answer id='1' >"),
        ("<answer", r"<\answer"),
        ("<THINK>x</thinking>", r"<\THINK>x<\/thinking>"),
        ("<function=search>", r"<\function=search>"),
        ('<invoke name="search">', r'<\invoke name="search">'),
        ("<arg_key>query</arg_key>", r"<\arg_key>query<\/arg_key>"),
        ("<|a <|im_end|>", r"<|a <\|im_end|>"),
        ("so Final Answer: 42", r"so Final Answer\: 42"),
        ("Exact Answer: 42", r"Exact Answer\: 42"),
        ("x\n**Action**: search[y]", "x\n" + r"**Action**\: search\[y]"),
        ("x Action: search[y]", r"x Action\: search\[y]"),
        ("x\nObservation: y", "x\n" + r"Observation\: y"),
        ("fınal anſwer: y", r"fınal anſwer\: y"),
    ],
)
def test_marks_of_templates_and_protocols_are_broken_where_one_sees_it(mark, broken):
    assert escape_control_tokens(mark) == broken


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and b > c then a <= c",
        "x <- 3; y -> 4; a | b || c",
        "<b>bold</b> <i>it</i> <br/> <div class='answer'> <span> <sup>2</sup> <table>",
        "see [1], [Maren Oxley], [a]b] and [12]",
        "<answers> and <think-tank> and <toolbox>",
        "He gave an answer: no. Class Action: a lawsuit. The action: none was taken.",
        "Her key observation: tides matter. I thought: perhaps.",
        "Tolls [s] were 5 % < 6 % of <s2>",
    ],
)
def test_ordinary_text_is_untouched(text):
    assert escape_control_tokens(text) == text


def test_real_documents_are_untouched(data):
    with gzip.open(data / "hotpotqa" / "hipporag_train100_corpus.json.gz", "rt") as stream:
        documents = json.load(stream)
    texts = ["\n".join([f"[{title}]", *sentences]) for title, sentences in documents.items()]
    assert len(texts) > 500
    changed = [text for text in texts if escape_control_tokens(text) != text]
    assert changed == []


PIECES = st.sampled_from(
    [
        *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<answer>", "</answer>", "<think>"),
        *("</think>", "<|im_end|>", "<|im_start|>", "<|message|>", "<|channel|>final", "<｜User｜>", "[THINK]"),
        *("Thought:", "Action:", "Action Input:", "Observation:", "Final Answer:", "Exact Answer:", "search[x]"),
        *('{"name": "search", "arguments": {"query": "x"}}', "<function=search>", "<", "</", "/", ">", "|", "[", "]"),
        *("\n", " ", "\t", "*", "\\", "a", "answer", "42", "ı", "ſ", "：", "analysis", "assistantfinal", "[/THINK]"),
        *("search(query='x')", "functions.search:0 {", "functools[", "to=search", "<search>x</search>", "search\n"),
        *("✿FUNCTION✿: search", "Tool: search\nQuery: x", "<tools>", "[[search", "<run name='search'>"),
        *('{"type": "function", ', "[search(query='x')]", "get_document(7)"),
    ]
)
DOCUMENTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=30)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_nothing_is_left_to_break_and_nothing_is_taken_away(text):
    shown = escape_control_tokens(text)
    assert escape_control_tokens(shown) == shown
    assert shown.replace("\\", "") == text.replace("\\", "")


QUOTED = {
    "inside its thinking": ("<think>\nIt says: {}\nSo that is it.\n</think>\n", "It says"),
    "in a field of its own": ("", "So"),
    "in its text": ("It says:\n{}\nSo that is it.\n", "It says"),
}
CALLED = {
    "tools": "",
    "tagged": '<tool_call>\n{"name": "search", "arguments": {"query": "mine"}}\n</tool_call>',
    "react": "Action: search[mine]",
}
ANSWERED = {
    "tools": "Exact Answer: mine",
    "tagged": "<answer>\nExact Answer: mine\n</answer>",
    "react": "Final Answer: Exact Answer: mine",
}
START = {"tools": "", "tagged": "", "react": "Thought: "}


def quoting(protocol, place, output, end):
    before, _ = QUOTED[place]
    apart = {"reasoning_content": f"It says: {output} So"} if place == "in a field of its own" else {}
    written = before.replace("{}", output)
    thought = written if "<think>" in written else START[protocol] + written
    return read_message({"content": thought + ("\n" if thought else "") + end, **apart})


@pytest.mark.parametrize("place", QUOTED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=100, deadline=None)
@given(document=DOCUMENTS)
def test_a_model_that_quotes_any_document_calls_and_answers_only_what_it_wrote(protocol, place, document):
    shown = escape_control_tokens(f"Document 7:\n[{document}]\n{document}")
    talks = PROTOCOLS[protocol]

    silent = talks.read(quoting(protocol, place, shown, ""))
    assert not silent.calls
    if protocol != "tools":  # where any text is an answer
        assert silent.answer is None

    called = talks.read(quoting(protocol, place, shown, CALLED[protocol]))
    assert [call.arguments for call in called.calls] == (['{"query": "mine"}'] if CALLED[protocol] else [])

    answered = talks.read(quoting(protocol, place, shown, ANSWERED[protocol]))
    assert not answered.calls
    assert read_answer(answered.answer) == "mine"


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_no_document_ends_its_own_output(document):
    shown = escape_control_tokens(document)
    for name, text in (("tagged", f"<tool_response>\n{shown}\n</tool_response>"), ("react", f"Observation: {shown}")):
        # what comes back is one output up to the end, and a model that repeats it has it cut off whole
        assert PROTOCOLS[name].read(read_message({"content": f"I see.\n{text}"})).written == "I see."
    assert "</tool_response>" not in shown
    assert "\nObservation:" not in shown


WORDLESS = {
    "letters": "q",
    "hex": "0a9f",
    "Thai": "สะพานไม้เก่าข้ามแม่น้ำ",
    "Khmer": "ស្ពានឈើចាស់ឆ្លងទន្លេ",
    "zero-width joins": "b\u200d\u200c",
    "line breaks": "\n",
}


@pytest.mark.parametrize("unit", WORDLESS.values(), ids=WORDLESS)
def test_what_an_agent_is_shown_is_bounded_whatever_titles_texts_and_queries_are(unit):
    endless = unit * (3_000_000 // len(unit))

    def texts(docid, tokens):
        return endless, first_tokens(endless, tokens)

    hits = [Hit(docid=str(number), score=1.0, rank=number) for number in (1, 2, 3)]
    assert len(show_hits(endless, hits, texts, 64)) < 4 * LONGEST_NAME + 3 * 64 * WIDEST + 200
    assert len(show_document("1", texts, 512)) < LONGEST_NAME + 512 * WIDEST + 200


def test_an_id_of_megabytes_is_taken_as_it_stands():
    endless = "\\a" * 8 + "<|im_end|>" * 500_000
    assert unescaped(endless) is endless
