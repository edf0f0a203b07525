"""An experiment: retrievers compared under several agents, task sets and numbers of hits.

Each combination of agent, task set and k is a cell: a comparison of its own, in a folder of its own::

    OUT/experiment.json       the command, the settings, and the cells with their folders and answers
    OUT/<cell>/<arm>/         a run folder an arm and seed
    OUT/<cell>/comparison.json

A single cell lies in OUT itself.  Cells are found again by the fingerprints of agent and task set, so that a further
agent, task set or k only adds cells, and nothing of another setting is written over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import ensure_folder, fingerprint, read_json, write_json
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.experiment.allowance import Allowance, CallOptions
from lrat_sim.experiment.arms import alike, check_arm, check_seeds, opened, runnable
from lrat_sim.experiment.run import COMPARISON, compare_retrievers
from lrat_sim.grading.answers import AnswerJudge
from lrat_sim.progress import console
from lrat_sim.records import Task

EXPERIMENT = "experiment.json"


class Cell(Struct, frozen=True, kw_only=True):
    """One comparison of an experiment.

    ``identity`` is the fingerprint of agent (k included), task set and split; ``folder`` is relative to that of the
    experiment, ``.`` for that itself.
    """

    agent: str
    task_set: str
    split: str
    k: int
    seeds: list[int]
    tasks: int
    arms: list[str]
    base: str
    folder: str
    identity: str
    answer: str


class Experiment(Struct, frozen=True, kw_only=True):
    """``experiment.json``: all cells that the folder holds; ``command`` and ``settings`` are those of the last call."""

    schema_version: int = 1
    lrat_sim: str = __version__
    command: str | None = None
    settings: dict[str, Any]
    cells: list[Cell]


def run_experiment(
    retrievers: Mapping[str, str],
    datasets: Mapping[str, Dataset],
    agents: Sequence[AgentSettings],
    folder: Path | str,
    *,
    ks: Sequence[int] = (),
    split: str = "test",
    limit: int | None = None,
    seeds: Sequence[int] = (0,),
    samples: int = 1,
    max_length: int | None = None,
    judge: AnswerJudge | None = None,
    calls: CallOptions | None = None,
    command: str | None = None,
) -> dict[str, Comparison]:
    """Compares retrievers under every agent on every task set; runs what is missing, and goes on where it was stopped.

    Args:
        retrievers: name of the arm to spec, as for :func:`lrat_sim.retrieval.open_retriever`; the first is the base.
        datasets: name to task set.
        agents: who runs.
        folder: gets a folder a cell (see above) and ``experiment.json``.
        ks: hits a search; by default each agent's own.
        split: which tasks.
        limit: at most so many tasks of each set.
        seeds: of the runs; a task counts once, with the mean over them.
        samples: runs of each task and seed.
        max_length: tokens of a text that every encoder reads; by default see :func:`lrat_sim.experiment.alike`.
        judge: of answers; by default the offline match.
        calls: how calls are sent, and what all of them may cost together.
        command: the command line that asked for it, for the record.

    Returns:
        The comparisons of this call, by the folder of their cell.

    Raises:
        InputError: fewer than two retrievers, a name that cannot be a folder's, the same cell twice, or a task set
            without tasks that an agent can be asked.
        LimitReached: a limit of ``calls`` ended it before all was run; the cells that were done are kept.
    """
    folder, calls = Path(folder), calls or CallOptions()
    if len(retrievers) < 2:
        raise InputError(
            "a comparison needs two retrievers or more, each under a name of its own; name them NAME=SPEC."
        )
    for name in retrievers:
        check_arm(name)
    check_seeds(seeds)
    agents = [_at(agent, k) for agent in agents for k in ks or (agent.limits.k,)]
    tasks: dict[tuple[str, int], list[Task]] = {
        (name, number): runnable(dataset.tasks(split), agent, limit)
        for name, dataset in datasets.items()
        for number, agent in enumerate(agents)
    }
    before = {cell.identity: cell for cell in read_experiment(folder).cells} if (folder / EXPERIMENT).exists() else {}
    planned = _planned(datasets, agents, split, before)
    ensure_folder(folder)  # before indexes are built
    settings = {
        "retrievers": dict(retrievers),
        "agents": list(dict.fromkeys(agent.name for agent in agents)),
        "task_sets": list(datasets),
        "k": sorted({agent.limits.k for agent in agents}),
        "split": split,
        "limit": limit,
        "seeds": list(seeds),
        "samples": samples,
        "max_length": max_length,
        "calls": msgspec.to_builtins(calls),
    }
    allowance, comparisons, lengths = Allowance(calls), {}, alike(retrievers, max_length)
    for name, dataset in datasets.items():
        arms = {arm: opened(spec, dataset, **lengths[arm]) for arm, spec in retrievers.items()}
        for number, agent in enumerate(agents):
            identity, place = planned[name, number]
            if len(planned) > 1:
                console.rule(f"{agent.name} on {name}, {split}, k = {agent.limits.k}")
            comparison = compare_retrievers(
                arms,
                tasks[name, number],
                agent,
                folder / place,
                base=next(iter(retrievers)),
                seeds=seeds,
                samples=samples,
                judge=judge,
                allowance=allowance,
                setting={"task_set": name, "split": split},
            )
            comparisons[place] = comparison
            before[identity] = _cell(comparison, name, split, place, identity)
            _write(folder, Experiment(command=command, settings=settings, cells=list(before.values())))
    return comparisons


def read_experiment(folder: Path) -> Experiment:
    """What :func:`run_experiment` wrote.

    Raises:
        InputError: the file is missing or does not hold an experiment.
    """
    return read_json(folder / EXPERIMENT, Experiment, "an experiment", "give the folder of a comparison, or a new one")


def _at(agent: AgentSettings, k: int) -> AgentSettings:
    return msgspec.structs.replace(agent, limits=msgspec.structs.replace(agent.limits, k=k))


def _planned(
    datasets: Mapping[str, Dataset], agents: Sequence[AgentSettings], split: str, before: Mapping[str, Cell]
) -> dict[tuple[str, int], tuple[str, str]]:
    """Each cell's identity and folder, by the name of its task set and the number of its agent."""
    taken = {cell.folder: cell.identity for cell in before.values()}
    alone = len(datasets) * len(agents) == 1
    planned: dict[tuple[str, int], tuple[str, str]] = {}
    for name, dataset in datasets.items():
        for number, agent in enumerate(agents):
            parts = agent.describe()["fingerprint"], dataset.card.made_from, dataset.card.corpus, split
            identity = fingerprint(parts)
            if identity in {known for known, _ in planned.values()}:
                raise InputError(f"{agent.name} on {name} with k = {agent.limits.k} is asked for twice; leave one out.")
            if identity in before:
                place = before[identity].folder
            elif alone and not taken:
                place = "."
            else:
                place = re.sub(r"[^\w.-]+", "-", f"{agent.name}-{name}-{split}-k{agent.limits.k}")
                place = place if taken.get(place, identity) == identity else f"{place}-{identity[:8]}"
            taken[place] = identity
            planned[name, number] = identity, place
    return planned


def _cell(comparison: Comparison, task_set: str, split: str, place: str, identity: str) -> Cell:
    setting = comparison.setting
    return Cell(
        agent=setting["agent"],
        task_set=task_set,
        split=split,
        k=setting["k"],
        seeds=setting["seeds"],
        tasks=comparison.tasks_asked,
        arms=[summary.name for summary in comparison.summaries],
        base=comparison.base,
        folder=place,
        identity=identity,
        answer=comparison.answer,
    )


def _write(folder: Path, experiment: Experiment) -> None:
    write_json(folder / EXPERIMENT, experiment)


__all__ = ["COMPARISON", "EXPERIMENT", "Cell", "Experiment", "read_experiment", "run_experiment"]
