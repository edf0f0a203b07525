"""Files that grow while they are looked at: every line is read once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lrat_sim.foreign import NOT_JSON

_SEAL = 64
"""Bytes before the end of what was read, by which a file is known again."""


class Line(NamedTuple):
    """A whole line: the byte at which it starts, its number (from 1), and its content."""

    offset: int
    number: int
    content: bytes


class Lines:
    """The lines of a file that may grow, be replaced, or not be there yet.

    Args:
        path: the file.
        start: the byte to begin at, the start of a line.

    Call :meth:`restarted` before :meth:`added`::

        if lines.restarted():
            known.clear()
        for line in lines.added():
            ...
    """

    def __init__(self, path: Path, start: int = 0):
        self.path, self._start = path, start
        self._file: int | None = None
        self._place, self._number, self._seal = start, 0, b""

    def restarted(self) -> bool:
        """Whether the file is not the one of before, so that all of it comes again."""
        try:
            with self.path.open("rb") as stream:
                status = self.path.stat()
                same = self._file in (None, status.st_ino) and status.st_size >= self._place
                if same and self._seal:
                    stream.seek(self._place - len(self._seal))
                    same = stream.read(len(self._seal)) == self._seal
                number = status.st_ino
        except OSError:
            same, number = self._file is None, None
        if not same:
            self._file, self._place, self._number, self._seal = number, self._start, 0, b""
            return True
        self._file = number
        return False

    def added(self) -> Iterator[Line]:
        """The whole lines since the last call; one that is still being written waits for the next call."""
        try:
            stream = self.path.open("rb")
        except OSError:
            return
        with stream:
            stream.seek(self._place)
            for content in stream:
                if not content.endswith(b"\n"):
                    return
                offset, self._place, self._number = self._place, self._place + len(content), self._number + 1
                self._seal = content[-_SEAL:]
                if content.strip():
                    yield Line(offset, self._number, content)


class Places:
    """Where the records of each trajectory stand in a file: their bytes and line numbers, not the records.

    Args:
        path: a file of verdicts, grades or pairs.
        kind: a struct with the one field or property ``trajectory``.
    """

    def __init__(self, path: Path, kind: type[Any]):
        self.path = path
        self._lines, self._decode = Lines(path), msgspec.json.Decoder(kind).decode
        self._places: dict[str, list[tuple[int, int]]] = {}
        self.starts: list[int] = []
        self.problem: str | None = None
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Reads what was added."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        if self._lines.restarted():
            self._places.clear()
            self.starts.clear()
            self.problem = None
        for line in self._lines.added():
            try:
                name = self._decode(line.content).trajectory
            except NOT_JSON as error:
                self.problem = self.problem or f"{self.path}, line {line.number}, cannot be read ({error})."
                continue
            self.starts.append(line.offset)
            self._places.setdefault(name, []).append((line.offset, len(self.starts)))

    def of(self, trajectory: str) -> list[tuple[int, bytes]]:
        """The records of a trajectory in the order of the file: each with its place among all, from 1."""
        found = self._places.get(trajectory, [])
        return [(place, content) for (_, place), content in zip(found, self._at([o for o, _ in found]), strict=True)]

    def slice(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """The records at places ``start`` (from 1) to ``stop`` (exclusive)."""
        offsets = self.starts[start - 1 : stop - 1]
        return [(start + number, content) for number, content in enumerate(self._at(offsets))]

    def _at(self, offsets: list[int]) -> list[bytes]:
        if not offsets:
            return []
        with self.path.open("rb") as stream:
            return [read_line(stream, offset) for offset in offsets]


def read_line(stream: Any, offset: int) -> bytes:
    """The line that starts at a byte."""
    stream.seek(offset)
    content: bytes = stream.readline()
    return content
