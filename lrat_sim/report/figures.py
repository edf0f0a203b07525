"""The figures of comparisons: success by k and by pairs, who won, steps, when the evidence was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt

from lrat_sim.colours import INK, MUTED, PAPER, TIED, Look, Looks
from lrat_sim.comparison import Comparison
from lrat_sim.comparison.paired import standard_error
from lrat_sim.comparison.plot import NOISE_NOTE, row_panel, success_record
from lrat_sim.comparison.record import arms_of, by_series
from lrat_sim.foreign import reading
from lrat_sim.plots import Across, Axis, Bars, Line, Note, Panel, Plot, noise_interval, short_name
from lrat_sim.report.subject import Compared, slug_of
from lrat_sim.rollout.index import INDEX, TASKS, TRAJECTORIES, asked_tasks, read_trajectories
from lrat_sim.study.record import Trained
from lrat_sim.tables import number, percent

Values = npt.NDArray[np.float64]

_BANDS = 5  # arms up to which each curve has its noise around it; more would hide one another
_BINS = 25


def comparison_plots(compared: Compared, looks: Looks) -> list[Plot]:
    """What there is beside success: who won, recall and steps; reads indexes, and streams the trajectories once."""
    prefix, runs, tasks = compared.prefix, compared.runs, compared.tasks
    plots = [_won(compared.comparison, f"{prefix}won-lost", looks)]
    curves = {arm: curve for arm, folders in runs.items() if (curve := recall_by_turn(folders, tasks)) is not None}
    if curves:
        plots.append(_recall(curves, f"{prefix}recall-by-turn", looks))
    steps = {arm: counts for arm, folders in runs.items() if (counts := steps_of(folders, tasks)) is not None}
    if any(steps.values()):
        plots.append(_steps(steps, f"{prefix}steps", looks))
    return [plot for plot in plots if plot.records]


def k_plots(comparisons: Sequence[Comparison], looks: Looks) -> list[Plot]:
    """Success against k, one plot for the comparisons that differ in k only (LRAT, Figure 8b)."""
    plots: list[Plot] = []
    for series, members in by_series([made for made in comparisons if isinstance(made.setting.get("k"), int)]):
        ks = sorted({member.setting["k"] for member in members})
        if len(ks) < 2:
            continue
        slug = f"success-by-k-{slug_of(series)}"
        if any(plot.slug == slug for plot in plots):
            slug = f"{slug}-{len(plots) + 1}"
        arms, records, marks = arms_of(members), list[dict[str, Any]](), list[Line]()
        for index, arm in enumerate(arms):
            own = [
                {"arm": arm, "k": member.setting["k"], **record}
                for member in members
                if arm in member.arms and (record := success_record(member, arm))["success"] is not None
            ]
            # a little apart, so that bars do not cover one another
            beside = min(0.03, 0.2 / len(arms)) * (index - (len(arms) - 1) / 2)
            marks.append(_success_line(looks.of(arm), [ks.index(record["k"]) + beside for record in own], own, arm))
            records += own
        said = "; ".join(f"{record['arm']} {percent(record['success'])} at k = {record['k']}" for record in records)
        ticks = {float(index): str(k) for index, k in enumerate(ks)}
        plots.append(
            Plot.of(
                marks,
                Axis(label="results per search, k", ticks=ticks, low=-0.2, high=len(ks) - 0.8, grid=False),
                Axis(label="success", percent=True),
                slug=slug,
                title=f"Success against k: {series}",
                description=f"{said}.",
                note=NOISE_NOTE,
                records=records,
            )
        )
    return plots


def size_plot(sweep: Mapping[str, Trained], comparison: Comparison, looks: Looks) -> Plot | None:
    """Success against the number of pairs trained on (LRAT, Figure 8a); None where no size was run."""
    records = [
        {"arm": arm, "pairs": fmean(trained.pairs), "tasks": fmean(trained.tasks), **record}
        for arm, trained in sorted(sweep.items(), key=lambda made: fmean(made[1].pairs))
        if arm in comparison.arms and (record := success_record(comparison, arm))["success"] is not None
    ]
    if not records:
        return None
    base = comparison.arm(comparison.base).means.get("success")
    # one line for all sizes, in the look of the smallest: they are one arm with more and more pairs
    look, sizes = looks.of(records[0]["arm"]), [record["pairs"] for record in records]
    marks: list[Line | Across] = [_success_line(look, sizes, records)]
    if base is not None:
        colour = looks.of(comparison.base).colour
        marks.append(Across(at=base, colour=colour, dashes="4 3", text=short_name(comparison.base)))
    said = ", ".join(f"{percent(record['success'])} with {record['pairs']:,.0f} pairs" for record in records)
    return Plot.of(
        marks,
        Axis(label="pairs trained on", log=True, ticks={size: f"{size:,.0f}" for size in sizes}),
        Axis(label="success", percent=True),
        slug="success-by-pairs",
        title="Success against the pairs trained on",
        description=f"{comparison.base} {percent(base)}; {said}.",
        note=NOISE_NOTE,
        records=records,
    )


def _success_line(look: Look, at: Sequence[float], records: Sequence[dict[str, Any]], name: str | None = None) -> Line:
    """The success of an arm along x, with its noise."""
    return Line(
        **look._asdict(),
        points=[(x, record["success"]) for x, record in zip(at, records, strict=True)],
        intervals=[noise_interval(record["success"], record["error_over_tasks"]) for record in records],
        name=name,
    )


def _won(comparison: Comparison, slug: str, looks: Looks) -> Plot:
    records: list[dict[str, Any]] = [
        {"arm": pairing.arm, "base": pairing.base, "won": success.wins, "tied": success.ties, "lost": success.losses}
        for pairing in comparison.against_base()
        if (success := pairing.measures["success"]).tasks
    ]
    base = looks.of(comparison.base).colour
    marks: list[Bars | Note] = []
    for row, record in enumerate(records):
        end, total = 0.0, record["won"] + record["tied"] + record["lost"]
        for outcome, colour in (("won", looks.of(record["arm"]).colour), ("tied", TIED), ("lost", base)):
            start, end = end, end + record[outcome] / total
            marks.append(Bars(colour=colour, boxes=[(start, end, row - 0.3, row + 0.3)]))
        counts = " / ".join(f"{record[outcome]:,}" for outcome in ("won", "tied", "lost"))
        marks.append(Note(colour=INK, at=(1.02, row), text=counts))
    said = "; ".join("{arm} won {won}, tied {tied}, lost {lost}".format(**record) for record in records)
    x = Axis(label="share of the tasks", low=0, high=1, ticks={0: "0 %", 0.5: "50 %", 1: "100 %"}, grid=False)
    return Plot(
        slug=slug,
        title=f"Tasks won and lost against {comparison.base}",
        description=f"Success task by task against {comparison.base}: {said}.",
        panels=[row_panel(marks, [record["arm"] for record in records], x, right=110)],
        note=f"Won / tied / lost. In the arm's colour: tasks that it does better on; grey: no difference; in the "
        f"colour of {comparison.base}: tasks that {comparison.base} does better on.",
        records=records,
    )


def _recall(curves: Mapping[str, Values], slug: str, looks: Looks) -> Plot:
    longest = max(curve.shape[1] for curve in curves.values())
    records, marks, said, banded = list[dict[str, Any]](), list[Line](), list[str](), len(curves) <= _BANDS
    for arm, curve in curves.items():
        means: list[float] = curve.mean(axis=0).tolist()
        errors = [standard_error(column) for column in curve.T]
        records += [
            {"arm": arm, "turn": turn, "evidence_recall": mean, "error_over_tasks": error, "tasks": len(curve)}
            for turn, (mean, error) in enumerate(zip(means, errors, strict=True), start=1)
        ]
        middle = len(means) // 2
        said.append(f"{arm} {percent(means[middle], 0)} after turn {middle + 1} and {percent(means[-1], 0)} at the end")
        after = longest - len(means)  # a run that has ended keeps what it was shown
        means, errors = [0.0, *means, *means[-1:] * after], [None, *errors, *errors[-1:] * after]
        marks.append(
            Line(
                **looks.of(arm)._asdict(),
                name=arm,
                points=[*enumerate(means)],
                intervals=[*map(noise_interval, means, errors)] if banded else [],
                band=banded,
                every=max(1, longest // 8),
            )
        )
    note = f"Mean over {max(map(len, curves.values())):,} tasks with evidence; a run that has ended"
    return Plot.of(
        marks,
        Axis(label="turn", low=0, high=longest, whole=True),
        Axis(label="evidence recall", percent=True, low=0, high=1),
        slug=slug,
        title="Evidence recall by turn",
        description=f"How much of the evidence had been shown after each turn: {'; '.join(said)}.",
        note=f"{note} keeps what it was shown." + (" Shaded: 95 % of the noise from tasks." * banded),
        records=records,
    )


def _steps(steps: Mapping[str, list[int]], slug: str, looks: Looks) -> Plot:
    most = max(max(counts, default=0) for counts in steps.values())
    width = max(1, -(-(most + 1) // _BINS))
    edges = list(range(0, most + 1 + width, width))
    panels, records, said = list[Panel](), list[dict[str, Any]](), list[str]()
    for arm, taken in steps.items():
        runs = np.histogram(taken, edges)[0].tolist()
        boxes = []
        for start, count in zip(edges, runs, strict=False):
            records.append({"arm": arm, "from_steps": start, "to_steps": start + width - 1, "runs": count})
            left = start - 0.43 + (width - 1) * 0.07
            boxes += [(left, left + 0.86 * width, 0.0, float(count))] if count else []
        marks: list[Bars | Across | Note] = [Bars(colour=looks.of(arm).colour, boxes=boxes)]
        if taken:
            # paper below the dashes, so that they show on any colour
            middle = median(taken)
            marks.append(Across(at=middle, along_x=False, colour=PAPER))
            marks.append(Across(at=middle, along_x=False, colour=INK, dashes="3 2"))
            low, high = np.quantile(taken, (0.25, 0.75))
            said.append(f"{arm}: median {number(middle, 0)}, half of the runs from {low:.0f} to {high:.0f}")
        else:
            marks.append(Note(colour=MUTED, at=(edges[-1] / 2, 0.5), text="every run broke", anchor="middle"))
        label = "steps" if len(panels) + 1 == len(steps) else ""
        x = Axis(label=label, low=-0.6, high=edges[-1], whole=True, grid=False)
        y = Axis(ticks={}, low=0, high=1.05 * max(1, *runs))
        panels.append(Panel(title=short_name(arm), marks=marks, x=x, y=y, height=34))
    return Plot(
        slug=slug,
        title="Steps per run",
        description=f"Distribution of the steps that runs took. {'; '.join(said)}.",
        panels=panels,
        note="How many of the runs took so many executed calls, each row to its own height; dashed: the median. Runs "
        "that broke are left out.",
        records=records,
    )


def steps_of(runs: Sequence[Path], tasks: Collection[str] | None = None) -> list[int] | None:
    """The executed calls of every run that did not break, from the indexes alone; None where there is no index."""
    from pyarrow import parquet

    indexed = [run / INDEX for run in runs if (run / INDEX).is_file()]
    steps: list[int] = []
    for path in indexed:
        with reading(f"{path} cannot be read", "rerun the rollout's command, which writes it anew"):
            table = parquet.read_table(path, columns=["task_id", "status", "searches", "browses"])
        steps += [
            searches + browses
            for task, status, searches, browses in zip(*(column.to_pylist() for column in table.columns), strict=True)
            if status != "error" and (tasks is None or task in tasks)
        ]
    return steps if indexed else None


def recall_by_turn(runs: Sequence[Path], tasks: Collection[str] | None = None) -> Values | None:
    """Evidence recall after each turn, |shown by then and evidence| / |evidence|, of shape (tasks, turns); None where
    nothing was run or no task has evidence.

    A task counts once, with the mean over ``runs``, one a seed.  A run that has ended keeps what it was shown; a task
    that was never run was shown nothing.  So the mean ends at the arm's mean evidence recall.
    """
    by_task: dict[str, list[Values]] = defaultdict(list)
    for run in runs:
        if not (run / TRAJECTORIES).is_file() or not (run / TASKS).is_file():
            continue
        evidence = {
            task.id: set(task.evidence)
            for task in asked_tasks(run)
            if task.evidence and (tasks is None or task.id in tasks)
        }
        samples: dict[str, list[Values]] = {task: [] for task in evidence}
        for trajectory in read_trajectories(run, by_task=True):  # sums then do not depend on who ended first
            if (proof := evidence.get(trajectory.task_id)) is not None:
                shown: set[str] = set()
                recall = [0.0]
                for turn in trajectory.turns:
                    for call in turn.calls:
                        shown.update(hit.docid for hit in call.hits or ())
                        shown.update([call.docid] if call.docid is not None else ())
                    recall.append(len(shown & proof) / len(proof))
                samples[trajectory.task_id].append(np.array(recall))
        for task, curves in samples.items():
            by_task[task].append(_mean(curves) if curves else np.zeros(1))
    longest = max((len(curve) for curves in by_task.values() for curve in curves), default=0)
    if longest < 2:  # no turn at all
        return None
    return np.stack([_mean(curves, longest) for curves in by_task.values()])[:, 1:]


def _mean(curves: Sequence[Values], length: int = 0) -> Values:
    """The mean of curves that keep their last value up to the length of the longest, or a greater one."""
    length = max(length, *map(len, curves))
    carried = [np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves]
    return np.asarray(np.mean(carried, axis=0), np.float64)
