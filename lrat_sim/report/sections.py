"""The sections of a report, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from msgspec import Struct

from lrat_sim.comparison import Comparison, Pairing
from lrat_sim.comparison.answer import answer_sentence
from lrat_sim.report.colours import Looks
from lrat_sim.report.comparison_plots import comparison_plots
from lrat_sim.report.comparison_tables import comparison_tables, task_records
from lrat_sim.report.curves import k_plots, overview, size_plot
from lrat_sim.report.figure import Plot
from lrat_sim.report.round_plots import round_plots
from lrat_sim.report.round_tables import round_tables
from lrat_sim.report.subject import Compared, Subject
from lrat_sim.report.table import Column, Group, Row, Table
from lrat_sim.rollout.index import read_manifest
from lrat_sim.study.arms import TRAINED

_NAMED = 2_000
"""Tasks that the page names a list; all of them stand in the CSV."""


class TaskList(Struct, frozen=True, kw_only=True):
    """The tasks that one arm won or lost against another, by name, and how many more there are."""

    title: str
    won: list[str]
    lost: list[str]
    more: int


class Section(Struct, frozen=True, kw_only=True):
    """A part of the page.

    ``answer`` are its sentences, ``lead`` those of them that stand on top of the page; ``records`` are numbers of no
    table, by the name of their CSV.
    """

    slug: str
    title: str
    answer: list[str] = []
    lead: list[str] = []
    facts: list[str] = []
    tables: list[Table] = []
    plots: list[Plot] = []
    tasks: list[TaskList] = []
    folded: dict[str, str] = {}
    definitions: dict[str, str] = {}
    records: dict[str, list[dict[str, Any]]] = {}


def sections(subject: Subject) -> tuple[list[Section], Looks]:
    """All sections, and the looks of the arms that they share."""
    looks = Looks(subject.arms)
    found = [_rounds(subject, looks)] if subject.kind == "flywheel" else []
    found += [_overview(subject, looks)] if len(subject.compared) > 1 else []
    found += [_compared(subject, cell, looks) for cell in subject.compared]
    return [*found, _settings(subject), _definitions(subject)], looks


def _rounds(subject: Subject, looks: Looks) -> Section:
    return Section(
        slug="rounds",
        title="Rounds",
        answer=(answer := _rounds_answer(subject)),
        lead=answer,
        tables=round_tables(subject.rounds, subject.mined),
        plots=round_plots(subject.compared, subject.rounds, subject.mined, looks),
    )


def _rounds_answer(subject: Subject) -> list[str]:
    rounds = subject.rounds
    if rounds is None:
        return []
    accepted = sum(each.accepted for each in rounds.rounds)
    made = f"{len(rounds.rounds)} of {rounds.asked}" if len(rounds.rounds) != rounds.asked else str(rounds.asked)
    return [f"{made} round{'s' * (rounds.asked != 1)}, {accepted} accepted; in use at the end: {rounds.accepted}."]


def _overview(subject: Subject, looks: Looks) -> Section:
    return Section(
        slug="overview",
        title="All comparisons",
        tables=[overview(subject.compared)],
        plots=k_plots(subject.compared, looks),
    )


def _compared(subject: Subject, cell: Compared, looks: Looks) -> Section:
    found, prefix = cell.comparison, f"{cell.slug}-" if cell.slug else ""
    plots, answer, wheel = comparison_plots(cell, looks), _answer(found), subject.kind == "flywheel"
    if subject.sweep is not None and (curve := size_plot(subject.sweep, found, looks)) is not None:
        plots.insert(0, curve)
    return Section(
        slug=f"{prefix}comparison",
        title=cell.title or "Comparison",
        answer=[sentence for _, sentence in answer],
        lead=[sentence for arm, sentence in answer if not wheel or arm == TRAINED or TRAINED not in dict(answer)],
        facts=_facts(cell),
        tables=comparison_tables(found, prefix),
        plots=plots,
        tasks=[_task_list(each) for each in found.pairings if each.base == found.base],
        records={f"{prefix}tasks": task_records(found)},
    )


def _answer(found: Comparison) -> list[tuple[str, str]]:
    """The sentences of the answer by their arm, as they were recorded."""
    made = [
        (each.arm, answer_sentence(each.arm, found.base, each.measures))
        for each in found.pairings
        if each.base == found.base and each.arm != found.oracle
    ]
    if found.answer and " ".join(sentence for _, sentence in made) != found.answer:
        return [("", found.answer)]
    return made or [("", "There are no two retrievers to compare.")]


def _facts(cell: Compared) -> list[str]:
    """What was compared, as far as it is known."""
    setting, found = cell.comparison.setting, cell.comparison
    named = {"agent": "agent", "task_set": "task set", "split": "split", "k": "k =", "judge": "judge"}
    facts = [f"{said} {setting[key]}" for key, said in named.items() if setting.get(key) is not None]
    facts.append(f"{found.tasks_asked:,} tasks")
    seeds, samples = setting.get("seeds"), setting.get("samples")
    if isinstance(seeds, list):
        facts.append(f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    if isinstance(samples, int) and samples > 1:
        facts.append(f"{samples} runs of each task")
    return facts


def _task_list(pairing: Pairing) -> TaskList:
    won, lost = pairing.won[:_NAMED], pairing.lost[:_NAMED]
    return TaskList(
        title=f"{pairing.arm} against {pairing.base}: won {len(pairing.won):,}, lost {len(pairing.lost):,}",
        won=won,
        lost=lost,
        more=len(pairing.won) + len(pairing.lost) - len(won) - len(lost),
    )


def _settings(subject: Subject) -> Section:
    rows: list[Row] = []
    records: list[dict[str, Any]] = []
    folded: dict[str, str] = {"Settings": _yaml(subject.settings)} if subject.settings else {}
    versions: dict[str, Any] = {}
    for cell in subject.compared:
        for arm, runs in cell.runs.items():
            for run in runs:
                manifest = read_manifest(run)
                record = {"arm": arm, "run": run.relative_to(subject.folder).as_posix(), **_run_facts(manifest)}
                records.append(record)
                names = ("run", "seed", "started", "agent", "retriever")
                rows.append(Row(cells=[arm, *(str(record[name]) for name in names)], arm=arm))
                settings = manifest.get("settings", {})
                folded.setdefault(f"The agent {record['agent']}", _yaml(settings.get("agent", {})))
                folded.setdefault(f"The retriever {record['retriever']}", _yaml(settings.get("retriever", {})))
                versions = _last_call(manifest).get("versions", versions)
    heads = ("run folder", "seed", "first begun", "agent", "retriever")
    runs_table = Table(
        slug="runs",
        caption="Runs, with the fingerprints of what made them",
        columns=[Column("arm", number=False), *(Column(head, number=False) for head in heads)],
        groups=[Group(rows=rows)],
        records=records,
    )
    facts = [", ".join(f"{name} {number}" for name, number in versions.items())] if versions else []
    return Section(
        slug="settings",
        title="Settings",
        facts=facts,
        tables=[] if runs_table.empty else [runs_table],
        folded={name: text for name, text in folded.items() if text},
    )


def _run_facts(manifest: dict[str, Any]) -> dict[str, Any]:
    settings, prints = manifest.get("settings", {}), manifest.get("fingerprints", {})
    agent, retriever = settings.get("agent", {}), settings.get("retriever", {})
    calls = manifest.get("calls") or [{}]
    return {
        "seed": settings.get("seed", ""),
        "started": calls[0].get("started", ""),
        "agent": f"{agent.get('name') or agent.get('model', '')} {prints.get('agent', '')}".strip(),
        "retriever": f"{retriever.get('kind', '')} {prints.get('retriever', '')}".strip(),
    }


def _last_call(manifest: dict[str, Any]) -> dict[str, Any]:
    calls: Sequence[dict[str, Any]] = manifest.get("calls") or [{}]
    return calls[-1]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).strip() if value else ""


def _definitions(subject: Subject) -> Section:
    measures = {each.title: each.definition for cell in subject.compared for each in cell.comparison.measures}
    return Section(slug="definitions", title="What was measured", definitions=measures)
