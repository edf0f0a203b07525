"""The command line: one command a station.

Everything heavy is imported inside the command that needs it, so that ``lrat-sim --help`` answers at once.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.comparison import Comparison
    from lrat_sim.corpus.dataset import Dataset

app = typer.Typer(
    name="lrat-sim",
    help="Learning to retrieve from agent trajectories: run search agents, mine what helped them, train a retriever, "
    "run again.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

STATIONS, LOOP, TOOLS = "Stations, in the order in which data walks", "The loop", "Tools"


class NounName(StrEnum):
    """The records that have a schema to print."""

    DOCUMENT = "document"
    TASK = "task"
    TRAJECTORY = "trajectory"
    VERDICT = "verdict"
    GRADE = "grade"
    PAIR = "pair"


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
K = Annotated[int, typer.Option("--k", "-k", min=1, help="Hits a search.")]
Seed = Annotated[int, typer.Option(help="Decides everything random.")]
Samples = Annotated[int, typer.Option(min=1, help="Runs of each task.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Runs under way at once.")]
Split = Annotated[str, typer.Option(help="Which tasks: train, dev, test, ood, as far as the task set has them.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many tasks.")]
Judge = Annotated[str, typer.Option(help="'rule' judges offline; else a litellm model name.")]
RECIPE_HELP = "A mining recipe by name or path."

DATA = Path("runs/data")


@app.command(rich_help_panel=STATIONS)
def world(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the world.")] = Path("runs/world"),
    documents: Annotated[int, typer.Option(min=1, help="Documents, 1,000 to 1,000,000 and more.")] = 3000,
    difficulty: Annotated[float, typer.Option(min=0, max=1, help="From 0, easy, to 1, hard.")] = 0.35,
    seed: Seed = 0,
    task_option: TaskOptions = [],
) -> None:
    """Generate an encyclopedia of invented things, with multi-hop tasks on it."""
    options = {"documents": documents, "difficulty": difficulty, "seed": seed, **_pairs(task_option)}
    dataset = _prepare("world", out, None, options)
    _say(dataset)


@app.command(rich_help_panel=STATIONS)
def index(
    retriever: Annotated[list[str], typer.Argument(help="bm25, dense, dense:model=PATH, a model folder, ...")],
    task_set: TaskSet = "world",
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Build the indexes of retrievers over a task set's documents."""
    from lrat_sim.experiment import opened

    _check_retrievers(*retriever)
    dataset = _dataset(task_set, source, task_option, data)
    for spec in retriever:
        found = opened(spec, dataset)
        typer.echo(f"{spec}: {len(dataset.corpus):,} documents, fingerprint {found.fingerprint}")


@app.command(rich_help_panel=STATIONS)
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    retriever: Annotated[str, typer.Option("--retriever", "-r", help="A retriever by name, spec or model folder.")] = (
        "bm25"
    ),
    k: K = 5,
    task_set: TaskSet = "world",
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Ask a retriever one query and show what an agent would be shown."""
    from rich.console import Console
    from rich.table import Table

    from lrat_sim.experiment import opened
    from lrat_sim.text import first_tokens

    _check_retrievers(retriever)
    found = opened(retriever, _dataset(task_set, source, task_option, data))
    table = Table("rank", "score", "document", "title", "snippet")
    for hit in found.search([query], k)[0]:
        document = found.document(hit.docid)
        snippet = first_tokens(document.text, 64)
        table.add_row(*map(_escaped, (str(hit.rank), f"{hit.score:.4f}", hit.docid, document.title, snippet)))
    Console().print(table if table.row_count else f"{retriever} finds nothing for this query.")


@app.command(rich_help_panel=STATIONS)
def rollout(
    out: Out,
    task_set: TaskSet = "world",
    split: Split = "train",
    agent: Agent = "simulated",
    retriever: Annotated[str, typer.Option("--retriever", "-r", help="A retriever by name, spec or model folder.")] = (
        "bm25"
    ),
    k: K = 5,
    samples: Samples = 1,
    limit: Limit = None,
    seed: Seed = 0,
    concurrency: Concurrency = 8,
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Run an agent on tasks and record everything it does."""
    from lrat_sim.experiment import graded_rollout, opened, runnable
    from lrat_sim.store import ensure_folder

    _check_retrievers(retriever)
    settings = _agent(agent, k, agent_option)
    dataset = _dataset(task_set, source, task_option, data)
    tasks = runnable(dataset.tasks(split), settings, limit)
    ensure_folder(out)  # before an index is built
    graded_rollout(
        tasks, settings, opened(retriever, dataset), out, seed=seed, samples=samples, concurrency=concurrency
    )
    _show_runs([out])


@app.command(rich_help_panel=STATIONS)
def grade(
    run: Annotated[list[Path], typer.Argument(help="Run folders.")],
    answers: Annotated[str, typer.Option(help="Judge of answers: 'rule', a litellm model name, or 'none'.")] = "rule",
    browses: Annotated[str, typer.Option(help="Judge of opened documents: likewise.")] = "rule",
    votes: Annotated[int, typer.Option(min=1, help="Votes of a model on each opened document.")] = 1,
    concurrency: Concurrency = 8,
) -> None:
    """Judge answers and opened documents of runs, offline by rules or by a model."""
    from lrat_sim.grading.run import grade_run, judge_run
    from lrat_sim.progress import bar

    for folder in run:
        if answers != "none":
            with bar(f"grade answers of {folder}") as progress:
                grade_run(folder, _answer_judge(answers), concurrency=concurrency, progress=progress)
        if browses != "none":
            with bar(f"judge browses of {folder}") as progress:
                judge_run(folder, _relevance_judge(browses, votes), concurrency=concurrency, progress=progress)
    _show_runs(run)


@app.command(rich_help_panel=STATIONS)
def mine(
    run: Annotated[list[Path], typer.Argument(help="Run folders, mined together.")],
    recipe: Annotated[str, typer.Option(help=RECIPE_HELP)] = "mine-paper",
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of the recipe. Repeatable.")] = [],
    judge: Judge = "rule",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="For pairs.jsonl; by default the first run.")] = None,
) -> None:
    """Mine training pairs from what agents opened and how they reasoned about it."""
    from rich.console import Console

    from lrat_sim.grading.run import judge_run
    from lrat_sim.mining.run import PAIRS, load_recipe, mine_run
    from lrat_sim.progress import bar
    from lrat_sim.store import ensure_folder

    settings = load_recipe(recipe, dict(_pairs(option)))
    if out is not None:
        ensure_folder(out)
    for folder in run:
        with bar(f"judge browses of {folder}") as progress:
            judge_run(folder, _relevance_judge(judge, 1), progress=progress)
    with bar("mine pairs") as progress:
        report = mine_run(run, settings, out, progress=progress)
    Console().print(report)
    typer.echo(f"pairs: {(out or run[0]) / PAIRS}")


@app.command(rich_help_panel=STATIONS)
def train(
    pairs: Annotated[list[Path], typer.Argument(help="pairs.jsonl files, or folders that hold one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder.")],
    task_set: TaskSet = "world",
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A training recipe by name or path.")] = "train-small",
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of the recipe. Repeatable.")] = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Train an encoder on mined pairs by the weighted contrastive loss."""
    from itertools import chain

    from lrat_sim import catalog
    from lrat_sim.progress import bar
    from lrat_sim.records import Pair
    from lrat_sim.store import read_records
    from lrat_sim.text import minilm_folder
    from lrat_sim.training.settings import TrainingSettings

    settings = catalog.load("recipes", recipe, TrainingSettings, dict(_pairs(option)))
    dataset = _dataset(task_set, source, task_option, data)
    files = [path / "pairs.jsonl" if path.is_dir() else path for path in pairs]
    from lrat_sim.training.trainer import train as train_model

    with bar("train") as progress:
        records = chain.from_iterable(read_records(path, Pair) for path in files)
        base = base_model or str(minilm_folder())
        folder = train_model(records, dataset.corpus, base, settings, out, progress=progress)
    typer.echo(f"model: {folder}")


@app.command(rich_help_panel=STATIONS)
def evaluate(run: Annotated[list[Path], typer.Argument(help="Run folders.")]) -> None:
    """Show the metrics of runs: success, evidence, steps, tokens, cost."""
    _show_runs(run)


@app.command(rich_help_panel=LOOP)
def compare(
    retriever: Annotated[list[str], typer.Argument(help="Two or more retrievers; the first is the base. NAME=SPEC.")],
    out: Out,
    task_set: TaskSet = "world",
    split: Split = "test",
    agent: Agent = "simulated",
    k: K = 5,
    samples: Samples = 1,
    limit: Limit = None,
    seed: Seed = 0,
    concurrency: Concurrency = 8,
    judge: Judge = "rule",
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Compare retrievers head to head: the same agent on the same tasks, paired by task."""
    from lrat_sim.errors import InputError
    from lrat_sim.experiment import compare_retrievers, named_retriever, opened, runnable
    from lrat_sim.store import ensure_folder

    named = dict(named_retriever(spec) for spec in retriever)
    if len(named) < 2:
        raise InputError("compare needs two retrievers or more, each under a name of its own; name them NAME=SPEC.")
    _check_retrievers(*named.values())
    settings = _agent(agent, k, agent_option)
    dataset = _dataset(task_set, source, task_option, data)
    tasks = runnable(dataset.tasks(split), settings, limit)
    ensure_folder(out)  # before indexes are built
    arms = {name: opened(spec, dataset) for name, spec in named.items()}
    comparison = compare_retrievers(
        arms,
        tasks,
        settings,
        out,
        base=next(iter(named)),
        seed=seed,
        samples=samples,
        concurrency=concurrency,
        judge=_answer_judge(judge),
    )
    _show(comparison, out)


@app.command(rich_help_panel=LOOP)
def flywheel(
    out: Out,
    task_set: TaskSet = "world",
    rounds: Annotated[int, typer.Option(min=1, help="How often to collect, mine and train.")] = 1,
    agent: Agent = "simulated",
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    k: K = 5,
    evaluate_k: Annotated[list[int], typer.Option(min=1, help="Hits a search while evaluating. Repeatable.")] = [],
    evaluate_split: Annotated[list[str], typer.Option(help="Splits to evaluate on. Repeatable.")] = ["test"],
    baseline: Annotated[list[str], typer.Option(help="Retrievers to evaluate beside. Repeatable.")] = [
        "bm25",
        "oracle",
    ],
    mining: Annotated[str, typer.Option(help=RECIPE_HELP)] = "mine-paper",
    mining_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of it. Repeatable.")] = [],
    training: Annotated[str, typer.Option(help="A training recipe by name or path.")] = "train-small",
    training_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of it. Repeatable.")] = [],
    train_tasks: Annotated[int | None, typer.Option(min=1, help="Training tasks to collect on.")] = None,
    test_tasks: Annotated[int | None, typer.Option(min=1, help="Held-out tasks to evaluate on.")] = None,
    samples: Samples = 2,
    judge: Judge = "rule",
    seed: Seed = 0,
    concurrency: Concurrency = 8,
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Improve a retriever in rounds: collect, mine, train, index, and measure on held-out tasks."""
    from lrat_sim.flywheel import FlywheelSettings
    from lrat_sim.flywheel import flywheel as run_flywheel

    settings = FlywheelSettings(
        rounds=rounds,
        agent=agent,
        agent_options=_pairs(agent_option),
        base_model=base_model,
        collect_k=k,
        evaluate_k=tuple(evaluate_k or [k]),
        baselines=tuple(baseline),
        evaluate_splits=tuple(evaluate_split),
        mining=mining,
        mining_options=_pairs(mining_option),
        training=training,
        training_options=_pairs(training_option),
        train_tasks=train_tasks,
        test_tasks=test_tasks,
        samples=samples,
        seed=seed,
        concurrency=concurrency,
    )
    dataset = _dataset(task_set, source, task_option, data)
    result = run_flywheel(dataset, out, settings, judge=_relevance_judge(judge, 1))
    for name, comparison in result.comparisons.items():
        _show(comparison, out / "evaluate" / name)
    typer.echo(f"model: {result.model}")


@app.command(rich_help_panel=LOOP)
def demo(out: Out = Path("runs/demo")) -> None:
    """Run the whole loop once on a small generated world, with no key and no network."""
    from lrat_sim.flywheel import demo as run_demo

    result = run_demo(out)
    for name, comparison in result.comparisons.items():
        _show(comparison, out / "evaluate" / name)
    typer.echo(f"model: {result.model}")


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
    from rich.console import Console

    from lrat_sim.controls import run_controls

    dataset = _dataset(task_set, source, task_option, data)
    results = run_controls(dataset, out, agent=agent, k=k, train_tasks=train_tasks, test_tasks=test_tasks, seed=seed)
    Console().print(results)
    if not results.held:
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def check(
    agent: Annotated[str, typer.Argument(help="An agent by name or path.")],
    agent_option: AgentOptions = [],
) -> None:
    """Try an agent's endpoint: reachable, tools, reasoning, window."""
    from rich.console import Console
    from rich.table import Table

    from lrat_sim.agent.check import check_agent
    from lrat_sim.agent.profile import load_agent

    table = Table("what", "state", "detail", title=f"agent {_escaped(agent)}")
    found = check_agent(load_agent(agent, _pairs(agent_option)))
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for each in found:
        table.add_row(each.what, f"[{colours[each.state]}]{each.state}[/]", _escaped(each.detail))
    Console().print(table)
    if any(each.state == "fail" for each in found):
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def schema(noun: Annotated[NounName, typer.Argument(help="Which record.")]) -> None:
    """Print the JSON schema of a record."""
    import json

    from lrat_sim.records import NOUNS, json_schema

    typer.echo(json.dumps(json_schema(NOUNS[noun]), indent=2))


@app.command(name="list", rich_help_panel=TOOLS)
def list_names() -> None:
    """List the agents, task sets, recipes, prompts and retrievers that can be named."""
    from lrat_sim import catalog
    from lrat_sim.retrieval import known_retrievers

    for kind in ("agents", "corpora", "recipes", "prompts"):
        typer.echo(f"{kind}: {', '.join(catalog.names(kind))}")
    typer.echo(f"retrievers: {', '.join(known_retrievers())}")


@app.command(name="judge-report", rich_help_panel=TOOLS)
def judge_report(
    folder: Annotated[Path, typer.Argument(help="Trajectories as LRAT publishes them, with mined-pairs.release.json.")],
) -> None:
    """Show the rule judge's verdicts on recorded reasoning beside given ones, for a reader to check."""
    from rich.console import Console

    from lrat_sim.grading.report import judge_report as report

    Console().print(report(folder))


def main() -> None:
    """The entry point: bad input ends with one sentence and exit code 2, Ctrl-C with 130."""
    from lrat_sim.errors import LratSimError

    try:
        sys.exit(app(args=sys.argv[1:] or ["--help"], prog_name="lrat-sim", standalone_mode=False))
    except LratSimError as error:
        message = str(error)
    except _WrongUsage as error:
        message = _usage(error)
    except KeyboardInterrupt:
        sys.exit(130)
    typer.echo(f"lrat-sim: {' '.join(message.split())}", err=True)
    sys.exit(2)


_WrongUsage: type[Exception] = typer.BadParameter.mro()[1]
"""What typer raises for a command line that it cannot read; it has no public name for it."""


def _usage(error: Exception) -> str:
    """The sentence, with where to look; typer would frame it in several lines."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "lrat-sim"
    said = getattr(error, "format_message", error.__str__)()
    return f"{said[:1].lower()}{said[1:].rstrip('.')}; see {command} --help."


def _pairs(options: list[str]) -> dict[str, Any]:
    from lrat_sim.errors import InputError

    pairs = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise InputError(f"the option {option!r} should read KEY=VALUE; write it so.")
        pairs[key] = value
    return pairs


def _check_retrievers(*specs: str) -> None:
    """Before anything long begins, and before anything is written."""
    from lrat_sim.retrieval.registry import check_retriever

    for spec in specs:
        check_retriever(spec)


def _prepare(name: str, folder: Path, source: Path | None, options: dict[str, Any]) -> Dataset:
    from lrat_sim.corpus.dataset import prepare
    from lrat_sim.progress import bar

    with bar(f"prepare {name}") as progress:
        return prepare(name, folder, source=source, options=options, progress=progress)


def _dataset(task_set: str, source: Path | None, options: list[str], data: Path) -> Dataset:
    from lrat_sim.corpus.dataset import open_dataset
    from lrat_sim.fingerprint import fingerprint

    if (Path(task_set) / "dataset.json").is_file():
        return open_dataset(Path(task_set))
    given = _pairs(options)
    suffix = f"-{fingerprint([given, str(source or '')])[:8]}" if given or source else ""
    dataset = _prepare(task_set, data / f"{Path(task_set).stem}{suffix}", source, given)
    if not dataset.reused:
        _say(dataset)
    return dataset


def _say(dataset: Dataset) -> None:
    from lrat_sim.progress import console

    splits = ", ".join(f"{name} {len(tasks):,}" for name, tasks in dataset.splits.items())
    said = f"{dataset.name}: {len(dataset.corpus):,} documents; tasks: {splits}; in {dataset.folder}"
    console.print(said, markup=False, soft_wrap=True)
    for note in dataset.card.notes:
        console.print(f"  {note}", markup=False)


def _agent(name: str, k: int, options: list[str]) -> AgentSettings:
    from lrat_sim.agent.profile import load_agent

    return load_agent(name, {"limits.k": k, **_pairs(options)})


def _answer_judge(name: str) -> Any:
    if name == "rule":
        return None
    from lrat_sim.grading.answers import ModelAnswerJudge
    from lrat_sim.grading.replies import JudgeModel

    return ModelAnswerJudge(JudgeModel(model=name))


def _relevance_judge(name: str, votes: int) -> Any:
    if name == "rule":
        return None
    from lrat_sim.grading.relevance import ModelJudge
    from lrat_sim.grading.replies import JudgeModel

    return ModelJudge(JudgeModel(model=name), votes=votes)


def _show(comparison: Comparison, folder: Path) -> None:
    from rich.console import Console

    from lrat_sim.comparison.table import render

    Console().print(render(comparison))
    typer.echo(f"comparison: {folder / 'comparison.json'}")


def _show_runs(runs: list[Path]) -> None:
    from rich.console import Console

    from lrat_sim.grading.run import run_tables
    from lrat_sim.grading.table import runs_table

    Console().print(runs_table({str(run): run_tables(run)[1] for run in runs}))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
