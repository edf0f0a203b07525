"""``ablation.json``: the figures of every arm, and the table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lrat_sim import __version__
from lrat_sim.artifact import read_json, write_json
from lrat_sim.comparison import Comparison, Estimate
from lrat_sim.tables import interval

ABLATION = "ablation.json"


class ArmFigures(Struct, frozen=True, kw_only=True):
    """One arm on one task set and split.

    Attributes:
        arm, description: as in the table.
        pairs: that it was trained on; None where it was not trained.
        success, evidence_recall, steps: means over tasks, and over seeds.
        errors: runs that broke, of all seeds.
        over_tasks: standard error of success from the spread over tasks.
        over_seeds: standard deviation of success between seeds; None with one.
        gain: in success over the base, paired by task; None for the base.
        seconds: that training took, by seed, as far as it was trained.
    """

    arm: str
    description: str
    pairs: int | None
    success: float | None
    over_tasks: float | None
    over_seeds: float | None
    evidence_recall: float | None
    steps: float | None
    gain: Estimate | None
    errors: int = 0
    seconds: list[float] = []


class Cell(Struct, frozen=True, kw_only=True):
    """All arms on one task set and split; ``folder`` holds the comparison, relative to ablation.json."""

    task_set: str
    split: str
    k: int
    agent: str
    tasks: int
    seeds: list[int]
    folder: str
    answer: str
    arms: list[ArmFigures]


class Ablation(Struct, frozen=True, kw_only=True):
    """All cells of a folder; ``settings``, ``table`` (the arms in full) and ``command`` are those of the last call."""

    schema_version: int = 1
    lrat_sim: str = __version__
    command: str | None = None
    settings: dict[str, Any]
    table: dict[str, Any]
    cells: list[Cell]

    def __rich__(self) -> RenderableType:
        return Group(*(each for cell in self.cells for each in (_table(cell), Text(""))), Text(_NOTE, style="dim"))


def read_ablation(folder: Path) -> Ablation:
    """The ablation in a folder.

    Raises:
        InputError: it holds none, or one that cannot be read.
    """
    return read_json(folder / ABLATION, Ablation, "an ablation", "give the folder of an ablation, or a new one")


def save(ablation: Ablation, folder: Path) -> None:
    """Writes ablation.json, whole."""
    write_json(folder / ABLATION, ablation)


def figures_of(
    comparison: Comparison, descriptions: dict[str, str], pairs: dict[str, int], seconds: dict[str, list[float]]
) -> list[ArmFigures]:
    """The figures of every arm of a comparison, in its order.

    Args:
        comparison: all arms, the base among them.
        descriptions: by arm.
        pairs: by arm, of those that were trained.
        seconds: the same for the time that training took.
    """
    gains = {
        each.arm: each.measures["success"].difference for each in comparison.pairings if each.base == comparison.base
    }
    return [
        ArmFigures(
            arm=summary.name,
            description=descriptions.get(summary.name, ""),
            pairs=pairs.get(summary.name),
            success=summary.means["success"],
            over_tasks=summary.over_tasks.get("success"),
            over_seeds=summary.over_seeds.get("success"),
            evidence_recall=summary.means["evidence_recall"],
            steps=summary.means["steps"],
            gain=gains.get(summary.name),
            errors=summary.errors,
            seconds=seconds.get(summary.name, []),
        )
        for summary in comparison.summaries
    ]


_NOTE = (
    "err.: runs that broke. ± tasks: standard error from the spread over tasks; ± seeds: standard deviation between "
    "trainings. gain: points over the base, paired by task, with the 95 % interval."
)


def _table(cell: Cell) -> Table:
    seeds = f"{len(cell.seeds)} seed{'s' if len(cell.seeds) > 1 else ''}"
    title = f"{cell.agent} on {cell.task_set}, {cell.tasks} {cell.split} tasks, k = {cell.k}, {seeds}"
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=0, show_edge=False)
    table.add_column("arm", no_wrap=True)
    heads = ("pairs", "success\n(err.)", "±\ntasks", "±\nseeds", "gain", "95 %\ninterval", "evid.\nrecall", "steps")
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for each in cell.arms:
        table.add_row(
            Text(each.arm),
            "-" if each.pairs is None else f"{each.pairs:,}",
            f"{_percent(each.success)} ({each.errors:,})",
            _percent(each.over_tasks),
            _percent(each.over_seeds),
            *_gain(each.gain),
            _percent(each.evidence_recall),
            "-" if each.steps is None else f"{each.steps:.1f}",
        )
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _gain(gain: Estimate | None) -> tuple[str, str]:
    if gain is None or gain.value is None:
        return "", ""
    return f"{100 * gain.value:+.1f}", interval(gain.low, gain.high, scale=100)
