"""An answer cut into what can be compared: words, numbers by value, dates, and the marks between them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import regex

from lrat_sim.dates import Date, find_dates
from lrat_sim.numerals import FEW, chinese, in_digits, number
from lrat_sim.text import fold

_READ = 50_000  # characters: what goes on longer is no answer

_CHARACTERS = str.maketrans(
    dict.fromkeys("™®©℠\ufe0e\ufe0f", None)
    | dict.fromkeys("’‘ʻʼʽʾʿ′`´", "'")
    | dict.fromkeys("−–‒‐‑⁻", "-")
    | dict(zip("٫٬٪،、؛⁄∕♯×【】", ".,%,,;//#x[]", strict=True))
)  # fmt: skip
_SQUARE = regex.compile(r"(?<=\d\s?)(km|cm|mm|mi|ft|m)\s?²", regex.IGNORECASE)
_RAISED = regex.compile(r"(?<=\d)(?=[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])")
_VULGAR = regex.compile(r"[¼½¾⅐-⅞]")
_EMPHASIS = regex.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])(.+?)(?<=[^\s*])\1(?![\w*])")
_PER_CENT = regex.compile(r"\bper cent\b|\bpct\b\.?", regex.IGNORECASE)
_NUMBER_SIGN = regex.compile(r"(?:\bnos?\.?|#)\s?(?=\d)", regex.IGNORECASE)
_ABOUT = regex.compile(r"(?<!\w)(?:ca?\.|[cC]irca)\s?(?=\d)")
_CHINESE_DATE = regex.compile(r"[〇零一二三四五六七八九十]{1,4}(?=[年月日])")
_DOLLARS = regex.compile(r"\b(?:US|U\.S\.)\s?(?=\$|dollars?\b)")

_TOKEN = regex.compile(
    r"""(?V1)
      (?P<time>(?<![\w.:])(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d)(?::\d\d)?)?\s?(?P<half>[aApP])\.?[mM]\b\.?
        |(?<![\w.:])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?P<second>:\d\d)?(?![\w:]))
    | (?P<figure>\d+(?:\.\d+){2,}|\d+'?[sS]\b)
    | (?P<bound>[<>≤≥±]\s?)?
      (?P<number>(?:(?<![\w.)])[-+])?(?:(?<![\w/.])\d{1,12}/\d{1,3}(?![\w/])|\d+(?:\.\d+)?|(?<![\w.])\.\d+))
      (?:(?i:st|nd|rd|th)\b)?(?P<more>\+(?!\w))?
    | (?P<word>(?<![\p{L}\p{M}])(?:\p{L}{1,2}-(?![\w-])|\p{L}\*(?![\w*]))
        |[\p{L}\p{M}\p{Nl}\p{No}]+(?:[+#]+(?!\p{L}))?|[&%])
    | (?P<mark>[,;/()\[\]])
    | (?P<symbol>[\p{S}--[\^|~<>=`¨´¯¸]]+)
    """,
    regex.VERBOSE,
)
_BEFORE_WORD = regex.compile(r"\s+(?!(?:major|minor|flat|sharp|is|was|and|or)\b)[\"'(\[]*[\w$€£]", regex.IGNORECASE)
_WORDS = {
    "&": "and", "%": "percent", "st": "saint", "mt": "mount", "dr": "doctor", "jr": "junior", "sr": "senior",
    "vs": "versus", "sq": "square", "bce": "bc", "celsius": "c", "fahrenheit": "f",
}  # fmt: skip
_FEW: dict[str, int | Fraction] = {**FEW, "first": 1, "second": 2, "half": Fraction(1, 2)}
_UNITS = {
    name: group.split()[0]
    for group in (
        "kilometre kilometer km", "metre meter m", "centimetre centimeter cm", "millimetre millimeter mm", "mile mi",
        "foot feet ft", "kilogram kilogramme kilo kg", "gram gramme g", "pound lb £ gbp", "tonne t", "hectare ha",
        "litre liter l", "second sec s", "minute min", "hour hr h", "degree °", "dollar $ usd", "euro € eur",
        "yen ¥ jpy", "rupee ₹ inr rs",
    )
    for name in group.split()
}  # fmt: skip
_CURRENCIES = {"dollar", "euro", "pound", "yen", "rupee"}
_TO = {"to", "until", "till", "through", "from"}


class Token(NamedTuple):
    """A word, a number, a date, or a mark between them."""

    key: str  # equal for what counts as equal
    depth: int = 0  # of brackets
    mark: bool = False
    capital: bool = False
    article: bool = False
    value: Fraction | None = None  # of a number, and of a bare year
    aside: bool = False  # a number that mostly counts nothing ("one of them", "VIII"): it contradicts no other
    dates: tuple[Date, ...] = ()  # what a date may mean
    after_a: bool = False  # an "A" stands before it, which may be the article or a letter


_NOTHING = Token("")


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a text; of one of nothing but punctuation ("!!!") one token, the text itself."""
    return _kept_tokens(text) if len(text) < 300 else _tokens(text[:_READ])


def words(text: Sequence[Token]) -> list[Token]:
    """The tokens without marks and without articles, unless there is nothing else."""
    unmarked = [token for token in text if not token.mark]
    return [token for token in unmarked if not token.article] or unmarked


def _tokens(text: str) -> tuple[Token, ...]:
    plain = in_digits(_plain_characters(text)[:_READ])
    cut: list[Token] = []
    depth, end = 0, 0
    for date in [*find_dates(plain), None]:
        for token in _undated(plain[end : date.start if date else len(plain)]):
            if token.mark and token.key in "([":
                depth += 1
            elif token.mark and token.key in ")]":
                depth = max(0, depth - 1)
            else:
                cut.append(token._replace(depth=depth))
        if date:
            end = date.end
            cut.append(_date_token(date.readings)._replace(depth=depth))
    if all(token.mark for token in cut) and (bare := "".join(plain.split()).strip("\"'")):
        return (Token(bare),)
    return tuple(_joined(cut))


_kept_tokens = lru_cache(maxsize=1 << 14)(_tokens)


def _plain_characters(text: str) -> str:
    text = " ".join(text.split())
    if not text.isascii():
        text = _RAISED.sub("^", _SQUARE.sub(r" square \1", text))
        text = _VULGAR.sub(lambda match: f" {unicodedata.normalize('NFKC', match[0])}", text)
        text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
        text = regex.sub(r"\p{Cf}", "", text)
        text = regex.sub(r"(?![0-9])\d", lambda match: str(unicodedata.digit(match[0])), text)
        text = _CHINESE_DATE.sub(lambda match: str(chinese(match[0])), text)
    text = _EMPHASIS.sub(r"\2", text) if "*" in text else text
    return _ABOUT.sub("", _DOLLARS.sub("", _PER_CENT.sub("percent", text)))


def _undated(text: str) -> Iterator[Token]:
    text = _NUMBER_SIGN.sub("number ", text)
    for match in _TOKEN.finditer(text):
        shown = match[0]
        if match["mark"]:
            yield Token(shown, mark=True)
        elif match["time"]:
            yield Token(_time(match), capital=True)
        elif match["figure"]:
            yield Token(shown.replace("'", "").lower(), capital=True)
        elif match["number"]:
            yield _number_token(match)
        elif match["word"]:
            yield _word_token(match, text)
        else:
            yield from (Token(_UNITS.get(part, part)) for part in regex.findall(r"\p{Sc}|°|[^\p{Sc}°]+", shown))


def _time(match: regex.Match[str]) -> str:
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"] in "pP" else 0)
    return f"{hour}:{match['minute'] or '00'}{match['second'] or ''}"


def _number_token(match: regex.Match[str]) -> Token:
    value = number(match["number"])
    bounds = (match["bound"] or "").strip() + (match["more"] or "")
    if value is None or bounds:
        return Token(f"#{match['number']};{bounds}", capital=True)
    year = value.denominator == 1 and 1000 <= value <= 2100
    return Token(f"#{value};", value=value, capital=True, dates=(Date(int(value)),) if year else ())


def _date_token(readings: tuple[Date, ...]) -> Token:
    date = readings[0]
    if date.year is not None and date.year > 0 and date.month is None:
        return Token(f"#{date.year};", value=Fraction(date.year), capital=True, dates=readings)
    return Token("-".join(map(str, date)), capital=True, dates=readings)


def _word_token(match: regex.Match[str], text: str) -> Token:
    shown = match[0]
    word = fold(shown)
    word = _WORDS.get(word, word)
    capital = shown[0].isupper()
    value = _FEW.get(word)
    if value is None and not word.isascii():
        value = chinese(word)
    if value is not None:
        return Token(f"#{value};", value=Fraction(value), aside=True, capital=capital)
    if word == "a":
        # the letter, unless a word follows it as one follows an article, or it was put last ("Tale of Two Cities, A")
        rest = text[match.end() : match.end() + 20]
        last = not rest.strip(" .\"'") and text[: match.start()].rstrip().endswith(",")
        return Token(word, article=last or bool(_BEFORE_WORD.match(rest)), capital=capital)
    return Token(word, article=word in ("an", "the"), capital=capital)


def _joined(text: Sequence[Token]) -> list[Token]:
    """Units in one spelling after their number, and ranges without the words that make them."""
    joined: list[Token] = []
    for token, after in zip(text, [*text, _NOTHING][1:], strict=True):
        before = joined[-1] if joined else _NOTHING
        if before.article and before.key == "a" and before.capital:
            token = token._replace(after_a=True)
        if token.key in _TO and is_number(after) and (is_number(before) or token.key == "from"):
            continue
        if is_number(token) and (unit := _UNITS.get(before.key)) in _CURRENCIES:
            joined[-1:] = [token, before._replace(key=unit)]
            continue
        if (is_number(before) or before.key in ("square", "cubic")) and not token.mark:
            token = token._replace(key=_UNITS.get(token.key) or _UNITS.get(token.key.removesuffix("s"), token.key))
        joined.append(token)
    return joined


def is_number(token: Token) -> bool:
    """Whether it is a number, a year or a date."""
    return token.value is not None or bool(token.dates)
