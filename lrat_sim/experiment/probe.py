"""The runs by which an agent is tested as an instrument, and what they show.

Four kinds, all of the same agent on the same tasks: the retriever as it is; its lists in random order, for how the
agent attends to rank; long snippets, for what it then still opens; and the retriever spoiled at growing rates, for
whether the agent notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.behaviour.altered import Degraded, Shuffled
from lrat_sim.behaviour.reliability import Ordering, ordering
from lrat_sim.behaviour.report import Behaviour, behaviour
from lrat_sim.behaviour.targets import TARGETS, Targets
from lrat_sim.errors import InputError
from lrat_sim.experiment.allowance import Allowance
from lrat_sim.experiment.run import graded_rollout
from lrat_sim.grading.run import judge_run
from lrat_sim.records import Task
from lrat_sim.retrieval.base import Retriever

NATURAL, SHUFFLED, LONG = "natural", "shuffled", "long-snippets"
LONG_SNIPPETS = 512
RATES = (0.25, 0.5, 0.75)


class Probe(Struct, frozen=True, kw_only=True):
    """What the runs showed: how real the agent is, and how reliable as a tester."""

    behaviour: Behaviour
    order: Ordering


def probe(
    tasks: Sequence[Task],
    agent: AgentSettings,
    retriever: Retriever,
    corpus: Sequence[str],
    folder: Path,
    *,
    rates: Sequence[float] = RATES,
    targets: Targets | str | None = TARGETS,
    seed: int = 0,
    allowance: Allowance | None = None,
) -> Probe:
    """Runs what is missing of the four kinds of runs, and measures them.

    Args:
        tasks: those asked.
        agent: who is tested.
        retriever: the one that is altered.
        corpus: the ids of its documents.
        folder: gets a run folder a kind, and the tables and plots of :func:`lrat_sim.behaviour.behaviour`.
        rates: of degradation, each above 0.
        targets: what the agent's behaviour is held against.
        seed: of the runs and of what is altered.
        allowance: how calls are sent, and what the runs of all kinds together may cost.

    Raises:
        InputError: no rate, or one that is no probability above 0.
        LimitReached: a limit of the allowance ended it; what was run is kept, and the same call goes on from there.
    """
    if not rates or not all(0.0 < rate <= 1.0 for rate in rates):
        raise InputError("the rates of degradation must be one or more numbers above 0, up to 1; correct them.")
    long = msgspec.structs.replace(agent.limits, snippet_tokens=LONG_SNIPPETS)
    arms: dict[str, tuple[AgentSettings, Retriever]] = {
        NATURAL: (agent, retriever),
        SHUFFLED: (agent, Shuffled(retriever, seed)),
        LONG: (msgspec.structs.replace(agent, limits=long), retriever),
    }
    spoiled = {f"degraded-{rate:g}": rate for rate in sorted(set(rates), reverse=True)}
    arms |= {name: (agent, Degraded(retriever, rate, corpus, seed)) for name, rate in spoiled.items()}
    for name, (settings, altered) in arms.items():
        graded_rollout(tasks, settings, altered, folder / name, seed=seed, allowance=allowance)
        judge_run(folder / name)
    realism = [folder / name for name in (NATURAL, SHUFFLED, LONG)]
    return Probe(
        behaviour=behaviour(realism, targets=targets, out=folder, seed=seed),
        order=ordering([folder / name for name in (*spoiled, NATURAL)], seed=seed),
    )
