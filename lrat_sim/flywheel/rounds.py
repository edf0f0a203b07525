"""``rounds.json``: what became of every round of a flywheel, and the table of it."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from msgspec import Struct
from rich import box
from rich.table import Table

from lrat_sim.artifact import read_json, write_json
from lrat_sim.comparison import Comparison
from lrat_sim.comparison.measures import ArmMetrics
from lrat_sim.flywheel.exposure import Exposure
from lrat_sim.flywheel.gate import Decision

ROUNDS = "rounds.json"


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
    """One round.

    Attributes:
        number: from 1.
        in_use: the model that it collected with and is held against, ``base`` or ``round-N``.
        tasks: training tasks by the retriever that they were collected with; the model in use has its own name.
        collected: how the agents did on them.
        exposure: of the documents in these runs.
        mined: pairs of this round.
        replayed: pairs of earlier rounds that it was trained on beside them.
        trained_from: the model that training started from, ``base`` or ``round-N``.
        gate: what the gate decided; None without one.
        accepted: whether its model is used from now on; always without a gate.
        guard: what its model forgot; None where that was not asked for.
        evaluated: how agents do on held-out tasks with the model that is in use after this round, by ``<split>-k<k>``;
            empty until the flywheel has been evaluated.
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
    """All rounds of a flywheel.

    Attributes:
        rounds: those that were made, in order.
        asked: how many were asked for.
        accepted: the model in use at the end, ``base`` or ``round-N``.
        base: how agents do on held-out tasks with the base model, by ``<split>-k<k>``; empty until evaluated.
        stopped: why fewer rounds were made than asked for; None where all were.
    """

    schema_version: int = 1
    rounds: list[Round]
    asked: int
    accepted: str
    base: dict[str, Figures] = {}
    stopped: str | None = None

    def __rich__(self) -> Table:
        return _table(self)


def save(rounds: Rounds, folder: Path) -> Path:
    """Writes a flywheel's rounds.json, whole; returns its path."""
    path = folder / ROUNDS
    write_json(path, rounds)
    return path


def load(folder: Path) -> Rounds:
    """The rounds of a flywheel's folder.

    Raises:
        InputError: it holds none, or they cannot be read.
    """
    return read_json(
        folder / ROUNDS, Rounds, "the rounds of a flywheel", "give the folder of a flywheel, or run the flywheel again"
    )


def figures_of(table: ArmMetrics) -> Figures:
    """The means of a run's metrics by task."""

    def mean(metric: str) -> float | None:
        values = [value for row in table.values() if (value := row.get(metric)) is not None]
        return fmean(values) if values else None

    errors = round(sum(row.get("errors") or 0.0 for row in table.values()))
    return Figures(success=mean("success"), evidence_recall=mean("evidence_recall"), steps=mean("steps"), errors=errors)


def arm_figures(comparison: Comparison, arm: str) -> Figures:
    """The means of an arm of a comparison."""
    (summary,) = (each for each in comparison.summaries if each.name == arm)
    means = {name: summary.means[name] for name in ("success", "evidence_recall", "steps")}
    return Figures(**means, errors=summary.errors)


def _table(rounds: Rounds) -> Table:
    """One row a round; columns that no round has are left out."""
    made = rounds.rounds
    gated, guarded = any(each.gate for each in made), any(each.guard for each in made)
    names = list(rounds.base)
    accepted = sum(each.accepted for each in made)
    title = f"{len(made)} of {rounds.asked} rounds, {accepted} accepted; in use: {rounds.accepted}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("round", no_wrap=True)
    heads = ["pairs", "docs\nseen", "Gini\nseen", "Gini\nopen"]
    heads += ["gate: success\nagainst in use"] * gated + ["nDCG@10\nguard"] * guarded
    heads += [f"{name}\nsucc/err/rec/steps" for name in names]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    empty = ["-"] * (len(heads) - len(names) - guarded)
    kept = next((f"{each.guard.base:.3f}" for each in made if each.guard), "-")
    table.add_row("base", *empty, *[kept] * guarded, *(_shown(rounds.base[name]) for name in names))
    for each in made:
        cells = [
            f"{each.mined:,}" + (f"+{each.replayed:,}" if each.replayed else ""),
            f"{each.exposure.shown / max(1, each.exposure.documents):.0%}",
            _three(each.exposure.shown_gini),
            _three(each.exposure.opened_gini),
        ]
        cells += [_decided(each.gate)] * gated
        cells += [f"{each.guard.trained:.3f}" if each.guard else "-"] * guarded
        cells += [_shown(each.evaluated.get(name)) for name in names]
        table.add_row(f"{each.number}" + ("" if each.accepted else " refused"), *cells)
    if rounds.stopped:
        table.caption, table.caption_justify = rounds.stopped, "left"
    return table


def _decided(gate: Decision | None) -> str:
    if gate is None:
        return "-"
    difference = gate.success_difference
    bounds = [end for end in (difference.low, difference.high) if end is not None]
    interval = f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if len(bounds) == 2 else ""
    broken = f", {gate.errors} err." if gate.errors else ""
    return "-" if difference.value is None else f"{100 * difference.value:+.1f}{interval}{broken}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shown(figures: Figures | None) -> str:
    if figures is None:
        return "-"
    success, recall = ("-" if v is None else f"{100 * v:.1f}" for v in (figures.success, figures.evidence_recall))
    return f"{success}/{figures.errors}/{recall}/{'-' if figures.steps is None else f'{figures.steps:.1f}'}"
