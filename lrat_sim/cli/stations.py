"""The stations, in the order in which data walks."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import STATIONS, app
from lrat_sim.cli.options import (
    ANSWERS,
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
    Limit,
    MaxCost,
    MaxSeconds,
    NoCache,
    Out,
    Samples,
    Seed,
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
    prepared,
    say_dataset,
    show_runs,
)
from lrat_sim.progress import say


@app.command(rich_help_panel=STATIONS)
def world(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the world.")] = Path("runs/world"),
    documents: Annotated[int, typer.Option(min=1, help="Documents, 1,000 to 1,000,000 and more.")] = 3000,
    difficulty: Annotated[float, typer.Option(min=0, max=1, help="From 0, easy, to 1, hard.")] = 0.35,
    seed: Seed = 0,
    task_option: TaskOptions = [],
) -> None:
    """Generate an encyclopedia of invented things, with multi-hop tasks on it."""
    options = {"documents": documents, "difficulty": difficulty, "seed": seed, **pairs_of(task_option)}
    dataset = prepared("world", out, None, options)
    say_dataset(dataset)


@app.command(rich_help_panel=STATIONS)
def index(
    retriever: Annotated[list[str], typer.Argument(help="bm25, dense, dense:model=PATH, a model folder, ...")],
    task_set: TaskSet = "world",
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Build the indexes of retrievers over a task set's documents."""
    from lrat_sim.study import opened

    check_retrievers(*retriever)
    dataset = dataset_named(task_set, source, task_option, data)
    for spec in retriever:
        found = opened(spec, dataset)
        say(f"{spec}: {len(dataset.corpus):,} documents, fingerprint {found.fingerprint}")


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
    from rich.table import Table

    from lrat_sim.progress import Screen
    from lrat_sim.study import opened
    from lrat_sim.text import first_tokens

    check_retrievers(retriever)
    found = opened(retriever, dataset_named(task_set, source, task_option, data))
    table = Table("rank", "score", "document", "title", "snippet")
    for hit in found.search([query], k)[0]:
        document = found.document(hit.docid)
        snippet = first_tokens(document.text, 64)
        table.add_row(str(hit.rank), f"{hit.score:.4f}", hit.docid, document.title, snippet)
    Screen().print(table if table.row_count else f"{retriever} finds nothing for this query.")


@app.command(rich_help_panel=STATIONS)
def rollout(
    out: Out,
    task_set: TaskSet = "world",
    split: Split = "train",
    agent: Agent = "simulated",
    retriever: Annotated[str, typer.Option("--retriever", "-r", help="A retriever by name, spec or model folder.")] = (
        "bm25"
    ),
    k: AgentK = None,
    samples: Samples = 1,
    limit: Limit = None,
    seed: Seed = 0,
    concurrency: Concurrency = 20,
    adaptive: Adaptive = True,
    max_cost: MaxCost = None,
    max_seconds: MaxSeconds = None,
    cache: Cache = None,
    no_cache: NoCache = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the resolved agent and what it would cost; run nothing.")
    ] = False,
    agent_option: AgentOptions = [],
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Run an agent on tasks and record everything it does."""
    from lrat_sim.artifact import ensure_folder
    from lrat_sim.errors import NothingCame
    from lrat_sim.models.budget import LimitReached
    from lrat_sim.study import graded_rollout, opened, runnable_tasks

    check_retrievers(retriever)
    calls = call_options(concurrency, adaptive, max_cost, max_seconds, cache, no_cache)
    settings = agent_named(agent, k, agent_option)
    dataset = dataset_named(task_set, source, task_option, data)
    tasks = runnable_tasks(dataset.tasks(split), settings, limit)
    if dry_run:
        from lrat_sim.agent.estimate import estimate, print_dry_run
        from lrat_sim.progress import Screen

        print_dry_run(settings, estimate(settings, tasks, samples), Screen())
        return
    ensure_folder(out)  # before an index is built
    found = opened(retriever, dataset)
    try:
        graded_rollout(tasks, settings, found, out, seed=seed, samples=samples, calls=calls)
    except LimitReached as reached:  # rollout has said it
        show_runs([out])
        raise typer.Exit(1) from reached
    except NothingCame:  # the table says how many, the sentence why
        show_runs([out])
        raise
    show_runs([out])


@app.command(rich_help_panel=STATIONS)
def grade(
    run: Annotated[list[Path], typer.Argument(help="Run folders.")],
    answers: Annotated[str, typer.Option(help="Judge of answers: 'rule', a litellm model name, or 'none'.")] = "rule",
    browses: Annotated[str, typer.Option(help="Judge of opened documents: likewise.")] = "rule",
    votes: Annotated[int, typer.Option(min=1, help="Votes of a model on each answer and opened document.")] = 1,
    judge_option: JudgeOptions = [],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Write sheets of so many items for a person to fill, blind to the judge.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="A filled sheet: show the agreement of the judges with it (kappa), and leave.")
    ] = None,
    seed: Seed = 0,
    concurrency: Concurrency = 20,
) -> None:
    """Judge answers and opened documents of runs, offline by rules or by a model."""
    from lrat_sim.errors import InputError
    from lrat_sim.grading.agreement import agreement_tables
    from lrat_sim.grading.run import grade_run, judge_run
    from lrat_sim.grading.spot_check import SHEETS, check_judges, write_sheets
    from lrat_sim.progress import Screen, bar

    if sheet is not None:
        if len(run) != 1:
            raise InputError(f"a sheet belongs to one run and {len(run)} are given; give the one it was drawn from.")
        for table in agreement_tables(check_judges(run[0], sheet, seed=seed)):
            Screen().print(table)
        return
    options = pairs_of(judge_option)
    of_answers = None if answers == "none" else judge_of(ANSWERS, answers, votes, options)
    of_browses = None if browses == "none" else judge_of(BROWSES, browses, votes, options)
    for folder in run:
        if of_answers is not None:
            with bar(f"grade answers of {folder}") as progress:
                grade_run(folder, of_answers, concurrency=concurrency, progress=progress)
        if of_browses is not None:
            with bar(f"judge browses of {folder}") as progress:
                judge_run(folder, of_browses, concurrency=concurrency, progress=progress)
        if sample is not None:
            judges = {what: judge.name for what, judge in zip(SHEETS, (of_answers, of_browses), strict=True) if judge}
            for path, rows in write_sheets(folder, judges, size=sample, seed=seed).items():
                say(f"{rows} items to judge: {path}; then lrat-sim grade {folder} --sheet {path}")
    show_runs(run)


@app.command(rich_help_panel=STATIONS)
def mine(
    run: Annotated[list[Path], typer.Argument(help="Run folders, mined together.")],
    recipe: Annotated[str, typer.Option(help=RECIPE_HELP)] = "mine-paper",
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of the recipe. Repeatable.")] = [],
    judge: Judge = "rule",
    judge_option: JudgeOptions = [],
    verdicts: Annotated[
        Path | None,
        typer.Option(help="Use the verdicts in this file (lrat-sim's or LRAT's format) instead of judging."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes to mine with.")] = 1,
    task_set: Annotated[
        str | None,
        typer.Option("--task-set", "-t", help="Its corpus: other documents do not count, and guards read its texts."),
    ] = None,
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
    explain: Annotated[
        int | None, typer.Option(min=1, help="Show where pair N of an earlier mining came from, and leave.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="For pairs.jsonl; by default the first run.")] = None,
) -> None:
    """Mine training pairs from what agents opened and how they reasoned about it."""
    from lrat_sim.artifact import ensure_folder
    from lrat_sim.errors import InputError
    from lrat_sim.formats.verdicts import add_verdicts
    from lrat_sim.mining.run import PAIRS, load_recipe, mine_run
    from lrat_sim.progress import Screen, bar

    if explain is not None:
        from lrat_sim.mining.explain import explain as explain_pair

        Screen().print(explain_pair(out or run[0], explain))
        return
    settings = load_recipe(recipe, dict(pairs_of(option)))
    if verdicts is not None and (judge != "rule" or judge_option):
        raise InputError("--verdicts and --judge are given, and one of them says whose verdicts count; leave one out.")
    corpus = None if task_set is None else dataset_named(task_set, source, task_option, data).corpus
    if out is not None:
        ensure_folder(out)
    given = None if verdicts is None else add_verdicts(verdicts, run)
    if given is not None:
        say(given.sentence())
    with bar("mine pairs") as progress:
        report = mine_run(
            run,
            settings,
            out,
            judge=given.judge if given else judge_of(BROWSES, judge, 1, pairs_of(judge_option)),
            corpus=corpus,
            processes=processes,
            plot=True,
            progress=progress,
        )
    Screen().print(report)
    say(f"pairs: {(out or run[0]) / PAIRS}")


class Kind(StrEnum):
    """What is trained."""

    ENCODER = "encoder"
    RERANKER = "reranker"


@app.command(rich_help_panel=STATIONS)
def train(
    pairs: Annotated[list[Path], typer.Argument(help="Files of pairs, ours or LRAT's, or folders with pairs.jsonl.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model folder.")],
    task_set: TaskSet = "world",
    texts_in_pairs: Annotated[
        bool, typer.Option("--texts-in-pairs", help="The corpus is the texts of LRAT's pairs, not a task set's.")
    ] = False,
    kind: Annotated[Kind, typer.Option(help="An encoder, or a cross-encoder that reranks.")] = Kind.ENCODER,
    base_model: Annotated[
        str | None, typer.Option(help="A sentence-transformers folder or hub id; all-MiniLM-L6-v2 by default.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A training recipe by name or path: train-small, or train-reranker.")
    ] = None,
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="A field of the recipe. Repeatable.")] = [],
    guard: Annotated[
        Path | None,
        typer.Option(help="A data set in BEIR's layout: nDCG@10 on it before and after shows what was forgotten."),
    ] = None,
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Train an encoder or a reranker on mined pairs by the weighted contrastive loss.

    Several processes train one model together when started by torchrun or accelerate launch, as in
    `torchrun --nproc-per-node 2 -m lrat_sim.cli train ...`.
    """
    from itertools import chain

    from lrat_sim import catalog
    from lrat_sim.corpus.documents import Corpus
    from lrat_sim.errors import InputError
    from lrat_sim.formats.pairs import pair_documents, read_pairs
    from lrat_sim.progress import bar
    from lrat_sim.text import minilm_folder
    from lrat_sim.training.settings import TrainingSettings

    chosen = recipe or ("train-small" if kind is Kind.ENCODER else "train-reranker")
    settings = catalog.load("recipes", chosen, TrainingSettings, dict(pairs_of(option)))
    if guard is not None and kind is Kind.RERANKER:
        raise InputError("--guard measures an encoder's search, which a reranker alone does not do; leave it out.")
    if guard is not None and not guard.is_dir():
        raise InputError(f"{guard}, given as --guard, is no folder; give a data set in BEIR's layout.")
    if texts_in_pairs:
        if len(pairs) > 1:
            raise InputError(f"--texts-in-pairs reads one file, and {len(pairs)} are given; join them first.")
        folder = out.with_name(f"{out.name}.corpus-{os.environ.get('RANK', '0')}")  # a process its own
        corpus = Corpus.build(folder, pair_documents(pairs[0]))
    else:
        corpus = dataset_named(task_set, source, task_option, data).corpus
    from lrat_sim.training.reranker import train_reranker
    from lrat_sim.training.trainer import train as train_encoder

    train_model = train_encoder if kind is Kind.ENCODER else train_reranker
    with bar("train") as progress:
        records = chain.from_iterable(map(read_pairs, pairs))
        model = train_model(records, corpus, base_model or str(minilm_folder()), settings, out, progress=progress)
    if os.environ.get("RANK", "0") != "0":  # one process speaks for all
        return
    say(f"model: {model}")
    if guard is not None:
        from lrat_sim.training.guard import METRIC
        from lrat_sim.training.guard import guard as measure

        with bar(f"measure on {guard.name}") as progress:
            before, after = measure(model, guard, data / f"guard-{guard.name}", progress=progress)
        say(f"{METRIC} on {guard.name}: {before:.4f} before, {after:.4f} after ({after - before:+.4f})")


@app.command(rich_help_panel=STATIONS)
def evaluate(run: Annotated[list[Path], typer.Argument(help="Run folders.")]) -> None:
    """Show the metrics of runs: success, evidence, steps, tokens, cost."""
    show_runs(run)
