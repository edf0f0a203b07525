"""What a command prints of its verb's result: the result on standard output, the answer and what to do next last."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lrat_sim.progress import Screen, console, say
from lrat_sim.tables import Table, number

if TYPE_CHECKING:
    from lrat_sim.agent.check import Check
    from lrat_sim.retrieval.base import Retriever
    from lrat_sim.study import Controls, StudyResult
    from lrat_sim.verbs.results import Evaluation, Model, Pairs, Run, SearchResult

_BEGAN = time.monotonic()
# seconds after which a command says how long it took
_WORTH_A_LINE = 60.0


def printed(*parts: Any) -> None:
    """Prints tables and anything that rich can show."""
    for part in parts:
        Screen().print(part.to_terminal() if hasattr(part, "to_terminal") else part)


def ends(folder: Path | None = None) -> None:
    """The last line of a command: how long it took, if that was long, and what to look at next."""
    took = time.monotonic() - _BEGAN
    parts = [f"took {took // 60:.0f} min {took % 60:02.0f} s"] if took >= _WORTH_A_LINE else []
    parts += [f"next: lrat-sim view {folder}"] if folder is not None else []
    if parts:
        console.print("; ".join(parts), soft_wrap=True)


def dataset(made: Any) -> None:
    """Where a task set lies; preparing has described it."""
    say(f"task set: {made.folder}")


def summary(made: Any) -> None:
    """What was written for others."""
    say(made.sentence())


def indexes(opened: Mapping[str, Retriever]) -> None:
    """Each retriever and its identity."""
    for spec, retriever in opened.items():
        corpus = getattr(retriever, "corpus", None)
        documents = f"{len(corpus):,} documents, " if corpus is not None else ""
        say(f"{spec}: {documents}fingerprint {retriever.fingerprint}")


def results(hits: Sequence[SearchResult]) -> None:
    """A result list, as an agent would be shown it."""
    from lrat_sim.text import first_tokens

    if not hits:
        say("Nothing is found for this query.")
        return
    rows = [
        [str(hit.rank), number(hit.score, 4), hit.document.id, hit.document.title, first_tokens(hit.document.text, 64)]
        for hit in hits
    ]
    printed(Table.of("", ["rank", "score", "document", "title", "snippet"], rows, text_columns=(2, 3, 4)))


def run(made: Run) -> None:
    """A run's metrics, or what it would take."""
    from lrat_sim.agent.estimate import print_dry_run
    from lrat_sim.grading.run import runs_table

    if made.estimate is not None and made.agent is not None:
        print_dry_run(made.agent, made.estimate, Screen())
        return
    printed(runs_table({str(made.folder): made.metrics}))
    say(f"run: {made.folder}")
    ends(made.folder)
    if made.stopped is not None:
        raise typer.Exit(1)


def evaluation(result: Evaluation) -> None:
    """The metrics of runs, a column each; or how far judges agree with a person."""
    from lrat_sim.grading.agreement import agreement_tables
    from lrat_sim.grading.run import runs_table

    if result.agreement:
        printed(*agreement_tables(result.agreement))
        return
    for path, rows in result.sheets.items():
        say(f"{rows} items to judge: {path}; then lrat-sim grade {path.parent} --sheet {path}")
    printed(runs_table(result.metrics))


def pairs(mined: Pairs) -> None:
    """What was mined and what was left out."""
    for note in mined.notes:
        say(note)
    printed(mined.report)
    say(f"pairs: {mined.file}")
    ends()


def model(trained: Model) -> None:
    """Where the model lies, and what it forgot."""
    if os.environ.get("RANK", "0") != "0":  # one process of a distributed training speaks for all
        return
    say(f"model: {trained.folder}")
    if trained.guard is not None:
        before, after = trained.guard
        say(f"nDCG@10 on the guard: {before:.4f} before, {after:.4f} after ({after - before:+.4f})")
    ends()


def study(result: StudyResult, full: bool = False) -> None:
    """The comparisons of a study in short or in full, the rounds of a flywheel, and the answer last."""
    from lrat_sim.comparison.table import render, writers_table
    from lrat_sim.study import FlywheelResult

    if full:
        printed(*map(render, result.comparisons.values()))
    if not full or len(result.comparisons) > 1:
        printed(result.table())
    if not full:
        printed(*(table for table in map(writers_table, result.comparisons.values()) if table.rows))
    if isinstance(result, FlywheelResult):
        if len(result.rounds.rounds) > 1 or full:
            printed(result.rounds.table())
        say(f"model: {result.model}")
        if result.retriever != str(result.model):
            say(f"retriever: {result.retriever}")
    say(f"study: {result.folder}")
    for cell in result.comparisons if result.record.kind == "ablate" else (".",):
        say(f"report: {result.folder / cell / 'report.html'}")
    printed(result.answer)
    ends(result.folder)


def controls(result: Controls) -> None:
    """What held; exit code 1 where something did not."""
    printed(result.table(), result.answer)
    ends(result.folder)
    if not result.held:
        raise typer.Exit(1)


def behaviour(result: tuple[Any, Any]) -> None:
    """What agents did, beside the targets."""
    printed(*(part for part in result if part is not None))
    ends()


def parts(made: Mapping[str, Run]) -> None:
    """The parts of a split."""
    for part in made.values():
        say(f"{part.folder}: {sum(1 for _ in part.trajectories()):,} trajectories")


def checks(tried: Sequence[Check]) -> None:
    """What was tried of an endpoint; exit code 1 where something failed."""
    rows = [[check.what, check.state, check.detail] for check in tried]
    printed(Table.of("", ["what", "state", "detail"], rows, text_columns=(0, 1, 2)))
    if any(check.state == "fail" for check in tried):
        raise typer.Exit(1)
