"""The tables of comparisons, for the terminal, the report and papers alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from lrat_sim.comparison.answer import sentences
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import LEVEL, Paired
from lrat_sim.comparison.record import Comparison, Pairing, Summary, arms_of, by_series
from lrat_sim.tables import NONE, Group, Row, Table, dollars, interval, noise, number, p_value

if TYPE_CHECKING:
    from rich.console import RenderableType

# a space that no medium breaks: "95 %" stands above "interval"
INTERVAL = "95\u00a0% interval"

# measures with a table of their own: with the others they would not fit 80 columns
_RETRIEVAL = ("evidence_hit", "ndcg", "recall", "mrr", "calibration_error")
# measures in which pairs without the base are shown
_OF_OTHER_PAIRS = ("success", "evidence_recall", "steps_both_solve")
_COUNTS = "won/ tied/ lost"
# the writer of runs that name none
_USUAL = "usual"
# tasks of a list that are named
_NAMED = 3

Column = Callable[[Summary], str]
"""The cell of an arm in a column."""


def results_table(
    comparisons: Sequence[Comparison],
    figures: Callable[[Comparison, str], Mapping[str, float]] = lambda comparison, arm: {},
) -> Table:
    """Success of every arm with its noise, its gain over the base, evidence recall and steps.

    Several comparisons are grouped by agent, task set and split; those that differ in k stand beside one another.
    ``figures`` gives further figures of an arm of a comparison, by heading.
    """
    alone = len(comparisons) == 1
    arms = [(comparison, arm) for comparison in comparisons for arm in comparison.arms]
    further = list(dict.fromkeys(heading for comparison, arm in arms for heading in figures(comparison, arm)))
    seeded = any(arm.seeds > 1 for comparison in comparisons for arm in comparison.summaries)
    groups: list[Group] = []
    records: list[dict[str, Any]] = []
    for series, members in by_series(comparisons):
        rows: list[Row] = []
        for arm in arms_of(members):
            for comparison in (member for member in members if arm in member.arms):
                k, own = comparison.setting.get("k"), figures(comparison, arm)
                cells = [] if alone else [str(k or NONE)]
                cells += [f"{own[heading]:,.0f}" if heading in own else "" for heading in further]
                rows.append(_arm_row(comparison, arm, [*cells, *_result_cells(comparison, arm, seeded)]))
                where = {} if alone else {"series": series, "k": k}
                records.append({**where, "arm": arm, **own, **_result_record(comparison, arm)})
        tasks = ", ".join(dict.fromkeys(f"{member.tasks_asked:,} tasks" for member in members))
        groups.append(Group(rows, title=f"{series}, {tasks}" if series and not alone else None))
    columns = [_arm_kind(comparisons), *["k"] * (not alone), *further, "success, %", "±", *["± seeds"] * seeded]
    columns += ["errors", "gain, points", INTERVAL, "p, Holm", "evidence recall, %", "steps"]
    base = comparisons[0].base if alone else "the base of the same comparison"
    notes = [f"±: 95 % of the noise from tasks. Gain: over {base}, paired by task; p is corrected for all tests."]
    notes += ["± seeds: standard deviation between seeds."] * seeded
    return Table(
        slug="overview",
        title=f"Means over {comparisons[0].tasks_asked:,} tasks" if alone else "Success in every comparison",
        columns=columns,
        groups=groups,
        records=records,
        notes=[*notes, *(_left_out(comparisons[0]) if alone else [])],
        wide_columns=(columns.index("p, Holm"),) if further else (),  # 80 columns have no room for both
    )


def _result_cells(comparison: Comparison, arm: str, seeded: bool) -> list[str]:
    summary, gain = comparison.arm(arm), [""] * 3
    if (pairing := comparison.pairing(arm)) is not None:
        success = pairing.measures["success"]
        value = number(success.difference.value, scale=100, sign=True)
        gain = [value, success.difference.interval(scale=100), p_value(success.p_holm)]
    return [
        number(summary.means.get("success"), scale=100),
        noise(summary.over_tasks.get("success"), scale=100),
        *[number(summary.over_seeds.get("success"), scale=100)] * seeded,
        f"{summary.errors:,}",
        *gain,
        number(summary.means.get("evidence_recall"), scale=100),
        number(summary.means.get("steps")),
    ]


def _result_record(comparison: Comparison, arm: str) -> dict[str, Any]:
    summary, pairing = comparison.arm(arm), comparison.pairing(arm)
    record: dict[str, Any] = {name: summary.means.get(name) for name in ("success", "evidence_recall", "steps")}
    record |= {"error_over_tasks": summary.over_tasks.get("success"), "errors": summary.errors}
    if pairing is not None:
        success = pairing.measures["success"]
        record |= {"difference": success.difference.value, "p_holm": success.p_holm}
        record |= {"low": success.difference.low, "high": success.difference.high}
    return record


def render(comparison: Comparison) -> RenderableType:
    """The answer and all tables; for a terminal, in 80 columns."""
    from rich.console import Group as Parts
    from rich.text import Text

    def named(tasks: Sequence[str]) -> str:
        shown = ", ".join(tasks[:_NAMED]) + (", ..." if len(tasks) > _NAMED else "")
        return f"{len(tasks)} ({shown})" if tasks else "0"

    notes = []
    for pairing in comparison.against_base():
        relative = pairing.measures["success"].relative
        change = number(relative.value, 0, scale=100, sign=True, unit=" %")
        gain = f"success {change} ({relative.interval(0, scale=100)}), " if relative.value is not None else ""
        outcome = f"won {named(pairing.won)}; tied {len(pairing.tied)}; lost {named(pairing.lost)}"
        notes.append(f"{pairing.arm} against {pairing.base}: {gain}{outcome}.")
    if lengths := comparison.setting.get("text_length"):
        shown = ", ".join(f"{arm} {length}" for arm, length in lengths.items())
        notes.append(f"Text length of the encoders, in tokens: {shown}.")
    tables = [part for table in comparison_tables(comparison) for part in (Text(""), table)]
    answer = [Text(sentence, style="bold") for sentence in sentences(comparison).values()]
    return Parts(*answer, *tables, Text(""), *(Text(note, style="dim") for note in notes))


def comparison_tables(comparison: Comparison, prefix: str = "") -> list[Table]:
    """Gains by writer, means, retrieval, how runs ended, differences from the base and the other pairs, each where
    there is something to show; with a prefix of their slugs."""
    parts = (writers_table, _means, _retrieval, _endings, _differences, _other_pairs)
    tables = [part(comparison) for part in parts]
    return [replace(table, slug=prefix + table.slug) for table in tables if table.rows]


def task_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Every pair of arms with every task, and who did better on it."""
    return [
        {"arm": pairing.arm, "base": pairing.base, "task": task, "outcome": outcome}
        for pairing in comparison.pairings
        for outcome, tasks in (("won", pairing.won), ("tied", pairing.tied), ("lost", pairing.lost))
        for task in tasks
    ]


def writers_table(comparison: Comparison) -> Table:
    """The gain of every recipe over the base, by who wrote the reasoning of the runs that it was mined from; without
    rows where nobody but the usual writer did."""
    setting = comparison.setting
    written: dict[str, str] = setting.get("writers") or {}
    pairs: dict[str, float] = setting.get("pairs") or {}
    writers = list(dict.fromkeys([_USUAL, *written.values()]))
    gains: dict[str, dict[str, Pairing]] = {arm.removesuffix(f"-{by}"): {} for arm, by in written.items()}
    for pairing in comparison.against_base():
        writer = written.get(pairing.arm, _USUAL)
        if (recipe := pairing.arm.removesuffix(f"-{writer}")) in gains:
            gains[recipe][writer] = pairing

    def cell(pairing: Pairing | None) -> str:
        if pairing is None:
            return NONE
        gain, count = pairing.measures["success"].difference, pairs.get(pairing.arm)
        learnt = f"\n{count:,.0f} pairs" if count is not None else ""
        return f"{number(gain.value, scale=100, sign=True)}\n{gain.interval(0, scale=100)}{learnt}"

    cells = [
        (recipe, writer, pairing.arm, pairing.measures["success"].difference)
        for recipe, own in gains.items()
        for writer, pairing in own.items()
    ]
    below = [f"{recipe} by {writer}" for recipe, writer, _, gain in cells if (gain.value or 0.0) < 0]
    base = comparison.base
    return Table(
        title=f"Gain over {base} in points of success, by recipe and writer",
        columns=["recipe", *writers],
        groups=[Group([Row([name, *(cell(own.get(by)) for by in writers)], arm=name) for name, own in gains.items()])],
        records=[
            {"recipe": recipe, "writer": writer, "pairs": pairs.get(arm)}
            | {"difference": gain.value, "low": gain.low, "high": gain.high}
            for recipe, writer, arm, gain in cells
        ],
        notes=[
            "Below each gain: its 95 % interval, paired by task, and the pairs. The runs differ in reasoning alone; "
            "where no pair was found, the base stays.",
            f"Below {base}: {', '.join(below)}." if below else f"No recipe is below {base} with any writer.",
        ],
        slug="writers",
    )


def _means(comparison: Comparison) -> Table:
    columns: dict[str, Column] = {}
    for measure in _shown_measures(comparison, retrieval=False):
        columns[_heading(measure)] = _mean_of(measure)
        if measure.name == "success":
            columns["±"] = lambda arm: noise(arm.over_tasks.get("success"), scale=100)
            columns["errors"] = lambda arm: f"{arm.errors:,}"
    if any(arm.not_run for arm in comparison.summaries):
        columns["not run"] = lambda arm: f"{arm.not_run:,}"
    if any(arm.ungraded for arm in comparison.summaries):
        columns["ungraded"] = lambda arm: f"{arm.ungraded:,}"
    known = any(arm.over_tasks.get("success") is not None for arm in comparison.summaries)
    notes = ["±: 95 % of the noise that the choice of tasks brings."] if known else []
    notes += _left_out(comparison)
    if without := comparison.tasks_asked - comparison.tasks_with_evidence:
        notes.append(f"{without:,} tasks have no evidence and are left out of the evidence measures.")
    counts = ("seeds", "ran", "not_run", "errors", "ungraded", "success_low", "success_high")
    records: list[dict[str, Any]] = []
    for arm in comparison.summaries:
        record: dict[str, Any] = {"arm": arm.name, "tasks_asked": comparison.tasks_asked}
        record |= {name: getattr(arm, name) for name in counts}
        for name, value in arm.means.items():
            over_tasks, over_seeds = arm.over_tasks.get(name), arm.over_seeds.get(name)
            record |= {name: value, f"{name}_error_over_tasks": over_tasks, f"{name}_deviation_over_seeds": over_seeds}
        records.append(record)
    # a terminal says these in the notes, and of searches how they differ
    wide = tuple(at for at, name in enumerate(columns, 1) if name in ("searches", "not run", "ungraded"))
    title = f"Means over {comparison.tasks_asked:,} tasks"
    return _by_arm(comparison, columns, slug="means", title=title, records=records, notes=notes, wide_columns=wide)


def _retrieval(comparison: Comparison) -> Table:
    measures = _shown_measures(comparison, retrieval=True)
    columns, notes = {_heading(measure): _mean_of(measure) for measure in measures}, list[str]()
    if any(arm.seeds > 1 for arm in comparison.summaries):
        columns["success: deviation over seeds"] = lambda arm: (
            f"{number(arm.over_seeds.get('success'), scale=100)} ({arm.seeds})"
        )
        notes = ["Deviation over seeds: standard deviation, in points (number of seeds)."]
    records = [
        {"arm": arm.name, **{measure.name: arm.means.get(measure.name) for measure in measures}}
        for arm in comparison.summaries
    ]
    title = "The agent's queries against the evidence, and calibration"
    return _by_arm(comparison, columns, slug="retrieval", title=title, records=records, notes=notes)


def _endings(comparison: Comparison) -> Table:
    """How the runs of each arm ended, and the share of turns without reasoning; empty where it was not counted."""

    def silent(arm: Summary) -> float | None:
        turns = arm.counts["all_turns"]
        return arm.counts["silent_turns"] / turns if turns else None

    columns: dict[str, Column] = {
        "answered": lambda arm: f"{arm.counts['answered']:,}",
        "of which forced": lambda arm: f"{arm.counts['forced']:,}",
        "unanswered": lambda arm: f"{arm.counts['unanswered']:,}",
        "errors": lambda arm: f"{arm.counts['errors']:,}",
        "turns": lambda arm: f"{arm.counts['all_turns']:,}",
        "without reasoning, %": lambda arm: number(silent(arm), scale=100),
    }
    if not all(arm.counts for arm in comparison.summaries):
        columns = {}
    return _by_arm(
        comparison,
        columns,
        slug="endings",
        title="How runs ended, and turns without reasoning",
        records=[{"arm": arm.name, **arm.counts} for arm in comparison.summaries],
        notes=["Forced: answered at a limit, where the agent is told to answer now."],
    )


def _by_arm(comparison: Comparison, columns: Mapping[str, Column], **fields: Any) -> Table:
    """A row an arm; none where there are no columns."""
    arms = comparison.summaries if columns else []
    rows = [_arm_row(comparison, arm.name, [cell(arm) for cell in columns.values()]) for arm in arms]
    return Table(columns=[_arm_kind([comparison]), *columns], groups=[Group(rows)], **fields)


def _left_out(comparison: Comparison) -> list[str]:
    notes = []
    for arm in comparison.summaries:
        if arm.ungraded:
            bounds = interval(arm.success_low, arm.success_high, scale=100).replace(" to ", " and ")
            left_out = f"{arm.ungraded:,} answers were not graded and are left out"
            notes.append(f"{arm.name}: {left_out}; success lies between {bounds} %.")
        if forced := arm.counts.get("forced"):
            notes.append(f"{arm.name}: {forced:,} of {arm.counts['answered']:,} answers were forced at a limit.")
        if arm.not_run:
            notes.append(f"{arm.name}: {arm.not_run:,} tasks were not run and count as failures.")
    return notes


def _differences(comparison: Comparison) -> Table:
    groups = []
    for pairing in comparison.against_base():
        rows = [
            _difference_row(measure, paired)
            for measure in comparison.measures
            if (paired := pairing.measures.get(measure.name)) is not None
            and paired.difference.value is not None
            and not (measure.unit == "dollar" and not paired.base and not paired.arm)  # nothing was paid
        ]
        if (closed := pairing.gap_closed) is not None and closed.value is not None:
            shown = [number(closed.value, 0, scale=100, unit=" %"), closed.interval(0, scale=100)]
            rows.append(Row(["gap closed", "", "", *shown, *[""] * 5]))
        groups.append(Group(rows, title=_role(comparison, pairing.arm), arm=pairing.arm))
    notes = [
        f"Intervals: {comparison.interval}, {comparison.resamples:,} resamples. A task is won where the arm does "
        "better on it, whichever direction that is."
    ]
    if comparison.tests:
        notes += [
            f"p: exact McNemar test where every task is 0 or 1, else {comparison.permutations:,} exchanges of the arms "
            f"by task. Holm: corrected for all {comparison.tests:,} tests, of every measure of every pair of arms; a "
            "difference in bold has a corrected p below .05.",
            "Could show: the smallest true difference that these tasks show 4 times in 5, at p below .05.",
        ]
    return Table(
        slug="differences",
        title=f"Differences from {comparison.base}, paired by task; shares in points",
        columns=["measure", "base", "arm", "change", INTERVAL, "change, %", "p", "p, Holm", "could show", _COUNTS],
        groups=[group for group in groups if group.rows],
        records=[
            _difference_record(pairing, measure)
            for pairing in comparison.pairings
            for measure in comparison.measures
            if measure.name in pairing.measures
        ],
        notes=notes,
        wide_columns=(1, 2),  # the table of means has them, but for those over other tasks
    )


def _difference_row(measure: Measure, paired: Paired) -> Row:
    cells = [
        measure.title,
        _value(measure, paired.base),
        _value(measure, paired.arm),
        *_change(measure, paired),
        number(paired.relative.value, 0, scale=100, sign=True),
        p_value(paired.p),
        p_value(paired.p_holm),
        number(paired.smallest, _digits(measure, paired.base), scale=measure.scale),
        f"{paired.wins:,}/{paired.ties:,}/{paired.losses:,}",
    ]
    return Row(cells, strong=[3] if _is_significant(paired) else [])


def _other_pairs(comparison: Comparison) -> Table:
    others = [pairing for pairing in comparison.pairings if pairing.base != comparison.base]
    measures = [measure for name in _OF_OTHER_PAIRS for measure in comparison.measures if measure.name == name]
    columns, rows = ["pair"], []
    for measure in measures:
        columns += [measure.title + (", points" if measure.unit == "share" else ""), INTERVAL, "p, Holm"]
    for pairing in others:
        cells, strong = [f"{pairing.arm} against {pairing.base}"], []
        for measure in measures:
            paired = pairing.measures[measure.name]
            strong += [len(cells)] if _is_significant(paired) else []
            cells += [*_change(measure, paired), p_value(paired.p_holm)]
        success = pairing.measures["success"]
        cells.append(f"{success.wins:,}/{success.ties:,}/{success.losses:,}")
        rows.append(Row(cells, arm=pairing.arm, strong=strong))
    return Table(
        slug="other-pairs",
        title="The other pairs of retrievers",
        columns=[*columns, _COUNTS],
        groups=[Group(rows)],
        records=[_difference_record(pairing, measure) for pairing in others for measure in measures],
        wide_columns=(5, 8),
    )


def _difference_record(pairing: Pairing, measure: Measure) -> dict[str, Any]:
    paired = pairing.measures[measure.name]
    difference, relative = paired.difference, paired.relative
    record: dict[str, Any] = {"arm": pairing.arm, "base": pairing.base, "measure": measure.name, "unit": measure.unit}
    record |= {"tasks": paired.tasks, "base_mean": paired.base, "arm_mean": paired.arm}
    record |= {"difference": difference.value, "low": difference.low, "high": difference.high}
    record |= {"relative": relative.value, "relative_low": relative.low, "relative_high": relative.high}
    record |= {name: getattr(paired, name) for name in ("p", "p_holm", "test", "smallest", "wins", "ties", "losses")}
    return record | {"error_over_tasks": paired.over_tasks, "deviation_over_seeds": paired.over_seeds}


def _shown_measures(comparison: Comparison, *, retrieval: bool) -> list[Measure]:
    """The measures of an arm by itself that some arm has; a cost of 0 is not shown, an unknown one is."""
    own = [measure for measure in comparison.measures if measure.population != "both_solve"]
    return [
        measure
        for measure in own
        if (measure.name in _RETRIEVAL) == retrieval
        and {arm.means.get(measure.name) for arm in comparison.summaries} != {0 if measure.unit == "dollar" else None}
    ]


def _arm_row(comparison: Comparison, arm: str, cells: Sequence[str]) -> Row:
    return Row([_role(comparison, arm), *cells], arm=arm)


def _arm_kind(comparisons: Sequence[Comparison]) -> str:
    """What the arms are called: retrievers, agents, or recorded runs."""
    kinds = {"agents": "agent", "runs": "run"}
    return next((kinds[kind] for each in comparisons if (kind := each.setting.get("arms")) in kinds), "retriever")


def _role(comparison: Comparison, arm: str) -> str:
    """The name of an arm, with what it is in the comparison."""
    name = {comparison.base: "base", comparison.oracle: "oracle"}.get(arm)
    return arm if name in (None, arm) else f"{arm} ({name})"


def _mean_of(measure: Measure) -> Column:
    return lambda arm: _value(measure, arm.means.get(measure.name))


def _heading(measure: Measure) -> str:
    return f"{measure.title}, %" if measure.unit == "share" else measure.title


def _value(measure: Measure, value: float | None) -> str:
    if measure.unit == "dollar":
        return dollars(value)
    return number(value, _digits(measure, value), scale=measure.scale)


def _change(measure: Measure, paired: Paired) -> list[str]:
    digits = _digits(measure, paired.base)
    change = number(paired.difference.value, digits, scale=measure.scale, sign=True)
    return [change, paired.difference.interval(digits, scale=measure.scale)]


def _is_significant(paired: Paired) -> bool:
    return paired.p_holm is not None and paired.p_holm < LEVEL


def _digits(measure: Measure, size: float | None) -> int:
    return 4 if measure.unit == "dollar" else 0 if abs(size or 0.0) >= 1000 else 1
