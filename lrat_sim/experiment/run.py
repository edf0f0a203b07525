"""Runs retrievers on the same tasks, each in a folder of its own, and pairs the results by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.comparison import Comparison, compare, load, run_table, save
from lrat_sim.comparison.fairness import text_lengths
from lrat_sim.errors import InputError
from lrat_sim.experiment.allowance import Allowance, CallOptions, stopped
from lrat_sim.experiment.arms import ORACLE, check_arm, check_seeds
from lrat_sim.grading.answers import AnswerJudge, MatchJudge, match_grade
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.grading.run import grade_run
from lrat_sim.models.budget import LimitReached
from lrat_sim.progress import console
from lrat_sim.records import Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import RUN
from lrat_sim.rollout.run import rollout

COMPARISON = "comparison.json"


def graded_rollout(
    tasks: Sequence[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path,
    *,
    seed: int = 0,
    samples: int = 1,
    judge: AnswerJudge | None = None,
    allowance: Allowance | None = None,
) -> TaskTable:
    """Runs and grades what is missing in a run folder, and gives its metrics by task.

    Args:
        tasks: those asked.
        agent: who runs.
        retriever: what it searches with.
        folder: the run folder.
        seed: of the runs.
        samples: runs of each task.
        judge: of answers; by default the offline match.
        allowance: how calls are sent, and what they may cost.

    Raises:
        LimitReached: a limit of the allowance ended it; what was run is kept and graded.
        NothingCame: every run broke, or the judge failed on every answer.
    """
    allowance, judge = allowance or Allowance(CallOptions()), judge or MatchJudge()
    grade = match_grade if type(judge) is MatchJudge else None
    summary = rollout(tasks, agent, retriever, folder, seed=seed, samples=samples, grade=grade, **allowance.next())
    allowance.spend(summary.cost)
    summary.check(agent.name or agent.model)
    grade_run(folder, judge)
    if summary.stopped is not None:
        raise LimitReached(summary.stopped, stopped(summary.stopped))
    return run_table(folder, tasks, agent.limits.k, judge.name)


def compare_retrievers(
    retrievers: Mapping[str, Retriever],
    tasks: Sequence[Task],
    agent: AgentSettings,
    folder: Path | str,
    *,
    base: str,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    samples: int = 1,
    judge: AnswerJudge | None = None,
    allowance: Allowance | None = None,
    folders: Mapping[str, str] | None = None,
    setting: Mapping[str, Any] | None = None,
) -> Comparison:
    """Runs every retriever on the same tasks, each in a folder of its own, and pairs the results by task.

    Args:
        retrievers: name of the arm to retriever.
        tasks: those asked.
        agent: the same for all.
        folder: gets one run folder an arm and seed, and ``comparison.json``.
        base: the arm that the others are measured against first.
        seed: of the runs.
        seeds: several seeds, in place of the one; a task counts once, with the mean over them.
        samples: runs of each task and seed; a task counts once, with their mean.
        judge: of answers; by default the offline match.
        allowance: how calls are sent, and what all the arms may cost together.
        folders: names of run folders, of those arms whose folder is not to have the arm's name.
        setting: what else is known of what is compared (``task_set``, ``split``), for the record.

    Raises:
        InputError: the name of an arm cannot be that of its folder, or a seed is given twice.
        LimitReached: a limit of the allowance ended it before all was run.
    """
    allowance = allowance or Allowance(CallOptions())
    seeds = (seed,) if seeds is None else tuple(seeds)
    places = _places(retrievers, seeds, Path(folder), folders or {})
    if (path := Path(folder) / COMPARISON).exists():
        load(path)  # what is none of ours is refused before anything runs
    tables: dict[str, list[TaskTable]] = {name: [] for name in retrievers}
    described = {name: retriever.describe() for name, retriever in retrievers.items()}
    lengths = text_lengths(described)
    for name, retriever in retrievers.items():
        for each, place in zip(seeds, places[name], strict=True):
            of_seed = f", seed {each}" if len(seeds) > 1 else ""
            read = f", texts of {lengths[name]} tokens" if name in lengths else ""
            console.print(f"{name} on {len(tasks):,} tasks, k = {agent.limits.k}{read}{of_seed}")
            table = graded_rollout(
                tasks, agent, retriever, place, seed=each, samples=samples, judge=judge, allowance=allowance
            )
            tables[name].append(table)
    known = {"agent": agent.name or agent.model, "k": agent.limits.k, "seeds": list(seeds), "samples": samples}
    comparison = compare(
        tables,
        base,
        ORACLE if ORACLE in tables else None,
        [task.id for task in tasks],
        seed=seeds[0],
        setting={**known, "judge": (judge or MatchJudge()).name, **(setting or {})},
        runs={name: [place.name for place in of_arm] for name, of_arm in places.items()},
        retrievers=described,
    )
    save(comparison, Path(folder) / COMPARISON)
    return comparison


def seed_folder(folder: Path, name: str, seed: int, first: int) -> Path:
    """The run folder of an arm and seed: ``<name>`` for the seed that it already holds, or for the first one where it
    holds none, else ``<name>-seed-<seed>``; so further seeds go beside, and what is there is found again.

    Args:
        folder: of the comparison.
        name: of the arm.
        seed: of the runs.
        first: the first of the seeds that are asked for.
    """
    path = folder / name / RUN
    settings = catalog.read_yaml(path).get("settings") if path.exists() else None
    held = settings.get("seed") if isinstance(settings, dict) else None
    return folder / name if seed == (first if held is None else held) else folder / f"{name}-seed-{seed}"


def _places(
    retrievers: Mapping[str, Retriever], seeds: Sequence[int], folder: Path, folders: Mapping[str, str]
) -> dict[str, list[Path]]:
    """The run folders of each arm, one a seed."""
    check_seeds(seeds)
    for name in retrievers:
        check_arm(name)
    places = {
        name: [seed_folder(folder, folders.get(name, name), seed, seeds[0]) for seed in seeds] for name in retrievers
    }
    owners: dict[Path, str] = {}
    for name, of_arm in places.items():
        for place in of_arm:
            if place in owners:
                raise InputError(f"the arms {owners[place]!r} and {name!r} would share the folder {place}; rename one.")
            owners[place] = name
    return places
