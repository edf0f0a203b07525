"""inspect_ai's log files: their header and samples, from ``.json`` and from the archives ``.eval``.

An archive is a zip with a file a sample, read one at a time.  Newer ones are compressed with zstd, which zipfile does
not know before Python 3.14.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign import reading
from lrat_sim.foreign.files import LARGEST, records
from lrat_sim.foreign.values import json_value

REMEDY = "get or write the log again"
_ZSTD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")
_HEADERS = ("header.json", "_journal/start.json")
"""Where an archive's header stands; the second where the evaluation did not come to its end."""


def is_log(record: Any) -> bool:
    """Whether a JSON object is a log, or the header of one."""
    return isinstance(record, dict) and isinstance(record.get("eval"), dict) and "version" in record


def open_log(path: Path) -> tuple[dict[str, Any], Iterator[Any]] | None:
    """A log's header and its samples; None of a JSON file that is something else.

    Raises:
        InputError: the file cannot be read; so does the iterator, where a sample is damaged.
        RecordError: it is an archive of something else, or its samples are no list.
    """
    if path.suffix != ".eval":
        record = next((found.value() for found in records(path)), None)
        if not isinstance(record, dict) or not is_log(record):
            return None
        samples = record.get("samples")
        if not isinstance(samples, list | None):
            raise RecordError(path, 0, "the field `samples` should be a list", REMEDY)
        return {key: value for key, value in record.items() if key != "samples"}, iter(samples or ())
    with reading(f"{path} cannot be read as an archive", REMEDY), zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
    name = next((name for name in _HEADERS if name in entries), None)
    header = _entry(path, entries[name]) if name is not None else None
    if not is_log(header) or not isinstance(header, dict):
        raise RecordError(path, 0, "no log of inspect_ai: it holds no header", REMEDY)
    samples = (info for name, info in entries.items() if name.startswith("samples/") and name.endswith(".json"))
    return header, map(partial(_entry, path), samples)  # which goes on after a damaged one


def _entry(path: Path, info: zipfile.ZipInfo) -> Any:
    place = path / info.filename
    if info.file_size > LARGEST:
        raise InputError(f"{place} would have more than {LARGEST >> 30} GB; {REMEDY}.")
    with reading(f"{place} cannot be read", REMEDY):
        data = _zstd(path, info) if info.compress_type == _ZSTD else _plain(path, info)
    return json_value(data, place)


def _plain(path: Path, info: zipfile.ZipInfo) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(info)


def _zstd(path: Path, info: zipfile.ZipInfo) -> bytes:
    import pyarrow

    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        lengths = stream.read(_LOCAL_HEADER.size)
        if len(lengths) < _LOCAL_HEADER.size:
            raise EOFError("the file ends before its entry")
        stream.seek(sum(_LOCAL_HEADER.unpack(lengths)), 1)
        packed = stream.read(info.compress_size)
    # no more than the directory states: a damaged one could make any amount of memory of a few bytes
    data = bytes(pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd").read(info.file_size + 1))
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise EOFError("its checksum does not fit")
    return data
