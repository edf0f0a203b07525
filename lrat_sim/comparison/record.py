"""What a comparison holds: the arms, each pair of them, and how that was computed; kept as ``comparison.json``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import read_json, write_json
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import Estimate, Paired

SCHEMA_VERSION = 2


class Summary(Struct, frozen=True, kw_only=True):
    """One arm by itself, over all its samples and seeds; figures by measure are None where they are unknown."""

    name: str
    means: dict[str, float | None]  # every measure over the arm's own tasks
    ran: int
    not_run: int
    errors: int  # runs that broke
    ungraded: int  # answers without a grade
    success_low: float  # were all ungraded answers wrong
    success_high: float  # were they right
    seeds: int = 1
    over_tasks: dict[str, float | None] = {}  # standard error of each mean from the spread over tasks
    over_seeds: dict[str, float | None] = {}  # standard deviation of each mean between seeds
    # runs by how they ended, ``forced`` of those answered at a limit; turns, and those of them without reasoning
    counts: dict[str, int] = {}
    runs: list[str] = []  # run folders, one a seed, relative to the comparison's, where they are known


class Pairing(Struct, frozen=True, kw_only=True):
    """One arm against another, its ``base``; ``won``, ``tied`` and ``lost`` name the tasks by success."""

    arm: str
    base: str
    measures: dict[str, Paired]
    gap_closed: Estimate | None
    won: list[str]
    lost: list[str]
    tied: list[str] = []


class Comparison(Struct, frozen=True, kw_only=True):
    """What the arms did, how each differs from each, and how that was computed."""

    schema_version: int = SCHEMA_VERSION
    answer: str  # begins with what differs between the arms beside their retrievers, and with the runs that broke
    base: str
    oracle: str | None
    tasks_asked: int
    tasks_with_evidence: int
    seed: int
    resamples: int
    confidence: float
    interval: str = "percentile bootstrap over tasks, paired"
    permutations: int = 0
    tests: int = 0  # that the correction takes together
    correction: str = "Holm; the family is every tested measure of every pair of arms in this comparison"
    # as far as they are known: agent, task_set, split, k, seeds, and by arm text_length, the tokens its encoder reads
    setting: dict[str, Any] = {}
    summaries: list[Summary]
    pairings: list[Pairing]  # those against the base first, in the order of the arms
    measures: list[Measure]

    @property
    def arms(self) -> list[str]:
        """The names of the arms."""
        return [summary.name for summary in self.summaries]

    def arm(self, name: str) -> Summary:
        """The arm of that name, which must be there."""
        return next(summary for summary in self.summaries if summary.name == name)

    def pairing(self, arm: str, base: str | None = None) -> Pairing | None:
        """An arm against another, by default the base; None where they were not paired so."""
        against = self.base if base is None else base
        return next((pairing for pairing in self.pairings if (pairing.arm, pairing.base) == (arm, against)), None)

    def against_base(self) -> list[Pairing]:
        """The pairs of an arm and the base."""
        return [pairing for pairing in self.pairings if pairing.base == self.base]


def save(comparison: Comparison, path: Path) -> None:
    """Writes the comparison as JSON: every number of the tables, with intervals, counts and definitions."""
    write_json(path, comparison)


def load(path: Path) -> Comparison:
    """Reads what :func:`save` wrote."""
    return read_json(path, Comparison, "a comparison", "compare the runs again", known=SCHEMA_VERSION)


def arms_of(comparisons: Sequence[Comparison]) -> list[str]:
    """The names of all arms, in the order in which they come."""
    return list(dict.fromkeys(arm for comparison in comparisons for arm in comparison.arms))


def series_of(comparison: Comparison) -> str:
    """What comparisons that differ in k only have in common: agent (or retriever, where agents are compared), task set
    and split; empty where it is unknown."""
    agent, task_set, split = (comparison.setting.get(name) for name in ("agent", "task_set", "split"))
    agent = agent or comparison.setting.get("retriever")
    return f"{agent} on {task_set}{f', {split}' if split else ''}" if agent else ""


def by_series(comparisons: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    """Comparisons that differ in k only, by rising k, under their :func:`series_of`."""
    ordered = sorted(comparisons, key=lambda made: (series_of(made), made.setting.get("k") or 0))
    return [(name, list(members)) for name, members in groupby(ordered, key=series_of)]
