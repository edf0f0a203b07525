"""Dates and numbers as texts write them, as spans that can be compared.

Own code and not a date library: those complete what is missing from a default, while here "1945" has to stay a
whole year, a year may have three digits or lie before Christ, and what is not a date has to be nothing at all.
"""

from __future__ import annotations

import calendar
import re
from datetime import date
from typing import NamedTuple

_MONTHS = {name.casefold(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.casefold(): number for number, name in enumerate(calendar.month_abbr) if name} | {"sept": 9}
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>-?\d{1,4})"
_ERA = r"(?:\s*(?P<era>b\.?c\.?(?:e\.?)?|a\.?d\.?|c\.?e\.?))?"
_ABOUT = re.compile(r"^(?:(?:c|ca|circa)\b\.?|about|around)\s*")
_DATES = [
    re.compile(pattern)
    for pattern in (
        rf"{_MONTH}\s+{_DAY}\s*,?\s+{_YEAR}{_ERA}",
        rf"{_DAY}\s+(?:of\s+)?{_MONTH}\s*,?\s+{_YEAR}{_ERA}",
        rf"{_MONTH}\s*,?\s+{_YEAR}{_ERA}",
        r"(?P<year>-?\d{4})-(?P<number>\d{1,2})-(?P<day>\d{1,2})(?:t.*)?",
        rf"(?:ad\s+)?{_YEAR}{_ERA}",
    )
]
_NUMBER = re.compile(r"(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:\.\d+)?)(?:\s+(thousand|million|billion))?\b")
_SCALE = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_LAST_DAY = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097


class Span(NamedTuple):
    """A value known to lie between ``low`` and ``high``, both included; a date counts days."""

    low: float
    high: float


def parse_date(text: str) -> Span | None:
    """A date as the days it may mean.

    Args:
        text: "July 5, 1945", "5 July 1945", "July 1945", "1945", "1945-07-05", "c. 480 BC", "-480"; a bare number
            needs three or four digits, a sign or an era to be a year.

    Returns:
        The first and last day it may mean, counted on from 1 January of the year 1, or None if it is no date.
    """
    plain = _ABOUT.sub("", " ".join(text.casefold().split()).strip(" .,;()"))
    for pattern in _DATES:
        match = pattern.fullmatch(plain)
        if match is not None:
            found = match.groupdict()
            return _span(found, bare=not (found.get("month") or found.get("number") or plain.startswith("ad ")))
    return None


def _span(found: dict[str, str | None], bare: bool) -> Span | None:
    year, era = int(found["year"] or 0), (found.get("era") or "").replace(".", "")
    if bare and not era and 0 <= year < 100:
        return None
    if era.startswith("b"):
        year = 1 - year  # there is no year 0: 1 BC is the year before 1
    elif year < 0:
        year += 1
    month = _MONTHS.get(found.get("month") or "") or int(found.get("number") or 0)
    if found.get("month") and not month:
        return None
    try:
        if not month:
            return Span(_day(year, 1, 1), _day(year, 12, 31))
        day = int(found.get("day") or 0)
        last = 29 if month == 2 and calendar.isleap(year) else _LAST_DAY[month]
        return Span(_day(year, month, day or 1), _day(year, month, day or last))
    except (ValueError, IndexError):
        return None


def _day(year: int, month: int, day: int) -> int:
    # Python's dates begin with the year 1; the calendar repeats every 400 years
    cycles = 0 if year >= 1 else (-year) // _CYCLE_YEARS + 1
    return date(year + cycles * _CYCLE_YEARS, month, day).toordinal() - cycles * _CYCLE_DAYS


def parse_number(text: str) -> Span | None:
    """The number that a text begins with ("6,650 km", "1.4 million"), or None; a number is exact."""
    match = _NUMBER.match(text.casefold().strip())
    if match is None:
        return None
    value = float(match.group(1).replace(",", "")) * _SCALE.get(match.group(2) or "", 1.0)
    return Span(value, value)
