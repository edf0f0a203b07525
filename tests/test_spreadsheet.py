"""CSV: texts never become formulas, numbers stay numbers."""

import csv
import io

import pytest

from lrat_sim.tables import csv_text, escape_formula, unescape_formula


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "cell",
    [
        "=A1",
        "=cmd|' /C calc'!A0",
        "+A1",
        "-A1+1",
        "@SUM(A1)",
        "\t=A1",
        "\r=A1",
        "\n=A1",
        " =A1",
        "＝A1",
        "－A1",
        "'=A1",
        "-",
        '=1,2"x',
    ],
)
def test_text_that_could_be_a_formula_begins_with_an_apostrophe(cell):
    ((head, written, after),) = read(csv_text([("head", cell, "x")]))
    assert (head, after) == ("head", "x")
    assert written == f"'{cell}"
    assert unescape_formula(written) == cell


@pytest.mark.parametrize(
    "cell", ["-3.5", "+4", "-1e-7", "text", "a=b", "1-2", "", " spaced", "'quoted'", "Ö-x", "5 - 3"]
)
def test_numbers_and_plain_texts_stay_as_they_are(cell):
    if cell != "'quoted'":
        assert escape_formula(cell) == cell
    assert unescape_formula(escape_formula(cell)) == cell


def test_numbers_are_written_as_computed_and_none_as_nothing():
    assert csv_text([("a", "b"), (-3.5, None), (-0.1 + 0.3, True)]) == f"a,b\n-3.5,\n{-0.1 + 0.3!r},True\n"
