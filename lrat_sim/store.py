"""Append-only files of records, one JSON object a line.

A record is on disk, whole, before :meth:`Store.append` returns.  A process killed in the middle of a line leaves
a torn one; readers skip it, and the next writer cuts it off before it writes.
"""

from __future__ import annotations

import gzip
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Generic, TypeVar

import msgspec
from filelock import FileLock, Timeout

from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Record, decode, encode

R = TypeVar("R", bound=Record)


def open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile | lzma.LZMAFile:
    """A file for reading bytes; ``.gz`` and ``.xz`` are decompressed on the way.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rb")
        if path.suffix == ".xz":
            return lzma.open(path, "rb")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give an existing file.") from error


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file in order, streaming; blank lines and a torn last line are passed over.

    Raises:
        InputError: the file cannot be read.
        RecordError: a line does not hold such a record; names file, line and field.
    """
    return (record for _, record in read_with_offsets(path, kind))


def read_with_offsets(
    path: Path, kind: type[R], wanted: Callable[[int], bool] | None = None
) -> Iterator[tuple[int, R]]:
    """As :func:`read_records`, with the byte offset at which each record starts (in the decompressed file).

    Args:
        path: the file.
        kind: the type of its records.
        wanted: says of an offset whether its line is to be decoded; all are without it.
    """
    with open_bytes(path) as stream:
        offset = 0
        for number, line in enumerate(_lines(stream, path), start=1):
            start, offset = offset, offset + len(line)
            if not line.strip() or (wanted is not None and not wanted(start)):
                continue
            try:
                yield start, decode(line, kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                # a ValidationError is a whole line with a wrong field, never a torn one
                if not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError):
                    return
                raise RecordError(path, number, f"not a {kind.__name__.lower()}: {error}") from error
            except RecursionError as error:
                raise RecordError(path, number, "JSON that is nested too deeply") from error


def _lines(stream: Iterable[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:  # a damaged archive shows only while it is read
        raise InputError(f"{path} is damaged ({error}); get or write it again.") from error


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes a whole file, by a temporary one beside it so that a kill leaves the old or the new; returns the count."""
    ensure_folder(path.parent)
    beside = path.with_name(path.name + ".part")
    count = 0
    with beside.open("wb") as stream:
        for record in records:
            stream.write(encode(record) + b"\n")
            count += 1
    beside.replace(path)
    return count


def ensure_folder(folder: Path) -> Path:
    """Makes a folder that can be written to.

    Raises:
        InputError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # of its own, since several processes may try at once
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from error
    return folder


class Store(Generic[R]):
    """One append-only file of records of one kind, with one writer at a time.

    Args:
        path: the file; its folder is made.
        kind: the type of its records.

    Use it as a context manager for writing::

        with Store(run / "trajectories.jsonl", Trajectory) as store:
            done = {t.id for t in store if t.status != "error"}
            store.append(trajectory)

    Raises:
        InputError: the folder cannot be written to, or another process holds the file.
    """

    def __init__(self, path: Path, kind: type[R]):
        self.path, self.kind = path, kind
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Store[R]:
        ensure_folder(self.path.parent)
        self._lock = FileLock(str(self.path) + ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{self.path} is being written by another process; wait for it or choose another run folder."
            ) from error
        self._cut_torn_line()
        self._stream = self.path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._stream is not None:
                self._stream.close()  # on a full disk it fails once more
        finally:
            self._stream = None
            self._lock.release()

    def append(self, record: R) -> int:
        """Writes one record, whole, and returns the byte offset at which it starts."""
        if self._stream is None:
            raise RuntimeError("a Store is written inside a with statement")
        offset = self._stream.tell()
        self._stream.write(encode(record) + b"\n")
        self._stream.flush()  # in the kernel's hands: a kill of this process no longer loses it
        return offset

    def extend(self, records: Iterable[R]) -> None:
        """Writes several records at once, as :meth:`append` does each."""
        if self._stream is None:
            raise RuntimeError("a Store is written inside a with statement")
        self._stream.write(b"".join(encode(record) + b"\n" for record in records))
        self._stream.flush()

    def __iter__(self) -> Iterator[R]:
        if self.path.exists():
            yield from read_records(self.path, self.kind)

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as stream:
            end = stream.seek(0, 2)
            while end > 0:
                start = max(0, end - (1 << 16))
                stream.seek(start)
                found = stream.read(end - start).rfind(b"\n")
                if found >= 0:
                    end = start + found + 1
                    break
                end = start
            stream.truncate(end)
