"""Is an answer one of the accepted ones? The offline rule, by normalised words, numbers and dates.

An answer is cut into words (:func:`lrat_sim.text.normalise`: case, accents, punctuation and articles do not matter),
numbers by their value (``1,234``, ``1.5 million``, ``seven``) and dates (``12 March 1950``, ``March 12, 1950``,
``1950-03-12``).  It is correct if

1. **yes/no**, where that is the accepted answer: it is the answer's first word, or the only one of the two in it;
2. **dates**: one date of the answer agrees in every part that the accepted one has ("12 March 1950" answers "1950",
   not the other way round), and none contradicts it;
3. **numbers**: a number of the answer has that value, and none has another;
4. **names and all else**: the words of an accepted answer stand in it next to each other, whole words only, not after
   "not", not before a mark of another person ("Jr", "II"); and no other candidate stands beside them: a further part
   joined by "or", "/" or ";", or by "and" before a capital or a number, or more than two further parts between
   commas.

What stands in brackets explains and contradicts nothing.  An answer that says it does not know is wrong, and so is
one more than twenty words longer than the accepted one: that is a text, not an answer.

A run that was not asked for a short answer ends in such a text.  There :func:`covered_answer` can say whether an
accepted answer stands in it, as cover exact match does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lrat_sim.text import normalise

_LONGER = 20
_MONTHS = "january february march april may june july august september october november december"
_MONTH = {name[:length]: number for number, name in enumerate(_MONTHS.split(), 1) for length in (3, len(name))} | {
    "sept": 9
}
_NAMES = "|".join(sorted(_MONTH, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m1>{_NAMES})\b\.?,? (?P<y1>\d{{3,4}})\b"
    rf"|\b(?P<m2>{_NAMES})\b\.? (?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y2>\d{{3,4}})\b"
    rf"|\b(?P<y3>\d{{4}})-(?P<m3>\d{{2}})-(?P<d3>\d{{2}})\b"
    rf"|\b(?P<m4>{_NAMES})\b\.?,? (?P<y4>\d{{3,4}})\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?)(?:(?:st|nd|rd|th)\b)?"
    r"|(?P<word>[^\W\d_]+|\d+|%)|(?P<mark>[,;/()\[\]])"
)
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_SPELLED = {word: float(value) for value, word in enumerate(_NUMBERS.split())}
_SCALE = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_OTHER_PERSON = {"jr", "junior", "sr", "senior", "ii", "iii", "iv", "younger", "elder"}
_DENIALS = {"not", "never", "neither", "except"}
_UNKNOWN = re.compile(
    r"^(?:none|unknown|n a|no answer|unclear|not (?:known|found|available|sure|specified|stated))\b"
    r"|\b(?:cannot|can t|can not|could not|couldn t|unable to|not able to|failed to|did not|didn t) (?:be )?"
    r"(?:determine|find|found|identif|confirm|answer)|\b(?:do not|don t) know\b"
)


class _Date(NamedTuple):
    year: int
    month: int | None = None
    day: int | None = None

    def answers(self, accepted: _Date) -> bool:
        return all(wanted is None or given == wanted for given, wanted in zip(self, accepted, strict=True))

    def contradicts(self, accepted: _Date) -> bool:
        return any(None not in (a, b) and a != b for a, b in zip(self, accepted, strict=True))


class _Token(NamedTuple):
    value: str | float | _Date
    depth: int  # of brackets
    mark: bool = False
    capital: bool = False


def is_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether an answer is one of the accepted ones, by the rule above.

    Args:
        answer: the extracted answer.
        accepted: all that counts as right; blank ones are passed over.
    """
    given = list(_tokens(answer))
    wanted = [tokens for one in accepted if (tokens := [token for token in _tokens(one) if not token.mark])]
    words = [token for token in given if not token.mark]
    denied = _UNKNOWN.search(normalise(answer)) and not any(_UNKNOWN.search(normalise(one)) for one in accepted)
    if not words or denied:
        return False
    return any(_matches(given, words, one, wanted) for one in wanted if len(words) <= len(one) + _LONGER)


def is_text(answer: str, accepted: Sequence[str]) -> bool:
    """Whether an answer is a text: more than twenty words longer than every accepted one."""
    words = sum(not token.mark for token in _tokens(answer))
    return all(words > sum(not token.mark for token in _tokens(one)) + _LONGER for one in accepted)


def can_be_covered(accepted: str) -> bool:
    """Whether it says something that an accepted answer stands in a text: not of yes, no, a number or a date alone,
    which stand in most texts."""
    values = [token.value for token in _sought(accepted)]
    return len(values) > 1 or (len(values) == 1 and isinstance(values[0], str) and values[0] not in ("yes", "no"))


def covered_answer(text: str, accepted: Sequence[str]) -> str | None:
    """The first accepted answer whose words stand next to each other in a text, by rule 4 above without its last part.

    What an accepted answer has in brackets, as titles have it ("Mercury (planet)"), need not stand there.

    Args:
        text: any text.
        accepted: all that counts as right; those that :func:`can_be_covered` denies are passed over.
    """
    given = list(_tokens(text))
    for one in filter(can_be_covered, accepted):
        if _covered(given, _sought(one)):
            return one
    return None


def _sought(accepted: str) -> list[_Token]:
    """The words of an accepted answer, without those in brackets unless there are no others."""
    words = [token for token in _tokens(accepted) if not token.mark]
    return [word for word in words if word.depth == 0] or words


def _matches(given: list[_Token], words: list[_Token], wanted: list[_Token], accepted: list[list[_Token]]) -> bool:
    only = wanted[0].value if len(wanted) == 1 else None
    if only in ("yes", "no"):
        said = [word.value for word in words if word.value in ("yes", "no")]
        first = words[0].value == only and not (len(words) > 1 and words[1].value == "or")
        return bool(said) and (first or set(said) == {only})
    stated = [word.value for word in words if word.depth == 0]
    if (date := _as_date(only)) is not None:
        dates = [found for value in stated if (found := _as_date(value))]
        return any(found.answers(date) for found in dates) and not any(found.contradicts(date) for found in dates)
    if isinstance(only, float):
        return {value for value in stated if isinstance(value, float)} == {only}
    return bool(_covered(given, wanted)) and not _has_other_candidate(given, accepted)


def _tokens(text: str) -> Iterator[_Token]:
    depth, end = 0, 0
    for date in [*_DATE.finditer(text), None]:
        for token in _plain_tokens(text[end : date.start() if date else len(text)], depth):
            if token.mark and token.value in ("(", "["):
                depth += 1
            elif token.mark and token.value in (")", "]"):
                depth = max(0, depth - 1)
            else:
                yield token._replace(depth=depth)
        if date:
            end = date.end()
            yield _Token(_read_date(date), depth)


def _plain_tokens(text: str, depth: int) -> Iterator[_Token]:
    pending: _Token | None = None  # a number that may be followed by its scale
    for match in _TOKEN.finditer(text):
        word = normalise(match["word"]) if match["word"] else ""
        if pending is not None and word in _SCALE and isinstance(pending.value, float):
            pending = pending._replace(value=pending.value * _SCALE[word])
            continue
        if pending is not None:
            yield pending
            pending = None
        if match["mark"]:
            yield _Token(match["mark"], depth, mark=True)
        elif match["number"]:
            number = float(match["number"].replace(",", "").replace("−", "-"))
            pending = _Token(number, depth, capital=True)
        elif match["word"] == "%":
            yield _Token("percent", depth)
        elif word in _SPELLED:
            pending = _Token(_SPELLED[word], depth, capital=match["word"][0].isupper())
        elif word:
            yield _Token(word, depth, capital=match["word"][0].isupper())
    if pending is not None:
        yield pending


def _read_date(match: re.Match[str]) -> _Date:
    part = {name[0]: value for name, value in match.groupdict().items() if value is not None}
    month = int(part["m"]) if part["m"].isdigit() else _MONTH[part["m"].lower()]
    return _Date(int(part["y"]), month, int(part["d"]) if "d" in part else None)


def _as_date(value: object) -> _Date | None:
    """A date, or a number that can be a year."""
    if isinstance(value, _Date):
        return value
    if isinstance(value, float) and value.is_integer() and 1000 <= value <= 2100:
        return _Date(int(value))
    return None


def _covered(given: list[_Token], wanted: list[_Token]) -> set[int]:
    """The places in ``given`` where the wanted words stand next to each other, marks between them included."""
    places = [place for place, token in enumerate(given) if not token.mark]
    values = [given[place].value for place in places]
    sought = [token.value for token in wanted]
    covered: set[int] = set()
    for start in range(len(values) - len(sought) + 1):
        end = start + len(sought)
        if values[start:end] != sought:
            continue
        denied = start > 0 and values[start - 1] in _DENIALS
        someone_else = end < len(values) and values[end] in _OTHER_PERSON
        if not denied and not someone_else:
            covered.update(range(places[start], places[end - 1] + 1))
    return covered


def _has_other_candidate(given: list[_Token], accepted: list[list[_Token]]) -> bool:
    covered = {place for wanted in accepted for place in _covered(given, wanted)}
    joints, commas = set(), set()
    for place, token in enumerate(given):
        if place in covered or token.depth > 0:
            continue
        before_name = place + 1 < len(given) and given[place + 1].capital
        if token.value in ("or", ";", "/") or (token.value == "and" and before_name):
            joints.add(place)
        elif token.value == ",":
            commas.add(place)
    return _others(given, covered, joints) > 0 or _others(given, covered, joints | commas) > 2


def _others(given: list[_Token], covered: set[int], separators: set[int]) -> int:
    """How many parts between the separators hold words outside brackets, and no accepted answer."""
    others, filled, right = 0, False, False
    for place, token in enumerate(given):
        if place in separators:
            others += filled and not right
            filled = right = False
        elif token.depth == 0 and not token.mark:
            filled, right = True, right or place in covered
    return others + (filled and not right)
