"""The ablation: what each part of a recipe contributes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import LOOP, app
from lrat_sim.cli.options import (
    BROWSES,
    DATA,
    Adaptive,
    Agent,
    AgentK,
    AgentOptions,
    Cache,
    Concurrency,
    DataFolder,
    Judge,
    JudgeOptions,
    MaxCost,
    MaxSeconds,
    NoCache,
    Samples,
    Seed,
    Source,
    TaskOptions,
    call_options,
    dataset_named,
    judge_of,
    pairs_of,
    show_report,
)


@app.command(rich_help_panel=LOOP)
def ablate(
    out: Annotated[Path, typer.Argument(help="The folder of the ablation; the same command on it again goes on.")],
    task_set: Annotated[
        list[str],
        typer.Option("--task-set", "-t", help="A task set by name, or the folder of a prepared one. Repeatable."),
    ] = ["world"],
    arms: Annotated[str, typer.Option(help="Arms of the table, with commas between; by default all.")] = "",
    table: Annotated[str, typer.Option(help="A table of arms by name or path.")] = "ablate-arms",
    seeds: Annotated[str, typer.Option(help="Trainings of every arm: seeds with commas between.")] = "0",
    evaluate_split: Annotated[str, typer.Option(help="Held-out tasks: dev to choose by, test to report.")] = "test",
    agent: Agent = "simulated",
    agent_option: AgentOptions = [],
    k: AgentK = None,
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    train_tasks: Annotated[int | None, typer.Option(min=1, help="Training tasks to collect on.")] = None,
    test_tasks: Annotated[int | None, typer.Option(min=1, help="Held-out tasks to evaluate on.")] = None,
    samples: Samples = 2,
    judge: Judge = "rule",
    judge_option: JudgeOptions = [],
    seed: Seed = 0,
    concurrency: Concurrency = 20,
    adaptive: Adaptive = True,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Mine and train the same runs in several ways, and compare them all: what does each part contribute?

    Agents run once on the training tasks; each arm mines that its own way, trains, and is tried on held-out tasks. The
    same command with more arms, seeds or task sets, or another split, runs only what is missing.
    """
    from lrat_sim.cli.compare import show_study
    from lrat_sim.errors import InputError
    from lrat_sim.study import AblationSettings
    from lrat_sim.study import ablate as run_ablation
    from lrat_sim.study.arm_table import load_arms

    numbers = [number.strip() for number in seeds.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise InputError(f"--seeds is {seeds!r}; give whole numbers with commas between, such as 0,1,2.")
    settings = AblationSettings(
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        table=table,
        agent=agent,
        agent_options=pairs_of(agent_option),
        base_model=base_model,
        k=k,
        split=evaluate_split,
        seeds=tuple(map(int, numbers)),
        seed=seed,
        train_tasks=train_tasks,
        test_tasks=test_tasks,
        samples=samples,
        calls=call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache),
    )
    load_arms(settings.arms, settings.table)  # a wrong name is said before a task set is prepared
    if len(task_set) > 1 and (source is not None or task_option):
        raise InputError(
            "--source and --task-option are for one task set; prepare the others first and give their folders."
        )
    of_browses = judge_of(BROWSES, judge, 1, pairs_of(judge_option))
    datasets = {}
    for name in task_set:
        dataset = dataset_named(name, source, task_option, data)
        if dataset.name in datasets:
            raise InputError(f"two task sets are called {dataset.name!r}; give each a folder of its own for --out.")
        datasets[dataset.name] = dataset
    command = shlex.join(["lrat-sim", *sys.argv[1:]])
    result = run_ablation(datasets, out, settings, judge=of_browses, command=command)
    show_study(result)
    show_report(out)
