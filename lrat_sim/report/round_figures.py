"""The figures of a flywheel: success by round, and how the weights of the mined pairs lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lrat_sim.colours import INK, MUTED, Looks
from lrat_sim.plots import Across, Axis, Bars, Line, Plot, noise_interval, short_name, stairs
from lrat_sim.report.figures import NOISE_NOTE
from lrat_sim.report.subject import BASE, TRAINED, Compared, Mined, Reported
from lrat_sim.tables import percent


def success_by_round(subject: Reported, looks: Looks) -> list[Plot]:
    """Success by round in every evaluation that has the base and the rounds."""
    last = _last_round(subject)
    return [plot for each in subject.compared if (plot := _success(each, subject, last, looks)) is not None]


def weight_plots(subject: Reported, looks: Looks) -> list[Plot]:
    """How the weights of the mined pairs lie, where that is known."""
    weights = [each for each in subject.mined if each.weight_histogram and any(each.weight_histogram.counts)]
    return [_weights(weights, _last_round(subject), looks)] if weights else []


def _last_round(subject: Reported) -> int | None:
    """The number of the round whose model is the arm ``trained``; None where there is no such arm."""
    if TRAINED not in subject.arms:
        return None
    if subject.rounds is not None:
        accepted = re.fullmatch(r"round-(\d+)", subject.rounds.accepted)
        return int(accepted[1]) if accepted else None
    return max((each.round for each in subject.mined), default=None)


def _success(compared: Compared, subject: Reported, last: int | None, looks: Looks) -> Plot | None:
    """The base and every round's model; a round whose model was refused goes on with the one before."""
    comparison, rounds = compared.comparison, subject.rounds
    if rounds is not None:
        made = {each.number: each.accepted for each in rounds.rounds}
    else:
        numbers = {int(arm[6:]) for arm in comparison.arms if re.fullmatch(r"round-\d+", arm)}
        made = dict.fromkeys(sorted(numbers | ({last} if last is not None else set())), True)
    points, in_use = list[dict[str, Any]](), BASE
    for index, accepted in {0: True, **made}.items():
        if index and accepted:
            in_use = TRAINED if index == last else f"round-{index}"
        if in_use not in comparison.arms:
            return None
        summary = comparison.arm(in_use)
        point: dict[str, Any] = {"round": index, "arm": in_use, "accepted": accepted}
        for measure in ("success", "evidence_recall"):
            point |= {measure: summary.means.get(measure)}
            point |= {f"{measure}_error_over_tasks": summary.over_tasks.get(measure)}
        points.append(point)
    if not made:
        return None
    marks: list[Line | Across] = []
    # in the colours of the text: a line through rounds is no single arm
    styles = (("success", "circle", "", INK), ("evidence_recall", "square", "6 3", MUTED))
    for measure, marker, dashes, colour in styles:
        known = [point for point in points if point[measure] is not None]
        marks.append(
            Line(
                colour=colour,
                marker=marker,
                dashes=dashes,
                name=measure.replace("_", " "),
                points=[(point["round"], point[measure]) for point in known],
                intervals=[noise_interval(each[measure], each[f"{measure}_error_over_tasks"]) for each in known],
            )
        )
    records = list(points)
    for arm in comparison.arms:
        value = comparison.arm(arm).means.get("success")
        if re.fullmatch(rf"{BASE}|{TRAINED}|round-\d+", arm) is None and value is not None:
            name = f"success of {short_name(arm)}"
            marks.append(Across(at=value, colour=looks.of(arm).colour, dashes="1.5 2.5", name=name))
            records.append({"arm": arm, "success": value})
    said = ", ".join(
        f"{'base' if point['round'] == 0 else 'round {round}'.format(**point)} {percent(point['success'])}"
        for point in points
    )
    ticks = {float(index): str(index) if accepted else f"{index}\nrefused" for index, accepted in made.items()}
    return Plot.of(
        marks,
        Axis(label="round", ticks={0.0: "base", **ticks}, low=-0.2, high=max(made) + 0.2, grid=False),
        Axis(percent=True),
        slug=f"{compared.prefix}success-by-round",
        title=f"Success by round: {compared.folder.name}" if compared.prefix else "Success by round",
        description=f"Success on held-out tasks with the model in use after each round: {said}.",
        note=f"Held-out tasks, with the model in use after each round. {NOISE_NOTE}",
        records=records,
    )


def _weights(mined: Sequence[Mined], last: int | None, looks: Looks) -> Plot:
    records, marks = list[dict[str, Any]](), list[Line | Bars | Across]()
    for each in mined:
        histogram = each.weight_histogram
        if histogram is None:
            continue
        look = looks.of(TRAINED if each.round == last else f"round-{each.round}")
        shares = [count / sum(histogram.counts) for count in histogram.counts]
        bins = list(zip(histogram.edges[:-1], histogram.edges[1:], strict=True))
        if len(mined) == 1:  # outlines where several would hide one another
            boxes = [(low, high, 0.0, share) for (low, high), share in zip(bins, shares, strict=True)]
            marks.append(Bars(colour=look.colour, boxes=boxes))
        else:
            outline = stairs(histogram.edges, shares)
            marks.append(Line(colour=look.colour, dashes=look.dashes, points=outline, name=f"round {each.round}"))
        records += [
            {"round": each.round, "from_weight": low, "to_weight": high, "pairs": count}
            for (low, high), count in zip(bins, histogram.counts, strict=True)
        ]
    marks.append(Across(at=1.0, along_x=False, colour=INK, dashes="3 2"))
    said = "; ".join(
        f"round {each.round}: {each.pairs:,} pairs"
        + (f", median weight {each.weights['median']:.2f}" if each.weights and "median" in each.weights else "")
        for each in mined
    )
    return Plot.of(
        marks,
        Axis(label="weight", low=0, grid=False),
        Axis(label="share of the pairs", percent=True, low=0),
        slug="weights",
        title="Weights of the mined pairs",
        description=f"Distribution of the weights. {said}.",
        note="Dashed: the mean, 1.",
        records=records,
    )
