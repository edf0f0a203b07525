"""The runs that test an agent as an instrument, and what they show.

Four kinds, all of the same agent on the same tasks: the retriever as it is; its lists in random order, to see how much
the agent attends to rank; long snippets, to see what it then still opens; and the retriever spoiled at growing rates,
to see whether the agent notices.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.behaviour.reliability import Degraded, Ordering, Shuffled, ordering
from lrat_sim.behaviour.report import Behaviour, behaviour
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.grading.run import judge_run
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.registry import check_retriever
from lrat_sim.study.arms import opened
from lrat_sim.study.settings import ProbeSettings
from lrat_sim.study.study import Condition, Study

NATURAL, SHUFFLED, LONG = "natural", "shuffled", "long-snippets"
LONG_SNIPPETS = 512


class Probe(Struct, frozen=True, kw_only=True):
    """What the runs showed: how real the agent is, and how reliable as a tester."""

    folder: Path
    behaviour: Behaviour
    order: Ordering


def probe(
    dataset: Dataset,
    folder: Path | str,
    settings: ProbeSettings | None = None,
    *,
    retriever: Retriever | None = None,
) -> Probe:
    """Runs what is missing of the four kinds of runs, and measures them.

    Args:
        dataset: whose tasks are asked.
        folder: gets a run folder a kind, and the tables and plots of :func:`lrat_sim.behaviour.behaviour`.
        settings: what to do; the defaults where None.
        retriever: the one that is altered, in place of the one that the settings name.

    Raises:
        InputError: a setting is wrong, or the folder holds something else.
        LimitReached: a limit of the calls ended it; what was run is kept; rerun to resume.
    """
    settings, folder = settings or ProbeSettings(), Path(folder)
    check_retriever(settings.retriever)
    agent = settings.load_agent(settings.agent, settings.k)
    condition = Condition.of(dataset, settings.split, agent, settings.limit)
    study = Study("probe", folder, settings)
    retriever, seed = retriever or opened(settings.retriever, dataset), settings.seed
    long = msgspec.structs.replace(agent.limits, snippet_tokens=LONG_SNIPPETS)
    kinds: dict[str, tuple[AgentSettings, Retriever]] = {
        NATURAL: (agent, retriever),
        SHUFFLED: (agent, Shuffled(retriever, seed)),
        LONG: (msgspec.structs.replace(agent, limits=long), retriever),
    }
    spoiled = {f"degraded-{rate:g}": rate for rate in sorted(set(settings.rates), reverse=True)}
    ids = dataset.corpus.ids()
    kinds |= {name: (agent, Degraded(retriever, rate, ids, seed)) for name, rate in spoiled.items()}
    study.total = len(kinds)
    for name, (profile, altered) in kinds.items():
        study.step("collect", f"{name} on {len(condition.tasks):,} tasks")
        study.run(condition.tasks, profile, altered, folder / name, seed=seed, samples=settings.samples)
        judge_run(folder / name)
    study.save()
    realism = [folder / name for name in (NATURAL, SHUFFLED, LONG)]
    return Probe(
        folder=folder,
        behaviour=behaviour(realism, targets=settings.targets, out=folder, seed=seed),
        order=ordering([folder / name for name in (*spoiled, NATURAL)], seed=seed),
    )
