"""The plots of a flywheel: success by round, and how the weights of the mined pairs lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrat_sim.comparison import Summary
from lrat_sim.report.colours import INK, MUTED, Looks
from lrat_sim.report.figure import Plot, add_legend, draw, name_of, noise_bars, percent_axis
from lrat_sim.report.numbers import percent
from lrat_sim.report.subject import Compared, Mined
from lrat_sim.study.arms import BASE, TRAINED
from lrat_sim.study.rounds import Rounds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def last_round(compared: Sequence[Compared], rounds: Rounds | None, mined: Sequence[Mined]) -> int | None:
    """The number of the round whose model is the arm ``trained``; None where there is no such arm."""
    if not any(each.name == TRAINED for cell in compared for each in cell.comparison.summaries):
        return None
    if rounds is not None:
        return int(rounds.accepted[6:]) if re.fullmatch(r"round-\d+", rounds.accepted) else None
    return max((each.round for each in mined), default=None)


def round_plots(
    compared: Sequence[Compared], rounds: Rounds | None, mined: Sequence[Mined], looks: Looks
) -> list[Plot]:
    """Success by round of every evaluation, and the weights of what was mined, where there is something to show."""
    last = last_round(compared, rounds, mined)
    found = [_success(cell, last, rounds, looks) for cell in compared]
    plots = [plot for plot in found if plot is not None]
    weights = [each for each in mined if each.weight_histogram is not None and any(each.weight_histogram.counts)]
    return [*plots, *([_weights(weights, last, looks)] if weights else [])]


def _success(cell: Compared, last: int | None, rounds: Rounds | None, looks: Looks) -> Plot | None:
    """The base and every round's model; a round whose model was refused goes on with the one before."""
    summaries = {each.name: each for each in cell.comparison.summaries}
    made = [each.number for each in rounds.rounds] if rounds is not None else _rounds_of(summaries, last)
    refused = {each.number for each in rounds.rounds if not each.accepted} if rounds is not None else set()
    if BASE not in summaries or not made:
        return None
    points, in_use = [_point(0, BASE, summaries[BASE], accepted=True)], BASE
    for number in made:
        if number not in refused:
            in_use = TRAINED if number == last else f"round-{number}"
        if in_use not in summaries:
            return None
        points.append(_point(number, in_use, summaries[in_use], accepted=number not in refused))
    own = re.compile(rf"{BASE}|{TRAINED}|round-\d+")
    others = {
        name: value
        for name, each in summaries.items()
        if not own.fullmatch(name) and (value := each.means.get("success")) is not None
    }
    records = [*points, *({"arm": name, "success": value} for name, value in others.items())]

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        at = [point["round"] for point in points]
        handles: list[Any] = []
        for measure, marker, dashes, colour in (("success", "o", "-", INK), ("evidence_recall", "s", "--", MUTED)):
            values = np.array([np.nan if point[measure] is None else point[measure] for point in points])
            noise = noise_bars(values.tolist(), [point[f"{measure}_error_over_tasks"] for point in points])
            line = axes.errorbar(
                at, values, noise, color=colour.light, marker=marker, linestyle=dashes, linewidth=1.6, elinewidth=1,
                capsize=2.5,
            )  # fmt: skip
            handles.append(line)
        for name, value in others.items():
            handles.append(axes.axhline(value, color=looks.of(name).colour.light, linestyle=(0, (1, 2)), linewidth=1.4))
        labels = ["base", *(f"{number}\nrefused" if number in refused else str(number) for number in made)]
        axes.set_xticks([point["round"] for point in points], labels)
        axes.set_xlabel("round")
        percent_axis(axes)
        names = ["success", "evidence recall", *(f"success of {name_of(name)}" for name in others)]
        add_legend(figure, handles, names)

    said = ", ".join(
        f"{'base' if point['round'] == 0 else 'round {}'.format(point['round'])} {percent(point['success'])} %"
        for point in points
    )
    return draw(
        f"{cell.slug}-success-by-round" if cell.slug else "success-by-round",
        f"Success by round: {cell.folder.name}" if cell.slug else "Success by round",
        f"Success on held-out tasks with the model in use after each round: {said}.",
        paint,
        records,
        note="Held-out tasks, with the model in use after each round. Bars hold 95 % of the noise from tasks.",
    )


def _rounds_of(summaries: dict[str, Summary], last: int | None) -> list[int]:
    numbers = {int(found[1]) for name in summaries if (found := re.fullmatch(r"round-(\d+)", name))}
    return sorted(numbers | ({last} if last is not None else set()))


def _point(number: int, arm: str, summary: Summary, *, accepted: bool) -> dict[str, Any]:
    point: dict[str, Any] = {"round": number, "arm": arm, "accepted": accepted}
    for measure in ("success", "evidence_recall"):
        point |= {
            measure: summary.means.get(measure),
            f"{measure}_error_over_tasks": summary.over_tasks.get(measure),
        }
    return point


def _weights(mined: Sequence[Mined], last: int | None, looks: Looks) -> Plot:
    records = [
        {"round": each.round, "from_weight": low, "to_weight": high, "pairs": count}
        for each in mined
        if (histogram := each.weight_histogram) is not None
        for low, high, count in zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True)
    ]

    def paint(figure: Figure) -> None:
        axes: Axes = figure.add_subplot()
        handles = []
        for each in mined:
            histogram = each.weight_histogram
            if histogram is None:
                continue
            look = looks.of(TRAINED if each.round == last else f"round-{each.round}")
            shares = np.array(histogram.counts) / sum(histogram.counts)
            alone = len(mined) == 1
            handles.append(
                axes.stairs(
                    shares, histogram.edges, fill=alone, color=look.colour.light, linewidth=1.5, linestyle=look.dashes
                )
            )
        axes.axvline(1.0, color=INK.light, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("weight")
        axes.set_ylabel("share of the pairs")
        percent_axis(axes)
        if len(mined) > 1:
            add_legend(figure, handles, [f"round {each.round}" for each in mined])

    said = "; ".join(
        f"round {each.round}: {each.pairs:,} pairs"
        + (f", median weight {each.weights['median']:.2f}" if each.weights and "median" in each.weights else "")
        for each in mined
    )
    title = "Weights of the mined pairs"
    return draw("weights", title, f"Distribution of the weights. {said}.", paint, records, note="Dashed: the mean, 1.")
