"""Experiments: retrievers head to head, and success along the number of pairs trained on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lrat_sim.cli.app import LOOP, app
from lrat_sim.cli.options import (
    ANSWERS,
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
    Limit,
    MaxCost,
    MaxSeconds,
    NoCache,
    Out,
    Samples,
    Source,
    Split,
    TaskOptions,
    TaskSet,
    agent_named,
    call_options,
    check_retrievers,
    dataset_named,
    judge_of,
    pairs_of,
    show_comparison,
    show_report,
)
from lrat_sim.progress import say

if TYPE_CHECKING:
    from lrat_sim.corpus.dataset import Dataset

TaskSets = Annotated[
    list[str],
    typer.Option("--task-set", "-t", help="A task set by name, or the folder of a prepared one. Repeatable."),
]
Agents = Annotated[list[str], typer.Option("--agent", "-a", help="An agent by name or path. Repeatable.")]
Ks = Annotated[
    list[int], typer.Option("--k", "-k", min=1, help="Results per search; by default the agent's own. Repeatable.")
]
Seeds = Annotated[
    list[int], typer.Option("--seed", help="Of the runs; tasks are paired by their mean over seeds. Repeatable.")
]


@app.command(rich_help_panel=LOOP)
def compare(
    retriever: Annotated[list[str], typer.Argument(help="Two or more retrievers; the first is the base. NAME=SPEC.")],
    out: Out,
    task_set: TaskSets = ["world"],
    split: Split = "test",
    agent: Agents = ["simulated"],
    k: Ks = [],
    samples: Samples = 1,
    limit: Limit = None,
    seed: Seeds = [0],
    max_length: Annotated[
        int | None,
        typer.Option(min=4, help="Text length of every encoder in tokens; by default the trained model's."),
    ] = None,
    concurrency: Concurrency = 20,
    adaptive: Adaptive = True,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    judge: Judge = "rule",
    judge_option: JudgeOptions = [],
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Compare retrievers head to head: the same agents on the same tasks, paired by task.

    Every combination of agent, task set and k is a comparison of its own; the same command with more of them, or with
    more seeds or tasks, runs only what is missing.
    """
    from lrat_sim.errors import InputError
    from lrat_sim.experiment import named_retriever, run_experiment

    named = dict(named_retriever(spec) for spec in retriever)
    if len(named) < 2 or len(named) < len(retriever):
        raise InputError("compare needs two retrievers or more, each under a name of its own; name them NAME=SPEC.")
    check_retrievers(*named.values())
    agents = [agent_named(name, None, agent_option) for name in agent]
    calls = call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache)
    of_answers = judge_of(ANSWERS, judge, 1, pairs_of(judge_option))
    comparisons = run_experiment(
        named,
        _datasets(task_set, source, task_option, data),
        agents,
        out,
        ks=k,
        split=split,
        limit=limit,
        seeds=seed,
        samples=samples,
        max_length=max_length,
        judge=of_answers,
        calls=calls,
        command=_command(),
    )
    if len(comparisons) == 1:
        ((place, comparison),) = comparisons.items()
        show_comparison(comparison, out / place)
    else:
        from lrat_sim.experiment.table import render_cells
        from lrat_sim.progress import Screen

        Screen().print(render_cells(comparisons))
        say(f"experiment: {out / 'experiment.json'}")
    show_report(out)


@app.command(rich_help_panel=LOOP)
def sweep(
    pairs: Annotated[list[Path], typer.Argument(help="Files of pairs, or folders with pairs.jsonl.")],
    out: Out,
    sizes: Annotated[str, typer.Option(help="Numbers of pairs to train on, with commas between.")],
    task_set: TaskSet = "world",
    split: Split = "test",
    agent: Agent = "simulated",
    k: AgentK = None,
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A training recipe by name or path.")] = "train-small",
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of the recipe. Repeatable.")] = [],
    samples: Samples = 1,
    limit: Limit = None,
    seed: Annotated[
        list[int], typer.Option(help="Each draws tasks, trains and runs; tasks pair by their mean. Repeatable.")
    ] = [0],
    concurrency: Concurrency = 20,
    adaptive: Adaptive = True,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    judge: Judge = "rule",
    judge_option: JudgeOptions = [],
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Train on nested parts of a set of pairs, whole tasks at a time, and compare every size with the base."""
    from itertools import chain

    from lrat_sim import catalog
    from lrat_sim.errors import InputError
    from lrat_sim.experiment.sweep import training_size_sweep
    from lrat_sim.experiment.table import render_curve
    from lrat_sim.formats.pairs import read_pairs
    from lrat_sim.progress import Screen
    from lrat_sim.training.settings import TrainingSettings

    wanted = [size.strip().replace("_", "") for size in sizes.split(",")]
    if not all(size.isdecimal() and int(size) for size in wanted):
        raise InputError(f"--sizes is {sizes!r}; give numbers of pairs with commas between, such as 250,500,1000.")
    settings = agent_named(agent, k, agent_option)
    calls = call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache)
    found, comparison = training_size_sweep(
        chain.from_iterable(map(read_pairs, pairs)),
        [int(size) for size in wanted],
        dataset_named(task_set, source, task_option, data),
        settings,
        out,
        training=catalog.load("recipes", recipe, TrainingSettings, dict(pairs_of(option))),
        base_model=base_model,
        split=split,
        limit=limit,
        seeds=seed,
        samples=samples,
        judge=judge_of(ANSWERS, judge, 1, pairs_of(judge_option)),
        calls=calls,
        command=_command(),
    )
    rows = {point.arm: (_counts(point.pairs), _counts(point.tasks)) for point in found.points}
    title = f"{settings.name} on {comparison.setting['task_set']}, {split}, k = {settings.limits.k}"
    Screen().print(render_curve(title, ("pairs", "their\ntasks"), {"base": ("none", "-"), **rows}, comparison))
    say(f"comparison: {out / 'comparison.json'}")
    show_report(out)


def _datasets(names: list[str], source: Path | None, options: list[str], data: Path) -> dict[str, Dataset]:
    """The task sets by the last part of their name."""
    from lrat_sim.errors import InputError

    if len(names) > 1 and (source is not None or options):
        raise InputError(
            "--source and --task-option are for one task set; prepare the others first and give their folders."
        )
    datasets: dict[str, Dataset] = {}
    for name in names:
        dataset = dataset_named(name, source, options, data)
        label = dataset.name if dataset.name not in datasets else Path(name).name
        if label in datasets:
            raise InputError(f"two task sets are called {label!r}; give folders of different names.")
        datasets[label] = dataset
    return datasets


def _counts(numbers: list[int]) -> str:
    """One number, or the range of several seeds'."""
    return f"{min(numbers):,}" if min(numbers) == max(numbers) else f"{min(numbers):,}-{max(numbers):,}"


def _command() -> str:
    """The command line that is running."""
    return shlex.join(["lrat-sim", *sys.argv[1:]])
