"""Numbers in every usual notation, rewritten in plain digits: "1,234,567", "1.5M", "forty-two", "3½", "two-thirds".

Words are read by text2num.  A comma or a point before exactly three digits is read as in English: "1,234" and "1.234".
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

from text_to_num import alpha2digit, text2num

_SCALES = {"hundred": 2, "thousand": 3, "lakh": 5, "million": 6, "crore": 7, "billion": 9, "trillion": 12}
_SUFFIXES = {"k": 3, "m": 6, "mm": 6, "mn": 6, "bn": 9, "b": 9, "tn": 12, "t": 12}
FEW = {
    word: value
    for value, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
}
"""Words for small numbers."""
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "tenth": 10}
_PART = rf"(halves|(?:{'|'.join(_PARTS)})s?)\b"
_DIGITS = r"(?<![\w.])(\d{1,20}(?:\.\d{1,20})?)"

_GROUPED = re.compile(
    r"(?<![\w.,'])(?:"
    r"\d{1,3}([,' ])\d{3}(?:\1\d{3})*"  # 1,234,567 and 1'234'567 and 1 234 567
    r"|\d{1,2}(?:,\d{2})+,\d{3}"  # 12,34,567
    r"|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?:\.\d{3})+(?=,\d{1,2}(?!\d))"  # 1.234.567 and 1.234,56
    r")(?!\d|[,'.]\d{3}(?!\d)|,\d{1,2},)"
)
_COMMA = re.compile(r"(?<![\w.,])(\d+),(\d{1,2})(?![\d,]|\.\d)")
_POWER = re.compile(rf"(?:{_DIGITS}(?:\s?[x×·*]\s?10\^|[eE]\+?)|(?<![\w.])10\^)(-?\d{{1,2}})(?![\w.])")
_SCALED = re.compile(
    rf"([$€£¥₹]\s?)?{_DIGITS}(?:[\s-]?(?P<scale>{'|'.join(_SCALES)})s?\b|\s?(?P<suffix>k|mm?|[mbt]n?)(?![\w+#-]))",
    re.IGNORECASE,
)
_SHARE = re.compile(rf"\b({'|'.join(FEW)}|\d{{1,3}})[\s-]{_PART}", re.IGNORECASE)
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_DOZEN = re.compile(rf"(?:\b(half|{'|'.join(FEW)}|\d{{1,9}}) )?(?:\ban? )?dozen\b", re.IGNORECASE)
_SPOKEN = re.compile(r"(?<![\w./])(\d{1,9}(?:\.\d{1,9}|/[1-9])|half an?) (1(?:000)+)\b", re.IGNORECASE)  # "1.5 1000000"
_YEAR = re.compile(r"\b(1\d|20) (\d0|[1-9]\d)\b")  # "nineteen eighty-four"
_AND_PART = re.compile(rf"\b({'|'.join(FEW)}|\d{{1,9}}) and an? {_PART}", re.IGNORECASE)
_MIXED = re.compile(
    rf"(?<![\w.,/-])({'|'.join(FEW)}|\d{{1,9}})(?:[ -]| and )(\d{{1,3}})/(\d{{1,3}})(?![\w/])", re.IGNORECASE
)
_RANGE = re.compile(r"(?<![\w.,/-])(1\d|20)(\d\d)\s?[-/]\s?(\d\d)(?![\w/-]|[.,]\d)")
_MINUS = re.compile(r"\b(?:minus|negative) (?=\d)", re.IGNORECASE)
_ROMAN = re.compile(r"(?=.)(xl|l?x{0,3})(ix|iv|v?i{0,3})")
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50}
_CJK = re.compile("[〇零一二三四五六七八九十百千万萬億亿两]+")
_LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "da")


def in_digits(text: str) -> str:
    """The text with each number that has another notation in plain digits; fractions become ``7/2``.

    Small numbers in words ("one", "second") stay, since they mostly count nothing.  The text's digits, spaces, hyphens
    and apostrophes are ASCII.
    """
    text = _SHARE.sub(lambda match: f"{_amount(match[1])}/{_part(match[2])}", text)
    if numbers := any(character.isdigit() for character in text):
        text = _GROUPED.sub(lambda match: re.sub(r"\D", "", match[0]), text)
        text = _COMMA.sub(r"\1.\2", text)
        text = _POWER.sub(lambda match: _plain(Fraction(match[1] or 1) * Fraction(10) ** int(match[2])), text)
        text = _SCALED.sub(_scaled, text)
        text = _RANGE.sub(_range, text)
    text = alpha2digit(_HYPHEN.sub(" ", text), "en")
    text = _DOZEN.sub(lambda match: _plain(_amount(match[1] or "one") * 12), text)
    if not numbers:
        text = _YEAR.sub(r"\1\2", text)
    text = _AND_PART.sub(lambda match: f"{_amount(match[1]) * _part(match[2]) + 1}/{_part(match[2])}", text)
    text = _MIXED.sub(lambda match: f"{_amount(match[1]) * int(match[3]) + int(match[2])}/{match[3]}", text)
    text = _SPOKEN.sub(lambda match: _plain(_amount(match[1]) * int(match[2])), text)
    return _MINUS.sub("-", text)


def number(digits: str) -> Fraction | None:
    """The value of plain digits, ``-5``, ``.5`` or ``7/2``; None where there are too many, or a zero divides."""
    try:
        return Fraction(digits) if len(digits) <= 100 else None
    except ZeroDivisionError:
        return None


def parse_number(text: str) -> float | None:
    """The number that a text begins with ("6,650 km", "1.4 million"); None where it begins with none."""
    match = re.match(r"-?\d+(?:\.\d+)?\b", in_digits(text.casefold().strip()))
    return float(match[0]) if match else None


def spelled(text: str) -> int | None:
    """The whole number that a text spells in German, French, Spanish, Italian, Portuguese, Dutch or Danish words."""
    for language in _LANGUAGES:
        try:
            return int(text2num(text, language))
        except ValueError:
            continue
    return None


def roman(word: str) -> int | None:
    """The value of a Roman numeral in lower case, up to 89 as in names of rulers and events; None for other words."""
    if not (len(word) < 10 and _ROMAN.fullmatch(word)):
        return None
    values = [_ROMAN_DIGITS[letter] for letter in word]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def chinese(word: str) -> int | None:
    """The value of a number in Chinese characters, Japanese ones included; None for other words."""
    if not _CJK.fullmatch(word) or len(word) > 20:
        return None
    values = [2 if character == "两" else int(unicodedata.numeric(character)) for character in word]
    if len(values) > 1 and all(value < 10 for value in values):
        return int("".join(map(str, values)))  # digit by digit, as years are written
    total = section = digit = 0
    for value in values:
        if value < 10:
            digit = value
        elif value < 10_000:
            section, digit = section + (digit or 1) * value, 0
        else:
            total, section, digit = (total + section + digit) * value, 0, 0
    return total + section + digit


def _scaled(match: re.Match[str]) -> str:
    money, digits, suffix = match[1] or "", match[2], match["suffix"]
    if suffix is None:
        power = _SCALES[match["scale"].lower()]
    else:
        # a lone letter may be a unit ("5 m") or belong to a name ("Flat 5B")
        attached = match[0].endswith(digits + suffix)
        sure = suffix in ("k", "K", "M") or (suffix in ("B", "T") and "." in digits)
        if not (money or suffix.lower() in ("mn", "bn", "tn") or (attached and sure)):
            return match[0]
        power = _SUFFIXES[suffix.lower()]
    return f"{money}{_plain(Fraction(digits) * 10**power)}"


def _plain(value: Fraction) -> str:
    return f"{value.numerator}" if value.denominator == 1 else f"{Decimal(value.numerator) / value.denominator:f}"


def _amount(word: str) -> Fraction:
    word = word.lower()
    return Fraction(1, 2) if word.startswith("half") else Fraction(FEW.get(word, word))


def _part(word: str) -> int:
    return 2 if word.lower() == "halves" else _PARTS[word.lower().removesuffix("s")]


def _range(match: re.Match[str]) -> str:
    century, first, last = match[1], match[2], match[3]
    return f"{century}{first} - {century}{last}" if last > first else match[0]
