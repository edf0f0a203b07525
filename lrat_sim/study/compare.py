"""Retrievers head to head, under several agents, task sets and numbers of results.

Each combination of agent, task set and k is a cell: a comparison of its own, in a folder of its own::

    OUT/study.json            the command, the settings, and the cells with their folders and answers
    OUT/<cell>/<arm>/         a run folder an arm and seed
    OUT/<cell>/comparison.json

A single cell lies in OUT itself.  Cells are found again by the fingerprints of agent and task set, so that a further
agent, task set or k only adds cells, and nothing of another setting is written over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge
from lrat_sim.retrieval.base import Retriever
from lrat_sim.study.arms import check_retrievers, open_arms
from lrat_sim.study.record import Cell, recorded_study
from lrat_sim.study.settings import CompareSettings
from lrat_sim.study.study import Condition, Study, StudyResult


def compare(
    retrievers: Mapping[str, str | Path | Retriever],
    datasets: Dataset | Mapping[str, Dataset],
    folder: Path | str,
    settings: CompareSettings | None = None,
    *,
    agents: Iterable[AgentSettings] | None = None,
    judge: AnswerJudge | None = None,
) -> StudyResult:
    """Compares retrievers under every agent on every task set; runs only what is missing.

    Args:
        retrievers: name of the arm to spec, as for :func:`lrat_sim.retrieval.open_retriever`, or to a retriever that is
            open already; the first is the base.
        datasets: a task set, or several by name.
        folder: see above; its cells name the comparisons of the result.
        settings: what to do.
        agents: who runs, in place of those that the settings name.
        judge: of answers; by default the offline match.

    Raises:
        InputError: fewer than two retrievers, a name that cannot be a folder's, the same cell twice, or a task set
            without tasks that an agent can be asked.
        LimitReached: a limit of the calls ended it before all was run; the cells that were done are kept.
    """
    settings = settings or CompareSettings()
    sets = {datasets.name: datasets} if isinstance(datasets, Dataset) else dict(datasets)
    check_retrievers(retrievers)
    profiles = [settings.load_agent(name) for name in settings.agents] if agents is None else list(agents)
    conditions = [
        Condition.of(dataset, settings.split, _at(profile, k), settings.limit, name)
        for name, dataset in sets.items()
        for profile in profiles
        for k in settings.ks or (profile.limits.k,)
    ]
    before = recorded_study(folder)
    folders = _cell_folders(conditions, before.cells if before else [])
    described = {
        name: "a retriever of the script" if isinstance(given, Retriever) else str(given)
        for name, given in retrievers.items()
    }
    study = Study("compare", folder, settings, recorded={"retrievers": described, "task_sets": [*sets]}, judge=judge)
    study.total = len(conditions) * len(retrievers) * len(settings.seeds)
    comparisons: dict[str, Comparison] = {}
    for name, dataset in sets.items():
        arms = open_arms(retrievers, dataset, settings.max_length)
        for condition, cell in zip(conditions, folders, strict=True):
            if condition.task_set == name:
                comparisons[cell] = study.evaluate(
                    arms, condition, cell, base=arms[0].name, seeds=settings.seeds, samples=settings.samples
                )
    return study.result(comparisons)


def _at(agent: AgentSettings, k: int) -> AgentSettings:
    return msgspec.structs.replace(agent, limits=msgspec.structs.replace(agent.limits, k=k))


def _cell_folders(conditions: Sequence[Condition], before: Sequence[Cell]) -> list[str]:
    """The folder of each cell, relative to the study's: the one that it has, else a new one."""
    known = {cell.identity: cell.folder for cell in before}
    folders: list[str] = []
    for condition in conditions:
        identity, name, k = condition.identity, condition.agent.name, condition.agent.limits.k
        if known.get(identity) in folders:
            raise InputError(f"{name} on {condition.task_set} with k = {k} is asked for twice; leave one out.")
        if identity not in known:
            folder = re.sub(r"[^\w.-]+", "-", f"{name}-{condition.task_set}-{condition.split}-k{k}")
            if len(conditions) == 1 and not known:
                folder = "."
            elif folder in known.values():
                folder = f"{folder}-{identity[:8]}"
            known[identity] = folder
        folders.append(known[identity])
    return folders
