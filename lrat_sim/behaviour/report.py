"""Behaviour of one or more groups of runs: measured, saved, drawn, and as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lrat_sim.artifact import read_json, write_json, write_text
from lrat_sim.behaviour.figures import FIGURES, draw
from lrat_sim.behaviour.measures import Measures, layout, measures
from lrat_sim.behaviour.observed import By, RunSetting, observe
from lrat_sim.behaviour.resample import RESAMPLES, MeasureEstimate
from lrat_sim.behaviour.targets import TARGETS, Target, TargetGap, Targets, distances, load_targets
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.tables import NONE, Group, Row, Table, csv_text, number, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

MEASURES_CSV, TARGETS_CSV, JSON = "measures.csv", "targets.csv", "behaviour.json"


class BehaviourGroup(Struct, frozen=True, kw_only=True):
    """One group of runs: what they were made with, as far as they agree, and what was measured of them.

    ``runs`` are those that did not break; those with the outcome ``error`` are left out of the measures.
    """

    name: str
    setting: RunSetting
    runs: int
    tasks: int
    outcomes: dict[str, int]
    judges: list[str]  # who graded the answers and judged the documents
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

    def __rich__(self) -> RenderableType:
        """All tables and the verdict."""
        from rich.console import Group as Parts

        parts: list[RenderableType] = [part for table in tables(self) for part in (table.to_terminal(), "")]
        return Parts(*parts, *([verdict(self)] if any(group.gaps for group in self.groups) else []))


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
    if out is not None and (out / JSON).exists():
        read_json(out / JSON, Behaviour, "a measurement of behaviour", "give another folder")
    elif out and (strangers := [name for name in (MEASURES_CSV, TARGETS_CSV, *FIGURES) if (out / name).exists()]):
        raise InputError(f"{out} holds {strangers[0]} but no {JSON}; give another folder.")
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


def tables(behaviour: Behaviour) -> list[Table]:
    """What was run, Table 1, the panels of Figure 4, the judge's filter, and the targets."""
    groups = behaviour.groups
    names = ["", *(group.name for group in groups)]
    made = [Table.of("what was run", names, [[title, *map(value, groups)] for title, value in _RUN.items()])]
    made += [_by_outcome(groups, title, columns) for title, columns in layout("by_outcome").items()]
    for title, shown in layout("by_group").items():
        rows = [
            [name, *(group.measures[measure].text(digits) for group in groups)]
            for name, (measure, digits) in shown.items()
        ]
        made.append(Table.of(title, names, rows))
    held = [group for group in groups if group.gaps]
    made += [_targets(group, behaviour.targets) for group in held]
    if held:
        populations = {gap.target.population: gap.population for gap in held[0].gaps}
        columns = ["name", "runs", "retriever", "k", "snippet", "judge"]
        rows = [
            [name, where.title, where.retriever, _text(where.k), _text(where.snippet_tokens), where.judge or NONE]
            for name, where in populations.items()
        ]
        made.append(Table.of("what the targets were measured on", columns, rows, text_columns=(0, 1, 2, 5)))
    return made


def verdict(behaviour: Behaviour) -> str:
    """How many targets were met, in a sentence, with those missed by name."""
    judged = [gap for group in behaviour.groups for gap in group.gaps if gap.state in ("met", "missed")]
    held = [gap for gap in judged if gap.target.held]
    missed = [gap for gap in held if gap.state == "missed"]
    sentence = (
        f"{sum(gap.state == 'met' for gap in judged)} of {len(judged)} targets that these runs can show are met, "
        f"{len(held) - len(missed)} of the {len(held)} that the simulated agent is held to"
    )
    if missed:
        several = len(behaviour.groups) > 1
        names = (f"{gap.target.measure} ({gap.group})" if several else gap.target.measure for gap in missed)
        sentence += f"; of those it misses {', '.join(names)}"
    return sentence + "."


_RUN: dict[str, Callable[[BehaviourGroup], str]] = {
    "agent": lambda group: group.setting.agent,
    "retriever": lambda group: group.setting.retriever,
    "results per search": lambda group: _text(group.setting.k),
    "tokens of a snippet": lambda group: _text(group.setting.snippet_tokens),
    "runs that did not break": lambda group: str(group.runs),
    "tasks": lambda group: str(group.tasks),
    "outcomes": lambda group: ",\n".join(f"{count} {name}" for name, count in group.outcomes.items()),
    "judges": lambda group: ",\n".join(group.judges),
}


def _text(value: int | None) -> str:
    return NONE if value is None else str(value)


def _by_outcome(groups: Sequence[BehaviourGroup], title: str, columns: Mapping[str, tuple[str, int]]) -> Table:
    def row(group: BehaviourGroup, outcome: str) -> Row:
        return Row([outcome, *(group.measures[f"{name}.{outcome}"].text(digits) for name, digits in columns.values())])

    parts = [
        Group([row(group, outcome) for outcome in ("correct", "incorrect", "all")], group.name) for group in groups
    ]
    return Table(title=title, columns=["runs", *columns], groups=parts)


def _targets(group: BehaviourGroup, title: str) -> Table:
    setting = group.setting
    made = (setting.agent, setting.retriever, "" if setting.k is None else f"k {setting.k}")
    by_population: dict[str, list[Row]] = {}
    for gap in group.gaps:
        by_population.setdefault(gap.target.population, []).append(_target_row(gap))
    return Table(
        title=f"{group.name} ({', '.join(part for part in made if part)}), held against {title}",
        columns=["measure", "target", "found", "off by", "state"],
        groups=[Group(rows, population) for population, rows in by_population.items()],
        notes=["* the simulated agent is held to these"],
        text_columns=(0, 4),
    )


def _target_row(gap: TargetGap) -> Row:
    target = gap.target
    value = target.value or 0.0
    digits = 3 if value < 2 else 2 if value < 50 else 0  # a share, steps, tokens
    found = "" if target.distribution is not None else gap.found.text(digits)
    short = {"total variation": "TV ", "Kolmogorov-Smirnov": "KS "}.get(gap.kind, "")
    # its interval is in the table on disk
    off = percent(gap.distance.value, 0) if gap.kind == "relative error" else number(gap.distance.value, 3)
    state = gap.state + (f": {gap.why}" if gap.why else "")
    return Row([target.measure + ("*" if target.held else ""), _wanted(target), found, short + off, state])


def _wanted(target: Target) -> str:
    if target.within is None and target.relative is None:
        return " to ".join("any" if end is None else f"{end:g}" for end in (target.low, target.high))
    near = f" ± {target.within:g}" if target.relative is None else f" ± {target.relative:.0%}"
    if target.distribution is not None:
        return f"{len(target.distribution)} shares{near}"
    if target.lognormal is not None:
        return f"lognormal({target.lognormal.median:g}, {target.lognormal.sigma:g}){near}"
    return f"{target.value:g}{near}"
