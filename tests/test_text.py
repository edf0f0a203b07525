import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lrat_sim.text import count_tokens, first_tokens, normalise, tokenizer

WORDS = st.lists(
    st.sampled_from(["river", "Dresden", "unaffable", "1945", "—", "Łódź", "x" * 130, "a,b", "국"]), max_size=60
)
TEXTS = st.one_of(st.text(max_size=200), WORDS.map(" ".join))


def first_tokens_of_the_whole(text, limit):
    """The plain way: encode everything."""
    offsets = tokenizer().encode(text, add_special_tokens=False).offsets
    if len(offsets) <= limit:
        return text
    while limit and offsets[limit][0] < offsets[limit - 1][1]:
        limit -= 1
    return text[: offsets[limit - 1][1]] if limit else ""


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(0, 40))
@example("한국어 위키백과", 1)
@example("x" * 130 + " end", 3)
def test_first_tokens_are_a_beginning_of_at_most_so_many_tokens(text, limit):
    head = first_tokens(text, limit)
    assert text.startswith(head)
    assert count_tokens(head) <= limit
    if head == text:
        assert count_tokens(text) <= limit


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 20))
@example("x" * 24 + " " + "y" * 130 + " end", 3)
@example(" " * 500 + "one two three", 2)
@example(("word " * 30) + "z" * 90 + "end", 31)
def test_reading_only_the_head_of_a_text_gives_what_reading_all_gives(text, limit):
    assert first_tokens(text, limit) == first_tokens_of_the_whole(text, limit)


def test_first_tokens_keep_the_text_as_it_stands():
    assert first_tokens("The  Elbe,\nin Dresden", 4) == "The  Elbe,\n"[:10]
    assert first_tokens("short", 64) == "short"
    assert first_tokens("anything", 0) == ""
    assert first_tokens("", 5) == ""


def test_long_text_is_not_read_to_its_end(monkeypatch):
    from lrat_sim import text as module

    lengths = []

    class Counting:
        def encode(self, text, **options):
            lengths.append(len(text))
            return tokenizer().encode(text, **options)

    monkeypatch.setattr(module, "tokenizer", lambda: Counting())
    assert len(first_tokens("some ordinary words " * 10_000, 64)) < 1000
    assert max(lengths) < 2000


def test_tokens_are_counted_without_special_ones():
    assert count_tokens("river") == 1
    assert count_tokens("") == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  Elbe.", "elbe"),
        ("Łódź, Poland", "lodz poland"),
        ("Émile_Zola", "emile zola"),
        ("STRASSE straße", "strasse strasse"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("12 May 1890", "12 may 1890"),
        ("℡", "tel"),
        ("?!", ""),
        ("A", "a"),
        ("The The", "the the"),
        ("C++ and C#, not C", "c++ and c# not c"),
        ("Søren Þór, Diyarbakır", "soren thor diyarbakir"),
        ("किताब", "किताब"),
        ("กรุงเทพ", "กรุงเทพ"),
        ("ガ", "ガ"),
        ("Королёв, май", "королев май"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("soft\u00adware", "software"),
    ],
)
def test_normalised_names_compare_without_case_accents_punctuation_articles(text, plain):
    assert normalise(text) == plain


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)
