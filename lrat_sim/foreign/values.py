"""Records as other tools write them: their JSON, their position in the file, and their fields, read leniently."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import msgspec
from msgspec import Struct

from lrat_sim.decoding import from_json
from lrat_sim.errors import RecordError, said_plainly
from lrat_sim.records import Record, Usage, decode, known_sum

R = TypeVar("R", bound=Record)

DEPTH = 128  # levels of lists and objects that are read: no trajectory has more, and code that recurses keeps its stack
_MOST = 1 << 53  # beyond it a number is no count, and one that was a float is no longer exact


class SourceRecord(Struct, frozen=True):
    """A record of another tool's file with its position there."""

    data: Any  # its JSON text, or its value where that was read already; a table's row has null for missing fields
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

    @property
    def place(self) -> str:
        """Its position, for messages."""
        return f"{self.file}, {self.unit} {self.number}" if self.number else str(self.file)

    def fault(self, problem: str, remedy: str | None = None) -> RecordError:
        """The error for what is wrong with it."""
        general = f"correct or delete that {self.unit}" if self.number else "correct the file, or leave it out"
        return RecordError(self.file, self.number, problem, remedy or general, unit=self.unit)

    def holding(self, data: Any) -> Self:
        """Another value at the same place: a part of the record, or the record as it was read."""
        return msgspec.structs.replace(self, data=data)

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
            raise self.fault(f"not a {kind.__name__.lower()}: {said_plainly(error)}") from error


# --- JSON


_LENIENT: dict[str, Any] = {
    "parse_constant": str,
    "parse_float": lambda text: value if math.isfinite(value := float(text)) else text,
    "parse_int": lambda text: int(text) if len(text) <= 20 else text,
}
DECODER = json.JSONDecoder(**_LENIENT)  # reads one value of several that stand one after another


def json_value(data: bytes | str, path: Path, line: int = 0) -> Any:
    """One JSON value, as a record can hold it; RecordError if it is no JSON, or nested too deeply.

    Python's json module writes more than JSON: NaN and infinities, lone surrogates, whole numbers of any length.
    They are read too: numbers that no record holds become texts, and so do lone surrogates, by their escapes.
    ``path`` and ``line`` (from 1; 0 where the file is one value) are for the message.
    """
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        try:
            value = from_json(data)
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


def parsed(text: str) -> Any:
    """The JSON object or list that a text is; None of any other text."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json_value(text, Path())
    except RecordError:
        return None


# --- fields: what is not of its kind counts as not given


def text(value: Any) -> str | None:
    """A text; None of anything else."""
    return value if isinstance(value, str) else None


def id_in(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first of some fields that can be an id: a text that is not blank, or a whole number."""
    values = (str(fields[name]) for name in names if type(fields.get(name)) in (str, int))
    return next((value for value in values if value.strip()), None)


def mapping(value: Any) -> dict[str, Any]:
    """An object; an empty one of anything else."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list; an empty one of anything else."""
    return value if isinstance(value, list) else []


def filled(record: dict[str, Any], *without: str) -> dict[str, Any]:
    """The fields of a record that hold something, except those named."""
    return {key: value for key, value in record.items() if key not in without and value not in (None, [], {}, "")}


def without_nulls(value: Any) -> Any:
    """A value without what is null in it: a table gives every record every field."""
    if isinstance(value, dict):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def text_of(content: Any, gap: str = "") -> str:
    """The text of a content: itself, or the texts among its parts, with ``gap`` between them."""
    if isinstance(content, list):
        texts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return gap.join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def texts_in(value: Any) -> Iterator[str]:
    """Every text anywhere in a value, and every number as a text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)
    elif is_number(value):
        yield str(value)


def read_arguments(text: str) -> dict[str, Any] | str:
    """A call's arguments as a mapping, or the text itself where it is no JSON of one that a record can hold."""
    try:
        value = from_json(text)
        msgspec.json.encode(value)  # a number of any length can be read, but not kept
    except (msgspec.DecodeError, UnicodeError, OverflowError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def arguments_text(arguments: dict[str, Any] | str, *, ascii: bool = False) -> str:
    """A call's arguments as a text of JSON, as :func:`read_arguments` reads it."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=ascii)


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(value: Any) -> int | None:
    """A whole number, perhaps written as a float; None of anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def usage(
    prompt: Any = None,
    completion: Any = None,
    reasoning: Any = None,
    cost: Any = None,
    *,
    cached: Any = None,
    left_out: Sequence[Any] = (),
) -> Usage:
    """Tokens and US dollars, as far as they are known; ``left_out`` are tokens that ``prompt`` leaves out."""
    return Usage(
        cached_tokens=count(cached),
        prompt_tokens=known_sum((count(prompt), *(count(tokens) or 0 for tokens in left_out))),
        completion_tokens=count(completion),
        reasoning_tokens=count(reasoning),
        cost=float(cost) if is_number(cost) and 0 <= cost < 1e9 else None,
    )


def total_usage(usages: list[Usage]) -> Usage:
    """The sum; nothing is known of the sum of none."""
    return sum(usages[1:], usages[0]) if usages else Usage()


def seconds_of(value: Any) -> float:
    """Seconds, of a span or since 1970; 0 of anything else."""
    return float(value) if is_number(value) and 0 <= value < 1e11 else 0.0
