"""What agents do, and whether they can be trusted as testers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import LOOP, app
from lrat_sim.cli.options import (
    DATA,
    Adaptive,
    Agent,
    AgentK,
    AgentOptions,
    Cache,
    Concurrency,
    DataFolder,
    Limit,
    MaxCost,
    MaxSeconds,
    NoCache,
    Out,
    Seed,
    Source,
    Split,
    TaskOptions,
    TaskSet,
    call_options,
    dataset_named,
    pairs_of,
)
from lrat_sim.progress import say


class Grouping(StrEnum):
    """What makes a group of runs."""

    RUN = "run"
    AGENT = "agent"
    RETRIEVER = "retriever"


NOTHING = "none"
TargetsName = Annotated[str, typer.Option(help="Targets by name or path; 'none' is nothing.")]


@app.command(rich_help_panel=LOOP)
def behaviour(
    run: Annotated[list[Path], typer.Argument(help="Run folders, or trajectories of any format that can be read.")],
    targets: TargetsName = "behaviour-tongyi",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder for tables (CSV) and plots.")] = None,
    by: Annotated[Grouping, typer.Option(help="What makes a group.")] = Grouping.RUN,
    order: Annotated[
        bool, typer.Option("--order", help="RUNs go from the worst retriever to the best: does the agent say so, too?")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Show how agents behaved: steps, transitions, ranks, reasoning, and how far that is from a real agent."""
    from lrat_sim.behaviour import behaviour as measure
    from lrat_sim.behaviour.reliability import ordering
    from lrat_sim.behaviour.tables import render
    from lrat_sim.errors import InputError
    from lrat_sim.progress import Screen, bar

    if order and by is not Grouping.RUN:
        raise InputError("--order compares runs, so --by must be run; leave one of the two out.")
    console = Screen()
    with bar("read") as progress:
        found = measure(
            run,
            targets=None if targets == NOTHING else targets,
            by=by.value,
            out=out,
            seed=seed,
            progress=progress,
        )
    console.print(render(found))
    if order:
        console.print(ordering(run, seed=seed))
    if out is not None:
        say(f"tables and plots: {out}")


@app.command(rich_help_panel=LOOP)
def probe(
    out: Out = Path("runs/probe"),
    agent: Agent = "simulated-paper",
    retriever: Annotated[str, typer.Option("--retriever", "-r", help="What is shuffled and spoiled.")] = "dense",
    rate: Annotated[list[float], typer.Option(help="Share of hits that are spoiled. Repeatable.")] = [0.25, 0.5, 0.75],
    targets: TargetsName = "behaviour-tongyi",
    task_set: TaskSet = "world",
    split: Split = "test",
    k: AgentK = None,
    limit: Limit = None,
    seed: Seed = 0,
    concurrency: Concurrency = 20,
    adaptive: Adaptive = True,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Test an agent as an instrument: how real it is, and whether it notices a spoiled retriever."""
    from lrat_sim.behaviour.tables import render
    from lrat_sim.progress import Screen
    from lrat_sim.study import ProbeSettings
    from lrat_sim.study import probe as test

    settings = ProbeSettings(
        agent=agent,
        agent_options=pairs_of(agent_option),
        k=k,
        retriever=retriever,
        rates=tuple(rate),
        targets=None if targets == NOTHING else targets,
        split=split,
        limit=limit,
        seed=seed,
        calls=call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache),
    )
    found = test(dataset_named(task_set, source, task_option, data), out, settings)
    console = Screen()
    console.print(render(found.behaviour))
    console.print(found.order)
    say(f"runs, tables and plots: {out}")
