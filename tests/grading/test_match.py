from __future__ import annotations

import csv
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from lrat_sim.grading.match import can_be_covered, covered_answer, is_match, is_text

WORDS = ["Arven", "Holt", "Lake", "Tana", "12", "1950", "river", "of", "north"]


def _table() -> list[tuple[str, str, bool]]:
    """The rows of answers.tsv; ``\\uXXXX`` stands for characters that cannot be seen."""
    text = re.sub(
        r"\\u([0-9a-f]{4})",
        lambda found: chr(int(found[1], 16)),
        Path(__file__).with_name("answers.tsv").read_text(encoding="utf-8"),
    )
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [(row["accepted"], row["answered"], row["verdict"] == "right") for row in rows]


@pytest.mark.parametrize(("accepted", "answered", "right"), _table())
def test_answers_in_many_scripts_and_notations_are_told_apart(accepted, answered, right):
    assert is_match(answered, [accepted]) is right


def test_the_table_is_wide_and_as_much_wrong_as_right():
    rows = _table()
    scripts = {unicodedata.name(letter, " ").split()[0] for row in rows for letter in row[0] if letter.isalpha()}
    assert len(rows) >= 200
    assert len(scripts) >= 10
    assert 0.45 <= sum(right for _, _, right in rows) / len(rows) <= 0.55


@pytest.mark.parametrize("text", ["x " * 2_500_000, "y" * 5_000_000])
def test_an_endless_answer_is_no_match(text):
    assert not is_match(text, ["Jan Holt", "1950", "12 March 1950"])
    assert covered_answer(text, ["Jan Holt"]) is None


def test_any_accepted_answer_will_do_and_aliases_are_no_other_candidates():
    assert is_match("Peking", ["Beijing", "Peking"])
    assert is_match("Beijing or Peking", ["Beijing", "Peking"])
    assert not is_match("Beijing or Nanking", ["Beijing", "Peking"])


def test_blank_accepted_and_given_answers_match_nothing():
    assert not is_match("anything", ["", " "])
    assert not is_match("anything", [])
    assert not is_match("", ["Paris"])


@bounded(max_examples=50, deadline=None)
@given(st.text(max_size=80), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_decided_without_an_error(answer, accepted):
    assert is_match(answer, accepted) in (True, False)


@bounded(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_every_answer_matches_itself_in_another_case(words):
    text = " ".join(words)
    assert is_match(text.upper(), [text.lower()])


TEXT = "The person you are referring to is Jan Holt. " + "He was born in Arven and wrote about the north. " * 5


def test_a_text_is_told_from_an_answer_by_its_length():
    assert is_text(TEXT, ["Jan Holt"])
    assert not is_text("The person you are referring to is Jan Holt.", ["Jan Holt"])
    assert not is_text(TEXT, ["Jan Holt", TEXT])
    assert not is_match(f"A long answer {'word ' * 22}Paris", ["Paris"])


def test_a_text_holds_an_accepted_answer_where_its_words_stand_together():
    assert covered_answer(TEXT, ["Per Lind", "Jan Holt (historian)"]) == "Jan Holt (historian)"
    assert covered_answer(TEXT, ["Holt Jan"]) is None
    assert covered_answer(TEXT.replace("Jan Holt", "Jan Holt Jr."), ["Jan Holt"]) is None
    assert covered_answer(TEXT.replace("is Jan", "is not Jan"), ["Jan Holt"]) is None


@pytest.mark.parametrize("accepted", ["yes", "No", "1950", "12 March 1950", "seven", " "])
def test_what_stands_in_any_text_cannot_be_covered(accepted):
    assert not can_be_covered(accepted)
    assert covered_answer(f"{TEXT} {accepted} {TEXT}", [accepted]) is None
