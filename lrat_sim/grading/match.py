"""Is an answer one of the accepted ones? The offline rule, by normalised words, numbers and dates.

An answer is cut into words, numbers and dates (:mod:`lrat_sim.grading.answer_tokens`).  Of words, these do not matter:

* letter case, Unicode composition, invisible characters, accents of Latin and Greek letters ("é", "ø", "ß"), stress
  marks, points of Hebrew and Arabic; but vowel signs, voiced kana and Cyrillic "й" do;
* the English articles, first, within and last; but "A" as a letter does ("A", "Type A", "A minor");
* punctuation, and where a word is divided ("Spider-Man", "U.S.", "J. R. R."); but signs do that make another name
  ("C++", "C#", "A+", "A−", "Na⁺", "★★★"), and a name of marks alone ("!!!") is its marks;
* a common abbreviation ("St.", "Dr.", "Mt.", "Jr.", "vs.", "&") or Roman numeral for its word ("Henry the Eighth").

Numbers count by value, whatever their notation: digits of any script, separators, fractions, powers, scales ("1.5M"),
English words and ordinals, a unit or currency by sign or name; words of seven other languages where they are the whole
answer.  "1950s", "18+" and "<5" are not numbers.  Dates are read in every usual order (:mod:`lrat_sim.dates`);
"12/03/1950" fits either way.  An answer is correct if

1. **yes/no**, where that is the accepted answer: it is the answer's first word, or the only one of the two in it;
2. **dates**: one date of the answer agrees in every part that the accepted one has ("12 March 1950" answers "1950",
   not the other way round), and none contradicts it;
3. **numbers**: a number of the answer has that value, and none has another ("one", "two", "first" aside, as in "one of
   them"); a unit that the accepted answer lacks may be added;
4. **names and all else**: the words of an accepted answer stand in it next to each other, whole words only, not after
   "not", and not where the words beside them make it another name ("Jr", "II", "11", "BC", the "B" of "B Company" for
   "A Company"); and no other candidate stands beside them: a further part joined by "or", "/" or ";", or by "and"
   before a capital or a number, or more than two further parts between commas.

What stands in brackets explains and contradicts nothing, and an accepted answer's last brackets need not be answered,
unless the answer has some, too.  An answer that says it does not know is wrong, and so is one more than twenty words
longer than the accepted one: that is a text, not an answer.

A run that was not asked for a short answer ends in such a text.  There :func:`covered_answer` can say whether an
accepted answer stands in it, as cover exact match does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lrat_sim.dates import Date
from lrat_sim.grading.answer_tokens import Token, is_number, tokens, words
from lrat_sim.numerals import roman, spelled
from lrat_sim.text import normalise

_LONGER = 20
_LETTERS_A_WORD = 200  # of an answer whose words are not even counted
_OTHER_ONE = {"junior", "senior", "younger", "elder", "bc"}
_DENIALS = {"not", "never", "neither", "except"}
_UNKNOWN = re.compile(
    r"^(?:none|unknown|n a|no answer|unclear|not (?:known|found|available|sure|specified|stated))\b"
    r"|\b(?:cannot|can t|can not|could not|couldn t|unable to|not able to|failed to|did not|didn t) (?:be )?"
    r"(?:determine|find|found|identif|confirm|answer)|\b(?:do not|don t) know\b"
)
_EXPLAINED = re.compile(r"(?<=\S)(?:\s+[(\[][^()\[\]]*[)\]]|（[^（）]*）)\s*\Z")


def is_match(answer: str, accepted: Sequence[str]) -> bool:
    """Whether an extracted answer is one of the accepted ones, by the rule above; blank accepted ones are ignored."""
    wanted = [words(tokens(name)) for name in accepted if name.strip()]
    longest = _LONGER + max(map(len, wanted), default=0)
    if len(answer) > _LETTERS_A_WORD * longest:
        return False
    given = tokens(answer)
    denied = _UNKNOWN.search(normalise(answer)) and not any(_UNKNOWN.search(normalise(name)) for name in accepted)
    if denied or not words(given):
        return False
    if not any(token.depth for token in given):
        # an explanation in brackets, as titles have it, need not be given
        wanted += [words(tokens(bare)) for name in accepted if (bare := _EXPLAINED.sub("", name)) != name]
    single = [name[0] for name in wanted if len(name) == 1]
    marks = [word.key for word in single if not any(map(str.isalnum, word.key))]  # a name of marks alone ("!!!")
    if marks and any(part.strip(".,:;()*\"'“”") in marks for part in answer.split()):
        return True
    fitting = [name for name in wanted if name and len(words(given)) <= len(name) + _LONGER]
    return any(_matches(given, name, wanted) for name in fitting) or any(
        word.value is not None and spelled(answer.strip(" .")) == word.value for word in single
    )


def is_text(answer: str, accepted: Sequence[str]) -> bool:
    """Whether an answer is a text: more than twenty words longer than every accepted one."""
    length = len(words(tokens(answer)))
    return all(length > len(words(tokens(name))) + _LONGER for name in accepted)


def can_be_covered(accepted: str) -> bool:
    """Whether it means anything that a text holds an accepted answer; most hold yes, no, a number or a date."""
    sought = _sought(accepted)
    return len(sought) > 1 or (len(sought) == 1 and not is_number(sought[0]) and sought[0].key not in ("yes", "no"))


def covered_answer(text: str, accepted: Sequence[str]) -> str | None:
    """The first accepted answer whose words stand next to each other in a text, by the first part of rule 4 above.

    What it has in brackets, as titles have it ("Mercury (planet)"), need not stand there.
    """
    given = tokens(text)
    return next((name for name in filter(can_be_covered, accepted) if _covered(given, _sought(name))), None)


def can_be_stated(accepted: str) -> bool:
    """Whether it means anything that a document states an accepted answer: not of yes, no, a number or a year alone,
    which most documents hold."""
    return can_be_covered(accepted) or bool(_dates(accepted))


def states_answer(text: str, accepted: Sequence[str]) -> bool:
    """Whether a text, such as a document, holds an accepted answer as :func:`covered_answer` reads it, or its date in
    any notation; accepted answers that :func:`can_be_stated` rules out are ignored."""
    wanted = [date for name in accepted for date in _dates(name)]
    return covered_answer(text, accepted) is not None or (
        bool(wanted) and any(stated.answers(date) for word in tokens(text) for stated in word.dates for date in wanted)
    )


def _dates(accepted: str) -> list[Date]:
    """The readings of an accepted answer that is a date with a month."""
    sought = _sought(accepted)
    return [date for date in sought[0].dates if date.month is not None] if len(sought) == 1 else []


def _sought(accepted: str) -> list[Token]:
    """The words of an accepted answer, without those in brackets unless there are no others."""
    sought = words(tokens(accepted)) if accepted.strip() else []
    return [word for word in sought if word.depth == 0] or sought


def _matches(given: Sequence[Token], wanted: list[Token], accepted: list[list[Token]]) -> bool:
    if len(wanted) == 1:
        only, answered = wanted[0], words(given)
        if only.key in ("yes", "no"):
            keys = [word.key for word in answered]
            first = keys[0] == only.key and keys[1:2] != ["or"]
            return only.key in keys and (first or not {"yes", "no"} <= set(keys))
        stated = [word for word in answered if word.depth == 0] or answered
        if only.dates:
            return _is_dated(stated, only.dates)
        if only.value is not None:
            counted = {word.value for word in stated if word.value is not None and not word.aside}
            return any(word.key == only.key for word in stated) and counted <= {only.value}
    return bool(_covered(given, wanted)) and not _has_other_candidate(given, accepted)


def _is_dated(stated: Sequence[Token], accepted: Sequence[Date]) -> bool:
    # a bare number may be meant as a year, but contradicts a date only where it looks like one
    answers = any(
        reading.answers(wanted)
        for word in stated
        for reading in word.dates or ([Date(int(word.value))] if word.value is not None else [])
        for wanted in accepted
    )
    contradicts = any(
        word.dates and all(reading.contradicts(wanted) for reading in word.dates for wanted in accepted)
        for word in stated
    )
    return answers and not contradicts


def _covered(given: Sequence[Token], wanted: list[Token]) -> set[int]:
    """The positions in ``given`` where the wanted words stand next to each other, however they are divided."""
    bare = all(token.article for token in wanted)
    positions = [position for position, token in enumerate(given) if not token.mark and (bare or not token.article)]
    covered: set[int] = set()
    for numerals in (False, True):
        keys = _keys([given[position] for position in positions], numerals)
        sought = "".join(_keys(wanted, numerals))
        for start in range(len(keys)):
            end = _end(keys, start, sought)
            if end is not None and not _is_another(given, positions, start, end, wanted):
                covered.update(range(positions[start], positions[end - 1] + 1))
    return covered


def _keys(text: Sequence[Token], numerals: bool) -> list[str]:
    """The keys of a text, with Roman numerals as numbers if asked for; a letter that opens a name is no numeral."""
    keys = [token.key for token in text]
    if numerals:
        values = [roman(key) if position or len(key) > 1 else None for position, key in enumerate(keys)]
        keys = [key if value is None else f"#{value};" for key, value in zip(keys, values, strict=True)]
    return keys


def _end(keys: list[str], start: int, sought: str) -> int | None:
    """Where the keys from ``start`` on make up ``sought``, if they do."""
    done = 0
    for end in range(start, len(keys)):
        if not sought.startswith(keys[end], done):
            return None
        done += len(keys[end])
        if done == len(sought):
            return end + 1
    return None


def _is_another(given: Sequence[Token], positions: list[int], start: int, end: int, wanted: list[Token]) -> bool:
    """Whether the words beside the wanted ones make them mean something else: "not", "Jr", "VIII", "B" for "A"."""
    before = given[positions[start - 1]] if start else None
    after = given[positions[end]] if end < len(positions) else None
    if before is not None and (
        before.key in _DENIALS or (wanted[0].after_a and len(before.key) == 1 and before.key.isalpha())
    ):
        return True
    if after is None or after.depth > given[positions[end - 1]].depth:
        return False
    adjacent = positions[end] == positions[end - 1] + 1
    numbered = after.value is not None and after.value < 1000 and not after.aside and wanted[-1].value is None
    return (
        after.key in _OTHER_ONE
        or (roman(after.key) is not None and (len(after.key) > 1 or (adjacent and after.capital)))
        or (adjacent and numbered)
    )


def _has_other_candidate(given: Sequence[Token], accepted: list[list[Token]]) -> bool:
    given = [token for token in given if not token.article]
    covered = {position for wanted in accepted for position in _covered(given, wanted)}
    joints, commas = set(), set()
    for position, token in enumerate(given):
        if position in covered or token.depth > 0:
            continue
        before_name = any(after.capital for after in given[position + 1 : position + 2])
        if token.key in ("or", ";", "/") or (token.key == "and" and before_name):
            joints.add(position)
        elif token.key == ",":
            commas.add(position)
    return _others(given, covered, joints) > 0 or _others(given, covered, joints | commas) > 2


def _others(given: Sequence[Token], covered: set[int], separators: set[int]) -> int:
    """How many parts between the separators hold words outside brackets, and no accepted answer."""
    others, filled, right = 0, False, False
    for position, token in enumerate(given):
        if position in separators:
            others += filled and not right
            filled = right = False
        elif token.depth == 0 and not token.mark:
            filled, right = True, right or position in covered
    return others + (filled and not right)
