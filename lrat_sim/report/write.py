"""Writes a report: the page with its sections, and beside it its plots and tables as files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, write_text
from lrat_sim.catalog import dump_yaml
from lrat_sim.colours import Looks, variables
from lrat_sim.comparison import Comparison, Pairing
from lrat_sim.comparison.answer import sentences
from lrat_sim.comparison.plot import success_plot
from lrat_sim.comparison.table import comparison_tables, results_table, task_records
from lrat_sim.errors import InputError
from lrat_sim.plots import Plot
from lrat_sim.progress import shown
from lrat_sim.report.figures import comparison_plots, k_plots, size_plot
from lrat_sim.report.rounds import round_tables, success_by_round, weight_plot
from lrat_sim.report.subject import Compared, Reported, read_subject
from lrat_sim.rollout.index import read_manifest
from lrat_sim.study.arms import TRAINED
from lrat_sim.tables import Group, Row, Table, records_csv

PAGE, FILES = "report.html", "report"
_TITLES = {"sweep": "Success by the number of pairs trained on", "flywheel": "A retriever improved in rounds"}
_NAMED = 2_000  # tasks that the page names in a list; all of them stand in the CSV
_OURS = '<meta name="generator" content="lrat-sim">'  # by which a page of ours is known, which may be replaced


def write_report(folder: Path, out: Path | None = None, *, command: str | None = None) -> Path:
    """Writes ``report.html`` and the folder ``report`` of a comparison, an experiment of several, a sweep or a
    flywheel.

    The page asks for nothing beyond itself; beside it lie every plot as SVG, and every table as CSV with all digits and
    as LaTeX.  ``out`` is ``folder`` by default, ``command`` the command line recorded there.  An InputError says that
    there is nothing to report, or that ``out`` holds a page or folder of those names that is no report.
    """
    # all of it is read and drawn before anything is written
    subject = read_subject(folder)
    parts, looks = sections(subject)
    out = ensure_folder(folder if out is None else out)
    page, files = out / PAGE, out / FILES
    ours = page.is_file() and _OURS in page.read_text(encoding="utf-8", errors="replace")[:1000]
    if not ours and (page.exists() or files.exists()):
        name = PAGE if page.exists() else FILES
        raise InputError(f"{out} holds a {name} that is no report of lrat-sim; move it away, or give another folder.")
    templates = Environment(
        loader=PackageLoader("lrat_sim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template("report.html").render(
        title=_TITLES.get(subject.kind, "Retrievers compared"),
        name=folder.resolve().name,
        sections=parts,
        command=command or subject.command,
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        version=__version__,
        files=FILES,
        named=_NAMED,
        drawn=Markup,
        looks=looks,
        light=variables(dark=False),
        dark=variables(dark=True),
    )
    write_text(page, shown(text))  # first: by it the files are known to be ours
    ensure_folder(files)
    for part in parts:
        for table in part.tables:
            write_text(files / f"{table.slug}.csv", table.to_csv())
            write_text(files / f"{table.slug}.tex", table.to_latex())
        for plot in (*part.figures, *part.plots):
            write_text(files / f"{plot.slug}.svg", plot.to_svg())
            write_text(files / f"{plot.slug}.csv", records_csv(plot.records))
        for name, records in part.records.items():
            write_text(files / f"{name}.csv", records_csv(records))
    return page


class Section(Struct, frozen=True, kw_only=True):
    """A part of the page: ``lead`` are the sentences of ``answer`` that stand on top of the page, where ``figures`` are
    too; ``records`` are numbers of no table, by the name of their CSV."""

    slug: str
    title: str
    answer: list[str] = []
    lead: list[str] = []
    figures: list[Plot] = []
    facts: list[str] = []
    tables: list[Table] = []
    plots: list[Plot] = []
    pairings: list[Pairing] = []
    folded: dict[str, str] = {}
    definitions: dict[str, str] = {}
    records: dict[str, list[dict[str, Any]]] = {}


def sections(subject: Reported) -> tuple[list[Section], Looks]:
    """All sections, and the looks of the arms that they share."""
    looks = Looks(subject.arms)
    compared = [_compared(subject, cell, looks) for cell in subject.compared]
    if len(compared) > 1:
        comparisons = [cell.comparison for cell in subject.compared]
        table, plots = results_table(comparisons), k_plots(comparisons, looks)
        compared.insert(0, Section(slug="overview", title="All comparisons", tables=[table], figures=plots))
    rounds = [_rounds(subject, looks)] if subject.kind == "flywheel" else []
    measures = {measure.title: measure.definition for cell in subject.compared for measure in cell.comparison.measures}
    definitions = Section(slug="definitions", title="What was measured", definitions=measures)
    return [*rounds, *compared, _settings(subject), definitions], looks


def _rounds(subject: Reported, looks: Looks) -> Section:
    answer, rounds = list[str](), subject.rounds
    if rounds is not None:
        made, accepted = len(rounds.rounds), sum(round_.accepted for round_ in rounds.rounds)
        counted = f"{made} of {rounds.asked}" if made != rounds.asked else str(made)
        counted += " round" if rounds.asked == 1 else " rounds"
        answer = [f"{counted}, {accepted} accepted; in use at the end: {rounds.accepted}.", *rounds.sentences()]
    figures = [success_by_round(compared, subject, looks) for compared in subject.compared]
    return Section(
        slug="rounds",
        title="Rounds",
        answer=answer,
        figures=[plot for plot in figures if plot is not None],
        tables=round_tables(rounds, subject.mined),
        plots=[plot for plot in [weight_plot(subject, looks)] if plot is not None],
    )


def _compared(subject: Reported, compared: Compared, looks: Looks) -> Section:
    comparison, prefix, answer = compared.comparison, compared.prefix, sentences(compared.comparison)
    success, plots = success_plot(comparison, f"{prefix}success", looks), comparison_plots(compared, looks)
    figures = [success]
    if prefix or subject.kind == "flywheel":  # which has a figure of its own on top
        figures, plots = [], [success, *plots]
    elif (curve := size_plot(subject.sweep, comparison, looks)) is not None:
        figures, plots = [curve], [success, *plots]
    # a flywheel is about the model that it ended with
    lead = [answer[TRAINED]] if subject.kind == "flywheel" and TRAINED in answer else list(answer.values())
    return Section(
        slug=f"{prefix}comparison",
        title=compared.title if prefix else "Comparison",
        answer=list(answer.values()),
        lead=lead,
        figures=figures,
        facts=_facts(comparison),
        tables=comparison_tables(comparison, prefix),
        plots=plots,
        pairings=comparison.against_base(),
        records={f"{prefix}tasks": task_records(comparison)},
    )


def _facts(comparison: Comparison) -> list[str]:
    """What was compared, as far as it is known."""
    setting = comparison.setting
    named = {
        "agent": "agent",
        "retriever": "retriever",
        "task_set": "task set",
        "split": "split",
        "k": "k =",
        "judge": "judge",
    }
    facts = [f"{said} {setting[key]}" for key, said in named.items() if setting.get(key) is not None]
    facts.append(f"{comparison.tasks_asked:,} tasks")
    seeds, samples = setting.get("seeds"), setting.get("samples")
    if isinstance(seeds, list):
        facts.append(f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}")
    if isinstance(samples, int) and samples > 1:
        facts.append(f"{samples} runs of each task")
    return facts


def _settings(subject: Reported) -> Section:
    rows: list[Row] = []
    records: list[dict[str, Any]] = []
    folded: dict[str, Any] = {"Settings": subject.settings}
    versions: dict[str, Any] = {}
    runs = [(arm, run) for cell in subject.compared for arm, folders in cell.runs.items() for run in folders]
    for arm, run in runs:
        manifest, name = read_manifest(run), run.relative_to(subject.folder).as_posix()
        settings, prints = manifest.get("settings", {}), manifest.get("fingerprints", {})
        agent, retriever = settings.get("agent", {}), settings.get("retriever", {})
        calls = manifest.get("calls") or [{}]
        facts = {
            "seed": settings.get("seed", ""),
            "started": calls[0].get("started", ""),
            "agent": f"{agent.get('name') or agent.get('model', '')} {prints.get('agent', '')}".strip(),
            "retriever": f"{retriever.get('kind', '')} {prints.get('retriever', '')}".strip(),
        }
        rows.append(Row([arm, name, *(str(fact) for fact in facts.values())], arm=arm))
        records.append({"arm": arm, "run": name, **facts})
        folded.setdefault(f"The agent {facts['agent']}", agent)
        folded.setdefault(f"The retriever {facts['retriever']}", retriever)
        versions = calls[-1].get("versions", versions)
    table = Table(
        slug="runs",
        title="Runs, with the fingerprints of what made them",
        columns=["arm", "run folder", "seed", "started", "agent", "retriever"],
        groups=[Group(rows)],
        records=records,
        text_columns=tuple(range(6)),
    )
    return Section(
        slug="settings",
        title="Settings",
        facts=[", ".join(f"{name} {number}" for name, number in versions.items())] if versions else [],
        tables=[table] if rows else [],
        folded={name: dump_yaml(value).strip() for name, value in folded.items() if value},
    )
