"""How far a judge agrees with the person who filled a sheet.

A sheet holds as many items of one verdict as of the other, whatever their shares in the run, so an unweighted figure
tells of the sheet, not of the run.  Each filled item is therefore weighted by how many items of the run it stands
for: those with its verdict by the judge over which the sheet was drawn, divided by those of them that were filled.
Both figures are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.sheet import STATES, Filled, What
from lrat_sim.tables import Table, number, percent, with_interval

_RESAMPLES = 1000


class Disagreement(Struct, frozen=True, kw_only=True):
    """An item on which a judge and the person differ, with its row in the sheet."""

    row: int
    key: str
    judge: str
    person: str


class Agreement(Struct, frozen=True, kw_only=True):
    """One judge beside the person.

    Attributes:
        what: ``answers`` or ``browses``.
        judge: its name.
        items: those on which both said something.
        empty: rows of the sheet that were left empty.
        undecided: filled rows on which this judge has no verdict.
        counts: (the judge's verdict, the person's) to the items.
        agreement: share of the run on which they agree, weighted; None without items.
        kappa: Cohen's kappa, weighted; None where it is undefined, since both say the same of everything.
        kappa_low, kappa_high: its 95 % interval by a bootstrap within each verdict; None likewise.
        agreement_in_sheet, kappa_in_sheet: the same, unweighted.
        differences: the items on which they differ.
    """

    what: What
    judge: str
    items: int
    empty: int
    undecided: int
    counts: dict[str, dict[str, int]]
    agreement: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    agreement_in_sheet: float | None
    kappa_in_sheet: float | None
    differences: list[Disagreement]


def agreements(
    rows: Sequence[Filled], what: What, judged: Mapping[str, Mapping[str, str]], *, path: Path, seed: int = 0
) -> list[Agreement]:
    """Every judge that judged the run beside the person who filled the sheet.

    Args:
        rows: those of the sheet.
        what: which sheet it is.
        judged: judge to item to state, over the whole run.
        path: of the sheet, for messages.
        seed: of the bootstrap.

    Raises:
        RecordError: an item stands twice in the sheet; names the line.
        InputError: the judge over whose verdicts the sheet was drawn has none in this run, the rows name several, or
            nothing was filled.
    """
    first: dict[str, Filled] = {}
    for row in rows:
        if first.setdefault(row.key, row) is not row:
            problem = f"row {row.row} is {row.key}, as row {first[row.key].row} is"
            raise RecordError(path, row.line, problem, "delete one of them")
    drawn_by = {row.judge for row in rows}
    if len(drawn_by) > 1:
        raise InputError(f"{path} was drawn over the verdicts of {len(drawn_by)} judges; fill one sheet a judge.")
    if not drawn_by <= judged.keys():
        raise InputError(f"{path} was drawn over {min(drawn_by)}, which did not judge this run; draw a new sheet.")
    filled = [row for row in rows if row.verdict is not None]
    if not filled:
        raise InputError(f"{path} has no verdicts; fill its column `verdict` first.")
    drawn = {key: state for key, state in judged[drawn_by.pop()].items() if state in STATES[what]}
    run, of_sheet = Counter(drawn.values()), Counter(drawn.get(row.key) for row in filled)
    weights = {row.key: run[drawn[row.key]] / of_sheet[drawn[row.key]] for row in filled if row.key in drawn}
    return [_agreement(rows, what, name, judged[name], drawn, weights, seed) for name in sorted(judged)]


def _agreement(
    rows: Sequence[Filled],
    what: What,
    name: str,
    verdicts: Mapping[str, str],
    drawn: Mapping[str, str],
    weights: Mapping[str, float],
    seed: int,
) -> Agreement:
    filled = [row for row in rows if row.verdict is not None]
    both = [row for row in filled if verdicts.get(row.key) in STATES[what] and row.key in weights]
    judge = np.array([verdicts[row.key] for row in both])
    person = np.array([row.verdict for row in both])
    weight = np.array([weights[row.key] for row in both])
    stratum = np.array([drawn[row.key] for row in both])
    low, high = _interval(judge, person, weight, stratum, seed) if both else (None, None)
    counts = Counter((verdicts[row.key], row.verdict) for row in both)
    return Agreement(
        what=what,
        judge=name,
        items=len(both),
        empty=len(rows) - len(filled),
        undecided=len(filled) - len(both),
        counts={said: {theirs: counts[said, theirs] for theirs in STATES[what]} for said in STATES[what]},
        agreement=float(np.average(judge == person, weights=weight)) if both else None,
        kappa=kappa(judge, person, weight) if both else None,
        kappa_low=low,
        kappa_high=high,
        agreement_in_sheet=float(np.mean(judge == person)) if both else None,
        kappa_in_sheet=kappa(judge, person, np.ones(len(both))) if both else None,
        differences=[
            Disagreement(row=row.row, key=row.key, judge=verdicts[row.key], person=str(row.verdict))
            for row in both
            if verdicts[row.key] != row.verdict
        ],
    )


def kappa(judge: Any, person: Any, weight: Any) -> float | None:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e), of two arrays of verdicts with the weight of each item.

    None where both say one and the same verdict of everything: then p_e is 1, and it is undefined.
    """
    if len(set(judge) | set(person)) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(judge, person, sample_weight=weight))


def _interval(judge: Any, person: Any, weight: Any, stratum: Any, seed: int) -> tuple[float | None, float | None]:
    """The middle 95 % of kappa over resamples, drawn within each stratum as the sheet was."""
    from sklearn import config_context

    random = np.random.default_rng(seed)
    strata = [np.flatnonzero(stratum == state) for state in np.unique(stratum)]
    found = []
    with config_context(skip_parameter_validation=True):
        for _ in range(_RESAMPLES):
            chosen = np.concatenate([random.choice(items, len(items)) for items in strata])
            if (value := kappa(judge[chosen], person[chosen], weight[chosen])) is not None:
                found.append(value)
    if len(found) < _RESAMPLES / 2:
        return None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def agreement_tables(found: Sequence[Agreement], *, listed: int = 20) -> list[Table]:
    """The judges side by side, and the first items on which each differs from the person.

    Args:
        found: as :func:`agreements` gives it.
        listed: items listed a judge.
    """
    columns = [_column(agreement) for agreement in found]
    note = "weighted to the run; in brackets the sheet's own figures, in which the rarer verdict is overdrawn"
    head = Table.of(
        f"Judges of {found[0].what} and the person",
        ["", *(agreement.judge for agreement in found)],
        ([name, *(column[name] for column in columns)] for name in columns[0]),
        notes=[note],
    )
    return [head, *(_differing(agreement, listed) for agreement in found if agreement.differences)]


def _column(agreement: Agreement) -> dict[str, str]:
    kappa = with_interval(agreement.kappa, agreement.kappa_low, agreement.kappa_high, 2)
    return {
        "items": f"{agreement.items:,}",
        "rows left empty": f"{agreement.empty:,}",
        "rows without this judge's verdict": f"{agreement.undecided:,}",
        "agreement": f"{percent(agreement.agreement)} [{percent(agreement.agreement_in_sheet)}]",
        "Cohen's kappa": f"{kappa} [{number(agreement.kappa_in_sheet, 2)}]",
        **{
            f"judge {said}, person {theirs}": f"{count:,}"
            for said, row in agreement.counts.items()
            for theirs, count in row.items()
        },
    }


def _differing(agreement: Agreement, listed: int) -> Table:
    rows = [[str(item.row), item.key, item.judge, item.person] for item in agreement.differences[:listed]]
    more = len(agreement.differences) - listed
    notes = [f"and {more:,} more"] if more > 0 else []
    columns = ["row", "item", "judge", "person"]
    return Table.of(f"where {agreement.judge} differs", columns, rows, notes=notes, text_columns=(1, 2, 3))
