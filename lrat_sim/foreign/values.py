"""JSON as other tools write it, as a record can hold it, and records with the place where they stand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from lrat_sim.errors import RecordError
from lrat_sim.records import Record, decode

R = TypeVar("R", bound=Record)

DEPTH = 128
"""Lists and objects within one another that are read: more than any trajectory has, and few enough that code which
recurses through them does not run out of stack."""


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


_LENIENT: dict[str, Any] = {
    "parse_constant": str,
    "parse_float": _finite,
    "parse_int": lambda text: int(text) if len(text) <= 20 else text,
}
DECODER = json.JSONDecoder(**_LENIENT)
"""Reads one value of several that stand one after another."""


class Found(Struct, frozen=True):
    """A record and where it stands; the row of a table has null for fields that a record does not have."""

    data: Any  # its JSON text, or its value where that was read already
    file: Path
    number: int = 0  # its position there, from 1; 0 where it fills the file
    unit: Literal["line", "record", "row"] = "line"

    @property
    def path(self) -> Path:
        """The file, with the record's position where that is no line."""
        return self.file if self.unit == "line" else self.file.with_name(f"{self.file.name}, {self.unit} {self.number}")

    @property
    def line(self) -> int:
        """The line, 0 where the position is not a line."""
        return self.number if self.unit == "line" else 0

    def value(self) -> Any:
        """The record as JSON; RecordError if it is none."""
        if self.unit == "row":
            return recordable(msgspec.to_builtins(self.data, enc_hook=str))
        return json_value(self.data, self.path, self.line) if isinstance(self.data, bytes) else self.data

    def decoded(self, kind: type[R]) -> R:
        """The record as one of ours; the RecordError of any other names the field."""
        try:
            return decode(msgspec.json.encode(self.value()), kind)
        except msgspec.DecodeError as error:
            raise RecordError(self.path, self.line, f"not a {kind.__name__.lower()}: {error}") from error


def json_value(data: bytes | str, path: Path, line: int = 0) -> Any:
    """One JSON value, as a record can hold it.

    Python's json module writes more than JSON: NaN and infinities, lone surrogates, whole numbers of any length.
    They are read too: numbers that no record holds become texts, and so do lone surrogates, by their escapes.

    Args:
        data: the JSON text.
        path: where it stands, for the message.
        line: its first line, from 1; 0 where the file is one value.

    Raises:
        RecordError: it is no JSON, or nested too deeply.
    """
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        try:
            value = msgspec.json.decode(data)
            # nearly always: too few brackets to be nested too deeply, and a record holds whatever msgspec reads
            if data.count(b"[") + data.count(b"{") <= DEPTH:
                return value
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = json.loads(data, **_LENIENT)
    except (ValueError, RecursionError) as error:
        raise not_json(error, path, line) from error
    return recordable_within_depth(value, path, line)


def not_json(error: ValueError | RecursionError, path: Path, line: int = 0) -> RecordError:
    """The error of a text that is no JSON, or nested too deeply; ``line`` is its first one."""
    line = line and line + getattr(error, "lineno", 1) - 1
    deep = f"not JSON that can be read (nested too deeply: more than {DEPTH} levels)"
    problem = deep if isinstance(error, RecursionError) else f"not JSON ({error})"
    return RecordError(path, line, problem, "correct or delete that line" if line else "get or write the file again")


def recordable_within_depth(value: Any, path: Path, line: int) -> Any:
    """A value as a record can hold it; RecordError if it is nested more than :data:`DEPTH` levels deep."""
    level = [value]
    for _ in range(DEPTH):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return recordable(value)
        level = [item for holder in nested for item in (holder.values() if isinstance(holder, dict) else holder)]
    raise not_json(RecursionError(), path, line)


def without_nulls(value: Any) -> Any:
    """A value without what is null in it: a table gives every record every field."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def recordable(value: Any) -> Any:
    """``value`` as a record can hold it: lone surrogates, which JSON can escape but UTF-8 not hold, are replaced by
    their escapes, and numbers beyond 64 bits by their text."""
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return _mended(value)
    return value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value
