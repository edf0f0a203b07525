"""What a comparison holds: the arms, each pair of them, and how that was computed; kept as ``comparison.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.artifact import read_json, write_json
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import Estimate, Paired

SCHEMA_VERSION = 2


class Summary(Struct, frozen=True, kw_only=True):
    """One arm by itself.

    ``errors`` counts the runs that broke, ``ungraded`` the answers without a grade, of all samples and seeds.
    ``means`` holds every measure over the arm's own tasks, None where it is unknown.  ``success_low``
    and ``success_high`` bound success were all ungraded answers wrong, or right.

    ``over_tasks`` holds the standard error of each mean from the spread over tasks, ``over_seeds`` its standard
    deviation between seeds, None with fewer than two.  ``runs`` are the arm's run folders, one a seed, relative to the
    comparison's, where they are known.
    """

    name: str
    means: dict[str, float | None]
    ran: int
    not_run: int
    errors: int
    ungraded: int
    success_low: float
    success_high: float
    seeds: int = 1
    over_tasks: dict[str, float | None] = {}
    over_seeds: dict[str, float | None] = {}
    runs: list[str] = []


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
    """What the arms did, how each differs from each, and how that was computed.

    ``pairings`` holds those against the base first, in the order of the arms, then all others.  ``tests`` is the
    number of tests that ``correction`` takes together.  ``setting`` says what was compared, as far as that is known:
    ``agent``, ``task_set``, ``split``, ``k``, ``seeds``, and by arm ``text_length``, the tokens that its encoder reads.
    ``answer`` begins with what differs between the arms beside their retrievers, and with the runs that broke.
    """

    schema_version: int = SCHEMA_VERSION
    answer: str
    base: str
    oracle: str | None
    tasks_asked: int
    tasks_with_evidence: int
    seed: int
    resamples: int
    confidence: float
    interval: str = "percentile bootstrap over tasks, paired"
    permutations: int = 0
    tests: int = 0
    correction: str = "Holm; the family is every tested measure of every pair of arms in this comparison"
    setting: dict[str, Any] = {}
    summaries: list[Summary]
    pairings: list[Pairing]
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
    """Writes the comparison as indented JSON: every number of the tables, with intervals, counts and definitions.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_json(path, comparison)


def load(path: Path) -> Comparison:
    """Reads what :func:`save` wrote.

    Raises:
        InputError: the file is missing, does not hold a comparison, or was written by a later lrat-sim.
    """
    return read_json(path, Comparison, "a comparison", "compare the runs again", known=SCHEMA_VERSION)
