"""The tables of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrat_sim.comparison import Comparison, Pairing, Summary
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import Paired
from lrat_sim.report import numbers
from lrat_sim.report.table import Column, Group, Row, Table

LEVEL = 0.05
_QUERIES = ("ndcg", "recall", "mrr", "calibration_error")
"""Measures with a table of their own."""
_IN_SHORT = ("success", "evidence_recall", "steps_both_solve")


def comparison_tables(found: Comparison, prefix: str) -> list[Table]:
    """Means, differences from the base, and the other pairs, each where there is something to show.

    Args:
        found: the comparison.
        prefix: of the tables' slugs.
    """
    against = [each for each in found.pairings if each.base == found.base]
    others = [each for each in found.pairings if each.base != found.base]
    tables = [_means(found, prefix), _queries(found, prefix), _differences(found, against, prefix)]
    return [table for table in [*tables, _others(found, others, prefix)] if not table.empty]


def task_records(found: Comparison) -> list[dict[str, Any]]:
    """Every pair of arms with every task, and who did better on it."""
    return [
        {"arm": each.arm, "base": each.base, "task": task, "outcome": outcome}
        for each in found.pairings
        for outcome, tasks in (("won", each.won), ("tied", each.tied), ("lost", each.lost))
        for task in tasks
    ]


def role(found: Comparison, arm: str) -> str:
    """The name of an arm, with what it is in the comparison."""
    of_arm = {found.base: "base", found.oracle: "oracle"}.get(arm)
    return arm if of_arm in (None, arm) else f"{arm} ({of_arm})"


def _own(found: Comparison, names: Sequence[str] | None = None) -> list[Measure]:
    """The measures of an arm by itself that some arm has, the order as in the comparison; nothing paid is no cost."""
    return [
        measure
        for measure in found.measures
        if measure.population != "both_solve"
        and (measure.name in _QUERIES) == (names is not None)
        and any(_worth_showing(measure, each.means.get(measure.name)) for each in found.summaries)
    ]


def _worth_showing(measure: Measure, value: float | None) -> bool:
    return bool(value) if measure.unit == "dollar" else value is not None


def _means(found: Comparison, prefix: str) -> Table:
    measures = _own(found)
    counted = [name for name in ("not_run", "ungraded") if any(getattr(each, name) for each in found.summaries)]
    seeds = any(each.seeds > 1 for each in found.summaries)
    columns = [Column("retriever", number=False)]
    for measure in measures:
        columns += [Column(numbers.heading(measure)), *([Column("95 %")] if measure.name == "success" else [])]
    columns += [Column(name.replace("_", " ")) for name in ("errors", *counted)]
    rows = []
    for summary in found.summaries:
        cells = [role(found, summary.name)]
        for measure in measures:
            cells.append(numbers.mean(measure, summary.means.get(measure.name)))
            if measure.name == "success":
                cells.append(numbers.noise(measure, summary.over_tasks.get("success")))
        cells += [f"{getattr(summary, name):,}" for name in ("errors", *counted)]
        rows.append(Row(cells=cells, arm=summary.name))
    notes = ["± holds 95 % of the noise that the choice of tasks brings."] if _has_noise(found) else []
    notes += [f"Means over {found.summaries[0].seeds} seeds."] if seeds else []
    notes += [
        f"{each.name}: {each.ungraded:,} answers were not graded and are left out; success lies between "
        f"{numbers.percent(each.success_low)} and {numbers.percent(each.success_high)} %."
        for each in found.summaries
        if each.ungraded
    ]
    notes += [
        f"{each.name}: {each.not_run:,} tasks were not run and count as failures."
        for each in found.summaries
        if each.not_run
    ]
    without = found.tasks_asked - found.tasks_with_evidence
    if without:
        notes.append(f"{without:,} tasks have no evidence and are left out of the evidence measures.")
    return Table(
        slug=f"{prefix}means",
        caption=f"Means over {found.tasks_asked:,} tasks",
        columns=columns,
        groups=[Group(rows=rows)],
        records=[_mean_record(found, each) for each in found.summaries],
        notes=notes,
    )


def _has_noise(found: Comparison) -> bool:
    return any(each.over_tasks.get("success") is not None for each in found.summaries)


def _mean_record(found: Comparison, summary: Summary) -> dict[str, Any]:
    record: dict[str, Any] = {"arm": summary.name, "tasks_asked": found.tasks_asked, "seeds": summary.seeds}
    record |= {name: getattr(summary, name) for name in ("ran", "not_run", "errors", "ungraded")}
    record |= {"success_low": summary.success_low, "success_high": summary.success_high}
    for name, value in summary.means.items():
        record |= {
            name: value,
            f"{name}_error_over_tasks": summary.over_tasks.get(name),
            f"{name}_deviation_over_seeds": summary.over_seeds.get(name),
        }
    return record


def _queries(found: Comparison, prefix: str) -> Table:
    measures = _own(found, _QUERIES)
    seeds = any(each.seeds > 1 for each in found.summaries)
    columns = [Column("retriever", number=False), *(Column(numbers.heading(measure)) for measure in measures)]
    if seeds:
        columns.append(Column("success: deviation between seeds, points"))
    rows, records = [], []
    for summary in found.summaries:
        cells = [numbers.mean(measure, summary.means.get(measure.name)) for measure in measures]
        cells += [numbers.percent(summary.over_seeds.get("success"))] if seeds else []
        rows.append(Row(cells=[role(found, summary.name), *cells], arm=summary.name))
        records.append({"arm": summary.name, **{each.name: summary.means.get(each.name) for each in measures}})
    return Table(
        slug=f"{prefix}queries",
        caption="The issued queries against the evidence, and calibration",
        columns=columns,
        groups=[Group(rows=rows if measures else [])],
        records=records,
    )


def _differences(found: Comparison, against: Sequence[Pairing], prefix: str) -> Table:
    heads = ("base", "arm", "difference", "95 % interval", "relative, %", "p", "p, Holm", "could show")
    columns = [Column("measure", number=False), *map(Column, heads), Column("won / tied / lost")]
    groups = []
    for pairing in against:
        rows = [
            _difference_row(measure, paired)
            for measure in found.measures
            if (paired := pairing.measures.get(measure.name)) is not None
            and paired.difference.value is not None
            and (_worth_showing(measure, paired.base) or _worth_showing(measure, paired.arm))
        ]
        closed = pairing.gap_closed
        if closed is not None and closed.value is not None:
            shown = [numbers.percent(closed.value, 0), numbers.between(closed, 100, 0)]
            rows.append(Row(cells=["gap to the oracle closed, %", "", "", *shown, *[""] * 5]))
        groups.append(Group(rows=rows, title=f"{role(found, pairing.arm)} against {found.base}", arm=pairing.arm))
    return Table(
        slug=f"{prefix}differences",
        caption=f"Differences from {found.base}, paired by task",
        columns=columns,
        groups=[group for group in groups if group.rows],
        records=[
            _difference_record(pairing, measure, pairing.measures[measure.name])
            for pairing in found.pairings
            for measure in found.measures
            if measure.name in pairing.measures
        ],
        notes=_how_tested(found),
    )


def _difference_row(measure: Measure, paired: Paired) -> Row:
    unit = {"share": ", points", "dollar": ", $"}.get(measure.unit, "")
    return Row(
        cells=[
            f"{measure.title}{unit}",
            numbers.mean(measure, paired.base),
            numbers.mean(measure, paired.arm),
            numbers.difference(measure, paired),
            numbers.interval(measure, paired),
            numbers.relative(paired),
            numbers.p_value(paired.p),
            numbers.p_value(paired.p_holm),
            numbers.smallest(measure, paired),
            f"{paired.wins:,} / {paired.ties:,} / {paired.losses:,}",
        ],
        strong=[3] if _is_significant(paired) else [],
    )


def _is_significant(paired: Paired) -> bool:
    return paired.p_holm is not None and paired.p_holm < LEVEL


def _difference_record(pairing: Pairing, measure: Measure, paired: Paired) -> dict[str, Any]:
    return {
        "arm": pairing.arm,
        "base": pairing.base,
        "measure": measure.name,
        "unit": measure.unit,
        "tasks": paired.tasks,
        "base_mean": paired.base,
        "arm_mean": paired.arm,
        "difference": paired.difference.value,
        "low": paired.difference.low,
        "high": paired.difference.high,
        "relative": paired.relative.value,
        "relative_low": paired.relative.low,
        "relative_high": paired.relative.high,
        "p": paired.p,
        "p_holm": paired.p_holm,
        "test": paired.test,
        "smallest": paired.smallest,
        "wins": paired.wins,
        "ties": paired.ties,
        "losses": paired.losses,
        "error_over_tasks": paired.over_tasks,
        "deviation_over_seeds": paired.over_seeds,
    }


def _how_tested(found: Comparison) -> list[str]:
    notes = [
        f"Intervals: {found.interval}, {found.resamples:,} resamples. A task is won where the arm does better on it, "
        "whichever direction that is."
    ]
    if found.tests:
        notes += [
            f"p: exact McNemar test where every task is 0 or 1, else {found.permutations:,} exchanges of the arms by "
            f"task. Holm: corrected for all {found.tests:,} tests, of every measure of every pair of arms; a "
            f"difference in bold has a corrected p below {LEVEL:.2f}.".replace("0.05", ".05"),
            "Could show: the smallest true difference that these tasks show 4 times in 5, at p below .05.",
        ]
    return notes


def _others(found: Comparison, others: Sequence[Pairing], prefix: str) -> Table:
    measures = [measure for name in _IN_SHORT for measure in found.measures if measure.name == name]
    columns = [Column("pair", number=False)]
    for measure in measures:
        unit = ", points" if measure.unit == "share" else ""
        columns += [Column(f"{measure.title}{unit}"), Column("95 % interval"), Column("p, Holm")]
    rows = []
    for pairing in others:
        cells, strong = [f"{pairing.arm} against {pairing.base}"], []
        for measure in measures:
            paired = pairing.measures[measure.name]
            if _is_significant(paired):
                strong.append(len(cells))
            shown = numbers.difference(measure, paired), numbers.interval(measure, paired)
            cells += [*shown, numbers.p_value(paired.p_holm)]
        success = pairing.measures["success"]
        cells.append(f"{success.wins:,} / {success.ties:,} / {success.losses:,}")
        rows.append(Row(cells=cells, arm=pairing.arm, strong=strong))
    return Table(
        slug=f"{prefix}other-pairs",
        caption="The other pairs of retrievers",
        columns=[*columns, Column("won / tied / lost")],
        groups=[Group(rows=rows)],
        records=[
            _difference_record(pairing, measure, pairing.measures[measure.name])
            for pairing in others
            for measure in measures
        ],
    )
