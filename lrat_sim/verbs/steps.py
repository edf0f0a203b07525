"""The steps of the loop: index, search, rollout, grade, mine, train, evaluate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.progress import bar, console
from lrat_sim.retrieval.model_kind import model_kind
from lrat_sim.settings import Limit, Samples, Seed, Whole, build
from lrat_sim.training.settings import Kind
from lrat_sim.verbs import arguments as arg
from lrat_sim.verbs.arguments import DATA, NOTHING, Given, OptionalPath, default_folder, folder_of, several
from lrat_sim.verbs.data import made_with, record_task_set, recorded_task_set, task_set
from lrat_sim.verbs.results import Evaluation, Model, Pairs, Run, SearchResult
from lrat_sim.verbs.verb import verb
from lrat_sim.work import SHARDS, Shard

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.grading.answers import AnswerJudge
    from lrat_sim.grading.relevance import RelevanceJudge
    from lrat_sim.retrieval.base import Retriever
    from lrat_sim.rollout.calls import CallOptions

PairsLike = Annotated[
    "Pairs | Path | str | Sequence[Pairs | Path | str]",
    Given(list[Path]),
    Meta(description="Files of pairs, or folders with pairs.jsonl."),
]


@verb
def index(
    retrievers: Annotated[
        Retriever | Path | str | Sequence[Path | str],
        Given(list[str]),
        Meta(description="Retrievers: bm25, dense, dense:model=PATH, a model folder, ..."),
    ],
    data: arg.Data = None,
    *,
    shard: arg.ShardOf = None,
    cluster: arg.Cluster = None,
) -> dict[str, Retriever]:
    """Build the indexes of retrievers over a task set's documents.

    With a shard, only its part of the vectors is encoded; when all shards are done, the same command without one
    finishes the index.
    """
    from lrat_sim.retrieval.index import ShardBuilt, building_shard
    from lrat_sim.study.arms import check_retriever, opened

    part = None if shard is None else Shard.read(shard)
    for spec in several(retrievers):
        check_retriever(spec)
    dataset = task_set(data, *several(retrievers))
    made: dict[str, Retriever] = {}
    with building_shard(part):
        for spec in several(retrievers):
            try:
                made[str(spec)] = opened(spec, dataset)
            except ShardBuilt as built:
                said = f"{spec}: {built}; when all {part.total if part else 1:,} are, run it without --shard"
                console.print(said, markup=False, soft_wrap=True)
    return made


@verb
def open_retriever(retriever: arg.RetrieverLike, data: arg.Data = None) -> Retriever:
    """Open a retriever over a task set's documents, to search it from a script; its index is built where it is missing.

    Use it in a ``with`` statement, or call ``close`` when done::

        with ls.open_retriever("dense", data) as dense:
            hits = dense.search(["who designed Brindle Lighthouse"], k=5)[0]
            print(dense.document(hits[0].docid).text)

    Args:
        retriever: a name (``bm25``, ``dense``), a spec with options (``dense:model=PATH``), a model or its folder.
        data: the task set, as for every verb; a trained model knows its own.
    """
    from lrat_sim.study.arms import check_retriever, opened

    check_retriever(retriever)
    return opened(retriever, task_set(data, retriever))


@verb
def search(
    query: Annotated[str, Meta(description="What to look for.")],
    data: arg.Data = None,
    *,
    retriever: arg.RetrieverLike = "bm25",
    k: arg.K = 5,
) -> list[SearchResult]:
    """Search with one query and show what an agent would see."""
    used = open_retriever(retriever, data)  # not closed here: one that was handed in is its owner's
    return [SearchResult(hit.rank, hit.score, used.document(hit.docid)) for hit in used.search([query], k)[0]]


@verb
def rollout(
    data: arg.Data,
    out: arg.Out = None,
    *,
    split: Annotated[str | None, Meta(description="Tasks to run: by default train, or the only split.")] = None,
    agent: arg.Agent = "simulated",
    retriever: arg.RetrieverLike = "bm25",
    k: arg.AgentK = None,
    samples: Samples = 1,
    limit: Limit | None = None,
    seed: Seed = 0,
    agent_options: arg.AgentOptions = NOTHING,
    dry_run: Annotated[bool, Meta(description="Show the resolved agent and what it would cost; run nothing.")] = False,
    shard: arg.ShardOf = None,
    cluster: arg.Cluster = None,
    **calls: Annotated[Any, CallOptions],
) -> Run:
    """Run an agent on tasks, record everything it does, and grade its answers.

    Rerun with the same settings to resume.  The default folder is runs/rollout-TASKSET-SPLIT-AGENT-RETRIEVER-HASH; the
    hash is of what decides the runs.  A shard is a run folder of its own, in the folder's ``shards``, with limits of
    its own; ``lrat-sim merge`` joins them.

    In Python, further arguments are the fields of :class:`CallOptions`.
    """
    from lrat_sim.agent.estimate import estimate
    from lrat_sim.artifact import ensure_folder
    from lrat_sim.models.budget import LimitReached
    from lrat_sim.rollout.calls import CallOptions
    from lrat_sim.study import graded_rollout, opened, runnable_tasks
    from lrat_sim.study.arms import check_retriever

    check_retriever(retriever)
    settings, made = agent_named(agent, agent_options, k), build(CallOptions, calls)
    dataset = task_set(data)
    if split is None:
        split = "train" if "train" in dataset.splits or len(dataset.splits) != 1 else next(iter(dataset.splits))
        if split != "train":
            console.print(f"{dataset.name} has no split 'train'; running its only split, {split!r}.", markup=False)
    part = None if shard is None else Shard.read(shard)
    tasks = runnable_tasks(dataset.tasks(split), settings, limit)
    spec = getattr(retriever, "fingerprint", None) or str(retriever)
    folder = Path(out) if out is not None else default_folder(
        "rollout",
        [dataset.name, split, settings.name, str(spec)],
        {"agent": settings.describe()["fingerprint"], "retriever": spec, "data": dataset.card.made_from, "seed": seed},
    )  # fmt: skip
    if part is not None:
        tasks, folder = [task for place, task in enumerate(tasks) if part.takes(place)], folder / SHARDS / part.folder
    if dry_run:
        return Run(folder, agent=settings, estimate=estimate(settings, tasks, samples))
    ensure_folder(folder)  # before an index is built
    with made_with(dataset, folder):
        try:
            graded_rollout(tasks, settings, opened(retriever, dataset), folder, seed=seed, samples=samples, calls=made)
        except LimitReached as reached:  # the table has said it
            return Run(folder, stopped=str(reached), agent=settings)
    return Run(folder, agent=settings)


@verb
def grade(
    runs: arg.Runs,
    *,
    answers: Annotated[str, Meta(description="Judge of answers: 'rule', a litellm model name, or 'none'.")] = "rule",
    browses: Annotated[str, Meta(description="Judge of opened documents, given in the same way.")] = "rule",
    votes: Annotated[Whole, Meta(description="Votes of a model on each answer and opened document.")] = 1,
    judge_options: arg.JudgeOptions = NOTHING,
    sample: Annotated[Whole | None, Meta(description="Write sheets of this many items for a person to judge.")] = None,
    sheet: Annotated[OptionalPath, Meta(description="Only show how far the judges agree with a filled sheet.")] = None,
    seed: Seed = 0,
    concurrency: Annotated[int, Meta(ge=1, le=100_000, description="Largest number of calls in flight.")] = 20,
    shard: arg.ShardOf = None,
    cluster: arg.Cluster = None,
) -> Evaluation:
    """Grade the answers and judge the opened documents of runs, by offline rules or a model.

    What a shard gives lies in the run's ``shards``; ``lrat-sim merge`` joins them.
    """
    from lrat_sim.grading.agreement import check_judges
    from lrat_sim.grading.run import grade_run, judge_run
    from lrat_sim.grading.sheet import SHEETS, write_sheets

    part = None if shard is None else Shard.read(shard)
    folders = [folder_of(run) for run in several(runs)]
    if part is not None and sample is not None:
        raise InputError("--sample draws from whole runs; leave out --shard.")
    evaluation = Evaluation([Run(folder) for folder in folders])
    if sheet is not None:
        if len(folders) != 1:
            raise InputError(
                f"a sheet belongs to one run and {len(folders)} are given; give the one it was drawn from."
            )
        return replace(evaluation, agreement=check_judges(folders[0], Path(sheet), seed=seed))
    of_answers = None if answers == "none" else judge_named("answers", answers, judge_options, votes)
    of_browses = None if browses == "none" else judge_named("browses", browses, judge_options, votes)
    judges = {what: judge.name for what, judge in zip(SHEETS, (of_answers, of_browses), strict=True) if judge}
    sheets: dict[Path, int] = {}
    for folder in folders:
        if of_answers is not None:
            with bar(f"grade answers of {folder}") as progress:
                grade_run(folder, of_answers, concurrency=concurrency, shard=part, progress=progress)
        if of_browses is not None:
            with bar(f"judge browses of {folder}") as progress:
                judge_run(folder, of_browses, concurrency=concurrency, shard=part, progress=progress)
        if sample is not None:
            sheets |= write_sheets(folder, judges, size=sample, seed=seed)
    return replace(evaluation, sheets=sheets)


@verb
def mine(
    runs: arg.Runs,
    out: arg.Out = None,
    *,
    data: arg.Data = None,
    recipe: Annotated[str, Meta(description="A mining recipe by name or path.")] = "mine-recommended",
    options: arg.RecipeOptions = NOTHING,
    judge: arg.Judge = "rule",
    judge_options: arg.JudgeOptions = NOTHING,
    verdicts: Annotated[OptionalPath, Meta(description="File of verdicts (ours, LRAT's) in place of a judge.")] = None,
    processes: Annotated[Whole, Meta(description="Processes to mine with.")] = 1,
    cluster: arg.Cluster = None,
) -> Pairs:
    """Mine training pairs from recorded runs.

    The pairs of several runs go together, by default into the first run's folder.  Documents that are not in the task
    set of the runs do not count; where that set is not there, all do.
    """
    from lrat_sim.artifact import ensure_folder
    from lrat_sim.formats.verdicts import add_verdicts
    from lrat_sim.mining.run import load_recipe, mine_run

    settings = load_recipe(recipe, dict(options))
    if verdicts is not None and (judge != "rule" or judge_options):
        raise InputError("--verdicts and --judge are given, and one of them says whose verdicts count; leave one out.")
    folders = [folder_of(run) for run in several(runs)]
    dataset, gone = recorded_task_set(data, *folders)
    if gone and settings.guards.near_positive is not None:  # which reads documents
        raise InputError(gone)
    folder = folders[0] if out is None else ensure_folder(Path(out))
    added = None if verdicts is None else add_verdicts(Path(verdicts), folders)
    with bar("mine pairs") as progress:
        mine_run(
            folders,
            settings,
            folder,
            judge=added.judge if added else judge_named("browses", judge, judge_options),
            corpus=dataset.corpus if dataset is not None and dataset.card.corpus else None,
            processes=processes,
            plot=True,
            progress=progress,
        )
    if dataset is not None:
        record_task_set(dataset, folder)
    notes = [f"Mined without a task set: {gone}"] if gone else []
    return Pairs(folder, (*notes, *([added.sentence()] if added else [])))


@verb
def train(
    pairs: PairsLike,
    out: arg.Out = None,
    *,
    data: arg.Data = None,
    kind: Annotated[
        Kind | None,
        Meta(description="What is trained: encoder, multivector, sparse or reranker; by default what the base is."),
    ] = None,
    base_model: arg.BaseModel = None,
    recipe: Annotated[str | None, Meta(description="Training recipe; default: train-small, or train-KIND.")] = None,
    options: arg.RecipeOptions = NOTHING,
    texts_in_pairs: Annotated[bool, Meta(description="Take the texts from LRAT's pairs, not from a task set.")] = False,
    guard: Annotated[OptionalPath, Meta(description="BEIR folder on which to measure what the model forgot.")] = None,
    cluster: arg.Cluster = None,
) -> Model:
    """Train a retriever or a reranker on mined pairs with the weighted contrastive loss.

    Several processes train one model together when started by torchrun or accelerate launch, as in
    `torchrun --nproc-per-node 2 -m lrat_sim.cli train ...`, or on a cluster, one for each GPU.  The model lies beside
    the pairs where no folder is given.
    """
    from lrat_sim.corpus.documents import Corpus
    from lrat_sim.formats.pairs import pair_documents, read_pairs
    from lrat_sim.text import minilm_folder
    from lrat_sim.training.settings import TrainingSettings

    base = str(base_model or minilm_folder())
    kind = kind or ("encoder" if (known := model_kind(base)) == "dense" else known)
    chosen = recipe or ("train-small" if kind == "encoder" else f"train-{kind}")
    settings = catalog.load("recipes", chosen, TrainingSettings, dict(options))
    if guard is not None and kind == "reranker":
        raise InputError("--guard measures an encoder's search, which a reranker alone does not do; leave it out.")
    if guard is not None and not Path(guard).is_dir():
        raise InputError(f"{guard}, given as --guard, is not a folder; give a data set in BEIR's layout.")
    files = [folder_of(source) for source in several(pairs)]
    folder = Path(out) if out is not None else default_folder(
        "model",
        [chosen],
        {"base": base, "kind": kind, "training": msgspec.to_builtins(settings), "pairs": [*map(str, files)]},
        files[0] if files[0].is_dir() else files[0].parent,
    )  # fmt: skip
    dataset: Dataset | None = None
    if texts_in_pairs:
        if len(files) > 1:
            raise InputError(f"--texts-in-pairs reads one file, and {len(files)} are given; join them first.")
        # of each process of a distributed training its own
        corpus = Corpus.build(
            folder.with_name(f"{folder.name}.corpus-{os.environ.get('RANK', '0')}"), pair_documents(files[0])
        )
    else:
        dataset = task_set(data, *files)
        corpus = dataset.corpus
    from lrat_sim.training.trainer import train as train_model

    with bar("train") as progress:
        records = chain.from_iterable(map(read_pairs, files))
        trained = train_model(records, corpus, base, settings, folder, kind=kind, progress=progress)
    first = os.environ.get("RANK", "0") == "0"
    if dataset is not None and first:
        record_task_set(dataset, trained)
    if guard is None or not first:
        return Model(trained)
    from lrat_sim.training.guard import guard as measure

    name, where = Path(guard).name, DATA if dataset is None else dataset.folder.parent
    with bar(f"measure on {name}") as progress:
        return Model(trained, measure(trained, Path(guard), where / f"guard-{name}", progress=progress))


@verb
def evaluate(runs: arg.Runs) -> Evaluation:
    """Show the metrics of runs: success, evidence, steps, tokens, cost."""
    return Evaluation([Run(folder_of(run)) for run in several(runs)])


def agent_named(
    agent: AgentSettings | str, options: Mapping[str, Any] = NOTHING, k: int | None = None
) -> AgentSettings:
    """An agent, given by name or as settings, with single fields overridden."""
    from lrat_sim.agent.profile import AgentSettings, load_agent

    fields = {**({} if k is None else {"limits.k": k}), **options}
    if isinstance(agent, AgentSettings):
        return catalog.checked(msgspec.to_builtins(agent), AgentSettings, fields, f"agent {agent.name}")
    return load_agent(agent, fields)


def judge_named(
    what: Literal["answers", "browses"],
    judge: AnswerJudge | RelevanceJudge | str,
    options: Mapping[str, Any] = NOTHING,
    votes: int = 1,
) -> Any:
    """The judge of answers or of opened documents with a name; votes and options are for models only."""
    from lrat_sim.grading.answers import answer_judge
    from lrat_sim.grading.judging import RULE
    from lrat_sim.grading.relevance import relevance_judge

    make = answer_judge if what == "answers" else relevance_judge
    how: dict[str, Any] = {} if judge == RULE else {"votes": votes, "options": options}
    return make(judge, **how) if isinstance(judge, str) else judge
