"""The tables of a flywheel: what each round reached, what it learnt from, and what its gate decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lrat_sim.report import numbers
from lrat_sim.report.subject import Mined
from lrat_sim.report.table import Column, Group, Row, Table
from lrat_sim.study.arms import BASE, TRAINED
from lrat_sim.study.rounds import Figures, Round, Rounds


def round_tables(rounds: Rounds | None, mined: Sequence[Mined]) -> list[Table]:
    """Every table that there is something for.

    Args:
        rounds: what became of the rounds; None where a flywheel did not write that down.
        mined: the accounts of what the rounds mined.
    """
    tables = [] if rounds is None else [_held_out(rounds), _learnt(rounds), _gates(rounds)]
    return [table for table in [*tables, _pairs(mined)] if not table.empty]


def _held_out(rounds: Rounds) -> Table:
    names = list(rounds.base)
    columns = [Column("after round", number=False), Column("in use", number=False)]
    for name in names:
        columns += [Column(f"{name}: success, %"), Column("errors"), Column("evidence recall, %"), Column("steps")]
    rows: list[Row] = []
    records: list[dict[str, Any]] = []
    in_use = BASE
    for number, accepted, figures in [
        (0, False, rounds.base),
        *((each.number, each.accepted, each.evaluated) for each in rounds.rounds),
    ]:
        in_use = f"round-{number}" if accepted else in_use
        label = "none" if number == 0 else f"{number}" if accepted else f"{number}, refused"
        cells = [cell for name in names for cell in _shown(figures.get(name))]
        rows.append(Row(cells=[label, in_use, *cells]))
        records += [
            {"round": number, "in_use": in_use, "evaluation": name, **msgspec.structs.asdict(of_name)}
            for name in names
            if (of_name := figures.get(name)) is not None
        ]
    return Table(
        slug="rounds",
        caption="Held-out tasks, with the model in use after each round",
        columns=columns,
        groups=[Group(rows=rows if names else [])],
        records=records,
        notes=[
            *([f"The model of {in_use} is called {TRAINED} where it is evaluated."] if in_use != BASE else []),
            *([rounds.stopped] if rounds.stopped else []),
        ],
    )


def _learnt(rounds: Rounds) -> Table:
    heads = (
        *("training tasks", "success on them, %", "errors", "pairs mined", "replayed"),
        *("documents shown, %", "Gini, shown", "Gini, opened"),
    )
    return Table(
        slug="collected",
        caption="What each round learnt from",
        columns=[
            Column("round", number=False),
            Column("collected with", number=False),
            *map(Column, heads),
            Column("trained from", number=False),
        ],
        groups=[Group(rows=[_learnt_row(each) for each in rounds.rounds])],
        records=[
            {
                "round": each.number,
                "in_use": each.in_use,
                "tasks": sum(each.tasks.values()),
                "success": each.collected.success,
                "errors": each.collected.errors,
                "evidence_recall": each.collected.evidence_recall,
                "steps": each.collected.steps,
                "mined": each.mined,
                "replayed": each.replayed,
                "trained_from": each.trained_from,
                "accepted": each.accepted,
                **{f"exposure_{name}": value for name, value in msgspec.structs.asdict(each.exposure).items()},
            }
            for each in rounds.rounds
        ],
        notes=["Gini: how unequally the corpus's documents were shown or opened, 0 equally, towards 1 few of them."],
    )


def _learnt_row(each: Round) -> Row:
    others = [name for name in each.tasks if name != each.in_use]
    cells = [
        str(each.number),
        " and ".join([each.in_use, *others]),
        f"{sum(each.tasks.values()):,}",
        numbers.percent(each.collected.success),
        f"{each.collected.errors:,}",
        f"{each.mined:,}",
        f"{each.replayed:,}",
        numbers.percent(each.exposure.shown / max(1, each.exposure.documents), 0),
        numbers.plain(each.exposure.shown_gini, 3),
        numbers.plain(each.exposure.opened_gini, 3),
        each.trained_from,
    ]
    return Row(cells=cells)


def _gates(rounds: Rounds) -> Table:
    gate = next((each.gate for each in rounds.rounds if each.gate), None)
    guard = next((each.guard for each in rounds.rounds if each.guard), None)
    columns = [Column("round", number=False)]
    if gate:
        columns += [
            Column("against", number=False),
            Column("success, points"),
            Column("95 % interval"),
            Column("errors"),
        ]
        columns += [Column("evidence recall, points"), Column("95 % interval"), Column("decision", number=False)]
    if guard:
        columns += [Column("nDCG@10 of the base"), Column("of the round")]
    rows: list[Row] = []
    records: list[dict[str, Any]] = []
    for each in rounds.rounds if gate or guard else ():
        cells = [str(each.number), *(_decision(each) if gate else []), *(_remembered(each) if guard else [])]
        rows.append(Row(cells=cells))
        records.append({"round": each.number, "accepted": each.accepted, **_gate_record(each), **_guard_record(each)})
    notes = [f"Gate: rule {gate.rule}, on {gate.tasks:,} frozen tasks, paired by task."] if gate else []
    notes += [f"Forgetting is measured on {guard.data_set}."] if guard else []
    what = [*(["the gate"] if gate else []), *(["what was forgotten"] if guard else [])]
    return Table(
        slug="gate",
        caption=" and ".join(what).capitalize(),
        columns=columns,
        groups=[Group(rows=rows)],
        records=records,
        notes=notes,
    )


def _decision(each: Round) -> list[str]:
    gate = each.gate
    if gate is None:
        return [numbers.NONE] * 7
    success, recall = (
        [
            numbers.NONE if difference.value is None else numbers.signed(100 * difference.value),
            numbers.between(difference, 100),
        ]
        for difference in (gate.success_difference, gate.recall_difference)
    )
    return [gate.against, *success, f"{gate.errors:,}", *recall, "accepted" if each.accepted else "refused"]


def _remembered(each: Round) -> list[str]:
    guard = each.guard
    return [numbers.plain(guard.base if guard else None, 3), numbers.plain(guard.trained if guard else None, 3)]


def _guard_record(each: Round) -> dict[str, Any]:
    return {"guard_base": each.guard.base, "guard_trained": each.guard.trained} if each.guard else {}


def _gate_record(each: Round) -> dict[str, Any]:
    gate = each.gate
    if gate is None:
        return {}
    return {
        "against": gate.against,
        "tasks": gate.tasks,
        "success_difference": gate.success_difference.value,
        "success_low": gate.success_difference.low,
        "success_high": gate.success_difference.high,
        "errors": gate.errors,
        "recall_difference": gate.recall_difference.value,
        "recall_low": gate.recall_difference.low,
        "recall_high": gate.recall_difference.high,
    }


def _pairs(mined: Sequence[Mined]) -> Table:
    heads = ("runs", "runs mined", "pairs", "without negatives", "beta")
    quantiles = ("p5", "median", "p95", "max")
    return Table(
        slug="mined",
        caption="Mined pairs and their weights",
        columns=[
            Column("round", number=False),
            *map(Column, heads),
            *(Column(f"weight, {'5 %' if name == 'p5' else '95 %' if name == 'p95' else name}") for name in quantiles),
        ],
        groups=[
            Group(
                rows=[
                    Row(
                        cells=[
                            str(each.round),
                            _count(each.trajectories),
                            _count(each.mined),
                            _count(each.pairs),
                            _count(each.pairs_without_negatives),
                            numbers.plain(each.beta, 0),
                            *(numbers.plain((each.weights or {}).get(name), 2) for name in quantiles),
                        ]
                    )
                    for each in mined
                ]
            )
        ],
        records=[
            {
                "round": each.round,
                "trajectories": each.trajectories,
                "mined": each.mined,
                "searches": each.searches,
                "pairs": each.pairs,
                "pairs_without_negatives": each.pairs_without_negatives,
                "beta": each.beta,
                **{f"weight_{name}": value for name, value in (each.weights or {}).items()},
            }
            for each in mined
        ],
        notes=["Beta: the median length of the reasoning after an opened document, by which pairs are weighed."]
        if any(each.beta for each in mined)
        else [],
    )


def _count(value: int | None) -> str:
    return numbers.NONE if value is None else f"{value:,}"


def _shown(figures: Figures | None) -> list[str]:
    if figures is None:
        return [numbers.NONE] * 4
    shares = numbers.percent(figures.success), f"{figures.errors:,}", numbers.percent(figures.evidence_recall)
    return [*shares, numbers.plain(figures.steps)]
