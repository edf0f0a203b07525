"""The main figures of every arm: success with its noise, the gain over the base, evidence recall and steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lrat_sim.comparison.record import Comparison
from lrat_sim.tables import NONE, Group, Row, Table, noise, number, p_value

# the space is one that no medium breaks: "95 %" stands above "interval"
INTERVAL = "95\u00a0% interval"
RESULT_COLUMNS = ("success, %", "±", "errors", "gain, points", INTERVAL, "p, Holm", "evidence recall, %", "steps")
"""The headings of :func:`result_cells`."""
RESULT_NOTE = "±: 95 % of the noise from tasks. Gain: over {base}, paired by task; p is corrected for all tests."


def result_cells(comparison: Comparison, arm: str) -> list[str]:
    """The main figures of an arm and its gain over the base, under :data:`RESULT_COLUMNS`."""
    summary, pairing = comparison.arm(arm), comparison.pairing(arm)
    gain = ["", "", ""]
    if pairing is not None:
        success = pairing.measures["success"]
        value = number(success.difference.value, scale=100, sign=True)
        gain = [value, success.difference.interval(scale=100), p_value(success.p_holm)]
    return [
        number(summary.means.get("success"), scale=100),
        noise(summary.over_tasks.get("success"), scale=100),
        f"{summary.errors:,}",
        *gain,
        number(summary.means.get("evidence_recall"), scale=100),
        number(summary.means.get("steps")),
    ]


def result_record(comparison: Comparison, arm: str) -> dict[str, Any]:
    """What :func:`result_cells` shows, as computed."""
    summary, pairing = comparison.arm(arm), comparison.pairing(arm)
    names = ("success", "evidence_recall", "steps")
    record: dict[str, Any] = {name: summary.means.get(name) for name in names}
    record |= {"error_over_tasks": summary.over_tasks.get("success"), "errors": summary.errors}
    if pairing is not None:
        success = pairing.measures["success"]
        record |= {"difference": success.difference.value, "p_holm": success.p_holm}
        record |= {"low": success.difference.low, "high": success.difference.high}
    return record


def overview(comparisons: Sequence[Comparison]) -> Table:
    """Success of every arm in several comparisons; those that differ in k only stand beside one another."""
    groups: list[Group] = []
    records: list[dict[str, Any]] = []
    for series, members in by_series(comparisons):
        rows: list[Row] = []
        for arm in arms_of(members):
            for comparison in (each for each in members if arm in each.arms):
                k = comparison.setting.get("k")
                rows.append(arm_row(comparison, arm, [str(k or NONE), *result_cells(comparison, arm)]))
                records.append({"series": series, "k": k, "arm": arm, **result_record(comparison, arm)})
        groups.append(Group(rows, title=series or None))
    return Table(
        slug="overview",
        title="Success in every comparison",
        columns=["retriever", "k", *RESULT_COLUMNS],
        groups=groups,
        records=records,
        notes=[RESULT_NOTE.format(base="the base of the same comparison")],
    )


def series_of(comparison: Comparison) -> str:
    """What comparisons that differ in k only have in common: agent, task set and split; empty where it is unknown."""
    agent, task_set, split = (comparison.setting.get(name) for name in ("agent", "task_set", "split"))
    return f"{agent} on {task_set}, {split}" if agent else ""


def by_series(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    """Comparisons that differ in k only, by rising k, under their :func:`series_of`."""
    ordered = sorted(comparisons, key=lambda each: (series_of(each), each.setting.get("k") or 0))
    return [(name, list(members)) for name, members in groupby(ordered, key=series_of)]


def arms_of(comparisons: Sequence[Comparison]) -> list[str]:
    """The names of all arms, in the order in which they come."""
    return list(dict.fromkeys(arm for comparison in comparisons for arm in comparison.arms))


def arm_row(comparison: Comparison, arm: str, cells: Sequence[str]) -> Row:
    """The row of an arm: its name with its role, then the cells."""
    return Row([role(comparison, arm), *cells], arm=arm)


def role(comparison: Comparison, arm: str) -> str:
    """The name of an arm, with what it is in the comparison."""
    name = {comparison.base: "base", comparison.oracle: "oracle"}.get(arm)
    return arm if name in (None, arm) else f"{arm} ({name})"
