"""Behaviour as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lrat_sim.behaviour.measures import layout
from lrat_sim.behaviour.report import Behaviour, BehaviourGroup
from lrat_sim.behaviour.targets import Target, TargetGap
from lrat_sim.tables import NONE, Group, Row, Table, number, percent

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(behaviour: Behaviour) -> RenderableType:
    """All tables and the verdict, for a rich console."""
    from rich.console import Group as Parts

    parts: list[RenderableType] = [part for table in tables(behaviour) for part in (table.to_terminal(), "")]
    return Parts(*parts, *([verdict(behaviour)] if any(group.gaps for group in behaviour.groups) else []))


def tables(behaviour: Behaviour) -> list[Table]:
    """What was run, Table 1, the panels of Figure 4, the judge's filter, and the targets."""
    groups = behaviour.groups
    names = ["", *(group.name for group in groups)]
    made = [Table.of("what was run", names, [[title, *map(value, groups)] for title, value in _RUN.items()])]
    made += [_by_outcome(groups, title, columns) for title, columns in layout("by_outcome").items()]
    for title, measures in layout("by_group").items():
        rows = [
            [name, *(group.measures[measure].text(digits) for group in groups)]
            for name, (measure, digits) in measures.items()
        ]
        made.append(Table.of(title, names, rows))
    held = [group for group in groups if group.gaps]
    return [*made, *(_targets(group, behaviour.targets) for group in held), *map(_populations, held[:1])]


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


def _populations(group: BehaviourGroup) -> Table:
    populations = {gap.target.population: gap.population for gap in group.gaps}
    rows = [
        [name, where.title, where.retriever, _text(where.k), _text(where.snippet_tokens), where.judge or NONE]
        for name, where in populations.items()
    ]
    columns = ["name", "runs", "retriever", "k", "snippet", "judge"]
    return Table.of("what the targets were measured on", columns, rows, text_columns=(0, 1, 2, 5))
