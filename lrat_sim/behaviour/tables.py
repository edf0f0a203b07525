"""Behaviour on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich import box
from rich.console import Group as Parts
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lrat_sim.behaviour.measures import EVIDENCE_BINS, RANKS
from lrat_sim.behaviour.report import Behaviour, Group
from lrat_sim.behaviour.resample import Estimate
from lrat_sim.behaviour.targets import Gap, Target

_COLOURS = {"met": "green", "missed": "red", "not comparable": "dim", "unknown": "dim"}


def _share(value: float) -> str:
    """Three digits, without the zero before the point."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 0.9995 else f"{value:.2f}"


_SHARE, _COUNT, _TOKENS = _share, "{:.2f}".format, "{:.0f}".format
_Form = Callable[[float], str]


def render(found: Behaviour) -> RenderableType:
    """Everything: what was run, Table 1, the panels of Figure 4, the judge's filter, and the targets."""
    parts: list[RenderableType] = [_runs(found), _table_1(found), _after(found), _lengths(found), _opened(found)]
    if any(group.gaps for group in found.groups):
        parts += [_targets(group, found.targets) for group in found.groups]
        parts += [_populations(found.groups[0].gaps), Text(verdict(found))]
    return Parts(*(each for part in parts for each in (part, Text(""))))


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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _runs(found: Behaviour) -> Table:
    table = _table("what was run", "", *(group.name for group in found.groups))
    settings = [group.setting for group in found.groups]
    rows: dict[str, Iterable[object]] = {
        "agent": (setting.agent for setting in settings),
        "retriever": (setting.retriever for setting in settings),
        "hits a search": (setting.k for setting in settings),
        "tokens of a snippet": (setting.snippet_tokens for setting in settings),
        "runs that did not break": (group.runs for group in found.groups),
        "tasks": (group.tasks for group in found.groups),
        "outcomes": (_listed(f"{count} {name}" for name, count in group.outcomes.items()) for group in found.groups),
        "judges": (_listed(group.judges) for group in found.groups),
    }
    for title, cells in rows.items():
        table.add_row(title, *(Text("-" if cell is None else str(cell)) for cell in cells))
    return table


def _listed(texts: Iterable[str]) -> str:
    return ",\n".join(texts)


def _by_outcome(found: Behaviour, title: str, columns: Mapping[str, tuple[str, _Form]]) -> Table:
    table = _table(title, "group", "runs", *columns)
    for group in found.groups:
        for outcome in ("correct", "incorrect", "all"):
            cells = [_shown(group.measures[f"{name}.{outcome}"], form, "\n") for name, form in columns.values()]
            table.add_row(Text(group.name if outcome == "correct" else ""), outcome, *cells)
        table.add_section()
    return table


def _table_1(found: Behaviour) -> Table:
    names = {name: (name, _COUNT) for name in ("searches", "browses", "steps")}
    return _by_outcome(found, "steps a run (Table 1)", {**names, "browses a search": ("browses_per_search", _SHARE)})


def _after(found: Behaviour) -> Table:
    columns = {
        f"after a {after}: {step}": (f"after_{after}.{step}", _SHARE)
        for after in ("search", "browse")
        for step in ("search", "browse")
    }
    return _by_outcome(found, "what follows (Figure 4 a)", columns)


def _lengths(found: Behaviour) -> Table:
    """One column a group, since there are many rows."""
    table = _table("reasoning after a browse, mean tokens (Figure 4 c)", "after", *(each.name for each in found.groups))
    rows = {
        "a correct run's": "correct",
        "an incorrect run's": "incorrect",
        "evidence": "evidence",
        "other documents": "other",
        "relevant by the judge": "relevant",
        "irrelevant": "irrelevant",
        "positives of correct runs": "pairs",
    }
    for title, name in rows.items():
        table.add_row(title, *(_shown(group.measures[f"length.{name}"], _TOKENS) for group in found.groups))
    table.add_row("AUC of evidence", *(_shown(group.measures["length_auc"], _SHARE) for group in found.groups))
    return table


def _opened(found: Behaviour) -> Table:
    """One column a group, since there are many rows."""
    table = _table("what was opened (Figure 4 b, d), and audits", "measure", *(group.name for group in found.groups))
    rows = {
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
    for title, name in rows.items():
        table.add_row(title, *(_shown(group.measures[name], _SHARE) for group in found.groups))
    return table


def _targets(group: Group, title: str) -> Table:
    table = _table(
        f"{_who(group)}, held against {title}; * marks what the simulated agent is held to",
        *("measure", "target", "found", "off by", "state"),
    )
    table.expand = True
    for column, ratio in zip(table.columns, (26, 13, 15, 7, 12), strict=True):
        column.ratio = ratio
    population = None
    for gap in group.gaps:
        if gap.target.population != population:
            population = gap.target.population
            table.add_row(Text(population, style="bold"))
        state = Text(gap.state + (f": {gap.why}" if gap.why else ""), style=_COLOURS[gap.state])
        name = gap.target.measure + ("*" if gap.target.held else "")
        table.add_row(f" {name}", _wanted(gap.target), _found(gap), _distance(gap), state)
    return table


def _who(group: Group) -> str:
    setting = group.setting
    made = (setting.agent, setting.retriever, "" if setting.k is None else f"k {setting.k}")
    return f"{group.name} ({', '.join(part for part in made if part)})"


def _populations(gaps: list[Gap]) -> Table:
    table = _table("what the targets were measured on", "name", "runs", "retriever", "k", "snippet", "judge")
    for name, where in {gap.target.population: gap.population for gap in gaps}.items():
        numbers = ("-" if each is None else str(each) for each in (where.k, where.snippet_tokens))
        table.add_row(name, where.title, where.retriever, *numbers, where.judge or "-")
    return table


def _wanted(target: Target) -> str:
    if target.distribution is not None:
        return f"{len(target.distribution)} shares ± {target.within:g}"
    if target.lognormal is not None:
        return f"lognormal({target.lognormal.median:g}, {target.lognormal.sigma:g}) ± {target.within:g}"
    if target.relative is not None:
        return f"{target.value:g} ± {target.relative:.0%}"
    if target.within is not None:
        return f"{target.value:g} ± {target.within:g}"
    return f"{'' if target.low is None else f'{target.low:g}'}..{'' if target.high is None else f'{target.high:g}'}"


def _found(gap: Gap) -> str:
    return "" if gap.target.distribution is not None else _shown(gap.found, _form(gap.target), "\n")


def _form(target: Target) -> _Form:
    return _SHARE if (target.value or 0.0) < 2 else _COUNT if (target.value or 0.0) < 50 else _TOKENS


def _distance(gap: Gap) -> str:
    """Without its interval, which the table on disk has."""
    if gap.distance.value is None:
        return "-"
    short = {"total variation": "TV ", "Kolmogorov-Smirnov": "KS "}.get(gap.kind, "")
    value = gap.distance.value
    return short + (f"{value:.0%}" if gap.kind == "relative error" else _share(value))


def _shown(found: Estimate, form: _Form, between: str = " ") -> str:
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return form(found.value)
    return f"{form(found.value)}{between}({form(found.low)}–{form(found.high)})"
