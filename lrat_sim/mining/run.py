"""Mining of run folders: RUN/pairs.jsonl, with the account of it in RUN/mining.json and RUN/mining.svg."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from lrat_sim.artifact import Store, check_records, read_json, read_records, write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import grade_table
from lrat_sim.grading.relevance import RelevanceJudge, RuleJudge
from lrat_sim.grading.run import GRADES, VERDICTS, judge_run
from lrat_sim.mining.collect import Collected
from lrat_sim.mining.finish import Finisher, Spool
from lrat_sim.mining.guards import Encoder
from lrat_sim.mining.judged import by_run
from lrat_sim.mining.mine import likeness_of
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.report import MiningReport
from lrat_sim.mining.runs import places
from lrat_sim.mining.shards import Setup, collect_all, pieces
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Pair, Verdict
from lrat_sim.rollout.index import read_manifest
from lrat_sim.text import minilm_folder

_R = TypeVar("_R", Verdict, Grade)

__all__ = ["PAIRS", "PLOT", "REPORT", "load_recipe", "mine_run"]

PAIRS, REPORT, PLOT = "pairs.jsonl", "mining.json", "mining.svg"


def mine_run(
    runs: Path | Iterable[Path],
    recipe: MiningRecipe,
    folder: Path | None = None,
    *,
    judge: str | RelevanceJudge | None = None,
    corpus: Container[str] | None = None,
    encoder: Encoder | None = None,
    processes: int = 1,
    concurrency: int = 16,
    plot: bool = False,
    progress: ProgressCallback | None = None,
) -> MiningReport:
    """Mines one run folder, or several together, and writes the pairs and the report.

    Killed at any moment and called again, it ends as if it had not been: verdicts are stored as they come, and the
    pairs of before stay until the new ones are whole.

    Args:
        runs: the run folders; their trajectory ids differ.
        recipe: how.
        folder: where the files go; by default the first run folder.
        judge: whose verdicts count: a judge's name, or a judge, which first judges what it has not; the rule judge
            does so in the same pass. By default the latest verdicts of any.
        corpus: the ids that count; by default all do. A corpus is needed for the guard ``near_positive``.
        encoder: for that guard; by default the one that the recipe names.
        processes: that read, judge by rules and mine; the result is the same.
        concurrency: of a judge that is a model, runs under way at once.
        plot: draws the report, too.
        progress: told the runs read.

    Raises:
        InputError: there are no trajectories, or the recipe needs verdicts or grades and a folder has none.
    """
    paths = [runs] if isinstance(runs, Path) else list(runs)
    if not paths:
        raise InputError("no run folder is given to mine; give at least one.")
    for path in paths:
        read_manifest(path)  # a run of a later lrat-sim is not mined
    located = places(paths)
    folder = folder or paths[0]
    check_records(folder / PAIRS, Pair)
    if (folder / REPORT).exists():
        read_json(folder / REPORT, MiningReport, "an account of a mining", "choose another folder for the pairs")
    elif plot and (folder / PLOT).exists():
        raise InputError(f"{folder} holds {PLOT} but no {REPORT}; choose another folder for the pairs.")
    if recipe.needs_grades:
        _require(paths, GRADES, "grades", "grade its answers first (lrat-sim grade)")
    if encoder is None and recipe.guards.near_positive is not None and corpus is not None:
        encoder = _encoder(recipe.guards.near_positive.encoder)
    likeness = likeness_of(recipe, encoder, corpus)
    by_rules = isinstance(judge, RuleJudge)
    if judge is not None and not isinstance(judge, str | RuleJudge):
        for path in paths:
            judge_run(path, judge, concurrency=concurrency, progress=progress)
    if recipe.needs_verdicts and not by_rules:
        _require(paths, VERDICTS, "verdicts", "judge its browses first (lrat-sim grade)")
    name = judge if judge is None or isinstance(judge, str) else judge.name
    setup = Setup(recipe=recipe, corpus=corpus, judge=name if by_rules else None)
    judged = by_run(_records(paths, VERDICTS, Verdict), name)
    work = pieces(located, judged, grade_table(_records(paths, GRADES, Grade)))
    found, rows = Collected(), Spool()
    with ExitStack() as stack:
        stores = {path: stack.enter_context(Store(path / VERDICTS, Verdict)) for path in paths} if by_rules else {}
        for path, piece in collect_all(setup, work, processes):
            if piece.verdicts:
                stores[path.parent].extend(piece.verdicts)
            rows.extend(piece.collected.rows)
            found.extend(piece.collected)
            if progress is not None:
                progress(found.runs, len(located), "runs")
    finisher = Finisher(recipe, found, rows, likeness)
    write_records(folder / PAIRS, finisher.pairs())
    # from the report's own place, so that they are found again after all was moved together
    report = finisher.report(runs=[Path(os.path.relpath(path, folder)).as_posix() for path in paths], judge=name)
    report.save(folder / REPORT)
    if plot:
        from lrat_sim.mining.plot import draw

        draw(report, folder / PLOT)
    return report


def _encoder(model: str | None) -> Encoder:
    from lrat_sim.retrieval.encoder import SentenceEncoder

    return SentenceEncoder(model or str(minilm_folder()))


def _require(paths: list[Path], name: str, what: str, remedy: str) -> None:
    for path in paths:
        if not (path / name).is_file():
            raise InputError(f"{path} has no {what} ({name}); {remedy}.")


def _records(paths: list[Path], name: str, kind: type[_R]) -> Iterator[_R]:
    for path in paths:
        if (path / name).is_file():
            yield from read_records(path / name, kind)
