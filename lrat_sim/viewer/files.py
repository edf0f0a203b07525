"""Files that may grow while they are looked at: read again whenever they have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct

from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.mining.explain import Label
from lrat_sim.mining.report import MiningReport
from lrat_sim.mining.run import REPORT
from lrat_sim.records import Grade, Pair, Verdict, decode

T = TypeVar("T")
R = TypeVar("R", Grade, Verdict, Pair)

Signature = tuple[int, int, int]


def signature(path: Path) -> Signature | None:
    """What changes whenever a file does: its inode, size and time; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def readable(
    path: Path, read: Callable[[bytes], T], problems: dict[str, str], start: int = 0
) -> Iterator[tuple[int, T]]:
    """The whole records of a file that can be read, each with its byte offset; none where it is missing.

    ``problems`` gets a sentence on the first record that cannot be read, by the file's name.
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


class RecordFile(Generic[R]):
    """The records of a file by their trajectory, of which only offsets are in memory; ``states`` holds the latest of
    each."""

    def __init__(self, path: Path, kind: type[R]):
        self.path = path
        self._kind: type[R] = kind
        self._signature: Signature | None = None
        self._offsets: list[int] = []
        self._numbers: dict[str, list[int]] = {}
        self.states: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    def refresh(self) -> None:
        """Reads the file again where it has changed."""
        now = signature(self.path)
        if now == self._signature:
            return
        offsets: list[int] = []
        numbers: dict[str, list[int]] = {}
        states: dict[str, str] = {}
        for offset, record in readable(self.path, lambda line: decode(line, self._kind), self.problems):
            offsets.append(offset)
            if isinstance(record, Pair):
                numbers.setdefault(record.provenance.trajectory, []).append(len(offsets))
            else:
                numbers.setdefault(record.trajectory_id, []).append(len(offsets))
                states[record.trajectory_id] = record.state
        # requests run in threads: those under way keep what they have
        self._offsets, self._numbers, self.states, self._signature = offsets, numbers, states, now

    def __len__(self) -> int:
        return len(self._offsets)

    def numbers(self, trajectory: str) -> list[int]:
        """The numbers of a trajectory's records in the file, from 1."""
        return self._numbers.get(trajectory, [])

    def read(self, numbers: Sequence[int]) -> list[R]:
        """Some records by their numbers."""
        if not numbers:
            return []
        records = []
        try:
            with self.path.open("rb") as stream:
                for number in numbers:
                    stream.seek(self._offsets[number - 1])
                    records.append(decode(stream.readline(), self._kind))
            return records
        except (OSError, *NOT_JSON) as error:
            raise InputError(f"{self.path} cannot be read ({error}); make it again.") from error

    def of(self, trajectory: str) -> list[R]:
        """The records of a trajectory as they are now, the latest last."""
        self.refresh()
        return self.read(self.numbers(trajectory))


class MinedPair(Struct, frozen=True, kw_only=True):
    """A pair with its file, its number there (from 1), the mining's report, and what each document is to it."""

    file: str
    number: int
    pair: Pair
    report: MiningReport | None
    labels: list[Label] = []


class PairsFile(RecordFile[Pair]):
    """A pairs.jsonl with the report beside it, None where there is none; ``runs`` are the run folders mined."""

    def __init__(self, path: Path, name: str):
        super().__init__(path, Pair)
        self.name = name
        self._read_report()

    def refresh(self) -> None:
        """Reads the pairs and their report again."""
        self._read_report()
        super().refresh()

    def pairs(self, numbers: Sequence[int]) -> list[MinedPair]:
        """Some pairs by their numbers."""
        return [
            MinedPair(file=self.name, number=number, pair=pair, report=self.report)
            for number, pair in zip(numbers, self.read(numbers), strict=True)
        ]

    def _read_report(self) -> None:
        self.report: MiningReport | None = None
        # pairs made or moved by hand have none
        with suppress(OSError, *NOT_JSON):
            self.report = from_json(self.path.with_name(REPORT).read_bytes(), MiningReport)
        names = self.report.runs if self.report is not None else ["."]
        self.runs = {(self.path.parent / name).resolve() for name in names}
