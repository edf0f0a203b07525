"""The plots of a comparison: who won, how many steps were taken, when the evidence was found."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from lrat_sim.comparison import Comparison
from lrat_sim.report.colours import INK, MUTED, PAPER, TIED, Looks
from lrat_sim.report.figure import Plot, add_legend, draw, name_of, noise_bars, percent_axis
from lrat_sim.report.numbers import percent, plain
from lrat_sim.report.runs import Curve, recall_by_turn, steps_of
from lrat_sim.report.subject import Compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BANDS = 5
"""Arms up to which each curve has its noise around it; more would hide one another."""
_BINS = 25


def comparison_plots(compared: Compared, looks: Looks) -> list[Plot]:
    """Every plot that there is something for; reads indexes, and streams the trajectories once."""
    prefix = f"{compared.slug}-" if compared.slug else ""
    runs, tasks = compared.runs, compared.tasks
    curves = {arm: curve for arm, of_arm in runs.items() if (curve := recall_by_turn(of_arm, tasks)) is not None}
    steps = {arm: of_arm for arm, folders in runs.items() if (of_arm := steps_of(folders, tasks)) is not None}
    plots = []
    if any(each.base == compared.comparison.base for each in compared.comparison.pairings):
        plots.append(_won(compared.comparison, f"{prefix}won-lost", looks))
    if curves:
        plots.append(_recall(curves, f"{prefix}recall-by-turn", looks))
    if any(steps.values()):
        plots.append(_steps(steps, f"{prefix}steps", looks))
    return plots


def _won(found: Comparison, slug: str, looks: Looks) -> Plot:
    records: list[dict[str, Any]] = [
        {"arm": each.arm, "base": each.base, "won": success.wins, "tied": success.ties, "lost": success.losses}
        for each in found.pairings
        if each.base == found.base and (success := each.measures["success"]).tasks
    ]
    base = looks.of(found.base).colour

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        for place, record in enumerate(records):
            total, start = record["won"] + record["tied"] + record["lost"], 0.0
            parts = (("won", looks.of(record["arm"]).colour), ("tied", TIED), ("lost", base))
            for what, colour in parts:
                share = record[what] / total
                axes.barh(place, share, 0.62, left=start, color=colour.light, edgecolor=PAPER.light, linewidth=1)
                start += share
            counts = " / ".join(f"{record[what]:,}" for what, _ in parts)
            axes.text(1.02, place, counts, color=INK.light, va="center_baseline")
        axes.set_yticks(range(len(records)), [name_of(record["arm"]) for record in records], color=INK.light)
        axes.set_ylim(len(records) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks((0, 0.5, 1), ("0 %", "50 %", "100 %"))
        axes.set_xlabel("share of the tasks")
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)

    said = "; ".join(f"{each['arm']} won {each['won']}, tied {each['tied']}, lost {each['lost']}" for each in records)
    return draw(
        slug,
        f"Tasks won and lost against {found.base}",
        f"Success task by task against {found.base}: {said}.",
        paint,
        records,
        height=0.75 + 0.42 * len(records),
        note=f"Won / tied / lost. In the arm's colour: tasks that it does better on; grey: no difference; in the "
        f"colour of {found.base}: tasks that {found.base} does better on.",
    )


def _recall(curves: dict[str, Curve], slug: str, looks: Looks) -> Plot:
    records = [
        {"arm": arm, "turn": turn, "evidence_recall": mean, "error_over_tasks": error, "tasks": curve.tasks}
        for arm, curve in curves.items()
        for turn, (mean, error) in enumerate(zip(curve.means, curve.errors, strict=True), start=1)
    ]

    from matplotlib.ticker import MaxNLocator

    longest = max(len(curve.means) for curve in curves.values())

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        handles = []
        turns = np.arange(longest + 1)
        for arm, curve in curves.items():
            colour, marker, dashes = looks.of(arm)
            ended = longest - len(curve.means)
            means = np.pad([0.0, *curve.means], (0, ended), mode="edge")
            every = max(1, len(turns) // 8)
            handles += axes.plot(
                turns, means, color=colour.light, marker=marker, linestyle=dashes, linewidth=1.6, markevery=every
            )
            errors = [0.0, *(error or 0.0 for error in curve.errors)]
            below, above = noise_bars(means.tolist(), np.pad(errors, (0, ended), mode="edge").tolist())
            if len(curves) <= _BANDS:
                axes.fill_between(turns, means - below, means + above, color=colour.light, alpha=0.13, linewidth=0)
        percent_axis(axes)
        axes.set_ylim(0, 1)
        axes.set_xlim(0, None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("turn")
        axes.set_ylabel("evidence recall")
        add_legend(figure, handles, list(curves))

    said = "; ".join(
        f"{arm} {percent(curve.means[len(curve.means) // 2], 0)} % after turn {len(curve.means) // 2 + 1} and "
        f"{percent(curve.means[-1], 0)} % at the end"
        for arm, curve in curves.items()
    )
    tasks = max(curve.tasks for curve in curves.values())
    return draw(
        slug,
        "Evidence recall by turn",
        f"How much of the evidence had been shown after each turn: {said}.",
        paint,
        records,
        note=f"Mean over {tasks:,} tasks with evidence; a run that has ended keeps what it was shown."
        + (" Shaded: 95 % of the noise from tasks." if len(curves) <= _BANDS else ""),
    )


def _steps(steps: dict[str, list[int]], slug: str, looks: Looks) -> Plot:
    from matplotlib.ticker import MaxNLocator

    most = max(max(of_arm, default=0) for of_arm in steps.values())
    width = max(1, -(-(most + 1) // _BINS))
    edges = np.arange(0, most + 1 + width, width)
    counts = {arm: np.histogram(of_arm, edges)[0] for arm, of_arm in steps.items()}
    records = [
        {"arm": arm, "from_steps": int(edges[place]), "to_steps": int(edges[place + 1]) - 1, "runs": int(count)}
        for arm in steps
        for place, count in enumerate(counts[arm])
    ]

    def paint(figure: Figure) -> None:
        rows = figure.subplots(len(steps), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (arm, of_arm) in zip(rows, steps.items(), strict=True):
            shares = counts[arm] / max(1, counts[arm].sum())
            colour = looks.of(arm).colour.light
            axes.bar(edges[:-1] + (width - 1) / 2, shares, 0.86 * width, color=colour)
            if of_arm:
                axes.axvline(median(of_arm), color=PAPER.light, linewidth=3)  # so that the dashes show on any colour
                axes.axvline(median(of_arm), color=INK.light, linewidth=1.2, linestyle=(0, (3, 2)))
            else:
                axes.text(0.5, 0.5, "every run broke", transform=axes.transAxes, ha="center", color=MUTED.light)
            axes.set_title(name_of(arm), loc="left", fontsize=10, color=INK.light, pad=2)
            axes.set_ylim(0, 1.08 * shares.max() or 1)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.grid(False)
        rows[-1].set_xlabel("steps")
        rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))

    def said(of_arm: list[int]) -> str:
        quartiles = np.quantile(of_arm, (0.25, 0.75))
        return f"median {plain(median(of_arm), 0)}, half of the runs from {quartiles[0]:.0f} to {quartiles[1]:.0f}"

    shown = "; ".join(f"{arm}: {said(of_arm)}" for arm, of_arm in steps.items() if of_arm)
    return draw(
        slug,
        "Steps a run",
        f"Distribution of the steps that runs took. {shown}.",
        paint,
        records,
        height=0.6 + 0.66 * len(steps),
        note="How many of the runs took so many executed calls, each row to its own height; dashed: the median. "
        "Runs that broke are left out.",
    )
