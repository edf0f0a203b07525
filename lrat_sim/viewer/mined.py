"""Mined pairs beside the runs that they came from: by trajectory, and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.mining.report import MiningReport
from lrat_sim.mining.run import REPORT
from lrat_sim.records import Pair
from lrat_sim.viewer.files import ByTrajectory


class _Provenance(Struct, frozen=True):
    trajectory: str


class _Mined(Struct, frozen=True):
    provenance: _Provenance

    @property
    def trajectory(self) -> str:
        return self.provenance.trajectory


class Numbered(Struct, frozen=True):
    """A pair with its file and its number there, from 1."""

    file: str
    number: int
    pair: Pair


class PairsFile:
    """A pairs.jsonl with the report beside it.

    Args:
        path: the file.
        name: what the viewer calls it.

    Attributes:
        report: of the mining; None where there is none beside the file.
        runs: the run folders that were mined.
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self._records = ByTrajectory(path, _Mined)
        self.report: MiningReport | None = None
        self.runs: set[Path] = set()
        self._read_report()

    def refresh(self) -> None:
        """Takes in what was mined since the last call."""
        self._read_report()
        self._records.refresh()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def problem(self) -> str | None:
        """What could not be read, in a sentence."""
        return next(iter(self._records.problems.values()), None)

    def of(self, trajectory: str) -> list[Numbered]:
        """The pairs of a trajectory."""
        return self._numbered(self._records.numbers(trajectory))

    def slice(self, start: int, stop: int) -> list[Numbered]:
        """The pairs from ``start`` (from 1) to ``stop`` (exclusive)."""
        return self._numbered(range(start, min(stop, len(self) + 1)))

    def at(self, number: int) -> Numbered:
        """One pair.

        Raises:
            InputError: there is none.
        """
        if not 1 <= number <= len(self):
            raise InputError(f"{self.path} has no pair {number}; its pairs count from 1 to {len(self)}.")
        return self.slice(number, number + 1)[0]

    def _numbered(self, numbers: Sequence[int]) -> list[Numbered]:
        pairs = self._records.read(numbers, Pair)
        return [Numbered(self.name, number, pair) for number, pair in zip(numbers, pairs, strict=True)]

    def _read_report(self) -> None:
        path = self.path.with_name(REPORT)
        try:
            self.report = msgspec.json.decode(path.read_bytes(), type=MiningReport)
        except (OSError, *NOT_JSON):  # pairs made or moved by hand have none
            self.report = None
        names = self.report.runs if self.report is not None else ["."]
        self.runs = {(self.path.parent / name).resolve() for name in names}
