"""Targets: how a real agent was seen to behave, and how far a group of runs is from that.

Where runs were made in a way that decides the outcome (lists not shuffled, other snippets) and that of the target's
population is another, it is *not comparable* rather than missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from lrat_sim import catalog
from lrat_sim.behaviour.measures import RANKS, Measures
from lrat_sim.behaviour.observed import ObservedRuns
from lrat_sim.behaviour.resample import MeasureEstimate, Values, kolmogorov_smirnov, share
from lrat_sim.errors import InputError
from lrat_sim.settings import Positive, Settings

TARGETS = "behaviour-tongyi"
"""The targets that come with lrat-sim."""

Distance = Literal["difference", "relative error", "outside the range", "total variation", "Kolmogorov-Smirnov"]
State = Literal["met", "missed", "not comparable", "unknown"]

_GRID = 33  # points of an interval at which a distance is looked at


class Lognormal(Settings, frozen=True):
    """A lognormal distribution of lengths in tokens."""

    median: Annotated[Positive, Meta(description="Median length.")]
    sigma: Annotated[Positive, Meta(description="Standard deviation of the logarithm.")]


class Population(Settings, frozen=True):
    """What a target was measured on."""

    title: Annotated[str, Meta(description="Which runs.")]
    retriever: Annotated[str, Meta(description="With which retriever.")] = ""
    k: Annotated[int | None, Meta(description="Results per search, where that matters.")] = None
    snippet_tokens: Annotated[int | None, Meta(description="Tokens of a snippet, where that matters.")] = None
    shuffled: Annotated[bool, Meta(description="Whether result lists were in random order.")] = False
    judge: Annotated[str, Meta(description="Who judged the documents.")] = ""


class Target(Settings, frozen=True):
    """One figure to be near to.

    Exactly one way of being near is given: ``within`` or ``relative`` of ``value``; between ``low`` and ``high`` (one
    may be open; ``value`` is then for information); ``within`` the total variation of ``distribution``, or the
    Kolmogorov-Smirnov distance of ``lognormal``.
    """

    measure: Annotated[str, Meta(description="A measure's name; rank is the distribution of ranks.")]
    population: Annotated[str, Meta(description="The name of what it was measured on.")]
    value: Annotated[float | None, Meta(description="The figure.")] = None
    within: Annotated[Positive | None, Meta(description="The largest distance, in the unit of the figure.")] = None
    relative: Annotated[Positive | None, Meta(description="The largest distance, as a share of the figure.")] = None
    low: Annotated[float | None, Meta(description="The lower end of a range.")] = None
    high: Annotated[float | None, Meta(description="The upper end of a range.")] = None
    distribution: Annotated[list[float] | None, Meta(description="The share of each rank.")] = None
    lognormal: Annotated[Lognormal | None, Meta(description="How lengths lie.")] = None
    held: Annotated[bool, Meta(description="Whether the simulated agent is held to it.")] = False

    def __post_init__(self) -> None:
        ranged = self.low is not None or self.high is not None
        near = self.within is not None or self.relative is not None
        whole = self.distribution is not None or self.lognormal is not None
        if ranged == near or (self.within is not None and self.relative is not None):
            raise ValueError(f"target {self.measure}: give a range (low, high), or one of within and relative")
        if near and not whole and self.value is None:
            raise ValueError(f"target {self.measure}: give its value")
        if whole and self.within is None:
            raise ValueError(f"target {self.measure}: a distribution needs `within`")


class Targets(Settings, frozen=True, kw_only=True):
    """A set of targets, as ``lrat_sim/recipes/behaviour-*.yaml`` holds one."""

    title: Annotated[str, Meta(description="Whose behaviour it is.")]
    source: Annotated[str, Meta(description="Where it was published.")] = ""
    populations: Annotated[dict[str, Population], Meta(description="What the targets were measured on, by name.")]
    targets: Annotated[list[Target], Meta(description="The figures.")]

    def __post_init__(self) -> None:
        for target in self.targets:
            if target.population not in self.populations:
                raise ValueError(f"target {target.measure}: there is no population {target.population!r}")


class TargetGap(Struct, frozen=True, kw_only=True):
    """One target beside what a group of runs did; ``distance`` is in the unit that ``kind`` says.

    ``allowed`` is the largest distance that meets the target.  The state is ``unknown`` where the runs do not show the
    measure; ``why`` says why it is not comparable.
    """

    group: str
    target: Target
    population: Population
    found: MeasureEstimate
    kind: Distance
    distance: MeasureEstimate
    allowed: float
    state: State
    why: str = ""


def load_targets(name: str = TARGETS) -> Targets:
    """Targets by name or path."""
    return catalog.load("recipes", name, Targets)


def distances(runs: ObservedRuns, measures: Measures, targets: Targets) -> list[TargetGap]:
    """How far a group of runs is from each target; a target that names no measure is an input error."""
    return [_gap(runs, measures, target, targets.populations[target.population]) for target in targets.targets]


def _gap(runs: ObservedRuns, measures: Measures, target: Target, population: Population) -> TargetGap:
    if target.distribution is None and target.measure not in measures:
        raise InputError(f"a target names the measure {target.measure!r}, which is none; correct it.")
    kind, distance = _distance(runs, measures, target)
    why = _other_population(runs, population)
    allowed = 0.0 if kind == "outside the range" else target.within or target.relative or 0.0
    state: State = "unknown"
    if distance.value is not None:
        state = "not comparable" if why else "met" if distance.value <= allowed else "missed"
    return TargetGap(
        group=runs.name,
        target=target,
        population=population,
        found=measures["rank_top3" if target.distribution is not None else target.measure],
        kind=kind,
        distance=distance,
        allowed=allowed,
        state=state,
        why=why,
    )


def _distance(runs: ObservedRuns, measures: Measures, target: Target) -> tuple[Distance, MeasureEstimate]:
    if target.distribution is not None:
        return "total variation", total_variation(runs, target.distribution)
    if target.lognormal is not None:
        from scipy import stats

        values, tasks = runs.lengths(target.measure.partition(".")[2])
        curve = stats.lognorm(s=target.lognormal.sigma, scale=target.lognormal.median)
        return "Kolmogorov-Smirnov", runs.tasks.statistic(tasks, kolmogorov_smirnov(values, curve.cdf))
    wanted, estimate = target.value or 0.0, measures[target.measure]
    if target.relative is not None:
        return "relative error", _mapped(estimate, lambda value: abs(value - wanted) / wanted)
    if target.within is not None:
        return "difference", _mapped(estimate, lambda value: abs(value - wanted))
    low = -np.inf if target.low is None else target.low
    high = np.inf if target.high is None else target.high
    return "outside the range", _mapped(estimate, lambda value: max(low - value, value - high, 0.0))


def _mapped(estimate: MeasureEstimate, distance: Callable[[float], float]) -> MeasureEstimate:
    """The distance of a value and of all that its interval holds; the distance falls and then rises."""
    if estimate.value is None:
        return MeasureEstimate(value=None)
    here = distance(estimate.value)
    if estimate.low is None or estimate.high is None:
        return MeasureEstimate(value=here, n=estimate.n)
    inside = [distance(value) for value in np.linspace(estimate.low, estimate.high, _GRID).tolist()]
    return MeasureEstimate(value=here, low=min(inside), high=max(inside), n=estimate.n)


def total_variation(runs: ObservedRuns, wanted: Sequence[float]) -> MeasureEstimate:
    """Half the sum of the differences between the shares of ranks 1, 2, ... and given ones.

    The interval lies above a small value: resampling adds differences of its own.
    """
    rank, target = runs.per_browse("rank"), np.array(wanted) / sum(wanted)
    listed = rank <= len(wanted)

    def compute(counts: Values) -> Values:
        distance: Values = np.abs(share(counts, counts.sum(axis=1, keepdims=True)) - target).sum(axis=1) / 2
        return distance

    at_rank = [rank[listed] == number for number in range(1, len(wanted) + 1)]
    return runs.tasks.of_sums(runs.browse_task[listed], at_rank, compute, int(listed.sum()))


def _other_population(runs: ObservedRuns, population: Population) -> str:
    """Why runs say nothing about a population's targets; empty where they do."""
    setting = runs.setting
    if setting.shuffled != population.shuffled:
        return "the lists were shuffled" if setting.shuffled else "the lists were not shuffled"
    wanted, had = population.snippet_tokens, setting.snippet_tokens
    if wanted is not None and had is not None and not wanted / 2 <= had <= wanted * 2:
        return f"snippets of {had} tokens, not {wanted}"
    if population.shuffled and setting.k is not None and setting.k != RANKS:
        return f"k is {setting.k}, not {RANKS}"
    return ""
