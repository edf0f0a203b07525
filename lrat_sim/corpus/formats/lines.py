"""Files as public data sets write them, line by line, with every fault placed by file, line and field."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.errors import InputError, RecordError
from lrat_sim.store import open_bytes


def text_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1, without line breaks; blank ones are passed over.

    Raises:
        InputError: the file cannot be read or is cut off in its compressed stream.
    """
    with open_bytes(path) as stream:
        try:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read to its end ({error}); get the file again.") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a jsonl file with their line numbers.

    Raises:
        RecordError: a line is not a JSON object.
    """
    for number, line in text_lines(path):
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError(path, number, f"not JSON ({error})") from error
        if not isinstance(value, dict):
            raise RecordError(path, number, f"should hold a JSON object, not {type(value).__name__}")
        yield number, value


def tsv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The fields of a tab-separated file with their line numbers; a field in double quotes is taken out of them."""
    for number, line in text_lines(path):
        try:
            fields = line.decode("utf-8-sig" if number == 1 else "utf-8").split("\t")
        except UnicodeDecodeError as error:
            raise RecordError(path, number, f"not UTF-8 ({error.reason})", "convert the file to UTF-8") from error
        yield number, [_unquoted(field) for field in fields]


def _unquoted(field: str) -> str:
    inner = field[1:-1].replace('""', "")
    if len(field) < 2 or not field.startswith('"') or not field.endswith('"') or '"' in inner:
        return field  # a quotation mark of the text itself
    return field[1:-1].replace('""', '"')


def json_file(path: Path) -> Any:
    """The one JSON value of a file, read whole.

    Raises:
        RecordError: it is not JSON.
    """
    with open_bytes(path) as stream:
        try:
            return msgspec.json.decode(stream.read())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RecordError(path, 0, f"not JSON ({error})", "get the file again") from error
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InputError(f"{path} cannot be read to its end ({error}); get the file again.") from error


def pick(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first field of ``names`` that the record has with a value other than null."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def as_text(record: Mapping[str, Any], names: Sequence[str], what: str, path: Path, line: int) -> str:
    """A field that has to be there as a text (a whole number counts for an id), under any of its names.

    Raises:
        RecordError: it is missing, empty or of another kind.
    """
    value = pick(record, names)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or value == "":
        raise RecordError(path, line, f"no {what} (a field {', '.join(f'`{name}`' for name in names)})")
    if not isinstance(value, str):
        raise RecordError(path, line, f"the {what} should be a text, not {type(value).__name__}")
    if not value.strip():
        raise RecordError(path, line, f"the {what} is empty")
    return value


def is_jsonl(path: Path) -> bool:
    """Whether a file's name says that it holds one JSON object a line, compressed or not."""
    return path.with_suffix("").suffix == ".jsonl" if path.suffix in (".gz", ".xz") else path.suffix == ".jsonl"


def trec_qrels(path: Path, least: int = 1) -> dict[str, list[str]]:
    """Relevant document ids by query id, from TREC judgements (``query 0 document grade``) or BEIR's tsv.

    Args:
        path: the file; a header line is passed over.
        least: the lowest grade that counts as relevant.

    Raises:
        RecordError: a line has another number of columns or a grade that is no number.
    """
    found: dict[str, list[str]] = {}
    for number, line in text_lines(path):
        columns = line.decode("utf-8", "replace").split()
        if len(columns) not in (3, 4):
            raise RecordError(path, number, f"a judgement has 3 or 4 columns, not {len(columns)}")
        query, document, grade = columns[0], columns[-2], columns[-1]
        if number == 1 and not _number(grade):
            continue
        if not _number(grade):
            raise RecordError(path, number, f"the grade {grade!r} is not a number")
        if float(grade) >= least:
            found.setdefault(query, []).append(document)
    return found


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
