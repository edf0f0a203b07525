import pytest

from lrat_sim.records import Hit
from lrat_sim.retrieval.harmless import as_it_was
from lrat_sim.retrieval.shown import LONGEST_NAME, show_document, show_hits
from lrat_sim.text import WIDEST, first_tokens

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
    assert as_it_was(endless) is endless
