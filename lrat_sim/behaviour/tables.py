"""Behaviour as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lrat_sim.behaviour.measures import EVIDENCE_BINS, RANKS
from lrat_sim.behaviour.report import Behaviour, BehaviourGroup
from lrat_sim.behaviour.resample import MeasureEstimate
from lrat_sim.behaviour.targets import Target, TargetGap
from lrat_sim.tables import NONE, Group, Row, Table, number, percent, with_interval

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHARE, _COUNT, _TOKENS = 3, 2, 0
"""Digits after the point of a share, of steps, and of tokens."""

_LENGTHS = {
    "a correct run's": "length.correct",
    "an incorrect run's": "length.incorrect",
    "evidence": "length.evidence",
    "other documents": "length.other",
    "relevant by the judge": "length.relevant",
    "irrelevant": "length.irrelevant",
    "positives of correct runs": "length.pairs",
}
_OPENED = {
    **{f"rank {rank}": f"rank.{rank}" for rank in range(1, RANKS + 1)},
    "ranks 1 to 3": "rank_top3",
    **{f"accuracy, {low}-{high} evidence opened": f"accuracy.{low}-{high}" for low, high in EVIDENCE_BINS},
    "judge keeps of evidence": "kept.evidence",
    "judge keeps of other": "kept.other",
    "results new at search 8": "new_results.8",
    "opened and returned again": "returned_again",
    "new query words read before": "terms_adopted",
    "success": "success",
    "completed": "completed",
    "correct of completed": "correct_of_completed",
}


def render(found: Behaviour) -> RenderableType:
    """All tables and the verdict, for a rich console."""
    from rich.console import Group as Parts

    parts: list[RenderableType] = [part for table in tables(found) for part in (table.to_terminal(), "")]
    return Parts(*parts, *([verdict(found)] if any(group.gaps for group in found.groups) else []))


def tables(found: Behaviour) -> list[Table]:
    """What was run, Table 1, the panels of Figure 4, the judge's filter, and the targets."""
    steps = {name: (name, _COUNT) for name in ("searches", "browses", "steps")}
    after = {
        f"after a {before}: {step}": (f"after_{before}.{step}", _SHARE)
        for before in ("search", "browse")
        for step in ("search", "browse")
    }
    lengths = {title: (name, _TOKENS) for title, name in _LENGTHS.items()} | {"AUC of evidence": ("length_auc", _SHARE)}
    opened = {title: (name, _SHARE) for title, name in _OPENED.items()}
    made = [
        _what_was_run(found),
        _by_outcome(found, "steps a run (Table 1)", {**steps, "browses a search": ("browses_per_search", _SHARE)}),
        _by_outcome(found, "what follows (Figure 4 a)", after),
        _by_group(found, "reasoning after a browse, mean tokens (Figure 4 c)", lengths),
        _by_group(found, "what was opened (Figure 4 b, d), and audits", opened),
    ]
    held = [group for group in found.groups if group.gaps]
    return [*made, *(_targets(group, found.targets) for group in held), *(_populations(group) for group in held[:1])]


def verdict(found: Behaviour) -> str:
    """How many targets were met, in a sentence, with those missed by name."""
    judged = [gap for group in found.groups for gap in group.gaps if gap.state in ("met", "missed")]
    held = [gap for gap in judged if gap.target.held]
    missed = [gap for gap in held if gap.state == "missed"]
    said = (
        f"{sum(gap.state == 'met' for gap in judged)} of {len(judged)} targets that these runs can show are met, "
        f"{len(held) - len(missed)} of the {len(held)} that the simulated agent is held to"
    )
    if missed:
        several = len(found.groups) > 1
        names = (f"{gap.target.measure} ({gap.group})" if several else gap.target.measure for gap in missed)
        said += f"; of those it misses {', '.join(names)}"
    return said + "."


def _what_was_run(found: Behaviour) -> Table:
    def values(group: BehaviourGroup) -> dict[str, object]:
        return {
            "agent": group.setting.agent,
            "retriever": group.setting.retriever,
            "results per search": group.setting.k,
            "tokens of a snippet": group.setting.snippet_tokens,
            "runs that did not break": group.runs,
            "tasks": group.tasks,
            "outcomes": ",\n".join(f"{count} {name}" for name, count in group.outcomes.items()),
            "judges": ",\n".join(group.judges),
        }

    columns = [values(group) for group in found.groups]
    rows = [[title, *(_text(column[title]) for column in columns)] for title in columns[0]]
    return Table.of("what was run", ["", *(group.name for group in found.groups)], rows)


def _text(value: object) -> str:
    return NONE if value is None else str(value)


def _by_outcome(found: Behaviour, title: str, columns: Mapping[str, tuple[str, int]]) -> Table:
    groups = []
    for group in found.groups:
        rows = []
        for outcome in ("correct", "incorrect", "all"):
            found_of = [(group.measures[f"{name}.{outcome}"], digits) for name, digits in columns.values()]
            rows.append(Row([outcome, *(_shown(estimate, digits) for estimate, digits in found_of)]))
        groups.append(Group(rows, group.name))
    return Table(title=title, columns=["runs", *columns], groups=groups)


def _by_group(found: Behaviour, title: str, measures: Mapping[str, tuple[str, int]]) -> Table:
    """One column a group, since there are many rows."""
    rows = [
        [name, *(_shown(group.measures[measure], digits) for group in found.groups)]
        for name, (measure, digits) in measures.items()
    ]
    return Table.of(title, ["", *(group.name for group in found.groups)], rows)


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
    digits = _SHARE if value < 2 else _COUNT if value < 50 else _TOKENS
    found = "" if target.distribution is not None else _shown(gap.found, digits)
    short = {"total variation": "TV ", "Kolmogorov-Smirnov": "KS "}.get(gap.kind, "")
    # its interval is in the table on disk
    off = percent(gap.distance.value, 0) if gap.kind == "relative error" else number(gap.distance.value, _SHARE)
    state = gap.state + (f": {gap.why}" if gap.why else "")
    return Row([target.measure + ("*" if target.held else ""), _wanted(target), found, short + off, state])


def _wanted(target: Target) -> str:
    if target.distribution is not None:
        return f"{len(target.distribution)} shares ± {target.within:g}"
    if target.lognormal is not None:
        return f"lognormal({target.lognormal.median:g}, {target.lognormal.sigma:g}) ± {target.within:g}"
    if target.relative is not None:
        return f"{target.value:g} ± {target.relative:.0%}"
    if target.within is not None:
        return f"{target.value:g} ± {target.within:g}"
    return " to ".join("any" if end is None else f"{end:g}" for end in (target.low, target.high))


def _populations(group: BehaviourGroup) -> Table:
    populations = {gap.target.population: gap.population for gap in group.gaps}
    rows = [
        [name, where.title, where.retriever, _text(where.k), _text(where.snippet_tokens), where.judge or NONE]
        for name, where in populations.items()
    ]
    columns = ["name", "runs", "retriever", "k", "snippet", "judge"]
    return Table.of("what the targets were measured on", columns, rows, text_columns=(0, 1, 2, 5))


def _shown(found: MeasureEstimate, digits: int) -> str:
    return with_interval(found.value, found.low, found.high, digits)
