"""Mining of run folders: RUN/pairs.jsonl, with the account of it in RUN/mining.json and RUN/mining.svg.

Runs are read in pieces, here or in several processes.  Where the rules judge, they do so in the same pass, and their
verdicts are stored as they come.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from lrat_sim.artifact import Store, check_records, read_json, read_records, write_json, write_records
from lrat_sim.cluster import current
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import grade_table
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge
from lrat_sim.grading.run import GRADES, VERDICTS, judge_run
from lrat_sim.mining.pairs import BrowseVerdict, PairAssembler, RunVerdicts, label
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.report import MiningReport, draw
from lrat_sim.mining.rules import Counts
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, GradeState, Pair, Verdict
from lrat_sim.rollout.index import TRAJECTORIES, asked_tasks, offsets_by_task, read_at, read_manifest
from lrat_sim.text import minilm_folder
from lrat_sim.work import map_in_processes

if TYPE_CHECKING:
    from lrat_sim.retrieval.vectors import Encoder

_R = TypeVar("_R", Verdict, Grade)

__all__ = ["PAIRS", "PLOT", "REPORT", "load_recipe", "mine_run"]

PAIRS, REPORT, PLOT = "pairs.jsonl", "mining.json", "mining.svg"

_RUNS = 64
"""Runs in a piece: enough that handing it over costs nothing, few enough that a kill loses little."""


def mine_run(
    runs: Path | Iterable[Path],
    recipe: MiningRecipe,
    folder: Path | None = None,
    *,
    judge: str | RelevanceJudge | None = None,
    corpus: Corpus | None = None,
    encoder: Encoder | None = None,
    processes: int = 1,
    concurrency: int = 16,
    plot: bool = False,
    progress: ProgressCallback | None = None,
) -> MiningReport:
    """Mines one run folder, or several together, and writes the pairs and the report.

    If interrupted, call it again; the result is identical.  Verdicts are stored as they come, and the pairs of an
    earlier mining stay until the new ones are whole.

    Args:
        runs: the run folders; their trajectory ids differ.
        recipe: how.
        folder: where the files go; by default the first run folder.
        judge: whose verdicts count: a judge's name, or a judge, which first judges what it has not; the rule judge
            does so in the same pass. By default the latest verdicts of any.
        corpus: the documents that count; by default all do. Needed for the guard ``near_positive``, and where the
            query text names documents.
        encoder: for that guard; by default the one that the recipe names.
        processes: that read, judge by rules and mine; the result is the same. A script that asks for more than 1 needs
            the usual ``if __name__ == "__main__"``.
        concurrency: of a judge that is a model, runs under way at once.
        plot: draws the report, too.
        progress: told the runs read.

    Raises:
        InputError: there are no trajectories, the recipe needs verdicts or grades and a folder has none, or
            ``processes`` is below 1.
    """
    paths = [runs] if isinstance(runs, Path) else list(runs)
    if not paths:
        raise InputError("no run folder is given to mine; give at least one.")
    if processes < 1:
        raise InputError(f"processes is {processes}; give 1 or more.")
    for path in paths:
        read_manifest(path)  # a run of a later lrat-sim is not mined
    located = _locate(paths)
    folder = folder or paths[0]
    check_records(folder / PAIRS, Pair)
    if (folder / REPORT).exists():
        read_json(folder / REPORT, MiningReport, "an account of a mining", "choose another folder for the pairs")
    elif plot and (folder / PLOT).exists():
        raise InputError(f"{folder} holds {PLOT} but no {REPORT}; choose another folder for the pairs.")
    if recipe.needs_grades:
        _require(paths, GRADES, "grades", "grade its answers first (lrat-sim grade)")
    answers = {path: _answers(path) if recipe.needs_answers else {} for path in paths}
    if recipe.needs_titles and corpus is None:
        raise InputError(
            f"the query text {recipe.query_text!r} names documents, whose titles are not in the runs; give the corpus."
        )
    near = recipe.guards.near_positive
    if near is not None and encoder is None and corpus is not None:
        from lrat_sim.retrieval.encoder import SentenceEncoder

        encoder = SentenceEncoder(near.encoder or str(minilm_folder()))
    assembler = PairAssembler(recipe, corpus=corpus, encoder=encoder)
    by_rules = isinstance(judge, RuleJudge)
    if judge is not None and not isinstance(judge, str | RuleJudge):
        for path in paths:
            judge_run(path, judge, concurrency=concurrency, progress=progress)
    if recipe.needs_verdicts and not by_rules:
        _require(paths, VERDICTS, "verdicts", "judge its browses first (lrat-sim grade)")
    name = judge if judge is None or isinstance(judge, str) else judge.name
    verdicts = _verdicts_by_run(_records(paths, VERDICTS, Verdict), name)
    grades = grade_table(_records(paths, GRADES, Grade))
    pieces = (
        _Piece(
            path=path,
            offsets=[offset for _, offset in records[start : start + _RUNS]],
            verdicts={run: verdicts[run] for run, _ in records[start : start + _RUNS] if run in verdicts},
            grades={run: grades[run] for run, _ in records[start : start + _RUNS] if run in grades},
            answers=answers[path],
            recipe=recipe,
            corpus=None if corpus is None else corpus.folder,
            rules=judge if isinstance(judge, RuleJudge) else None,
        )
        for path, records in located.items()
        for start in range(0, len(records), _RUNS)
    )
    with ExitStack() as stack:
        stores = {path: stack.enter_context(Store(path / VERDICTS, Verdict)) for path in paths} if by_rules else {}
        for piece, labelled in _label_all(pieces, corpus, processes):
            if labelled.verdicts:
                stores[piece.path].extend(labelled.verdicts)
            assembler.add(labelled.rows, labelled.counts)
            if progress is not None:
                progress(assembler.counts["runs", "read"], sum(map(len, located.values())), "runs")
    write_records(folder / PAIRS, assembler.pairs())
    # from the report's own place, so that they are found again after all was moved together
    report = assembler.report(runs=[Path(os.path.relpath(path, folder)).as_posix() for path in paths], judge=name)
    write_json(folder / REPORT, report)
    if plot:
        draw(report, folder / PLOT)
    return report


def _locate(folders: Iterable[Path]) -> dict[Path, list[tuple[str, int]]]:
    """The trajectories of each folder and where their records start, in an order that depends on the runs alone."""
    located: dict[Path, list[tuple[str, int]]] = {}
    home: dict[str, Path] = {}
    for folder in folders:
        _require([folder], TRAJECTORIES, "trajectories", "give a run folder that a rollout made")
        located[folder] = offsets_by_task(folder / TRAJECTORIES)
        for name, _ in located[folder]:
            if name in home:
                raise InputError(
                    f"{home[name]} and {folder} both hold the trajectory {name!r}; "
                    "give each run once, or merge them first."
                )
            home[name] = folder
    return located


def _require(paths: list[Path], name: str, what: str, remedy: str) -> None:
    for path in paths:
        if not (path / name).is_file():
            raise InputError(f"{path} has no {what} ({name}); {remedy}.")


def _answers(folder: Path) -> dict[str, list[str]]:
    """The accepted answers of a run's tasks.

    Raises:
        InputError: none of them has any.
    """
    answers = {task.id: task.answers for task in asked_tasks(folder) if task.answers}
    if not answers:
        raise InputError(
            f"the recipe reads the accepted answers, and no task of {folder} has any; take another recipe, such as "
            "mine-recommended."
        )
    return answers


def _records(paths: list[Path], name: str, kind: type[_R]) -> Iterator[_R]:
    for path in paths:
        if (path / name).is_file():
            yield from read_records(path / name, kind)


def _verdicts_by_run(verdicts: Iterable[Verdict], judge: str | None) -> dict[str, RunVerdicts]:
    """The latest verdict on each browse, of one judge or of any, by run."""
    by_run: dict[str, RunVerdicts] = {}
    for verdict in verdicts:
        if judge is None or verdict.judge == judge:
            readable = [vote for vote in verdict.votes if vote != "unjudged"]
            share = readable.count("relevant") / len(readable) if readable else 1.0
            of_run = by_run.setdefault(verdict.trajectory_id, {})
            of_run[verdict.turn, verdict.call] = _browse_verdict(verdict.state, share)
    return by_run


# few differ, and the table of verdicts holds one for every browse
_browse_verdict = lru_cache(maxsize=1 << 10)(BrowseVerdict)


class _Piece(Struct, frozen=True, kw_only=True):
    """Some runs of one folder with all that is needed to label them, in any process."""

    path: Path
    offsets: list[int]  # the bytes at which their records start
    verdicts: dict[str, RunVerdicts]
    grades: dict[str, GradeState]
    answers: dict[str, list[str]]  # the accepted ones of its folder's tasks, where the recipe reads them
    recipe: MiningRecipe
    corpus: Path | None  # its folder, since it is mapped, not copied
    rules: RuleJudge | None  # judges what has no verdict


class _Labelled(Struct, frozen=True):
    """What a piece gave, and the verdicts that were made for it."""

    rows: list[bytes]
    counts: Counts
    verdicts: list[Verdict]


def _label_all(pieces: Iterable[_Piece], corpus: Corpus | None, processes: int) -> Iterator[tuple[_Piece, _Labelled]]:
    """What each piece gives, in order."""
    if (cluster := current()) is not None:
        with cluster.workers(lambda: _label) as workers:
            yield from workers.map(pieces)
        return
    if processes == 1:
        yield from ((piece, _label(piece, corpus)) for piece in pieces)
    else:
        yield from map_in_processes(_label, pieces, processes)


_opened = lru_cache(maxsize=1)(Corpus.open)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Spares the garbage collector's passes over objects that are many and can form no cycle, as what JSON gives."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_collector_paused()
def _label(piece: _Piece, corpus: Corpus | None = None) -> _Labelled:
    labelled = _Labelled([], Counts(), [])
    if corpus is None and piece.corpus is not None:  # in a process of the pool
        corpus = _opened(piece.corpus)
    runs = list(read_at(piece.path / TRAJECTORIES, piece.offsets))
    if piece.rules is not None:
        for run in runs:
            if run.status != "error":
                known = piece.verdicts.setdefault(run.id, {})
                new = piece.rules.judge(run, known)
                known |= {(verdict.turn, verdict.call): _browse_verdict(verdict.state, 1.0) for verdict in new}
                labelled.verdicts.extend(new)
    for run in runs:
        verdicts, grade = piece.verdicts.get(run.id, {}), piece.grades.get(run.id)
        rows, counts = label(run, verdicts, grade, piece.recipe, corpus, piece.answers.get(run.task_id, []))
        labelled.rows.extend(rows)
        labelled.counts.update(counts)
    return labelled
