"""What a folder holds that a report can be about: comparisons, a sweep or a flywheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.artifact import read_json, read_records
from lrat_sim.comparison import Comparison, load
from lrat_sim.comparison.record import arms_of, series_of
from lrat_sim.errors import InputError
from lrat_sim.mining.report import Histogram, histogram
from lrat_sim.mining.run import PAIRS
from lrat_sim.mining.run import REPORT as MINING
from lrat_sim.records import Pair
from lrat_sim.study.record import COMPARISON, STUDY, Trained, read_study
from lrat_sim.study.rounds import Rounds


class Compared(Struct, frozen=True, kw_only=True):
    """One comparison of a report; ``prefix`` begins the names of its files, and is empty for a single comparison."""

    prefix: str
    title: str
    folder: Path
    comparison: Comparison

    @property
    def runs(self) -> dict[str, list[Path]]:
        """The run folders of each arm that are there."""
        named = {arm.name: arm.runs or [arm.name] for arm in self.comparison.summaries}
        return {arm: [path for name in names if (path := self.folder / name).is_dir()] for arm, names in named.items()}

    @property
    def tasks(self) -> set[str] | None:
        """The tasks that were asked; None where the comparison does not name all of them."""
        named = {task for pairing in self.comparison.pairings for task in (*pairing.won, *pairing.tied, *pairing.lost)}
        return named if len(named) == self.comparison.tasks_asked else None


class Mined(Struct, frozen=True, kw_only=True):
    """What a round mined, as far as its account says."""

    round: int = 0
    trajectories: int | None = None
    mined: int | None = None
    searches: int | None = None
    pairs: int
    pairs_without_negatives: int | None = None
    beta: float | None = None
    weights: dict[str, float] | None = None
    weight_histogram: Histogram | None = None


class Reported(Struct, frozen=True, kw_only=True):
    """All that a report is about; ``kind`` is that of the study, ``sweep`` holds the arms of a sweep."""

    kind: str
    folder: Path
    compared: list[Compared]
    command: str | None = None
    settings: dict[str, Any] = {}
    sweep: dict[str, Trained] = {}
    rounds: Rounds | None = None
    mined: list[Mined] = []

    @property
    def arms(self) -> list[str]:
        """The names of all arms, in the order in which they come."""
        return arms_of([cell.comparison for cell in self.compared])


def read_subject(folder: Path) -> Reported:
    """What a folder holds, or the one folder in it that holds something, such as the flywheel of a demo."""
    subject = _read(folder)
    if subject is None:
        inside = sorted({path.parent for name in (STUDY, COMPARISON) for path in folder.glob(f"*/{name}")})
        if len(inside) > 1:
            names = ", ".join(path.name for path in inside)
            raise InputError(f"{folder} holds several folders to report ({names}); give one of them.")
        subject = _read(inside[0]) if inside else None
    if subject is None:
        raise InputError(f"{folder} holds no comparison and no flywheel; give the --out folder of one.")
    return subject


def slug_of(name: str) -> str:
    """A name as a part of the names of files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _read(folder: Path) -> Reported | None:
    if not (folder / STUDY).is_file():
        files = [folder / COMPARISON] if (folder / COMPARISON).is_file() else []
        return Reported(kind="compare", folder=folder, compared=_compared(files, "")) if files else None
    record = read_study(folder)
    numbered = {int(path.name[6:]): path for path in folder.glob("round-*") if path.name[6:].isdigit()}
    mined = [_mined(number, path) for number, path in sorted(numbered.items())]
    files = [folder / cell.folder / COMPARISON for cell in record.cells]
    return Reported(
        kind=record.kind,
        folder=folder,
        compared=_compared(files, "Evaluation {}" if record.kind == "flywheel" else ""),
        command=record.command,
        settings=record.settings,
        sweep=record.cells[0].trained if record.kind == "sweep" and record.cells else {},
        rounds=record.rounds,
        mined=[account for account in mined if account is not None],
    )


def _compared(files: list[Path], title: str) -> list[Compared]:
    """The comparisons of some files; where there are several, each has a prefix for the names of its own files."""
    compared: list[Compared] = []
    for path in files:
        comparison, slug = load(path), slug_of(path.parent.name) or "comparison"
        if any(cell.prefix == f"{slug}-" for cell in compared):
            slug = f"{slug}-{len(compared) + 1}"
        compared.append(
            Compared(
                prefix=f"{slug}-" if len(files) > 1 else "",
                title=title.format(path.parent.name) or _title(comparison),
                folder=path.parent,
                comparison=comparison,
            )
        )
    return sorted(compared, key=lambda cell: (series_of(cell.comparison), cell.comparison.setting.get("k") or 0))


def _title(comparison: Comparison) -> str:
    k = comparison.setting.get("k")
    return series_of(comparison) + (f", k = {k}" if k is not None else "")


def _mined(number: int, folder: Path) -> Mined | None:
    """From the round's account; the weights of an account without them from its pairs."""
    path, mined = folder / MINING, None
    if path.is_file():
        mined = replace(read_json(path, Mined, "an account of a mining", "mine again"), round=number)
    if (mined is None or mined.weight_histogram is None) and (folder / PAIRS).is_file():
        weights = np.array([pair.weight for pair in read_records(folder / PAIRS, Pair) if pair.satisfied], np.float64)
        mined = replace(mined or Mined(round=number, pairs=len(weights)), weight_histogram=histogram(weights))
    return mined
