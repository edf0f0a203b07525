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
    call_options,
    dataset_named,
    judge_of,
    pairs_of,
    show_comparison,
    show_report,
)
from lrat_sim.progress import say

if TYPE_CHECKING:
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.study import StudyResult

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
    from lrat_sim.study import CompareSettings, named_retriever
    from lrat_sim.study import compare as run_compare

    named = dict(named_retriever(spec) for spec in retriever)
    if len(named) < 2 or len(named) < len(retriever):
        raise InputError("compare needs two retrievers or more, each under a name of its own; name them NAME=SPEC.")
    settings = CompareSettings(
        agents=tuple(agent),
        agent_options=pairs_of(agent_option),
        ks=tuple(k),
        split=split,
        limit=limit,
        seeds=tuple(seed),
        samples=samples,
        max_length=max_length,
        calls=call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache),
    )
    of_answers = judge_of(ANSWERS, judge, 1, pairs_of(judge_option))
    sets = _datasets(task_set, source, task_option, data)
    result = run_compare(named, sets, out, settings, judge=of_answers, command=_command())
    if len(result.comparisons) == 1:
        ((folder, comparison),) = result.comparisons.items()
        show_comparison(comparison, out / folder)
    else:
        show_study(result)
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

    from lrat_sim.errors import InputError
    from lrat_sim.formats.pairs import read_pairs
    from lrat_sim.study import SweepSettings
    from lrat_sim.study import sweep as run_sweep

    wanted = [size.strip().replace("_", "") for size in sizes.split(",")]
    if not all(size.isdecimal() and int(size) for size in wanted):
        raise InputError(f"--sizes is {sizes!r}; give numbers of pairs with commas between, such as 250,500,1000.")
    settings = SweepSettings(
        sizes=tuple(map(int, wanted)),
        agent=agent,
        agent_options=pairs_of(agent_option),
        k=k,
        base_model=base_model,
        training=recipe,
        training_options=pairs_of(option),
        split=split,
        limit=limit,
        seeds=tuple(seed),
        samples=samples,
        calls=call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache),
    )
    result = run_sweep(
        chain.from_iterable(map(read_pairs, pairs)),
        dataset_named(task_set, source, task_option, data),
        out,
        settings,
        judge=judge_of(ANSWERS, judge, 1, pairs_of(judge_option)),
        command=_command(),
    )
    show_study(result)
    show_report(out)


def show_study(result: StudyResult) -> None:
    """Prints the answers and the tables of a study."""
    from lrat_sim.progress import Screen
    from lrat_sim.study.tables import success_tables

    screen = Screen()
    screen.print(result.answer, style="bold")
    for table in success_tables(result):
        screen.print(table.to_terminal())
    say(f"study: {result.folder / 'study.json'}")


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


def _command() -> str:
    """The command line that is running."""
    return shlex.join(["lrat-sim", *sys.argv[1:]])
