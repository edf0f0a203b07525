"""Files that may grow while they are looked at: read again whenever they have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.records import Record, decode

T = TypeVar("T")
R = TypeVar("R", bound=Record)

Signature = tuple[int, int, int]


def signature(path: Path) -> Signature | None:
    """What changes whenever a file does: its number, size and time; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def readable(
    path: Path, read: Callable[[bytes], T], problems: dict[str, str], start: int = 0
) -> Iterator[tuple[int, T]]:
    """The records of a file that can be read, each with the byte at which it starts.

    A last line without a line break is still being written, and left out.

    Args:
        path: the file; it may be missing.
        read: a record from a line.
        problems: told of the first record that cannot be read, by the file's name.
        start: the byte to begin at, the start of a line.
    """
    from_start = start == 0
    if from_start:
        problems.pop(path.name, None)
    try:
        stream = path.open("rb")
    except OSError:
        return
    with stream:
        stream.seek(start)
        for number, line in enumerate(stream, start=1):
            offset, start = start, start + len(line)
            if not line.endswith(b"\n") or not line.strip():
                continue
            try:
                yield offset, read(line)
            except NOT_JSON as error:
                where = f"line {number}" if from_start else f"byte {offset}"
                problems.setdefault(path.name, f"{path}, {where}, cannot be read ({error}).")


def read_line(stream: IO[bytes], offset: int) -> bytes:
    """The line that starts at a byte."""
    stream.seek(offset)
    return stream.readline()


class ByTrajectory:
    """The records of a file by the trajectory that they belong to; only their places are kept in memory.

    Args:
        path: a file of verdicts, grades or pairs.
        kind: a struct with the one field or property ``trajectory``.
    """

    def __init__(self, path: Path, kind: type[Any]):
        self.path, self._decode = path, msgspec.json.Decoder(kind).decode
        self._signature: Signature | None = None
        self._offsets: list[int] = []
        self._numbers: dict[str, list[int]] = {}
        self.problems: dict[str, str] = {}

    def refresh(self) -> None:
        """Reads the file again where it has changed."""
        now = signature(self.path)
        if now == self._signature:
            return
        offsets: list[int] = []
        numbers: dict[str, list[int]] = {}
        for offset, found in readable(self.path, self._decode, self.problems):
            offsets.append(offset)
            numbers.setdefault(found.trajectory, []).append(len(offsets))
        # requests run in threads: those under way keep what they have
        self._offsets, self._numbers, self._signature = offsets, numbers, now

    def __len__(self) -> int:
        return len(self._offsets)

    def numbers(self, trajectory: str) -> list[int]:
        """The numbers of a trajectory's records in the file, from 1."""
        return self._numbers.get(trajectory, [])

    def read(self, numbers: Sequence[int], kind: type[R]) -> list[R]:
        """Some records by their numbers.

        Raises:
            InputError: one cannot be read.
        """
        if not numbers:
            return []
        try:
            with self.path.open("rb") as stream:
                return [decode(read_line(stream, self._offsets[number - 1]), kind) for number in numbers]
        except (OSError, *NOT_JSON) as error:
            raise InputError(f"{self.path} cannot be read ({error}); make it again.") from error
