"""Retrievers head to head, and models trained on more and more pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import fingerprint
from lrat_sim.comparison import Comparison
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge
from lrat_sim.records import Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.study.arms import (
    BASE,
    AnyRetriever,
    Arm,
    check_retrievers,
    open_arms,
    open_base,
    open_trained,
    runnable_tasks,
    with_reranker,
)
from lrat_sim.study.record import Cell, recorded_study
from lrat_sim.study.settings import CompareSettings, SweepSettings
from lrat_sim.study.study import Condition, Study, StudyResult


def compare(
    retrievers: Mapping[str, AnyRetriever],
    datasets: Dataset | Mapping[str, Dataset],
    folder: Path | str,
    settings: CompareSettings | None = None,
    *,
    agents: Iterable[AgentSettings] | None = None,
    judge: AnswerJudge | None = None,
) -> StudyResult:
    """Compares retrievers under every agent on every task set; runs only what is missing.

    Each combination of agent, task set and k is a cell: a comparison of its own, in a folder of its own::

        OUT/study.json            the command, the settings, and the cells with their folders and answers
        OUT/<cell>/<arm>/         a run folder an arm and seed
        OUT/<cell>/comparison.json

    Where there is one retriever and several agents, the agents are the arms, and a cell is a task set and k: that shows
    what an agent adds to one search, or to none.

    A single cell lies in OUT itself.  Cells are found again by the fingerprints of agent and task set, so that a
    further agent, task set or k only adds cells, and nothing of another setting is written over.

    Args:
        retrievers: name of the arm to spec, as for :func:`lrat_sim.retrieval.open_retriever`, or to a retriever that is
            open already; the first is the base.
        datasets: a task set, or several by name.
        folder: see above; its cells name the comparisons of the result.
        settings: what to do.
        agents: who runs, in place of those that the settings name.
        judge: of answers; by default the offline match.
    """
    settings = settings or CompareSettings()
    retrievers = with_reranker(retrievers, settings.reranker)
    sets = {datasets.name: datasets} if isinstance(datasets, Dataset) else dict(datasets)
    profiles = [settings.load_agent(name) for name in settings.agents] if agents is None else list(agents)
    check_retrievers(retrievers, len(retrievers), len(profiles))
    of_agents = len(retrievers) == 1
    by_k = [
        replace(profile, limits=replace(profile.limits, k=k))
        for profile in (profiles[:1] if of_agents else profiles)
        for k in settings.ks or (profile.limits.k,)
    ]
    conditions = [
        Condition(dataset, settings.split, agent, settings.limit, name)
        for name, dataset in sets.items()
        for agent in by_k
    ]
    before = recorded_study(folder)
    folders = _cell_folders(conditions, before.cells if before else [])
    described = {
        name: "a retriever of the script" if isinstance(given, Retriever) else str(given)
        for name, given in retrievers.items()
    }
    study = Study("compare", folder, settings, recorded={"retrievers": described, "task_sets": [*sets]}, judge=judge)
    study.total = len(conditions) * (len(profiles) if of_agents else len(retrievers)) * len(settings.seeds)
    comparisons: dict[str, Comparison] = {}
    for name, dataset in sets.items():
        arms = open_arms(retrievers, dataset, settings.max_length)
        for condition, cell in zip(conditions, folders, strict=True):
            if condition.task_set == name:
                own = _agent_arms(arms[0], profiles, condition) if of_agents else arms
                comparisons[cell] = study.evaluate(
                    own, condition, cell, base=own[0].name, seeds=settings.seeds, samples=settings.samples,
                    setting={"agent": None, "arms": "agents", "retriever": arms[0].name} if of_agents else {},
                )  # fmt: skip
    return study.result(comparisons)


def _agent_arms(retriever: Arm, profiles: Sequence[AgentSettings], condition: Condition) -> list[Arm]:
    """Agents as arms, all with one retriever and the condition's k, on tasks that each of them can be asked."""
    k = condition.agent.limits.k
    arms = []
    for profile in profiles:
        agent = replace(profile, limits=replace(profile.limits, k=k))
        condition.tasks = runnable_tasks(condition.tasks, agent)
        arms.append(Arm(name=(agent.name or agent.model).replace("/", "-"), retriever=retriever.retriever, agent=agent))
    return arms


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
            folder = f"{folder}-{identity[:8]}" if folder in known.values() else folder
            known[identity] = "." if len(conditions) == 1 and not known else folder
        folders.append(known[identity])
    return folders


def sweep(
    pairs: Iterable[Pair],
    dataset: Dataset,
    folder: Path | str,
    settings: SweepSettings,
    *,
    judge: AnswerJudge | None = None,
) -> StudyResult:
    """Shows how success grows with the number of pairs trained on (LRAT, Figure 8a): an encoder a size, and the base.

    The folder is that of a comparison of the arms base and <size>-pairs, with the models beside, in
    models/<size>-seed-<seed>/model.  A smaller set of pairs is a part of every larger one, and holds all the pairs of
    its tasks, so that the curve shows what further *questions* bring.

    Args:
        pairs: mined from training tasks, which are not among those asked.
        dataset: whose documents the pairs name, and whose tasks are asked.
        folder: see above.
        settings: what to do.  Each seed decides a draw of tasks, a training and the runs.
        judge: of answers; by default the offline match.
    """
    pairs, training, seeds = list(pairs), settings.recipe(), settings.seeds
    condition = Condition(dataset, settings.split, settings.own_agent(), settings.limit)
    if shared := {pair.provenance.task for pair in pairs} & {task.id for task in condition.tasks}:
        raise InputError(
            f"{len(shared)} of the tasks asked are those that pairs were mined from, such as {min(shared)!r}; "
            "choose another split."
        )
    sizes = sorted(set(settings.sizes))
    parts = {seed: dict(zip(sizes, nested_subsets(pairs, sizes, seed), strict=True)) for seed in seeds}
    made_from = {
        "agent": condition.agent.describe()["fingerprint"],
        "task set": fingerprint([dataset.card.made_from, dataset.card.corpus]),
        "split": settings.split,
        "base model": settings.base_model,
        **{f"training {field}": value for field, value in training.decisive().items()},
    }
    study = Study("sweep", folder, settings, made_from=made_from, judge=judge)
    study.total = len(seeds) * (1 + 2 * len(sizes))

    def trained(size: int, seed: int) -> Retriever:
        part, model = parts[seed][size], study.folder / "models" / f"{size}-seed-{seed}" / "model"
        what = f"on {len(part):,} pairs, seed {seed}"
        study.train(what, part, dataset, settings.base, training, model, seed=seed, arm=f"{size}-pairs")
        return open_trained(dataset, model, training.max_document_length)

    arms = [Arm(name=BASE, retriever=open_base(dataset, settings.base, training.max_document_length))]
    study.save()  # not before the base could be opened
    arms += [Arm(name=f"{size}-pairs", retriever=partial(trained, size)) for size in sizes]
    comparison = study.evaluate(arms, condition, ".", base=BASE, seeds=seeds, samples=settings.samples)
    return study.result({".": comparison})


def nested_subsets(pairs: Iterable[Pair], sizes: Sequence[int], seed: int) -> list[list[Pair]]:
    """Parts of a set of pairs, each holding the smaller ones: whole tasks, drawn at random, until a size is reached.

    Pairs whose document the agent rejected are left out, since none is trained on.  A part exceeds its size by the
    surplus of its last task, and keeps the order of ``pairs``.
    """
    kept = [pair for pair in pairs if pair.satisfied]
    wrong = [f"{size:,}" for size in sizes if not 1 <= size <= len(kept)]
    if wrong or not sizes:
        problem = f"the size {wrong[0]} cannot be had" if wrong else "there is no size"
        raise InputError(f"{problem}; give sizes from 1 to {len(kept):,}, the number of pairs.")
    count = Counter(pair.provenance.task for pair in kept)
    reached, start = 0, {}  # of each task, how many pairs come before it in the draw
    for task in sorted(count, key=lambda task: fingerprint([seed, task])):
        start[task] = reached
        reached += count[task]
    return [[pair for pair in kept if start[pair.provenance.task] < size] for size in sizes]
