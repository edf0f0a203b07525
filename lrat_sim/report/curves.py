"""Success along what was varied over several comparisons or arms: hits a search, or pairs trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lrat_sim.comparison import Comparison, Summary
from lrat_sim.report import numbers
from lrat_sim.report.colours import Looks
from lrat_sim.report.comparison_tables import role
from lrat_sim.report.figure import Plot, add_legend, draw, noise_bars, percent_axis
from lrat_sim.report.numbers import QUANTILE, percent
from lrat_sim.report.subject import Compared, slug_of
from lrat_sim.report.table import Column, Group, Row, Table
from lrat_sim.study.record import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOISE_NOTE = "Bars hold 95 % of the noise from tasks."


def overview(compared: Sequence[Compared]) -> Table:
    """Success of every arm in every comparison, the comparisons that differ in k only side by side."""
    heads = (
        "k",
        "success, %",
        "95 %",
        "errors",
        "gain, points",
        "95 % interval",
        "p, Holm",
        "evidence recall, %",
        "steps",
    )
    groups, records = [], []
    for series, cells in _series(compared):
        rows: dict[str, list[Row]] = {}
        for cell in cells:
            for each in cell.comparison.summaries:
                rows.setdefault(each.name, []).append(_overview_row(cell, each))
                records.append(_overview_record(series, cell, each))
        groups.append(Group(rows=[row for of_arm in rows.values() for row in of_arm], title=series))
    return Table(
        slug="overview",
        caption="Success in every comparison",
        columns=[Column("retriever", number=False), *map(Column, heads)],
        groups=groups,
        records=records,
        notes=["± holds 95 % of the noise from tasks. Gain: over the base of the same comparison, paired by task."],
    )


def _overview_row(cell: Compared, summary: Summary) -> Row:
    found = cell.comparison
    error, gain = summary.over_tasks.get("success"), ["", "", ""]
    for pairing in found.pairings:
        if (pairing.arm, pairing.base) == (summary.name, found.base):
            success = pairing.measures["success"]
            value = success.difference.value
            shown = numbers.NONE if value is None else numbers.signed(100 * value)
            gain = [shown, numbers.between(success.difference, 100), numbers.p_value(success.p_holm)]
    means = summary.means
    cells = [
        role(found, summary.name),
        numbers.NONE if cell.k is None else str(cell.k),
        percent(means.get("success")),
        numbers.NONE if error is None else f"±{percent(QUANTILE * error)}",
        f"{summary.errors:,}",
        *gain,
        percent(means.get("evidence_recall")),
        numbers.plain(means.get("steps")),
    ]
    return Row(cells=cells, arm=summary.name)


def _overview_record(series: str, cell: Compared, summary: Summary) -> dict[str, Any]:
    found = cell.comparison
    pairing = next((each for each in found.pairings if (each.arm, each.base) == (summary.name, found.base)), None)
    success = pairing.measures["success"] if pairing else None
    return {
        "series": series,
        "k": cell.k,
        "arm": summary.name,
        "success": summary.means.get("success"),
        "error_over_tasks": summary.over_tasks.get("success"),
        "errors": summary.errors,
        "difference": success.difference.value if success else None,
        "low": success.difference.low if success else None,
        "high": success.difference.high if success else None,
        "p_holm": success.p_holm if success else None,
        "evidence_recall": summary.means.get("evidence_recall"),
        "steps": summary.means.get("steps"),
    }


def k_plots(compared: Sequence[Compared], looks: Looks) -> list[Plot]:
    """Success against k, one plot for the comparisons that differ in k only (LRAT, Figure 8b)."""
    plots: list[Plot] = []
    for series, group in _series(compared):
        cells = [cell for cell in group if cell.k is not None]
        if len({cell.k for cell in cells}) < 2:
            continue
        slug = f"success-by-k-{slug_of(series)}"
        taken = slug in {plot.slug for plot in plots}
        plots.append(_by_k(f"{slug}-{len(plots) + 1}" if taken else slug, series, cells, looks))
    return plots


def _by_k(slug: str, series: str, cells: Sequence[Compared], looks: Looks) -> Plot:
    ks = sorted({cell.k for cell in cells if cell.k is not None})
    arms = list(dict.fromkeys(each.name for cell in cells for each in cell.comparison.summaries))
    records: list[dict[str, Any]] = [
        {
            "arm": arm,
            "k": cell.k,
            "success": each.means.get("success"),
            "error_over_tasks": each.over_tasks.get("success"),
        }
        for arm in arms
        for cell in sorted(cells, key=lambda cell: cell.k or 0)
        for each in cell.comparison.summaries
        if each.name == arm and each.means.get("success") is not None
    ]

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        handles = []
        for place, arm in enumerate(arms):
            own = [record for record in records if record["arm"] == arm]
            # a little apart, so that bars do not cover one another
            beside = min(0.03, 0.2 / len(arms)) * (place - (len(arms) - 1) / 2)
            places = [ks.index(record["k"]) + beside for record in own]
            handles.append(_line(axes, places, own, arm, looks))
        axes.set_xticks(range(len(ks)), [str(k) for k in ks])
        axes.set_xlabel("hits a search, k")
        axes.set_ylabel("success")
        percent_axis(axes)
        add_legend(figure, handles, arms)

    said = "; ".join(f"{each['arm']} {percent(each['success'])} % at k = {each['k']}" for each in records)
    return draw(slug, f"Success against k: {series}", f"{said}.", paint, records, note=NOISE_NOTE)


def size_plot(sweep: Mapping[str, Trained], found: Comparison, looks: Looks) -> Plot | None:
    """Success against the number of pairs trained on (LRAT, Figure 8a); None where no size was run."""
    summaries = {each.name: each for each in found.summaries}
    records: list[dict[str, Any]] = [
        {
            "arm": arm,
            "pairs": fmean(trained.pairs),
            "tasks": fmean(trained.tasks),
            "success": summaries[arm].means.get("success"),
            "error_over_tasks": summaries[arm].over_tasks.get("success"),
        }
        for arm, trained in sorted(sweep.items(), key=lambda made: fmean(made[1].pairs))
        if arm in summaries and summaries[arm].means.get("success") is not None
    ]
    base = summaries[found.base].means.get("success")
    if not records:
        return None

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        pairs = [record["pairs"] for record in records]
        _line(axes, pairs, records, records[0]["arm"], looks)
        if base is not None:
            axes.axhline(base, color=looks.of(found.base).colour.light, linestyle=(0, (4, 3)), linewidth=1.4)
            axes.annotate(
                found.base, (1, base), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
                ha="right", color=looks.of(found.base).colour.light,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(pairs, [f"{count:,.0f}" for count in pairs])
        axes.set_xlabel("pairs trained on")
        axes.set_ylabel("success")
        percent_axis(axes)

    said = ", ".join(f"{percent(each['success'])} % with {each['pairs']:,.0f} pairs" for each in records)
    title = "Success against the pairs trained on"
    return draw("success-by-pairs", title, f"{found.base} {percent(base)} %; {said}.", paint, records, note=NOISE_NOTE)


def _line(axes: Axes, places: Sequence[float], records: Sequence[dict[str, Any]], arm: str, looks: Looks) -> Any:
    colour, marker, dashes = looks.of(arm)
    shares = [record["success"] for record in records]
    noise = noise_bars(shares, [record["error_over_tasks"] for record in records])
    return axes.errorbar(
        places, shares, noise, color=colour.light, marker=marker, linestyle=dashes,
        linewidth=1.6, elinewidth=1, capsize=2.5,
    )  # fmt: skip


def _series(compared: Sequence[Compared]) -> list[tuple[str, list[Compared]]]:
    ordered = sorted(compared, key=lambda cell: (cell.series, cell.k or 0))
    return [(series, list(cells)) for series, cells in groupby(ordered, key=lambda cell: cell.series)]
