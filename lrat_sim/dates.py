"""Dates as texts write them: in every usual order, with the months of thirty languages (Unicode CLDR through Babel).

The order of the parts is told from their shape.  "12/03/1950" has two readings; "12.03.1950" has the day first.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import regex

_LANGUAGES = "en de fr es it pt nl sv da nb fi pl cs ro hu ru uk bg el tr ca ar fa he hi bn ta th vi id"
"""Where two call different months by one name ("listopad"), the earlier one here counts."""
_ENGLISH = {
    name[:length].casefold(): number
    for number, name in enumerate(calendar.month_name)
    if number
    for length in (3, 4, len(name))
}

_ERA_NAME = r"(?:b\.?\s?c\.?(?:\s?e\.?)?|a\.?\s?d\.?|c\.?\s?e\.?)(?![\w+#&])"
_ERA = rf"(?P<era>{_ERA_NAME})"
_YEAR = (
    r"(?:(?P<before>a\.?d\.?|b\.?c\.?)\s)?"
    rf"(?P<year>(?<![\d.])(?:\d{{3,4}}(?!\d|['’]?s\b|[.,:/]\d|\s?%)|\d{{1,2}}(?=\s?{_ERA_NAME})))(?:\s?{_ERA})?"
)
_DAY = r"(?P<day>(?<![\d.,:/])\d{1,2})(?:st\b|nd\b|rd\b|th\b|er\b|o\b|\.)?(?![\d:/])"
_WORD = r"(?P<word>\p{L}[\p{L}\p{M}]{2,})\.?"
_GAP = r"(?:\s*[-/,]\s*|\s+|(?<=[.,])|(?<=\d)(?=\p{L})|(?<=\p{L})(?=\d))(?:(?:of|the|de|del|di|d['’])\s?\b){0,2}"
# groups of one name in several shapes are one group to the regex package
_DATE = regex.compile(
    "|".join(
        (
            rf"(?<!\w){_DAY}{_GAP}{_WORD}{_GAP}{_YEAR}",
            rf"(?<!\w){_WORD}{_GAP}{_DAY}{_GAP}{_YEAR}",
            rf"(?<!\w){_YEAR}\.?{_GAP}{_WORD}{_GAP}{_DAY}(?!\w)",
            rf"(?<!\w){_WORD}{_GAP}{_YEAR}",
            r"(?<![\w.])(?P<year>\d{4})(?P<same>[-/.])(?P<month>\d{1,2})(?P=same)(?P<day>\d{1,2})(?!\d)"
            r"(?:[t ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:z|[+-]\d{2}:?\d{2})?)?",
            r"(?<![\w.])(?P<day>\d{1,2})(?P<same>[-/.])(?P<month>\d{1,2})(?P=same)(?P<year>\d{4})(?!\d)",
            r"(?P<year>\d{3,4})\s?[年년]\s?(?:(?P<month>\d{1,2})\s?[月월])?\s?(?:(?P<day>\d{1,2})\s?[日일])?",
            r"(?P<month>\d{1,2})\s?[月월]\s?(?P<day>\d{1,2})\s?[日일]",
            r"(?<!\w)(?P<before>ad|a\.d\.|bce?|b\.c\.)\s?(?P<year>\d{1,4})(?!\d)",
            rf"(?<![\w.,])(?P<year>\d{{1,4}})\s?{_ERA}",
            rf"(?<!\w){_DAY}{_GAP}{_WORD}(?!\w)",
            rf"(?<!\w){_WORD}{_GAP}{_DAY}(?!\w)",
        )
    ),
    regex.IGNORECASE,
)


class Date(NamedTuple):
    """A date as far as it is given; years before Christ are negative."""

    year: int | None
    month: int | None = None
    day: int | None = None

    def answers(self, accepted: Date) -> bool:
        """Whether it has every part that the accepted date has, and the same."""
        return all(wanted is None or given == wanted for given, wanted in zip(self, accepted, strict=True))

    def contradicts(self, accepted: Date) -> bool:
        """Whether a part that both have differs."""
        return any(None not in parts and parts[0] != parts[1] for parts in zip(self, accepted, strict=True))


class Span(NamedTuple):
    """A value known to lie between ``low`` and ``high``, both included; a date counts days."""

    low: float
    high: float


class FoundDate(NamedTuple):
    """A date in a text: its position, and what it may mean."""

    start: int
    end: int
    readings: tuple[Date, ...]


def find_dates(text: str) -> Iterator[FoundDate]:
    """The dates of a text with ASCII digits and hyphens: "12 March 1950", "March 12", "480 BC"; not a bare year."""
    start = 0
    while match := _DATE.search(text, start):
        if readings := _readings(match):
            yield FoundDate(match.start(), match.end(), readings)
        start = match.end() if readings else match.start() + 1


_ABOUT = re.compile(r"^(?:(?:c|ca|circa)\b\.?|about|around)\s*")
_BARE_YEAR = re.compile(r"-\d{1,4}|\d{3,4}")
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097


def parse_date(text: str) -> Span | None:
    """The first and last day that a text may mean, counted from 1 January of the year 1; None if it is more than a
    date.

    A bare number needs three or four digits, a sign or an era to be a year.
    """
    plain = _ABOUT.sub("", " ".join(text.casefold().split()).strip(" .,;()"))
    if _BARE_YEAR.fullmatch(plain):
        return _span(Date(int(plain)))
    if len(re.findall(r"\d+", plain)) == 2:  # beside a day even two digits are a year
        plain = re.sub(r"(?<=\s)\d{1,2}$", lambda year: year[0].zfill(3), plain)
    date = next(find_dates(plain), None)
    if date is None or (date.start, date.end, len(date.readings)) != (0, len(plain), 1):
        return None
    return _span(date.readings[0])


def _span(given: Date) -> Span | None:
    if given.year is None:
        return None
    year = given.year if given.year > 0 else given.year + 1  # there is no year 0: 1 BC is the year before 1
    # Python's dates begin with the year 1; the calendar repeats every 400 years
    cycles = 0 if year >= 1 else (-year) // _CYCLE_YEARS + 1
    year, before = year + cycles * _CYCLE_YEARS, cycles * _CYCLE_DAYS
    last_month = given.month or 12
    try:
        first = datetime.date(year, given.month or 1, given.day or 1)
        last = datetime.date(year, last_month, given.day or calendar.monthrange(year, last_month)[1])
    except ValueError:  # 29 February of a common year
        return None
    return Span(first.toordinal() - before, last.toordinal() - before)


def _readings(match: regex.Match[str]) -> tuple[Date, ...]:
    part = {name: value for name, value in match.groupdict().items() if value}
    year = int(part["year"]) if "year" in part else None
    if year is not None and (part.get("era") or part.get("before") or "").casefold().startswith("b"):
        year = -year
    day = int(part["day"]) if "day" in part else None
    if "word" in part:
        word = part["word"].casefold()
        month = _ENGLISH.get(word) or _months().get(word)  # English first: loading all languages takes half a second
        return (Date(year, month, day),) if month and _exists(month, day) else ()
    month = int(part["month"]) if "month" in part else None
    orders = {(month, day)}
    if part.get("same") in ("-", "/") and match.start("day") < match.start("year"):
        orders.add((day, month))
    return tuple(sorted(Date(year, *order) for order in orders if _exists(*order)))


def _exists(month: int | None, day: int | None) -> bool:
    if month is None:
        return day is None
    return 1 <= month <= 12 and (day is None or 1 <= day <= calendar.monthrange(2000, month)[1])


@cache
def _months() -> dict[str, int]:
    from babel.dates import get_month_names

    months: dict[str, int] = {}
    for language in _LANGUAGES.split():
        for context in ("format", "stand-alone"):
            for number, name in get_month_names("wide", context, language).items():
                months.setdefault(name.casefold(), int(number))
    return months
