"""Files as other tools write them: the records of a file whatever holds them, and names that any file system can hold.

:func:`records` goes by what stands in a file, not by its name: a record a line, one record over many lines, several
of them one after another, a list of them, or the rows of a Parquet table; compressed or not, with or without a byte
order mark.
"""

from __future__ import annotations

import codecs
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lrat_sim.errors import InputError, RecordError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.interchange.tables import MAGIC, rows
from lrat_sim.interchange.values import DECODER, Found, json_value, kept
from lrat_sim.store import open_bytes

_LONGEST_NAME = 150
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(10))}
# the shorter mark of UTF-16 opens the longer one of UTF-32, too
_MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
_MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)
_SPACE = re.compile(r"\s*")
LARGEST = 1 << 31
"""Bytes of a value that has to be in memory as a whole: a small archive can hold any number of them."""


def records(path: Path) -> Iterator[Found]:
    """The records of a file in order, streaming where a record is a line or a row.

    A list of chat messages is one record, ``{"messages": [...]}``.

    Raises:
        InputError: the file cannot be read.
        RecordError: it is no JSON.
    """
    with open_bytes(path) as raw:
        stream = _opened(raw, path)
        if stream is None:
            yield from rows(path)
            return
        lines = _readable(stream, path)
        first = True
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if first and not _is_value(line):  # a record is more than a line, or a line more than a record
                yield from _values(_whole([line], lines, path), path, number)
                return
            first = False
            if line.lstrip()[:1] == b"[":
                yield from _listed(json_value(line, path, number), path, number)
            else:
                yield Found(line.rstrip(), path, number)


def begins_as_records(path: Path) -> bool:
    """Whether a file begins as a JSON object, a list or a Parquet table does, so that it is worth reading whole.

    Raises:
        InputError: its compressed data are damaged.
    """
    with open_bytes(path) as raw:
        stream = _opened(raw, path)
        if stream is None:
            return True
        begin = next((part for part in _readable(iter(lambda: stream.read(64), b""), path) if part.strip()), b"")
        return begin.lstrip()[:1] in (b"{", b"[")


def _opened(raw: Any, path: Path) -> Any:
    """The stream behind its byte order mark, as UTF-8; None of a Parquet table."""
    try:
        begin: bytes = raw.read(4)
        raw.seek(len(codecs.BOM_UTF8) if begin.startswith(codecs.BOM_UTF8) else 0)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    encoding = next((encoding for mark, encoding in _MARKS.items() if begin.startswith(mark)), None)
    if encoding is not None:
        return codecs.EncodedFile(raw, "utf-8", encoding)
    return None if begin == MAGIC else raw


def _readable(stream: Any, path: Path) -> Iterator[bytes]:
    """The lines of a stream, or the parts of it that were asked for."""
    # of what is recoded, readline takes its argument for something else
    bounded = hasattr(stream, "readline") and not isinstance(stream, codecs.StreamRecoder)
    try:
        for line in iter(lambda: stream.readline(LARGEST), b"") if bounded else stream:
            if len(line) == LARGEST:
                raise _too_large(path)
            yield line
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _whole(begin: list[bytes], rest: Iterable[bytes], path: Path) -> bytes:
    size = 0
    for line in rest:
        begin.append(line)
        size += len(line)
        if size > LARGEST:
            raise _too_large(path)
    return b"".join(begin)


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path} has one record, or a list of them, of more than {LARGEST >> 30} GB; write a record a line."
    )


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read to its end ({error}); get the file again.")


def _is_value(line: bytes) -> bool:
    try:
        json_value(line, Path())
    except RecordError:
        return False
    return True


def _values(data: bytes, path: Path, line: int) -> Iterator[Found]:
    """One JSON value, or several one after another; ``line`` is the first one's."""
    try:
        yield from _listed(json_value(data, path, line), path, 0)
        return
    except RecordError as error:
        whole = error
    try:
        text, place = data.decode(), 0
    except UnicodeDecodeError:
        raise whole from None
    while (start := place + len(_SPACE.match(text, place)[0])) < len(text):  # type: ignore[index]
        line, before = line + text.count("\n", place, start), start
        try:
            value, place = DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if not before:
                raise whole from error
            raise RecordError(path, line, f"not JSON ({error})", "get or write the file again") from error
        yield from _listed(kept(value, path, line), path, line)
        line += text.count("\n", start, place)


def _listed(value: Any, path: Path, line: int) -> Iterator[Found]:
    """The records of a list; a list of messages is one."""
    if not isinstance(value, list):
        yield Found(value, path, line)
    elif value and all(isinstance(item, dict) and isinstance(item.get("role"), str) for item in value):
        yield Found({"messages": value}, path, line)
    else:
        for number, item in enumerate(value, start=1):
            yield from _listed(item, path.with_name(f"{path.name}, record {number}"), 0)


def json_file(path: Path) -> Any:
    """The one JSON value of a file, compressed or not, with or without a byte order mark.

    Raises:
        InputError: the file cannot be read.
        RecordError: it is no JSON.
    """
    with open_bytes(path) as raw:
        stream = _opened(raw, path)
        return json_value(_whole([], _readable(stream, path) if stream else (), path), path)


def file_name(name: str, taken: set[str]) -> str:
    """A name for a file that stands for ``name``: the same where that is plain, and different for each.

    Some file systems do not tell capitals from small letters, so names that differ in these alone count as one.

    Args:
        name: any text.
        taken: the names given before, in small letters; the new one is added.
    """
    plain = quote(name, safe=" +,=@()[]")
    if plain.startswith(".") or plain.split(".")[0].rstrip().lower() in _RESERVED:
        plain = f"%{ord(plain[0]):02X}{plain[1:]}"
    plain = plain or "%"
    plain = plain if len(plain) <= _LONGEST_NAME else f"{plain[:_LONGEST_NAME]}~{fingerprint(name)}"
    made, number = plain, 1
    while made.lower() in taken:
        number += 1
        made = f"{plain}~{number}"
    taken.add(made.lower())
    return made
