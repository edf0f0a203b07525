"""What a round of a flywheel is made of: who collects, which pairs are seen again, what was shown, and the gate.

The gate decides whether a round's model takes the place of the one in use, of a single round, too, wherever there are
tasks for it.  Both run on the same frozen tasks, which are never trained or evaluated on, and are paired by task.  By
the rule ``mean`` the new one must succeed more often, or as often while its searches show more of the evidence; a tie
is no win.  By ``clear`` the 95 % interval of the difference in success must lie above zero.

``mean`` is the default: a spoilt model loses tens of points, which any rule sees, while the gain of a later round is a
point or two, for which some hundred tasks have no clear interval.  Its price is that of two equal models the new one is
taken half the time, and that the best of several rounds looks better on these tasks than it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import read_records
from lrat_sim.comparison import Comparison, Estimate, compare
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.records import Pair, Task, encode
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study.arms import runnable_tasks
from lrat_sim.tables import NONE, Table, number, with_interval
from lrat_sim.text import normalise

Rule = Literal["none", "mean", "clear"]

# means over tasks that are equal may differ by so much
_ROUNDING = 1e-9


class Figures(Struct, frozen=True, kw_only=True):
    """Means over tasks, None where no task has the figure; ``errors`` counts the runs that broke (failures)."""

    success: float | None
    evidence_recall: float | None
    steps: float | None
    errors: int = 0


class Exposure(Struct, frozen=True, kw_only=True):
    """How many documents a corpus has, how many were shown in a result list or opened in some runs, and how unequally
    often, over the whole corpus (None where none was)."""

    documents: int
    shown: int
    opened: int
    shown_gini: float | None
    opened_gini: float | None


class Guarded(Struct, frozen=True, kw_only=True):
    """What a model remembers: nDCG@10 on a general data set, of the first base model and of the round's."""

    data_set: str
    base: float
    trained: float


class Decision(Struct, frozen=True, kw_only=True):
    """What the gate decided on a round's model; differences are paired by task."""

    rule: Rule
    against: str  # the model in use
    tasks: int
    success: float | None  # of the new model
    evidence_recall: float | None
    success_difference: Estimate
    recall_difference: Estimate
    errors: int = 0  # runs of both models that broke, which are failures
    accepted: bool

    def sentence(self, which: int) -> str:
        """What was decided on the model of a round, on what grounds, and whether these tasks can tell."""
        gain, tasks = self.success_difference, f"{self.tasks:,} tasks"
        verdict = "accepted" if self.accepted else f"refused, {self.against} stays in use"
        points = number(gain.value, scale=100, sign=True)
        bounds = f" (95 % interval {gain.interval(scale=100)})" if gain.low is not None else ""
        broken = f", {self.errors:,} {'run' if self.errors == 1 else 'runs'} broke" if self.errors else ""
        unsure = "" if gain.is_clear else f"; {tasks} cannot tell this from no difference"
        return f"gate: round {which} is {verdict}: {points} points of success on {tasks}{bounds}{broken}{unsure}."


class Round(Struct, frozen=True, kw_only=True):
    """One round, from 1; models are called ``base`` or ``round-N``."""

    number: int
    in_use: str  # the model that it collected with
    tasks: dict[str, int]  # training tasks of that model, and of other retrievers that collected
    collected: Figures
    exposure: Exposure
    mined: int  # pairs of this round that its model was trained on
    replayed: int  # and of earlier ones
    trained_from: str
    gate: Decision | None
    accepted: bool
    bm25_share: float = 0.0  # of BM25 in the score of its retriever
    warning: str | None = None  # that it was trained on fewer pairs than its recipe was chosen with
    guard: Guarded | None = None
    # on held-out tasks with the model in use after the round, by <split>-k<k>; empty until the flywheel is evaluated
    evaluated: dict[str, Figures] = {}


class Rounds(Struct, frozen=True, kw_only=True):
    """The rounds of a flywheel, of those that were asked for."""

    rounds: list[Round]
    asked: int
    accepted: str  # the model in use at the end
    base: dict[str, Figures] = {}  # the base model on held-out tasks, by <split>-k<k>
    stopped: str | None = None  # why there are fewer rounds than asked for

    def sentences(self) -> list[str]:
        """On the model in use, or on the last one that was refused where none is: the gate, and the pairs."""
        accepted = [made for made in self.rounds if made.accepted]
        if not (made := (accepted or self.rounds)[-1:]):
            return []
        last = made[0]
        if last.gate is not None:
            said = [last.gate.sentence(last.number)]
        else:
            said = [f"no gate: round {last.number} is in use without a check against {last.in_use} on other tasks."]
            no_gain = [name for name, of in last.evaluated.items() if not _above(of, self.base.get(name))]
            if no_gain:
                said.append(f"It solves no more than base on {', '.join(no_gain)}: keep the base.")
        return [*said, *([last.warning] if last.warning else [])]

    def table(self) -> Table:
        """One row a round; columns that no round has are left out."""
        names, gated = list(self.base), any(made.gate for made in self.rounds)
        remembered = next((made.guard.base for made in self.rounds if made.guard), None)
        guarded = remembered is not None
        columns = ["round", "pairs", "docs\nshown", "Gini\nshown", "Gini\nopened"]
        columns += ["gate: success\nagainst in use"] * gated + ["nDCG@10\nguard"] * guarded
        columns += [f"{name}\nsucc/err/rec/steps" for name in names]
        base = ["base", *[NONE] * (4 + gated), *[number(remembered, 3)] * guarded]
        rows = [[*base, *(_short(self.base[name]) for name in names)]]
        for made in self.rounds:
            exposure = made.exposure
            row = [
                f"{made.number}{'' if made.accepted else ' refused'}",
                f"{made.mined:,}" + (f"+{made.replayed:,}" if made.replayed else ""),
                number(exposure.shown / max(1, exposure.documents), 0, scale=100, unit=" %"),
                number(exposure.shown_gini, 3),
                number(exposure.opened_gini, 3),
            ]
            row += [_decision(made.gate)] * gated
            row += [number(made.guard.trained if made.guard else None, 3)] * guarded
            rows.append([*row, *(_short(made.evaluated.get(name)) for name in names)])
        accepted = sum(made.accepted for made in self.rounds)
        decided = f"{accepted} accepted" if gated else "unchecked"
        title = f"{len(self.rounds)} of {self.asked} rounds, {decided}; in use: {self.accepted}"
        notes = [self.stopped] if self.stopped else []
        notes += [f"round {made.number}: {made.warning}" for made in self.rounds if made.warning]
        return Table.of(title, columns, rows, notes=notes, slug="rounds")


def _decision(gate: Decision | None) -> str:
    if gate is None or (value := gate.success_difference.value) is None:
        return NONE
    errors = f", {gate.errors} err." if gate.errors else ""
    return with_interval(value, gate.success_difference.low, gate.success_difference.high, scale=100) + errors


def _above(new: Figures, base: Figures | None) -> bool:
    return base is None or base.success is None or new.success is None or new.success > base.success + _ROUNDING


def _short(figures: Figures | None) -> str:
    if figures is None:
        return NONE
    success, recall = (number(value, scale=100) for value in (figures.success, figures.evidence_recall))
    return f"{success}/{figures.errors}/{recall}/{number(figures.steps)}"


def figures_of(table: TaskTable) -> Figures:
    """The means of a run's metrics by task."""

    def mean(metric: str) -> float | None:
        values = [value for row in table.values() if (value := row.get(metric)) is not None]
        return fmean(values) if values else None

    errors = round(sum(row.get("errors") or 0.0 for row in table.values()))
    return Figures(success=mean("success"), evidence_recall=mean("evidence_recall"), steps=mean("steps"), errors=errors)


def arm_figures(comparison: Comparison, arm: str) -> Figures:
    """The means of an arm of a comparison."""
    summary = comparison.arm(arm)
    means = {name: summary.means[name] for name in ("success", "evidence_recall", "steps")}
    return Figures(**means, errors=summary.errors)


def exposure(runs: Iterable[Path], documents: int) -> Exposure:
    """How often each document was shown and opened in run folders over a corpus of so many documents.

    A retriever that shows ever fewer documents learns ever more about those and nothing about the rest.
    """
    shown, opened = Counter[str](), Counter[str]()
    for run in runs:
        for trajectory in read_trajectories(run):
            for call in trajectory.calls():
                shown.update(hit.docid for hit in call.hits or ())
                opened.update([call.docid] if call.docid is not None else [])

    def over_corpus(counts: Counter[str]) -> float | None:
        times = np.zeros(max(documents, len(counts)))
        times[: len(counts)] = [*counts.values()]
        return gini(times)

    ginis = {"shown_gini": over_corpus(shown), "opened_gini": over_corpus(opened)}
    return Exposure(documents=documents, shown=len(shown), opened=len(opened), **ginis)


def gini(counts: npt.NDArray[np.float64]) -> float | None:
    """The Gini coefficient of n counts: 0 where all are equal, (n - 1) / n where one has everything, None where all are
    0.  With the counts in rising order, x_1 to x_n, it is sum_i (2 i - n - 1) x_i / (n sum_i x_i)."""
    total, n = float(counts.sum()), len(counts)
    if total == 0:
        return None
    ranks = np.arange(1, n + 1)
    return float(((2 * ranks - n - 1) * np.sort(counts)).sum() / (n * total))


def _draw(*keys: object) -> float:
    """A number from 0 to below 1 that the keys alone decide, so that more tasks or rounds change no earlier draw."""
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def share_tasks(tasks: Sequence[Task], shares: Mapping[str, float], rest: str, seed: int) -> dict[str, list[Task]]:
    """Divides tasks among retrievers in about these shares (above 0, together 1 at most), the others to ``rest``;
    returns the tasks of each name that gets any, ``rest`` first."""
    shared: dict[str, list[Task]] = {name: [] for name in (rest, *shares)}
    for task in tasks:
        left, taker = _draw("collect", seed, task.id), rest
        for name, share in shares.items():
            left -= share
            if left < 0:
                taker = name
                break
        shared[taker].append(task)
    return {name: own for name, own in shared.items() if own}


def replayed(files: Iterable[Path], share: float, seed: int) -> Iterator[Pair]:
    """A share (0 to 1) of the pairs of earlier rounds, in order; each pair is drawn by its content."""
    for path in files:
        for pair in read_records(path, Pair):
            if share >= 1 or _draw("replay", seed, encode(pair)) < share:
                yield pair


def frozen_tasks(
    dataset: Dataset, split: str, others: Sequence[str], agent: AgentSettings, limit: int | None = None
) -> list[Task]:
    """The gate's tasks, at most ``limit``; none of the ``others`` splits may ask one of their questions."""
    if split not in dataset.splits:
        raise InputError(
            f"the gate needs held-out tasks of its own, and {dataset.name} has no split {split!r} (it has "
            f"{', '.join(dataset.splits)}); name another with gate_split, prepare the task set with the option dev, or "
            "set gate to none."
        )
    tasks = runnable_tasks(dataset.tasks(split), agent, limit)
    questions = {normalise(task.question) for task in tasks}
    for other in others:
        for task in dataset.tasks(other):
            if normalise(task.question) in questions:
                raise InputError(
                    f"the gate's split {split!r} and the split {other!r} both ask {task.question!r}; "
                    "name another gate_split, with tasks of its own."
                )
    return tasks


def decide(
    rule: Rule, against: str, in_use: TaskTable, new: TaskTable, tasks: Sequence[Task], *, seed: int = 0
) -> Decision:
    """The gate's decision between a new model and the one in use, called ``against``, by their metrics on tasks."""
    comparison = compare({"in use": in_use, "new": new}, "in use", None, [task.id for task in tasks], seed=seed)
    success, recall = (comparison.pairings[0].measures[name] for name in ("success", "evidence_recall"))
    return Decision(
        rule=rule,
        against=against,
        tasks=len(tasks),
        success=success.arm,
        evidence_recall=recall.arm,
        success_difference=success.difference,
        recall_difference=recall.difference,
        errors=sum(summary.errors for summary in comparison.summaries),
        accepted=wins(rule, success.difference, recall.difference),
    )


def wins(rule: Rule, success: Estimate, recall: Estimate) -> bool:
    """Whether differences from the model in use are a win by a rule."""
    if rule == "none":
        return True
    if rule == "clear":
        return success.low is not None and success.low > 0
    gain = success.value or 0.0
    return gain > _ROUNDING or (abs(gain) <= _ROUNDING and (recall.value or 0.0) > _ROUNDING)
