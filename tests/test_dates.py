from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.dates import parse_date
from lrat_sim.numerals import parse_number


@pytest.mark.parametrize(
    "text",
    [
        "July 5, 1945",
        "5 July 1945",
        "5th of July, 1945",
        "Jul. 5 1945",
        "1945-07-05",
        "1945-07-05T00:00:00Z",
        " (5 july 1945). ",
        "c. 5 July 1945",
        "5 July 1945 AD",
    ],
)
def test_a_day_is_read_in_every_form(text: str) -> None:
    assert parse_date(text) == (date(1945, 7, 5).toordinal(),) * 2


def test_a_month_and_a_year_are_as_long_as_they_are() -> None:
    assert parse_date("February 2000") == (date(2000, 2, 1).toordinal(), date(2000, 2, 29).toordinal())
    assert parse_date("Feb 1900") == (date(1900, 2, 1).toordinal(), date(1900, 2, 28).toordinal())
    assert parse_date("1945") == (date(1945, 1, 1).toordinal(), date(1945, 12, 31).toordinal())
    assert parse_date("669") == (date(669, 1, 1).toordinal(), date(669, 12, 31).toordinal())


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "?", "1945 film", "45", "31 February 1999", "July", "5 Smarch 1945", "1945-13-01", "American"],
)
def test_what_is_no_date_is_nothing(text: str) -> None:
    assert parse_date(text) is None


def test_years_before_christ_come_before_the_others() -> None:
    order = ["480 BC", "479 B.C.", "44 BC", "1 BC", "AD 1", "5 AD", "12 May 66", "1945"]
    spans = [span for text in order if (span := parse_date(text))]
    assert len(spans) == len(order)
    assert all(first.high < second.low for first, second in pairwise(spans))
    assert spans[3].high + 1 == spans[4].low == 1
    assert parse_date("-480") == parse_date("480 BC")


@settings(max_examples=50, deadline=None)
@given(st.dates())
def test_every_day_is_read_as_itself(day: date) -> None:
    for form in (f"{day:%B} {day.day}, {day.year}", f"{day.day} {day:%B} {day.year}"):
        assert parse_date(form) == (day.toordinal(), day.toordinal())


@pytest.mark.parametrize(
    ("text", "value"),
    [("6,650 km", 6650), ("1.4 million people", 1.4e6), ("12 ft", 12), ("-3.5", -3.5), ("1945", 1945)],
)
def test_a_number_is_read_with_its_scale(text: str, value: float) -> None:
    assert parse_number(text) == value


def test_what_begins_with_no_number_is_nothing() -> None:
    assert parse_number("about 5") is None
    assert parse_number("n/a") is None
