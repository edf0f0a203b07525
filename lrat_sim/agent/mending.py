"""Mappings from text that is meant to be JSON.

Read as JSON, as what Python would print, or mended (quotes, commas, brackets, comments).  What is mended must hold
every word that was written and no other: nothing is made up, nothing lost, and free text is no mapping.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_LONGEST = 1500  # characters of what is still mended: that takes time that grows with the square of them
_DEEPEST = 20  # levels of what is still read
_STRING_OR_COMMENT = re.compile(
    r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(//[^\n]*|/\*.*?(?:\*/|\Z)|(?<![^\s,{}\[\]])\#[^\n]*)""", re.DOTALL
)
_ENDS = "}])\"'\u201d\u2019"  # a text that ends otherwise was cut off within a value, and half a value is another
_BETWEEN = re.compile(r"[\s,;]*")
_NOTHING = re.compile(r"\b(?:null|none)\b", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtbf])")
_BROKEN = (ValueError, SyntaxError, MemoryError, RecursionError, TypeError, OverflowError)

DECODER = json.JSONDecoder(strict=False)  # which takes strings with line breaks


def read_strictly(text: str) -> dict[str, Any] | None:
    """JSON of one mapping, no key of which is given twice."""
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except _BROKEN:
        return None
    return value if isinstance(value, dict) and not _too_deep(value) else None


def read_mappings(text: str) -> Any:
    """A mapping or a list of mappings, read strictly, else tolerantly; None where it is neither."""
    candidates = [text]
    if text.startswith("```"):  # in a code fence, closed or not, perhaps behind its language
        candidates.append(re.sub(r"\A\w+(?=[\s{\[])", "", text[3:].partition("```")[0]).strip())
    for candidate in candidates:
        for read in (_json_value, _literal, _in_sequence, _mended):
            try:
                value = read(candidate)
            except _BROKEN:
                continue
            if value and _all_mappings(value if isinstance(value, list) else [value]) and not _too_deep(value):
                return value
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(value := dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return value


def _too_deep(value: Any) -> bool:
    """Whether lists and mappings nest beyond what is read; goes level by level, since calls would nest as deep."""
    level = [value]
    for _ in range(_DEEPEST):
        nested = [value for value in level if isinstance(value, dict | list)]
        level = [inner for value in nested for inner in (value.values() if isinstance(value, dict) else value)]
    return bool(level)


def _all_mappings(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _json_value(text: str) -> Any:
    """JSON, or JSON in JSON's strings."""
    value = json.loads(text, strict=False)
    return read_mappings(value.strip()) if isinstance(value, str) else value


def _literal(text: str) -> Any:
    """What Python would print, of nothing but what JSON can hold."""
    if "\\" in text or text[:1] not in "{[":  # the compiler warns of escapes that it does not know
        return None
    return json.loads(json.dumps(ast.literal_eval(text)))


def _in_sequence(text: str) -> list[Any]:
    """Objects one after the other; what follows them is no part of the call."""
    values, position = [], 0
    while text.startswith("{", position):
        try:
            value, end = DECODER.raw_decode(text, position)
        except ValueError:
            break
        values.append(value)
        position = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing as well
    return [] if text.startswith(("{", "["), position) else values


def _mended(text: str) -> Any:
    """Sloppy JSON; None unless it holds every word of the text and no other."""
    if len(text) > 20 * _LONGEST:
        return None
    lines = re.split(r"\n(?=\{)", text)
    if len(lines) > 1 and all(line.count("{") > line.count("}") or line.rstrip().endswith("}") for line in lines):
        values = [read_mappings(line) for line in lines]
        if _all_mappings(values):
            return values
    import json_repair

    bare = _STRING_OR_COMMENT.sub(lambda token: " " if token[1] else token[0], text).strip()
    if len(bare) > _LONGEST or bare[:1] not in ("{", "[") or bare[-1] not in _ENDS:
        return None
    value = json_repair.loads(bare, skip_json_loads=True)
    unescaped = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else " ", bare)
    return value if value and _letters(_flat(value)) == _letters(unescaped) else None


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{_flat(key)} {_flat(inner)}" for key, inner in value.items())
    return " ".join(map(_flat, value)) if isinstance(value, list) else str(value)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, _NOTHING.sub(" ", text).casefold()))
