"""Mining of run folders: RUN/pairs.jsonl, with the account of it in RUN/mining.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

from lrat_sim.errors import InputError
from lrat_sim.grading.answers import grade_table
from lrat_sim.grading.relevance import verdict_table
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.mining.mine import mine
from lrat_sim.mining.recipe import MiningRecipe, load_recipe
from lrat_sim.mining.report import MiningReport
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Grade, Verdict
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.store import read_records, write_records

_R = TypeVar("_R", Verdict, Grade)

__all__ = ["PAIRS", "REPORT", "load_recipe", "mine_run"]

PAIRS, REPORT = "pairs.jsonl", "mining.json"


def mine_run(
    runs: Path | Iterable[Path],
    recipe: MiningRecipe,
    folder: Path | None = None,
    *,
    judge: str | None = None,
    progress: ProgressCallback | None = None,
) -> MiningReport:
    """Mines one run folder, or several together, and writes the pairs and the report.

    Args:
        runs: the run folders; their trajectory ids differ.
        recipe: how.
        folder: where the files go; by default the first run folder.
        judge: the name of the judge whose verdicts count; by default the latest of any.
        progress: told the runs read.

    Raises:
        InputError: there are no trajectories, or the recipe needs verdicts or grades and a folder has none.
    """
    paths = [runs] if isinstance(runs, Path) else list(runs)
    if not paths:
        raise InputError("no run folder is given to mine; give at least one.")
    if recipe.positives != "browsed":
        _require(paths, VERDICTS, "verdicts", "judge its browses first (lrat-sim grade)")
    if recipe.runs != "all":
        _require(paths, GRADES, "grades", "grade its answers first (lrat-sim grade)")
    verdicts = verdict_table(_records(paths, VERDICTS, Verdict), judge)
    grades = grade_table(_records(paths, GRADES, Grade))
    trajectories = chain.from_iterable(read_trajectories(path, by_task=True) for path in paths)
    pairs, report = mine(trajectories, verdicts, recipe, grades=grades, progress=progress)
    folder = folder or paths[0]
    write_records(folder / PAIRS, pairs)
    report.save(folder / REPORT)
    return report


def _require(paths: list[Path], name: str, what: str, remedy: str) -> None:
    for path in paths:
        if not (path / name).is_file():
            raise InputError(f"{path} has no {what} ({name}); {remedy}.")


def _records(paths: list[Path], name: str, kind: type[_R]) -> Iterator[_R]:
    for path in paths:
        if (path / name).is_file():
            yield from read_records(path / name, kind)
