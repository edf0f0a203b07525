"""The one way anything is written or read back: fingerprints, whole files, append-only files of records.

A record is on disk, whole, before :meth:`Store.append` returns.  A killed process may leave a torn last line; readers
skip it, and the next writer cuts it off.  Nothing is replaced before it is known to be ours; no file holds a known key.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from uuid import uuid4

import msgspec
from filelock import FileLock, Timeout

from lrat_sim.decoding import from_json
from lrat_sim.errors import FingerprintMismatch, InputError, LratSimError, RecordError, said_plainly
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.files import open_bytes
from lrat_sim.keys import redact, redact_json
from lrat_sim.records import Record, decode, encode

R = TypeVar("R", bound=Record)
T = TypeVar("T")

command_line: ContextVar[str | None] = ContextVar("command_line", default=None)
"""The command that is running, for the records that it writes; None in a script."""


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for any JSON value or msgspec struct, whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:16]


def fingerprint_file(path: Path) -> str:
    """The fingerprint of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def check_fingerprint(what: str, recorded: dict[str, Any], current: dict[str, Any], remedy: str) -> None:
    """Refuses ``what`` ("the index at runs/a/index"), which was made from something other than is used now, naming each
    field that differs with both values."""
    differing = [key for key in sorted({*recorded, *current}) if recorded.get(key) != current.get(key)]
    if differing:
        shown = ", ".join(f"{key} was {recorded.get(key)!r} and is now {current.get(key)!r}" for key in differing)
        raise FingerprintMismatch(f"{what} does not fit: {shown}; {remedy}.")


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """The records of a file in order, streaming; blank lines and a torn last line are skipped, another line that is no
    record is a RecordError."""
    return (record for _, record in read_with_offsets(path, kind))


def read_with_offsets(
    path: Path, kind: type[R], wanted: Callable[[int], bool] | None = None
) -> Iterator[tuple[int, R]]:
    """As :func:`read_records`, with the byte offset of each record (decompressed); only lines at ``wanted`` offsets."""
    with open_bytes(path) as stream:
        offset = 0
        for number, line in enumerate(_lines(stream, path), start=1):
            start, offset = offset, offset + len(line)
            if line.isspace() or (wanted is not None and not wanted(start)):
                continue
            try:
                yield start, decode(line, kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                # a ValidationError is a whole line with a wrong field, never a torn one
                torn = not line.endswith(b"\n") and not isinstance(error, msgspec.ValidationError)
                if torn and (start > 0 or _begins(line, kind)):
                    return
                raise RecordError(path, number, f"not a {kind.__name__.lower()}: {said_plainly(error)}") from error
            except RecursionError as error:
                raise RecordError(path, number, "JSON that is nested too deeply") from error


def _lines(stream: Iterable[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from stream
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:  # a damaged archive shows only while it is read
        raise InputError(f"{path} is damaged ({error}); get or write it again.") from error


def _begins(line: bytes, kind: type[Record]) -> bool:
    """Whether a torn line may be the beginning of a record, by the name of its first field."""
    begin = re.match(rb'\s*\{\s*(?:"(\w*)("?)|$)', line)
    if begin is None:
        return False
    name, whole = (begin[1] or b"").decode(), bool(begin[2])
    known = (*kind.__struct_fields__, "schema_version")
    return name in known if whole else any(field.startswith(name) for field in known)


def check_records(path: Path, kind: type[Record]) -> None:
    """Refuses a file that is there and does not begin with a record of a kind, before it is written to."""
    if path.exists():
        next(read_records(path, kind), None)


def line(record: Record) -> bytes:
    """A record as a line of a file."""
    return redact_json(encode(record)) + b"\n"


def cleaned(record: R) -> R:
    """A record without known keys, for writers of other formats."""
    encoded = encode(record)
    plain = redact_json(encoded)
    return record if plain is encoded else decode(plain, type(record))


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes a whole file, by a temporary one beside it so that a kill leaves the old or the new; returns the count."""
    count = 0
    with replacing(path) as beside, beside.open("wb") as stream:
        for record in records:
            stream.write(line(record))
            count += 1
    return count


def write_text(path: Path, text: str) -> None:
    """Writes a file as a whole, as :func:`write_records` does."""
    with replacing(path) as beside:
        beside.write_text(redact(text), encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any, indent: int = 2) -> None:
    """Writes a file of one JSON value, readable, as :func:`write_records` does."""
    plain = redact_json(msgspec.json.encode(content))
    with replacing(path) as beside:
        beside.write_bytes(msgspec.json.format(plain, indent=indent) + b"\n")


def read_json(path: Path, kind: type[T], what: str, remedy: str, known: int = 1) -> T:
    """Reads what :func:`write_json` wrote, of a kind that the message calls ``what`` ("a comparison"); an InputError
    says that it cannot be read, is something else, or that its schema version is later than ``known``."""
    try:
        content = path.read_bytes()
        # before the rest: a later version may have other fields
        check_version(path, from_json(content, _Versioned).schema_version, known)
        return from_json(content, kind)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}.") from error
    except NOT_JSON as error:
        raise InputError(f"{path} is not {what} ({said_plainly(error)}); {remedy}.") from error


class _Versioned(msgspec.Struct):
    schema_version: Any = 1


def check_version(path: Path, version: object, known: int = 1) -> None:
    """Refuses what a later lrat-sim wrote: to read it, or to write to it, would lose what this one does not know."""
    if not isinstance(version, int) or version > known:
        raise InputError(
            f"{path} has schema_version {version!r}, newer than the {known} this lrat-sim reads; upgrade lrat-sim, or "
            "choose another folder."
        )


@contextmanager
def replacing(path: Path, *, contested: bool = False) -> Iterator[Path]:
    """Gives a path beside ``path`` to write to, which takes its place when all went well, and else is removed.

    Where it is ``contested``, several processes may write the same file at once: each has a path of its own.
    """
    beside = path.with_name(f"{path.name}{f'.{uuid4().hex[:8]}' if contested else ''}.part")
    ensure_folder(path.parent)
    with writing(path):
        try:
            yield beside
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Says of a disk that is full or may not be written to where that was: an InputError in place of the system's."""
    try:
        yield
    except Exception as error:
        if (reason := disk_fault(error)) is None:
            raise
        raise InputError(
            f"{place} cannot be written ({reason}); free some space or choose another place, then rerun the same "
            "command; finished work is kept."
        ) from error


_FULL = re.compile(r"No space left on device|Disk quota exceeded|Read-only file system|File too large")


def disk_fault(error: Exception) -> str | None:
    """What the system says where an error is one of files, None where it is another."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    # safetensors, tokenizers and torch raise errors of their own kinds for a full disk
    full = None if isinstance(error, LratSimError) else _FULL.search(str(error))
    return full[0] if full else None


def ensure_folder(folder: Path) -> Path:
    """Makes a folder, and refuses one that cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # of its own, since several processes may try at once
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from error
    return folder


class Store(Generic[R]):
    """One append-only file of records of one kind, with one writer at a time; its folder is made.

    Use it as a context manager for writing::

        with Store(run / "trajectories.jsonl", Trajectory) as store:
            done = {t.id for t in store if t.status != "error"}
            store.append(trajectory)
    """

    def __init__(self, path: Path, kind: type[R]):
        self.path, self.kind = path, kind
        self._stream: IO[bytes] | None = None
        self._lock = FileLock(f"{path}.lock")

    def __enter__(self) -> Store[R]:
        check_records(self.path, self.kind)
        ensure_folder(self.path.parent)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{self.path} is being written by another process; wait for it or choose another run folder."
            ) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with writing(self.path):
                if self._stream is not None:
                    self._stream.close()  # on a full disk it fails once more
                elif kind is None and not self.path.exists():
                    self.path.touch()  # nothing to record is not the same as not done
        finally:
            self._stream = None
            self._lock.release()

    def append(self, record: R) -> int:
        """Writes one record, whole, and returns the byte offset at which it starts."""
        return self._write(line(record))

    def extend(self, records: Iterable[R]) -> None:
        """Writes several records at once, as :meth:`append` does each."""
        self._write(b"".join(map(line, records)))

    def _write(self, lines: bytes) -> int:
        if not self._lock.is_locked:
            raise RuntimeError("a Store is written inside a with statement")
        with writing(self.path):
            if self._stream is None:  # not before: a command that is refused after all leaves the file as it was
                self._end_last_line()
                self._stream = self.path.open("ab")
            offset = self._stream.tell()
            self._stream.write(lines)
            self._stream.flush()  # in the kernel's hands: a kill of this process no longer loses it
        return offset

    def __iter__(self) -> Iterator[R]:
        if self.path.exists():
            yield from read_records(self.path, self.kind)

    def _end_last_line(self) -> None:
        """Ends a last line without a line break: a whole record gets one, a torn record is cut off."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as stream:
            end, size, last = stream.seek(0, 2), 1 << 16, b""
            while b"\n" not in last and len(last) < end:
                size = min(2 * size, end)
                stream.seek(end - size)
                last = stream.read(size)
            last = last.rpartition(b"\n")[2]
            try:
                decode(last, self.kind)
                stream.write(b"\n")
            except (msgspec.ValidationError, RecursionError) as error:  # whole, and no record of ours
                problem = f"the last line is no {self.kind.__name__.lower()}: {said_plainly(error)}"
                raise RecordError(self.path, 0, problem, "correct or delete it") from error
            except NOT_JSON:
                stream.truncate(end - len(last))
