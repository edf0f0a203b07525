"""A flywheel's rounds: what each reached and learnt from, what its gate decided, and how its pairs are weighted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict

from lrat_sim.colours import INK, MUTED, Looks
from lrat_sim.comparison import Estimate
from lrat_sim.comparison.plot import NOISE_NOTE
from lrat_sim.plots import Across, Axis, Bars, Line, Plot, noise_interval, short_name, stairs
from lrat_sim.report.subject import Compared, Mined, Reported
from lrat_sim.study.arms import BASE, TRAINED
from lrat_sim.study.rounds import Figures, Round, Rounds
from lrat_sim.tables import NONE, Table, number, percent

_QUANTILES = {"p5": "weight, 5 %", "median": "weight, median", "p95": "weight, 95 %", "max": "weight, max"}
_STYLES = (("success", "circle", "", INK), ("evidence_recall", "square", "6 3", MUTED))
"""Measures by round with marker, dashes and colour: those of the text, since a line through rounds is no single arm."""


def round_tables(rounds: Rounds | None, mined: Sequence[Mined]) -> list[Table]:
    """Every table that there is something for; ``rounds`` is None where a flywheel did not write them down."""
    tables = [] if rounds is None else [_held_out(rounds), _learnt(rounds), _gates(rounds)]
    return [table for table in [*tables, _pairs(mined)] if table.rows]


def _held_out(rounds: Rounds) -> Table:
    """By the model in use after each round; if a round's model was refused, the previous one stays in use."""
    names, rows, in_use = list(rounds.base), list[list[str]](), BASE
    records: list[dict[str, Any]] = []
    evaluations = [(0, True, rounds.base), *((made.number, made.accepted, made.evaluated) for made in rounds.rounds)]
    for index, accepted, figures in evaluations:
        in_use = f"round-{index}" if accepted and index else in_use
        label = "none" if index == 0 else f"{index}" if accepted else f"{index}, refused"
        rows.append([label, in_use, *(cell for name in names for cell in _figures(figures.get(name)))])
        evaluated = [(name, figures[name]) for name in names if name in figures]
        records += [{"round": index, "in_use": in_use, "evaluation": name, **asdict(of)} for name, of in evaluated]
    heads = [head for name in names for head in (f"{name}: success, %", "errors", "evidence recall, %", "steps")]
    notes = [f"The model of {in_use} is called {TRAINED} where it is evaluated."] if in_use != BASE else []
    return Table.of(
        "Held-out tasks, with the model in use after each round",
        ["after round", "in use", *heads],
        rows if names else [],
        slug="rounds",
        records=records,
        notes=[*notes, *([rounds.stopped] if rounds.stopped else [])],
        text_columns=(0, 1),
    )


def _figures(figures: Figures | None) -> list[str]:
    if figures is None:
        return [NONE] * 4
    recall = number(figures.evidence_recall, scale=100)
    return [number(figures.success, scale=100), f"{figures.errors:,}", recall, number(figures.steps)]


_LEARNT: dict[str, Callable[[Round], str]] = {
    "round": lambda made: str(made.number),
    "collected with": lambda made: " and ".join([made.in_use, *(name for name in made.tasks if name != made.in_use)]),
    "training tasks": lambda made: f"{sum(made.tasks.values()):,}",
    "success on them, %": lambda made: number(made.collected.success, scale=100),
    "errors": lambda made: f"{made.collected.errors:,}",
    "pairs mined": lambda made: f"{made.mined:,}",
    "replayed": lambda made: f"{made.replayed:,}",
    "documents shown, %": lambda made: number(made.exposure.shown / max(1, made.exposure.documents), 0, scale=100),
    "Gini, shown": lambda made: number(made.exposure.shown_gini, 3),
    "Gini, opened": lambda made: number(made.exposure.opened_gini, 3),
    "trained from": lambda made: made.trained_from,
}


def _learnt(rounds: Rounds) -> Table:
    records = [
        {"round": made.number, "in_use": made.in_use, "tasks": sum(made.tasks.values())}
        | asdict(made.collected)
        | {name: getattr(made, name) for name in ("mined", "replayed", "trained_from", "accepted")}
        | {f"exposure_{name}": value for name, value in asdict(made.exposure).items()}
        for made in rounds.rounds
    ]
    return Table.of(
        "What each round learnt from",
        list(_LEARNT),
        [[cell(made) for cell in _LEARNT.values()] for made in rounds.rounds],
        slug="collected",
        records=records,
        notes=["Gini: how unequally the corpus's documents were shown or opened, 0 equally, towards 1 few of them."],
        text_columns=(0, 1, 10),
    )


def _gates(rounds: Rounds) -> Table:
    gate = next((made.gate for made in rounds.rounds if made.gate), None)
    guard = next((made.guard for made in rounds.rounds if made.guard), None)
    columns, notes, title = ["round"], list[str](), list[str]()
    if gate:
        interval = "95\u00a0% interval"
        columns += ["against", "success, points", interval, "errors", "evidence recall, points", interval, "decision"]
        notes.append(f"Gate: rule {gate.rule}, on {gate.tasks:,} frozen tasks, paired by task.")
        title.append("the gate")
    if guard:
        columns += ["nDCG@10 of the base", "of the round"]
        notes.append(f"Forgetting is measured on {guard.data_set}.")
        title.append("what was forgotten")
    shown = rounds.rounds if gate or guard else []
    return Table.of(
        " and ".join(title).capitalize(),
        columns,
        [[str(made.number), *(_decision(made) if gate else []), *(_guarded(made) if guard else [])] for made in shown],
        slug="gate",
        records=[_gate_record(made) for made in shown],
        notes=notes,
        text_columns=(0, 1, 7) if gate else (0,),
    )


def _decision(made: Round) -> list[str]:
    if (gate := made.gate) is None:
        return [NONE] * 7

    def points(difference: Estimate) -> list[str]:
        return [number(difference.value, scale=100, sign=True), difference.interval(scale=100)]

    success, recall = points(gate.success_difference), points(gate.recall_difference)
    return [gate.against, *success, f"{gate.errors:,}", *recall, "accepted" if made.accepted else "refused"]


def _guarded(made: Round) -> list[str]:
    return [number(made.guard.base, 3), number(made.guard.trained, 3)] if made.guard else [NONE] * 2


def _gate_record(made: Round) -> dict[str, Any]:
    record: dict[str, Any] = {"round": made.number, "accepted": made.accepted}
    if gate := made.gate:
        record |= {"against": gate.against, "tasks": gate.tasks, "errors": gate.errors}
        for name, difference in (("success", gate.success_difference), ("recall", gate.recall_difference)):
            values = {"difference": difference.value, "low": difference.low, "high": difference.high}
            record |= {f"{name}_{end}": value for end, value in values.items()}
    return record | ({"guard_base": made.guard.base, "guard_trained": made.guard.trained} if made.guard else {})


def _pairs(mined: Sequence[Mined]) -> Table:
    counts = ("round", "trajectories", "mined", "pairs", "pairs_without_negatives", "beta")
    rows = [
        [
            *(number(getattr(account, name), 0) for name in counts),
            *(number((account.weights or {}).get(name), 2) for name in _QUANTILES),
        ]
        for account in mined
    ]
    records = [asdict(account) for account in mined]
    for record in records:
        del record["weight_histogram"]  # which has a plot and a file of its own
        record |= {f"weight_{name}": value for name, value in (record.pop("weights") or {}).items()}
    note = "Beta: the median length of the reasoning after an opened document, by which pairs are weighed."
    return Table.of(
        "Mined pairs and their weights",
        ["round", "runs", "runs mined", "pairs", "without negatives", "beta", *_QUANTILES.values()],
        rows,
        slug="mined",
        records=records,
        notes=[note] if any(account.beta for account in mined) else [],
    )


def last_round(subject: Reported) -> int | None:
    """The number of the round whose model is the arm ``trained``; None where there is no such arm."""
    if TRAINED not in subject.arms:
        return None
    if subject.rounds is not None:
        accepted = re.fullmatch(r"round-(\d+)", subject.rounds.accepted)
        return int(accepted[1]) if accepted else None
    return max((account.round for account in subject.mined), default=None)


def success_by_round(compared: Compared, subject: Reported, looks: Looks) -> Plot | None:
    """The base and every round's model; if a round's model was refused, the previous one stays in use."""
    comparison, rounds, last = compared.comparison, subject.rounds, last_round(subject)
    if rounds is not None:
        made = {round_.number: round_.accepted for round_ in rounds.rounds}
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
        for measure, *_ in _STYLES:
            errors = f"{measure}_error_over_tasks"
            point |= {measure: summary.means.get(measure), errors: summary.over_tasks.get(measure)}
        points.append(point)
    if not made:
        return None
    marks: list[Line | Across] = []
    for measure, marker, dashes, colour in _STYLES:
        known = [point for point in points if point[measure] is not None]
        marks.append(
            Line(
                colour=colour,
                marker=marker,
                dashes=dashes,
                name=measure.replace("_", " "),
                points=[(point["round"], point[measure]) for point in known],
                intervals=[noise_interval(point[measure], point[f"{measure}_error_over_tasks"]) for point in known],
            )
        )
    records = list(points)
    for arm in comparison.arms:
        value = comparison.arm(arm).means.get("success")
        if re.fullmatch(rf"{BASE}|{TRAINED}|round-\d+", arm) is None and value is not None:
            name = f"success of {short_name(arm)}"
            marks.append(Across(at=value, colour=looks.of(arm).colour, dashes="1.5 2.5", name=name))
            records.append({"arm": arm, "success": value})
    names = ["base", *(f"round {index}" for index in made)]
    said = ", ".join(f"{name} {percent(point['success'])}" for name, point in zip(names, points, strict=True))
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


def weight_plot(subject: Reported, looks: Looks) -> Plot | None:
    """How the weights of the mined pairs lie, where that is known."""
    known = [(account, account.weight_histogram) for account in subject.mined if account.weight_histogram is not None]
    mined = [(account, histogram) for account, histogram in known if any(histogram.counts)]
    records, marks, last = list[dict[str, Any]](), list[Line | Bars | Across](), last_round(subject)
    for account, histogram in mined:
        look = looks.of(TRAINED if account.round == last else f"round-{account.round}")
        shares = [count / sum(histogram.counts) for count in histogram.counts]
        bins = list(zip(histogram.edges[:-1], histogram.edges[1:], strict=True))
        if len(mined) == 1:  # outlines where several would hide one another
            boxes = [(low, high, 0.0, share) for (low, high), share in zip(bins, shares, strict=True)]
            marks.append(Bars(colour=look.colour, boxes=boxes))
        else:
            outline = stairs(histogram.edges, shares)
            marks.append(Line(colour=look.colour, dashes=look.dashes, points=outline, name=f"round {account.round}"))
        records += [
            {"round": account.round, "from_weight": low, "to_weight": high, "pairs": count}
            for (low, high), count in zip(bins, histogram.counts, strict=True)
        ]
    if not mined:
        return None
    said = []
    for account, _ in mined:
        middle = (account.weights or {}).get("median")
        median = f", median weight {middle:.2f}" if middle is not None else ""
        said.append(f"round {account.round}: {account.pairs:,} pairs{median}")
    return Plot.of(
        [*marks, Across(at=1.0, along_x=False, colour=INK, dashes="3 2")],
        Axis(label="weight", low=0, grid=False),
        Axis(label="share of the pairs", percent=True, low=0),
        slug="weights",
        title="Weights of the mined pairs",
        description=f"Distribution of the weights. {'; '.join(said)}.",
        note="Dashed: the mean, 1.",
        records=records,
    )
