"""What commands share: their options, and what they make of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

import typer

from lrat_sim.progress import say

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.comparison import Comparison
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.grading.answers import AnswerJudge
    from lrat_sim.grading.relevance import RelevanceJudge
    from lrat_sim.rollout.calls import CallOptions

TaskSet = Annotated[
    str,
    typer.Option("--task-set", "-t", help="A task set by name (a file in corpora/), or the folder of a prepared one."),
]
Source = Annotated[
    Path | None,
    typer.Option(help="The local copy of the task set; by default its folder below $LRAT_SIM_DATA."),
]
TaskOptions = Annotated[
    list[str], typer.Option("--task-option", metavar="KEY=VALUE", help="An option of the task set. Repeatable.")
]
DataFolder = Annotated[Path, typer.Option("--data", help="Where prepared task sets and their indexes are kept.")]
Agent = Annotated[str, typer.Option("--agent", "-a", help="An agent by name (a file in agents/) or path.")]
AgentOptions = Annotated[
    list[str],
    typer.Option("--agent-option", metavar="KEY=VALUE", help="A field of the agent, e.g. limits.turns=30. Repeatable."),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="The run folder; the same command on it again goes on.")]
AgentK = Annotated[
    int | None, typer.Option("--k", "-k", min=1, max=1000, help="Results per search; by default the agent's own.")
]
K = Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="Results per search.")]
Seed = Annotated[int, typer.Option(max=(1 << 32) - 1, help="Random seed.")]
Samples = Annotated[int, typer.Option(min=1, max=100_000, help="Runs of each task.")]
Concurrency = Annotated[int, typer.Option(min=1, max=100_000, help="Model calls in flight at once, at most.")]
Adaptive = Annotated[
    bool,
    typer.Option("--adaptive/--no-adaptive", help="Begin with 20 calls in flight and let 429s decide."),
]
MaxCost = Annotated[float | None, typer.Option(help="US dollars that all agents' calls may cost together.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Seconds that the agents' runs may take together.")]
Cache = Annotated[
    Path | None, typer.Option(help="The file of answers paid for already; by default calls.sqlite in each run folder.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Pay for every answer anew.")]
Split = Annotated[str, typer.Option(help="Which tasks: train, dev, test, ood, as far as the task set has them.")]
Limit = Annotated[int | None, typer.Option(min=1, max=1_000_000_000, help="At most so many tasks.")]
Judge = Annotated[str, typer.Option(help="'rule' judges offline; else a litellm model name.")]
JudgeOptions = Annotated[
    list[str],
    typer.Option(metavar="KEY=VALUE", help="A field of a model judge, e.g. base_url=http://... Repeatable."),
]
RECIPE_HELP = "A mining recipe by name or path."

DATA = Path("runs/data")


def pairs_of(options: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` options as a mapping.

    Raises:
        InputError: one is not of that form.
    """
    from lrat_sim.errors import InputError

    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise InputError(f"the option {option!r} should read KEY=VALUE; write it so.")
        pairs[key] = value
    return pairs


def check_retrievers(*specs: str) -> None:
    """Before anything long begins, and before anything is written."""
    from lrat_sim.retrieval.registry import check_retriever

    for spec in specs:
        check_retriever(spec)


def prepared(name: str, folder: Path, source: Path | None, options: dict[str, Any]) -> Dataset:
    """A task set, prepared in a folder or reused from it."""
    from lrat_sim.corpus.dataset import prepare
    from lrat_sim.progress import bar

    with bar(f"prepare {name}") as progress:
        return prepare(name, folder, source=source, options=options, progress=progress)


def dataset_named(task_set: str, source: Path | None, options: list[str], data: Path) -> Dataset:
    """The task set behind a name or a prepared folder; what was prepared now is said."""
    from lrat_sim.artifact import fingerprint
    from lrat_sim.corpus.dataset import open_dataset

    if (Path(task_set) / "dataset.json").is_file():
        return open_dataset(Path(task_set))
    given = pairs_of(options)
    suffix = f"-{fingerprint([given, str(source or '')])[:8]}" if given or source else ""
    dataset = prepared(task_set, data / f"{Path(task_set).stem}{suffix}", source, given)
    if not dataset.reused:
        say_dataset(dataset)
    return dataset


def say_dataset(dataset: Dataset) -> None:
    """Says what a task set holds."""
    from lrat_sim.progress import console

    splits = ", ".join(f"{name} {len(tasks):,}" for name, tasks in dataset.splits.items()) or "none"
    documents = f"{len(dataset.corpus):,}" if dataset.card.corpus else "no"
    said = f"{dataset.name}: {documents} documents; tasks: {splits}; in {dataset.folder}"
    console.print(said, markup=False, soft_wrap=True)
    for sentence in dataset.card.account():
        console.print(f"  {sentence}", markup=False, soft_wrap=True)


def agent_named(name: str, k: int | None, options: list[str]) -> AgentSettings:
    """An agent by name, with the hits a search and the single fields that the command line gives."""
    from lrat_sim.agent.profile import load_agent

    return load_agent(name, {**({} if k is None else {"limits.k": k}), **pairs_of(options)})


ANSWERS: Literal["answers"] = "answers"
BROWSES: Literal["browses"] = "browses"


@overload
def judge_of(what: Literal["answers"], name: str, votes: int, options: dict[str, Any]) -> AnswerJudge: ...
@overload
def judge_of(what: Literal["browses"], name: str, votes: int, options: dict[str, Any]) -> RelevanceJudge: ...
def judge_of(
    what: Literal["answers", "browses"], name: str, votes: int, options: dict[str, Any]
) -> AnswerJudge | RelevanceJudge:
    """The judge of answers or of opened documents behind a name; votes and options are for models alone."""
    from lrat_sim.grading.judges import RULE, answer_judge, relevance_judge

    make = answer_judge if what == ANSWERS else relevance_judge
    return make(name) if name == RULE else make(name, votes=votes, options=options)


def call_options(
    concurrency: int,
    adaptive: bool,
    max_cost: float | None,
    max_seconds: float | None,
    cache: Path | None,
    no_cache: bool,
) -> CallOptions:
    """How the agents' calls are sent, from the options of the command line."""
    from lrat_sim.errors import InputError
    from lrat_sim.rollout.calls import CallOptions

    for name, limit in (("--max-cost", max_cost), ("--max-seconds", max_seconds)):
        if limit is not None and not 0 < limit < math.inf:
            raise InputError(f"{name} is {limit:g}; give a number above 0, or leave it out for no limit.")
    if no_cache and cache is not None:
        raise InputError("--cache and --no-cache contradict one another; leave one out.")
    return CallOptions(
        concurrency=concurrency,
        adaptive=adaptive,
        max_cost=max_cost,
        max_seconds=max_seconds,
        cache=False if no_cache else True if cache is None else str(cache),
    )


def show_comparison(comparison: Comparison, folder: Path) -> None:
    """Prints a comparison, and where it is kept."""
    from lrat_sim.comparison.table import render
    from lrat_sim.progress import Screen

    Screen().print(render(comparison))
    say(f"comparison: {folder / 'comparison.json'}")


def show_report(folder: Path) -> None:
    """Writes the report of what a folder holds, and says where it is."""
    from lrat_sim.report import write_report

    say(f"report: {write_report(folder)}")


def show_runs(runs: list[Path]) -> None:
    """Prints the metrics of run folders."""
    from lrat_sim.grading.run import run_tables
    from lrat_sim.grading.table import runs_table
    from lrat_sim.progress import Screen

    Screen().print(runs_table({str(run): run_tables(run)[1] for run in runs}))
