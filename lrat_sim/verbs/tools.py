"""Data sets of trajectories, and tools beside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta
from msgspec.structs import asdict

from lrat_sim.errors import InputError
from lrat_sim.progress import bar, say
from lrat_sim.settings import Seed, Settings, Whole, build
from lrat_sim.verbs import arguments as arg
from lrat_sim.verbs.arguments import DATA, NOTHING, AnyPath, Given, OptionalPath, folder_of, several
from lrat_sim.verbs.data import task_set
from lrat_sim.verbs.results import Run
from lrat_sim.verbs.steps import agent_named, open_retriever
from lrat_sim.verbs.verb import verb

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lrat_sim.agent.check import Check
    from lrat_sim.behaviour.reliability import Ordering
    from lrat_sim.behaviour.report import Behaviour
    from lrat_sim.formats import ConvertSummary, MergeSummary
    from lrat_sim.formats.pairs import PairsSummary

NewFolder = Annotated[AnyPath, Given(Path), Meta(description="The folder to make.")]
Target = Annotated[AnyPath, Given(Path), Meta(description="The file or folder to write.")]
Format = Annotated[str, Meta(description="The format to write; `lrat-sim list` names them.")]
Only = Literal["all", "answered", "correct"]
Host = Annotated[str, Meta(description="The address to listen on; loopback by default.")]
Port = Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one and prints it.")]


class Publishing(Settings, frozen=True, kw_only=True):
    """What is written of a data set for others."""

    include_canaried: Annotated[bool, Meta(description="Write questions that ask not to be republished.")] = False
    name: Annotated[str | None, Meta(description="What a data set card calls it.")] = None
    license: Annotated[str, Meta(description="For the card, as the hub names it, e.g. cc-by-4.0.")] = "unknown"
    language: Annotated[str, Meta(description="For the card, a code.")] = "en"


@verb
def convert(
    source: Annotated[arg.Folder, Meta(description="A run, or a file or folder of trajectories of any known format.")],
    out: Target,
    *,
    to: Format,
    source_format: Annotated[str | None, Meta(description="The format of the source, if not recognised.")] = None,
    only: Annotated[Only, Meta(description="Which trajectories; correct needs grades.")] = "all",
    skip_unreadable: Annotated[bool, Meta(description="Skip and count records that cannot be read.")] = False,
    arguments: Annotated[
        Literal["object", "text"],
        Meta(description="Arguments of calls in `openai` messages: objects, or texts of JSON."),
    ] = "object",
    docid_field: Annotated[
        str | None, Meta(description="Where results of ATIF name their document, e.g. extra.source.id.")
    ] = None,
    score_field: Annotated[str | None, Meta(description="Where they state its score, e.g. extra.relevance.")] = None,
    **publishing: Annotated[Any, Publishing],
) -> ConvertSummary:
    """Convert trajectories from one format to another, also from and to run folders."""
    from lrat_sim.formats import convert as convert_trajectories

    with bar(f"convert {folder_of(source)}") as progress:
        return convert_trajectories(
            folder_of(source), Path(out), to=to, source_format=source_format, only=only,
            skip_unreadable=skip_unreadable, arguments=arguments, docid_field=docid_field, score_field=score_field,
            progress=progress, **asdict(build(Publishing, publishing)),
        )  # fmt: skip


@verb
def export_pairs(
    pairs: arg.PairsFile,
    out: Target,
    *,
    to: Format,
    data: arg.Data = None,
    negatives: Annotated[Whole, Meta(description="Columns of negatives, for sentence-transformers.")] = 9,
    **publishing: Annotated[Any, Publishing],
) -> PairsSummary:
    """Write mined pairs for other trainers: LRAT, FlagEmbedding, Tevatron, sentence-transformers."""
    from lrat_sim.formats.pairs import export_pairs as export

    corpus = None if to == "pairs" else task_set(data, pairs).corpus
    with bar(f"export {folder_of(pairs)}") as progress:
        return export(
            folder_of(pairs), Path(out), to=to, corpus=corpus, negatives=negatives, progress=progress,
            **asdict(build(Publishing, publishing)),
        )  # fmt: skip


@verb
def merge(
    runs: arg.Runs,
    out: Annotated[
        OptionalPath, Meta(description="The folder to make; without one, a run's shards are joined.")
    ] = None,
    *,
    on_conflict: Annotated[Literal["refuse", "later"], Meta(description="What to do with one id twice.")] = "refuse",
) -> MergeSummary:
    """Merge run folders into one, with their grades and verdicts; or, given one folder, join its shards in it."""
    from lrat_sim.formats import merge_runs
    from lrat_sim.formats.shards import join_shards

    with bar("merge") as progress:
        if out is None:
            folders = [folder_of(run) for run in several(runs)]
            if len(folders) != 1:
                raise InputError(f"{len(folders)} run folders are given and no --out; name the folder to make.")
            return join_shards(folders[0], progress=progress)
        return merge_runs(map(folder_of, several(runs)), Path(out), on_conflict=on_conflict, progress=progress)


@verb
def split(
    run: Annotated[arg.Folder, Meta(description="A run folder.")],
    out: NewFolder,
    *,
    test: Annotated[float, Meta(ge=0, description="Tasks held out: a share below 1, or a number.")] = 0.2,
    dev: Annotated[float, Meta(ge=0, description="Tasks for development, given in the same way.")] = 0,
    seed: Seed = 0,
) -> dict[str, Run]:
    """Split a run folder by task, so that no question is in two parts."""
    from lrat_sim.formats import split_run

    sizes = {name: int(size) if float(size).is_integer() else size for name, size in (("test", test), ("dev", dev))}
    with bar("split") as progress:
        parts = split_run(folder_of(run), Path(out), **sizes, seed=seed, progress=progress)
    return {name: Run(Path(out) / name) for name in parts}


@verb
def behaviour(
    runs: Annotated[
        Run | AnyPath | Sequence[Run | AnyPath],
        Given(list[Path]),
        Meta(description="Run folders, or trajectories of any format that can be read."),
    ],
    out: Annotated[OptionalPath, Meta(description="A folder for tables (CSV) and plots.")] = None,
    *,
    targets: Annotated[str, Meta(description="Targets by name or path; 'none' for none.")] = "behaviour-tongyi",
    by: Annotated[Literal["run", "agent", "retriever"], Meta(description="What makes a group.")] = "run",
    order: Annotated[bool, Meta(description="Runs go from worst to best retriever: does the agent agree?")] = False,
    seed: Seed = 0,
) -> tuple[Behaviour, Ordering | None]:
    """Show how agents behaved: steps, transitions, ranks, reasoning, and how far that is from a real agent."""
    from lrat_sim.behaviour import behaviour as measure
    from lrat_sim.behaviour.reliability import ordering

    if order and by != "run":
        raise InputError("--order compares runs, so --by must be run; leave one of the two out.")
    folders = [folder_of(run) for run in several(runs)]
    with bar("read") as progress:
        measured = measure(
            folders, targets=None if targets == "none" else targets, by=by, out=None if out is None else Path(out),
            seed=seed, progress=progress,
        )  # fmt: skip
    return measured, ordering(folders, seed=seed) if order else None


@verb
def report(
    folder: Annotated[arg.Folder, Meta(description="What compare, sweep, flywheel or demo made.")],
    out: Annotated[OptionalPath, Meta(description="Gets report.html and report/; default: the folder.")] = None,
) -> Path:
    """Write the report of a study: a page that opens offline, its plots as SVG, its tables as CSV and LaTeX."""
    from lrat_sim.report import write_report

    return write_report(folder_of(folder), None if out is None else Path(out))


@verb
def view(
    folder: Annotated[arg.Folder, Meta(description="A run, a comparison, a flywheel, or any folder above them.")],
    *,
    port: Port = 8080,
    host: Host = "127.0.0.1",
    open_browser: Annotated[bool, Meta(description="Also open the browser.")] = False,
    corpus: Annotated[OptionalPath, Meta(description="Task set or corpus of the texts, if not the runs' own.")] = None,
    data: Annotated[AnyPath, Given(Path), Meta(description="Where prepared task sets are kept.")] = DATA,
) -> None:
    """Show trajectories in a browser: search, read, compare two retrievers, follow mined pairs."""
    from lrat_sim.viewer import view as serve_pages

    def announce(url: str) -> None:
        say(f"showing {folder_of(folder)} at {url}; Ctrl-C stops it.")
        if open_browser:
            import webbrowser

            webbrowser.open(url)

    where = None if corpus is None else Path(corpus)
    serve_pages(folder_of(folder), corpus=where, data=Path(data), host=host, port=port, announce=announce)


@verb
def serve(
    retriever: arg.RetrieverLike = "bm25",
    data: arg.Data = None,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_env: Annotated[str | None, Meta(description="Environment variable with the token to require.")] = None,
    stdio: Annotated[bool, Meta(description="Speak MCP over standard input and output instead.")] = False,
    k: arg.K = 5,
    cluster: arg.Cluster = None,
) -> None:
    """Serve a retriever over HTTP (ours, and Search-R1's /retrieve) and as an MCP server."""
    from lrat_sim.retrieval.result_format import ResultFormat
    from lrat_sim.retrieval.schemas import read_token

    token, shown = read_token(token_env), ResultFormat(k=k)
    used = open_retriever(retriever, data)
    if stdio:
        from lrat_sim.retrieval.mcp_server import serve_stdio

        serve_stdio(used, shown=shown)
    else:
        from lrat_sim.retrieval.server import serve as serve_http

        serve_http(used, host=host, port=port, token=token, shown=shown, announce=say)


@verb
def check(agent: arg.Agent, *, agent_options: arg.AgentOptions = NOTHING) -> list[Check]:
    """Try an agent's endpoint: reachable, tools, reasoning, window."""
    from lrat_sim.agent.check import check_agent

    return check_agent(agent_named(agent, agent_options))


@verb
def explain(
    pairs: arg.PairsFile,
    pair: Annotated[Whole, Meta(description="Which pair of the file, from 1.")],
) -> RenderableType:
    """Show where a mined pair came from: its search, its browse, its labels and its weight."""
    from lrat_sim.mining.explain import explain as explain_pair

    return explain_pair(folder_of(pairs), pair)
