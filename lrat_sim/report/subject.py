"""What a folder holds that a report can be about: comparisons, a sweep or a flywheel.

The only file of the report that knows how the folders of other stations are laid out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.artifact import read_json, read_records
from lrat_sim.comparison import Comparison, load
from lrat_sim.comparison.results import arms_of, series_of
from lrat_sim.errors import InputError
from lrat_sim.experiment import Sweep
from lrat_sim.experiment.cells import COMPARISON, EXPERIMENT
from lrat_sim.experiment.sweep import SWEEP
from lrat_sim.flywheel.rounds import ROUNDS, Figures, Round, Rounds
from lrat_sim.flywheel.rounds import load as load_rounds
from lrat_sim.flywheel.settings import BASE, TRAINED
from lrat_sim.mining.report import Histogram, histogram
from lrat_sim.mining.run import PAIRS
from lrat_sim.mining.run import REPORT as MINING
from lrat_sim.records import Pair
from lrat_sim.rollout.index import read_manifest

__all__ = ["BASE", "TRAINED", "Compared", "Figures", "Mined", "Reported", "Round", "Rounds", "Sweep", "read_subject"]

Kind = Literal["comparison", "experiment", "sweep", "flywheel"]


class Compared(Struct, frozen=True, kw_only=True):
    """One comparison of a report; ``prefix`` stands before the names of its files, empty where it is alone."""

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
    """All that a report is about; ``settings`` and ``command`` are those recorded, as far as they were."""

    kind: Kind
    folder: Path
    compared: list[Compared]
    command: str | None = None
    settings: dict[str, Any] = {}
    sweep: Sweep | None = None
    rounds: Rounds | None = None
    mined: list[Mined] = []

    @property
    def arms(self) -> list[str]:
        """The names of all arms, in the order in which they come."""
        return arms_of([each.comparison for each in self.compared])


class _Made(Struct):
    """What the record of an experiment or a sweep says of how it was made."""

    command: str | None = None
    settings: dict[str, Any] = {}


def read_subject(folder: Path) -> Reported:
    """What a folder holds, or the one folder in it that holds something, such as the flywheel of a demo.

    Raises:
        InputError: nothing that a report can be about, or it cannot be read.
    """
    subject = _read(folder)
    if subject is None:
        inside = [path for path in sorted(folder.glob("*")) if path.is_dir() and _kind(path) is not None]
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


def _kind(folder: Path) -> Kind | None:
    if (folder / ROUNDS).is_file() or (folder / "round-1").is_dir():
        return "flywheel"
    # the folder of a sweep holds a comparison, too
    for name, kind in ((EXPERIMENT, "experiment"), (SWEEP, "sweep"), (COMPARISON, "comparison")):
        if (folder / name).is_file():
            return kind  # type: ignore[return-value]  # a member of the tuple above
    return None


def _read(folder: Path) -> Reported | None:
    kind = _kind(folder)
    if kind is None:
        return None
    if kind == "flywheel":
        return _flywheel(folder)
    name, pattern = {"experiment": (EXPERIMENT, f"*/{COMPARISON}"), "sweep": (SWEEP, "")}.get(kind, ("", ""))
    made = read_json(folder / name, _Made, f"the record of {kind}", "run it again") if name else _Made()
    files = [folder / COMPARISON] if (folder / COMPARISON).is_file() else sorted(folder.glob(pattern))
    return Reported(
        kind="comparison" if kind == "experiment" and len(files) == 1 else kind,
        folder=folder,
        compared=_compared(files, ""),
        command=made.command,
        settings=made.settings,
        sweep=read_json(folder / SWEEP, Sweep, "a sweep", "run it again") if kind == "sweep" else None,
    )


def _compared(files: list[Path], title: str) -> list[Compared]:
    """The comparisons of some files; where there are several, each has a prefix for the names of its own files."""
    compared: list[Compared] = []
    for path in files:
        comparison, slug = load(path), slug_of(path.parent.name) or "comparison"
        if any(each.prefix == f"{slug}-" for each in compared):
            slug = f"{slug}-{len(compared) + 1}"
        compared.append(
            Compared(
                prefix=f"{slug}-" if len(files) > 1 else "",
                title=title.format(path.parent.name) or f"{series_of(comparison)}, k = {comparison.setting.get('k')}",
                folder=path.parent,
                comparison=comparison,
            )
        )
    return sorted(compared, key=lambda each: (series_of(each.comparison), each.comparison.setting.get("k") or 0))


def _flywheel(folder: Path) -> Reported:
    manifest = read_manifest(folder)
    command, settings = manifest.get("command"), manifest.get("settings")
    numbered = {int(path.name[6:]): path for path in folder.glob("round-*") if path.name[6:].isdigit()}
    mined = [_mined(number, path) for number, path in sorted(numbered.items())]
    return Reported(
        kind="flywheel",
        folder=folder,
        compared=_compared(sorted(folder.glob(f"evaluate/*/{COMPARISON}")), "Evaluation {}"),
        command=command if isinstance(command, str) else None,
        settings=settings if isinstance(settings, dict) else {},
        rounds=load_rounds(folder) if (folder / ROUNDS).is_file() else None,
        mined=[each for each in mined if each is not None],
    )


def _mined(number: int, folder: Path) -> Mined | None:
    """From the round's account; the weights of an account without them from its pairs."""
    path, mined = folder / MINING, None
    if path.is_file():
        mined = replace(read_json(path, Mined, "an account of a mining", "mine again"), round=number)
    if (mined is None or mined.weight_histogram is None) and (folder / PAIRS).is_file():
        weights = np.array([pair.weight for pair in read_records(folder / PAIRS, Pair) if pair.satisfied], np.float64)
        mined = replace(mined or Mined(round=number, pairs=len(weights)), weight_histogram=histogram(weights))
    return mined
