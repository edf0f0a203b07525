"""Behaviour of one or more groups of runs: measured, saved, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import read_json, write_json, write_text
from lrat_sim.behaviour.figures import FIGURES, draw
from lrat_sim.behaviour.measures import Measures, measures
from lrat_sim.behaviour.observed import By, RunSetting, observe
from lrat_sim.behaviour.resample import RESAMPLES, MeasureEstimate
from lrat_sim.behaviour.targets import TARGETS, TargetGap, Targets, distances, load_targets
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.tables import csv_text

MEASURES_CSV, TARGETS_CSV, JSON = "measures.csv", "targets.csv", "behaviour.json"


class BehaviourGroup(Struct, frozen=True, kw_only=True):
    """One group of runs: what they have in common of what they were made with, and what was measured of them.

    ``runs`` are those that did not break; those with the outcome ``error`` are left out of the measures.  ``judges``
    graded the answers and judged the documents.
    """

    name: str
    setting: RunSetting
    runs: int
    tasks: int
    outcomes: dict[str, int]
    judges: list[str]
    measures: Measures
    gaps: list[TargetGap]


class Behaviour(Struct, frozen=True, kw_only=True):
    """What was measured of every group, and how."""

    schema_version: int = 1
    targets: str
    source: str
    seed: int
    resamples: int
    interval: str = "95 %, percentile bootstrap over tasks"
    groups: list[BehaviourGroup]

    def missed(self) -> list[TargetGap]:
        """The targets that were missed, those that the simulated agent is held to first."""
        gaps = [gap for group in self.groups for gap in group.gaps if gap.state == "missed"]
        return sorted(gaps, key=lambda gap: not gap.target.held)

    def save(self, folder: Path) -> None:
        """Writes behaviour.json, measures.csv and targets.csv into a folder, which is made if missing."""
        write_json(folder / JSON, self)
        rows = [
            (group.name, name, *_cells(estimate)) for group in self.groups for name, estimate in group.measures.items()
        ]
        write_text(folder / MEASURES_CSV, csv_text([("group", "measure", "value", "low", "high", "n"), *rows]))
        heading = (
            *("group", "measure", "population", "target", "found", "low", "high", "n"),
            *("distance", "distance_low", "distance_high", "kind", "allowed", "held", "state", "why"),
        )
        gaps = [
            (
                *(gap.group, gap.target.measure, gap.population.title, gap.target.value, *_cells(gap.found)),
                *(*_cells(gap.distance)[:3], gap.kind, gap.allowed, gap.target.held, gap.state, gap.why),
            )
            for group in self.groups
            for gap in group.gaps
        ]
        write_text(folder / TARGETS_CSV, csv_text([heading, *gaps]))


def _cells(estimate: MeasureEstimate) -> tuple[Any, ...]:
    return estimate.value, estimate.low, estimate.high, estimate.n


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
    """Measures how agents behaved in any trajectories, which are read one at a time.

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
    observed = observe([Path(source) for source in sources], by=by, seed=seed, resamples=resamples, progress=progress)
    groups = []
    for runs in observed:
        measured = measures(runs)
        groups.append(
            BehaviourGroup(
                name=runs.name,
                setting=runs.setting,
                runs=len(runs.runs),
                tasks=runs.tasks.count,
                outcomes=runs.outcomes,
                judges=runs.judges,
                measures=measured,
                gaps=distances(runs, measured, wanted) if wanted else [],
            )
        )
    result = Behaviour(
        targets=wanted.title if wanted else "",
        source=wanted.source if wanted else "",
        seed=seed,
        resamples=resamples,
        groups=groups,
    )
    if out is not None:
        result.save(out)
        draw(observed, [group.measures for group in groups], wanted, out)
    return result


def _refuse_foreign(folder: Path) -> None:
    if (folder / JSON).exists():
        read_json(folder / JSON, Behaviour, "a measurement of behaviour", "give another folder")
    elif strangers := [name for name in (MEASURES_CSV, TARGETS_CSV, *FIGURES) if (folder / name).exists()]:
        raise InputError(f"{folder} holds {strangers[0]} but no {JSON}; give another folder.")
