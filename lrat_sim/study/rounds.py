"""What became of every round of a flywheel, and the table of it."""

from __future__ import annotations

from statistics import fmean

from msgspec import Struct

from lrat_sim.comparison import Comparison
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.study.exposure import Exposure
from lrat_sim.study.gate import Decision
from lrat_sim.tables import NONE, Table, number, with_interval


class Figures(Struct, frozen=True, kw_only=True):
    """How agents did with a retriever on some tasks, as means; None where no task has the figure.  ``errors`` counts
    the runs that broke, which are failures."""

    success: float | None
    evidence_recall: float | None
    steps: float | None
    errors: int = 0


class Guarded(Struct, frozen=True, kw_only=True):
    """What a model remembers: nDCG@10 on a general data set, of the first base model and of the round's."""

    data_set: str
    base: float
    trained: float


class Round(Struct, frozen=True, kw_only=True):
    """One round, from 1; models are called ``base`` or ``round-N``.

    It collected with the model ``in_use``, whose name stands with those of other retrievers in ``tasks`` (how many
    training tasks each got).  ``mined`` and ``replayed`` count the pairs of this and of earlier rounds that its model
    was trained on.  ``evaluated`` is how agents do on held-out tasks with the model that is in use after it, by
    ``<split>-k<k>``; empty until the flywheel has been evaluated.
    """

    number: int
    in_use: str
    tasks: dict[str, int]
    collected: Figures
    exposure: Exposure
    mined: int
    replayed: int
    trained_from: str
    gate: Decision | None
    accepted: bool
    guard: Guarded | None = None
    evaluated: dict[str, Figures] = {}


class Rounds(Struct, frozen=True, kw_only=True):
    """The rounds made of those ``asked``, the model in use at the end (``accepted``), how agents do on held-out tasks
    with the ``base`` model, by ``<split>-k<k>``, and why fewer were made than asked (``stopped``)."""

    rounds: list[Round]
    asked: int
    accepted: str
    base: dict[str, Figures] = {}
    stopped: str | None = None

    def table(self) -> Table:
        """One row a round; columns that no round has are left out."""
        names = list(self.base)
        gated = any(made.gate for made in self.rounds)
        remembered = next((made.guard.base for made in self.rounds if made.guard), None)
        columns = ["round", "pairs", "docs\nshown", "Gini\nshown", "Gini\nopened"]
        columns += ["gate: success\nagainst in use"] * gated + ["nDCG@10\nguard"] * (remembered is not None)
        columns += [f"{name}\nsucc/err/rec/steps" for name in names]
        base = ["base", *[NONE] * (4 + gated), *[number(remembered, 3)] * (remembered is not None)]
        rows = [[*base, *(_in_short(self.base[name]) for name in names)]]
        for made in self.rounds:
            exposure = made.exposure
            row = [
                f"{made.number}{'' if made.accepted else ' refused'}",
                f"{made.mined:,}" + (f"+{made.replayed:,}" if made.replayed else ""),
                number(exposure.shown / max(1, exposure.documents), 0, scale=100, unit=" %"),
                number(exposure.shown_gini, 3),
                number(exposure.opened_gini, 3),
            ]
            row += [_decided(made.gate)] * gated
            row += [number(made.guard.trained if made.guard else None, 3)] * (remembered is not None)
            rows.append([*row, *(_in_short(made.evaluated.get(name)) for name in names)])
        accepted = sum(made.accepted for made in self.rounds)
        title = f"{len(self.rounds)} of {self.asked} rounds, {accepted} accepted; in use: {self.accepted}"
        return Table.of(title, columns, rows, notes=[self.stopped] if self.stopped else [], slug="rounds")


def figures_of(table: TaskTable) -> Figures:
    """The means of a run's metrics by task."""

    def mean(metric: str) -> float | None:
        values = [value for row in table.values() if (value := row.get(metric)) is not None]
        return fmean(values) if values else None

    errors = round(sum(row.get("errors") or 0.0 for row in table.values()))
    return Figures(success=mean("success"), evidence_recall=mean("evidence_recall"), steps=mean("steps"), errors=errors)


def arm_figures(comparison: Comparison, arm: str) -> Figures:
    """The means of an arm of a comparison."""
    (summary,) = (summary for summary in comparison.summaries if summary.name == arm)
    means = {name: summary.means[name] for name in ("success", "evidence_recall", "steps")}
    return Figures(**means, errors=summary.errors)


def _decided(gate: Decision | None) -> str:
    if gate is None or gate.success_difference.value is None:
        return NONE
    difference = gate.success_difference
    broken = f", {gate.errors} err." if gate.errors else ""
    return with_interval(difference.value, difference.low, difference.high, scale=100) + broken


def _in_short(figures: Figures | None) -> str:
    if figures is None:
        return NONE
    success, recall = (number(value, scale=100) for value in (figures.success, figures.evidence_recall))
    return f"{success}/{figures.errors}/{recall}/{number(figures.steps)}"
