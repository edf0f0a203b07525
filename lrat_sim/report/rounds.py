"""The tables of a flywheel: what each round reached, what it learnt from, and what its gate decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict

from lrat_sim.comparison import Estimate
from lrat_sim.report.subject import BASE, TRAINED, Figures, Mined, Round, Rounds
from lrat_sim.tables import NONE, Table, number

_QUANTILES = {"p5": "5 %", "median": "median", "p95": "95 %", "max": "max"}


def round_tables(rounds: Rounds | None, mined: Sequence[Mined]) -> list[Table]:
    """Every table that there is something for.

    Args:
        rounds: what became of the rounds; None where a flywheel did not write that down.
        mined: the accounts of what the rounds mined.
    """
    tables = [] if rounds is None else [_held_out(rounds), _learnt(rounds), _gates(rounds)]
    return [table for table in [*tables, _pairs(mined)] if table.rows]


def _held_out(rounds: Rounds) -> Table:
    """With the model in use after each round: a round whose model was refused goes on with the one before."""
    names, rows, in_use = list(rounds.base), list[list[str]](), BASE
    records: list[dict[str, Any]] = []
    evaluations = [(0, True, rounds.base), *((each.number, each.accepted, each.evaluated) for each in rounds.rounds)]
    for index, accepted, figures in evaluations:
        in_use = f"round-{index}" if accepted and index else in_use
        label = "none" if index == 0 else f"{index}" if accepted else f"{index}, refused"
        rows.append([label, in_use, *(cell for name in names for cell in _figures(figures.get(name)))])
        shown = [(name, figures[name]) for name in names if name in figures]
        records += [{"round": index, "in_use": in_use, "evaluation": name, **asdict(each)} for name, each in shown]
    heads = [f"{name}: {head}" if head == "success, %" else head for name in names
             for head in ("success, %", "errors", "evidence recall, %", "steps")]  # fmt: skip
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


def _learnt(rounds: Rounds) -> Table:
    heads = ["training tasks", "success on them, %", "errors", "pairs mined", "replayed"]
    heads += ["documents shown, %", "Gini, shown", "Gini, opened"]
    return Table.of(
        "What each round learnt from",
        ["round", "collected with", *heads, "trained from"],
        [_learnt_cells(each) for each in rounds.rounds],
        slug="collected",
        records=[_learnt_record(each) for each in rounds.rounds],
        notes=["Gini: how unequally the corpus's documents were shown or opened, 0 equally, towards 1 few of them."],
        text_columns=(0, 1, 10),
    )


def _learnt_cells(round_: Round) -> list[str]:
    others = [name for name in round_.tasks if name != round_.in_use]
    success, errors, _, _ = _figures(round_.collected)
    exposure = round_.exposure
    return [
        str(round_.number),
        " and ".join([round_.in_use, *others]),
        f"{sum(round_.tasks.values()):,}",
        success,
        errors,
        f"{round_.mined:,}",
        f"{round_.replayed:,}",
        number(exposure.shown / max(1, exposure.documents), 0, scale=100),
        number(exposure.shown_gini, 3),
        number(exposure.opened_gini, 3),
        round_.trained_from,
    ]


def _learnt_record(round_: Round) -> dict[str, Any]:
    record: dict[str, Any] = {"round": round_.number, "in_use": round_.in_use, "tasks": sum(round_.tasks.values())}
    record |= asdict(round_.collected)
    record |= {name: getattr(round_, name) for name in ("mined", "replayed", "trained_from", "accepted")}
    return record | {f"exposure_{name}": value for name, value in asdict(round_.exposure).items()}


def _gates(rounds: Rounds) -> Table:
    gate = next((each.gate for each in rounds.rounds if each.gate), None)
    guard = next((each.guard for each in rounds.rounds if each.guard), None)
    columns, text, notes, title = ["round"], [0], list[str](), list[str]()
    if gate:
        interval = "95\u00a0% interval"
        columns += ["against", "success, points", interval, "errors", "evidence recall, points", interval, "decision"]
        text += [1, 7]
        notes.append(f"Gate: rule {gate.rule}, on {gate.tasks:,} frozen tasks, paired by task.")
        title.append("the gate")
    if guard:
        columns += ["nDCG@10 of the base", "of the round"]
        notes.append(f"Forgetting is measured on {guard.data_set}.")
        title.append("what was forgotten")
    made = rounds.rounds if gate or guard else []
    return Table.of(
        " and ".join(title).capitalize(),
        columns,
        [[str(each.number), *(_decision(each) if gate else []), *(_guarded(each) if guard else [])] for each in made],
        slug="gate",
        records=[_gate_record(each) for each in made],
        notes=notes,
        text_columns=tuple(text),
    )


def _decision(round_: Round) -> list[str]:
    gate = round_.gate
    if gate is None:
        return [NONE] * 7

    def points(difference: Estimate) -> list[str]:
        return [number(difference.value, scale=100, sign=True), difference.interval(scale=100)]

    decision = "accepted" if round_.accepted else "refused"
    compared = [*points(gate.success_difference), f"{gate.errors:,}", *points(gate.recall_difference)]
    return [gate.against, *compared, decision]


def _guarded(round_: Round) -> list[str]:
    guard = round_.guard
    return [number(guard.base, 3), number(guard.trained, 3)] if guard else [NONE] * 2


def _gate_record(round_: Round) -> dict[str, Any]:
    record: dict[str, Any] = {"round": round_.number, "accepted": round_.accepted}
    if gate := round_.gate:
        record |= {"against": gate.against, "tasks": gate.tasks, "errors": gate.errors}
        for name, difference in (("success", gate.success_difference), ("recall", gate.recall_difference)):
            record |= {f"{name}_difference": difference.value}
            record |= {f"{name}_low": difference.low, f"{name}_high": difference.high}
    return record | ({"guard_base": round_.guard.base, "guard_trained": round_.guard.trained} if round_.guard else {})


def _pairs(mined: Sequence[Mined]) -> Table:
    counts = ("trajectories", "mined", "pairs", "pairs_without_negatives")
    rows = [
        [
            str(each.round),
            *(number(getattr(each, name), 0) for name in counts),
            number(each.beta, 0),
            *(number((each.weights or {}).get(name), 2) for name in _QUANTILES),
        ]
        for each in mined
    ]
    records = [asdict(each) for each in mined]
    for record in records:
        del record["weight_histogram"]  # which has a plot and a file of its own
        record |= {f"weight_{name}": value for name, value in (record.pop("weights") or {}).items()}
    heads = ("round", "runs", "runs mined", "pairs", "without negatives", "beta")
    return Table.of(
        "Mined pairs and their weights",
        [*heads, *(f"weight, {quantile}" for quantile in _QUANTILES.values())],
        rows,
        slug="mined",
        records=records,
        notes=["Beta: the median length of the reasoning after an opened document, by which pairs are weighed."]
        if any(each.beta for each in mined)
        else [],
    )
