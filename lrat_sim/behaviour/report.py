"""Behaviour of one or more groups of runs: computed, saved, and shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import read_json, write_json, write_text
from lrat_sim.behaviour.measures import Measures, measures
from lrat_sim.behaviour.observed import By, Observed, observe
from lrat_sim.behaviour.resample import RESAMPLES, Estimate
from lrat_sim.behaviour.targets import TARGETS, Gap, Targets, distances, load_targets
from lrat_sim.behaviour.walk import Setting
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.spreadsheet import csv_text

MEASURES_CSV, TARGETS_CSV, JSON = "measures.csv", "targets.csv", "behaviour.json"
FIGURES = ("figure-4", "judge")
"""The plots, each as ``.svg`` and ``.png``."""


class Group(Struct, frozen=True, kw_only=True):
    """One group of runs.

    Attributes:
        setting: what its runs have in common of what they were made with.
        outcomes: runs by outcome; those with ``error`` are left out of the measures.
        judges: who graded the answers and judged the documents.
        measures: see :func:`lrat_sim.behaviour.measures.measures`.
        gaps: see :func:`lrat_sim.behaviour.targets.distances`.
    """

    name: str
    setting: Setting
    runs: int
    tasks: int
    outcomes: dict[str, int]
    judges: list[str]
    measures: Measures
    gaps: list[Gap]


class Behaviour(Struct, frozen=True, kw_only=True):
    """What was found of every group, and how."""

    schema_version: int = 1
    targets: str
    source: str
    seed: int
    resamples: int
    interval: str = "95 %, percentile bootstrap over tasks"
    groups: list[Group]

    def missed(self) -> list[Gap]:
        """The targets that were missed, those that the simulated agent is held to first."""
        gaps = [gap for group in self.groups for gap in group.gaps if gap.state == "missed"]
        return sorted(gaps, key=lambda gap: not gap.target.held)

    def save(self, folder: Path) -> None:
        """Writes behaviour.json, measures.csv and targets.csv.

        Args:
            folder: made if missing.
        """
        write_json(folder / JSON, self)
        _write(
            folder / MEASURES_CSV,
            ("group", "measure", "value", "low", "high", "n"),
            ((group.name, name, *_cells(found)) for group in self.groups for name, found in group.measures.items()),
        )
        _write(
            folder / TARGETS_CSV,
            (
                *("group", "measure", "population", "target", "found", "low", "high", "n"),
                *("distance", "distance_low", "distance_high", "kind", "allowed", "held", "state", "why"),
            ),
            (
                (
                    *(gap.group, gap.target.measure, gap.population.title, gap.target.value, *_cells(gap.found)),
                    *_cells(gap.distance)[:3],
                    *(gap.kind, gap.allowed, gap.target.held, gap.state, gap.why),
                )
                for group in self.groups
                for gap in group.gaps
            ),
        )


def behaviour(
    sources: Sequence[Path | str],
    *,
    targets: Targets | str | None = TARGETS,
    by: By = "run",
    out: Path | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: ProgressCallback | None = None,
) -> Behaviour:
    """Measures how agents behaved in any trajectories.

    Trajectories are read one at a time; of each a few hundred bytes are kept.

    Args:
        sources: run folders, or files and folders of any format that can be read.
        targets: what they are held against, or a name or path of that; None is nothing.
        by: a group a source, an agent or a retriever.
        out: the folder for tables and plots; None writes nothing.
        seed: of the resampling of tasks.
        resamples: how often tasks are drawn.
        progress: told the trajectories read.

    Raises:
        InputError: a source cannot be read or holds nothing, or the targets cannot be used.
    """
    wanted = load_targets(targets) if isinstance(targets, str) else targets
    if out is not None:
        _refuse_foreign(out)
    seen = observe([Path(source) for source in sources], by=by, seed=seed, resamples=resamples, progress=progress)
    found = Behaviour(
        targets=wanted.title if wanted else "",
        source=wanted.source if wanted else "",
        seed=seed,
        resamples=resamples,
        groups=[_group(each, wanted) for each in seen],
    )
    if out is not None:
        from lrat_sim.behaviour.figures import draw

        found.save(out)
        draw(seen, found, wanted, out)
    return found


def _refuse_foreign(folder: Path) -> None:
    if (folder / JSON).exists():
        read_json(folder / JSON, Behaviour, "a measurement of behaviour", "give another folder")
        return
    plots = (f"{name}.{form}" for name in FIGURES for form in ("svg", "png"))
    if strangers := [name for name in (MEASURES_CSV, TARGETS_CSV, *plots) if (folder / name).exists()]:
        raise InputError(f"{folder} holds {strangers[0]} but no {JSON}; give another folder.")


def _group(observed: Observed, targets: Targets | None) -> Group:
    found = measures(observed)
    return Group(
        name=observed.name,
        setting=observed.setting,
        runs=observed.runs,
        tasks=observed.tasks.count,
        outcomes=dict(sorted(observed.outcomes.items())),
        judges=observed.judges,
        measures=found,
        gaps=distances(observed, found, targets) if targets else [],
    )


def _cells(found: Estimate) -> tuple[Any, ...]:
    return found.value, found.low, found.high, found.n


def _write(path: Path, heading: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    write_text(path, csv_text([heading, *rows]))
