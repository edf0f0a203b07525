"""What a folder holds that a report can be about: a comparison, an experiment of several, a sweep or a flywheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lrat_sim.artifact import read_records
from lrat_sim.comparison import Comparison, load
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.mining.report import Histogram, histogram
from lrat_sim.mining.run import PAIRS
from lrat_sim.mining.run import REPORT as MINING
from lrat_sim.records import Pair
from lrat_sim.study.record import COMPARISON, STUDY, StudyRecord, Trained, read_study
from lrat_sim.study.rounds import Rounds

Kind = Literal["comparison", "experiment", "sweep", "flywheel"]


class Compared(Struct, frozen=True, kw_only=True):
    """One comparison of a report.

    ``slug`` stands before the names of its files, empty where there is one comparison alone.  ``series`` names those
    that differ in k only.
    """

    slug: str
    title: str
    series: str
    folder: Path
    comparison: Comparison

    @property
    def k(self) -> int | None:
        """Hits a search, where that is known."""
        k = self.comparison.setting.get("k")
        return k if isinstance(k, int) else None

    @property
    def runs(self) -> dict[str, list[Path]]:
        """The run folders of each arm that are there."""
        named = {each.name: each.runs or [each.name] for each in self.comparison.summaries}
        return {arm: [path for name in names if (path := self.folder / name).is_dir()] for arm, names in named.items()}

    @property
    def tasks(self) -> set[str] | None:
        """The tasks that were asked; None where the comparison does not name all of them."""
        named = {task for each in self.comparison.pairings for task in (*each.won, *each.tied, *each.lost)}
        return named if len(named) == self.comparison.tasks_asked else None


class Mined(Struct, frozen=True, kw_only=True):
    """What a round mined, as far as its account says."""

    round: int
    trajectories: int | None = None
    mined: int | None = None
    searches: int | None = None
    pairs: int
    pairs_without_negatives: int | None = None
    beta: float | None = None
    weights: dict[str, float] | None = None
    weight_histogram: Histogram | None = None


class Subject(Struct, frozen=True, kw_only=True):
    """All that a report is about; ``settings`` and ``command`` are those recorded, as far as they were."""

    kind: Kind
    folder: Path
    compared: list[Compared]
    command: str | None = None
    settings: dict[str, Any] = {}
    sweep: dict[str, Trained] | None = None
    rounds: Rounds | None = None
    mined: list[Mined] = []

    @property
    def arms(self) -> list[str]:
        """The names of all arms, in the order in which they come."""
        return list(dict.fromkeys(each.name for cell in self.compared for each in cell.comparison.summaries))


def read_subject(folder: Path) -> Subject:
    """What a folder holds.

    Raises:
        InputError: nothing that a report can be about, or it cannot be read.
    """
    if (folder / STUDY).is_file():
        return _study(folder, read_study(folder))
    if (folder / COMPARISON).is_file():
        return Subject(kind="comparison", folder=folder, compared=[_compared(folder, "", "")])
    raise InputError(f"{folder} holds no comparison and no flywheel; give the --out folder of one.")


def slug_of(name: str) -> str:
    """A name as a part of the names of files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _study(folder: Path, record: StudyRecord) -> Subject:
    """What a study recorded, and what the rounds of a flywheel mined."""
    wheel, alone = record.kind == "flywheel", len(record.cells) == 1
    compared: list[Compared] = []
    for cell in record.cells:
        name = Path(cell.folder).name if wheel else cell.folder
        series = cell.split if wheel else f"{cell.agent} on {cell.task_set}, {cell.split}"
        slug = "" if alone else _free(slug_of(name) or "cell", compared)
        title = f"Evaluation {name}" if wheel else "" if record.kind == "sweep" else f"{series}, k = {cell.k}"
        compared.append(_compared(folder / cell.folder, slug, title, series))
    kinds: dict[str, Kind] = {"flywheel": "flywheel", "sweep": "sweep"}
    numbered = {int(path.name[6:]): path for path in folder.glob("round-*") if path.name[6:].isdigit()}
    mined = [_mined(number, path) for number, path in sorted(numbered.items())]
    return Subject(
        kind=kinds.get(record.kind, "comparison" if alone else "experiment"),
        folder=folder,
        compared=compared,
        command=record.command,
        settings=record.settings,
        sweep=record.cells[0].trained if record.kind == "sweep" and record.cells else None,
        rounds=record.rounds,
        mined=[each for each in mined if each is not None],
    )


def _compared(folder: Path, slug: str, title: str, series: str = "") -> Compared:
    return Compared(slug=slug, title=title, series=series, folder=folder, comparison=load(folder / COMPARISON))


def _free(slug: str, taken: list[Compared]) -> str:
    return slug if slug not in {each.slug for each in taken} else f"{slug}-{len(taken) + 1}"


def _mined(number: int, folder: Path) -> Mined | None:
    """From the round's account; the weights of an account without them from its pairs."""
    path, found = folder / MINING, None
    if path.is_file():
        try:
            recorded = msgspec.json.decode(path.read_bytes())
            found = msgspec.convert({**recorded, "round": number}, type=Mined)
        except (*NOT_JSON, TypeError) as error:
            raise InputError(f"{path} is no account of a mining ({error}); mine again.") from error
    if (found is None or found.weight_histogram is None) and (folder / PAIRS).is_file():
        import numpy as np

        weights = np.array([pair.weight for pair in read_records(folder / PAIRS, Pair) if pair.satisfied], np.float64)
        found = found or Mined(round=number, pairs=len(weights))
        found = msgspec.structs.replace(found, weight_histogram=histogram(weights))
    return found
