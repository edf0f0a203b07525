"""How far a judge agrees with the person who filled a sheet.

A sheet draws both verdicts alike, whatever their shares in the run.  Each filled item is therefore weighted by how many
items of the run it stands for; the unweighted figures are given too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.sheet import STATES, FilledRow, What, judged_items, read_sheet, sheet_of
from lrat_sim.tables import Table, number, percent, with_interval

_RESAMPLES = 1000
_LISTED = 20  # differences listed for each judge


class Agreement(Struct, frozen=True, kw_only=True):
    """One judge beside the person; figures are None where there are no items, or kappa is undefined."""

    what: What
    judge: str
    items: int  # those on which both gave a verdict
    empty: int  # rows of the sheet that were left empty
    undecided: int  # filled rows on which this judge has no verdict
    counts: dict[str, dict[str, int]]  # the judge's verdict to the person's to the items
    agreement: float | None  # share of the run on which they agree, weighted
    kappa: float | None  # Cohen's kappa, weighted, with its 95 % interval by a bootstrap within each verdict
    kappa_low: float | None
    kappa_high: float | None
    agreement_in_sheet: float | None  # unweighted
    kappa_in_sheet: float | None
    differences: list[FilledRow]  # rows on which they differ; of the two verdicts the judge gave the other


def check_judges(run: Path, sheet: Path, *, seed: int = 0) -> list[Agreement]:
    """Compares every judge of a run with the person who filled one of its sheets; ``seed`` is that of the bootstrap.

    A sheet that was not drawn over one judge of this run is refused, and so is a wrong row, with its line.
    """
    rows = list(read_sheet(sheet))
    kinds = {kind for row in rows if (kind := sheet_of(row.key))}
    if len(kinds) != 1:
        content = "both answers and browses" if kinds else "no rows"
        raise InputError(f"{sheet} holds {content}; give one sheet as it was drawn.")
    what = kinds.pop()
    judged = judged_items(run, what)
    known = {key for verdicts in judged.values() for key in verdicts}
    first: dict[str, FilledRow] = {}
    for row in rows:
        if row.key not in known:
            problem = f"row {row.row}: {row.key} is no item of {run}"
            raise RecordError(sheet, row.line, problem, "give the run from which the sheet was drawn")
        if first.setdefault(row.key, row) is not row:
            problem = f"row {row.row} is {row.key}, as row {first[row.key].row} is"
            raise RecordError(sheet, row.line, problem, "delete one of them")
    drawn_by = {row.judge for row in rows}
    if len(drawn_by) > 1:
        raise InputError(f"{sheet} was drawn over the verdicts of {len(drawn_by)} judges; fill one sheet a judge.")
    if not drawn_by <= judged.keys():
        raise InputError(f"{sheet} was drawn over {min(drawn_by)}, which did not judge this run; draw a new sheet.")
    if all(row.verdict is None for row in rows):
        raise InputError(f"{sheet} has no verdicts; fill its column `verdict` first.")
    drawn = {key: state for key, state in judged[drawn_by.pop()].items() if state in STATES[what]}
    return [_agreement(rows, what, judge, judged[judge], drawn, seed) for judge in sorted(judged)]


def _agreement(
    rows: Sequence[FilledRow], what: What, name: str, verdicts: Mapping[str, str], drawn: Mapping[str, str], seed: int
) -> Agreement:
    """One judge beside the person; ``drawn`` are the verdicts over which the sheet was drawn."""
    filled = [row for row in rows if row.verdict is not None]
    in_run, in_sheet = Counter(drawn.values()), Counter(drawn.get(row.key) for row in filled)
    both = [row for row in filled if verdicts.get(row.key) in STATES[what] and row.key in drawn]
    judge = np.array([verdicts[row.key] for row in both])
    person = np.array([row.verdict for row in both])
    stratum = np.array([drawn[row.key] for row in both])
    weight = np.array([in_run[state] / in_sheet[state] for state in stratum])
    low, high = _kappa_interval(judge, person, weight, stratum, seed) if both else (None, None)
    counts = Counter((verdicts[row.key], row.verdict) for row in both)
    return Agreement(
        what=what,
        judge=name,
        items=len(both),
        empty=len(rows) - len(filled),
        undecided=len(filled) - len(both),
        counts={said: {theirs: counts[said, theirs] for theirs in STATES[what]} for said in STATES[what]},
        agreement=float(np.average(judge == person, weights=weight)) if both else None,
        kappa=kappa(judge, person, weight),
        kappa_low=low,
        kappa_high=high,
        agreement_in_sheet=float(np.mean(judge == person)) if both else None,
        kappa_in_sheet=kappa(judge, person, np.ones(len(both))),
        differences=[row for row in both if verdicts[row.key] != row.verdict],
    )


def kappa(judge: Any, person: Any, weight: Any) -> float | None:
    """Cohen's kappa, (p_o - p_e) / (1 - p_e); None where both give everything one verdict, so that p_e is 1."""
    if len(set(judge) | set(person)) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(judge, person, sample_weight=weight))


def _kappa_interval(judge: Any, person: Any, weight: Any, stratum: Any, seed: int) -> tuple[float | None, float | None]:
    """The middle 95 % of kappa over resamples, drawn within each stratum as the sheet was."""
    from sklearn import config_context

    random = np.random.default_rng(seed)
    strata = [np.flatnonzero(stratum == state) for state in np.unique(stratum)]
    kappas = []
    with config_context(skip_parameter_validation=True):
        for _ in range(_RESAMPLES):
            chosen = np.concatenate([random.choice(items, len(items)) for items in strata])
            if (value := kappa(judge[chosen], person[chosen], weight[chosen])) is not None:
                kappas.append(value)
    if len(kappas) < _RESAMPLES / 2:
        return None, None
    low, high = np.quantile(kappas, [0.025, 0.975])
    return float(low), float(high)


def agreement_tables(agreements: Sequence[Agreement]) -> list[Table]:
    """The judges side by side, and the first items on which each differs from the person."""
    columns = [_column(agreement) for agreement in agreements]
    note = "weighted to the run; in brackets the sheet's own figures, in which the rarer verdict is overdrawn"
    tables = [
        Table.of(
            f"Judges of {agreements[0].what} and the person",
            ["", *(agreement.judge for agreement in agreements)],
            ([name, *(column[name] for column in columns)] for name in columns[0]),
            notes=[note],
        )
    ]
    for agreement in agreements:
        if agreement.differences:
            listed = agreement.differences[:_LISTED]
            positive, negative = STATES[agreement.what]
            other = {positive: negative, negative: positive}
            rows = [[str(row.row), row.key, other[row.verdict or ""], row.verdict or ""] for row in listed]
            more = len(agreement.differences) - len(listed)
            notes = [f"and {more:,} more"] if more else []
            head, title = ["row", "item", "judge", "person"], f"where {agreement.judge} differs"
            tables.append(Table.of(title, head, rows, notes=notes, text_columns=(1, 2, 3)))
    return tables


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
