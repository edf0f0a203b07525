"""The loop as commands: the flywheel, its demo, its controls."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lrat_sim.cli.app import LOOP, app
from lrat_sim.cli.options import (
    BROWSES,
    DATA,
    RECIPE_HELP,
    Adaptive,
    Agent,
    AgentK,
    AgentOptions,
    Cache,
    Concurrency,
    DataFolder,
    Judge,
    JudgeOptions,
    K,
    MaxCost,
    MaxSeconds,
    NoCache,
    Out,
    Samples,
    Seed,
    Source,
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
    from lrat_sim.study import FlywheelResult


@app.command(rich_help_panel=LOOP)
def flywheel(
    out: Out,
    task_set: TaskSet = "world",
    rounds: Annotated[int, typer.Option(min=1, help="How often to collect, mine and train.")] = 1,
    agent: Agent = "simulated",
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    k: AgentK = None,
    evaluate_k: Annotated[list[int], typer.Option(min=1, help="Results per search while evaluating. Repeatable.")] = [],
    evaluate_split: Annotated[list[str], typer.Option(help="Splits to evaluate on. Repeatable.")] = ["test"],
    baseline: Annotated[list[str], typer.Option(help="Retrievers to evaluate beside. Repeatable.")] = [
        "bm25",
        "oracle",
    ],
    mining: Annotated[str, typer.Option(help=RECIPE_HELP)] = "mine-recommended",
    mining_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of it. Repeatable.")] = [],
    training: Annotated[str, typer.Option(help="A training recipe by name or path.")] = "train-small",
    training_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of it. Repeatable.")] = [],
    collect_with: Annotated[
        list[str],
        typer.Option(metavar="SPEC=SHARE", help="Another retriever to collect a share of the tasks with. Repeatable."),
    ] = [],
    train_from: Annotated[
        Literal["base", "last"],
        typer.Option(help="Train from the base model on all rounds' pairs, or go on from the last accepted one."),
    ] = "base",
    replay: Annotated[float, typer.Option(help="Going on from the last: the share of earlier pairs seen again.")] = 0.3,
    gate: Annotated[
        Literal["none", "mean", "clear"] | None,
        typer.Option(help="When a round's model is accepted; by default 'mean' where there are several rounds."),
    ] = None,
    gate_split: Annotated[str, typer.Option(help="The held-out tasks of the gate alone.")] = "dev",
    gate_tasks: Annotated[int | None, typer.Option(min=1, help="How many of them.")] = None,
    patience: Annotated[int, typer.Option(min=0, help="Stop after so many refused models in a row; 0 is never.")] = 2,
    guard: Annotated[
        Path | None, typer.Option(help="A BEIR folder on which every round's model is measured, to see forgetting.")
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
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Improve a retriever in rounds: collect, mine, train, index, and measure on held-out tasks."""
    from lrat_sim.study import FlywheelSettings
    from lrat_sim.study import flywheel as run_flywheel

    settings = FlywheelSettings(
        rounds=rounds,
        agent=agent,
        agent_options=pairs_of(agent_option),
        base_model=base_model,
        k=k,
        collect_with=_shares(collect_with),
        evaluate_ks=tuple(evaluate_k),
        baselines=tuple(baseline),
        splits=tuple(evaluate_split),
        mining=mining,
        mining_options=pairs_of(mining_option),
        training=training,
        training_options=pairs_of(training_option),
        train_from=train_from,
        replay=replay,
        gate=gate,
        gate_split=gate_split,
        gate_tasks=gate_tasks,
        patience=patience,
        guard=None if guard is None else str(guard),
        train_tasks=train_tasks,
        test_tasks=test_tasks,
        samples=samples,
        seed=seed,
        calls=call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache),
    )
    of_browses = judge_of(BROWSES, judge, 1, pairs_of(judge_option))
    dataset = dataset_named(task_set, source, task_option, data)
    result = run_flywheel(dataset, out, settings, judge=of_browses, command=_command())
    _show(result)


@app.command(rich_help_panel=LOOP)
def demo(out: Out = Path("runs/demo")) -> None:
    """Run the whole loop once on a small generated world, with no key and no network."""
    from lrat_sim.study import demo as run_demo

    result = run_demo(out, command=_command())
    _show(result)


@app.command(rich_help_panel=LOOP)
def controls(
    out: Out = Path("runs/controls"),
    task_set: TaskSet = "world",
    agent: Agent = "simulated",
    k: K = 5,
    train_tasks: Annotated[int, typer.Option(min=1, help="Training tasks.")] = 150,
    test_tasks: Annotated[int, typer.Option(min=1, help="Held-out tasks.")] = 150,
    seed: Seed = 0,
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Check the instrument: shuffled labels gain nothing, the oracle bounds all, runs repeat exactly."""
    from lrat_sim.progress import Screen
    from lrat_sim.study import ControlsSettings
    from lrat_sim.study import controls as run_controls

    dataset = dataset_named(task_set, source, task_option, data)
    settings = ControlsSettings(agent=agent, k=k, train_tasks=train_tasks, test_tasks=test_tasks, seed=seed)
    results = run_controls(dataset, out, settings, command=_command())
    Screen().print(results.table().to_terminal())
    if not results.held:
        raise typer.Exit(1)


def _command() -> str:
    """The command line that is running."""
    return shlex.join(["lrat-sim", *sys.argv[1:]])


def _shares(options: list[str]) -> dict[str, float]:
    """``SPEC=SHARE`` options as a mapping; a spec may hold equals signs of its own."""
    from lrat_sim.errors import InputError

    shares = {}
    for option in options:
        spec, _, share = option.rpartition("=")
        try:
            shares[spec] = float(share)
        except ValueError as error:
            raise InputError(f"the option {option!r} should read SPEC=SHARE, like bm25=0.2; write it so.") from error
        if not spec:
            raise InputError(f"the option {option!r} names no retriever; write SPEC=SHARE, like bm25=0.2.")
    return shares


def _show(result: FlywheelResult) -> None:
    """Prints the comparisons, the rounds, and where model and report lie."""
    from lrat_sim.progress import Screen

    for name, comparison in result.comparisons.items():
        show_comparison(comparison, result.folder / "evaluate" / name)
    Screen().print(result.rounds.table().to_terminal())
    say(f"model: {result.model}")
    show_report(result.folder)
