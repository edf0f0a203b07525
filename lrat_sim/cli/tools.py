"""Tools beside the loop."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import TOOLS, app
from lrat_sim.cli.options import (
    DATA,
    AgentOptions,
    DataFolder,
    K,
    Source,
    TaskOptions,
    TaskSet,
    check_retrievers,
    dataset_named,
    pairs_of,
)
from lrat_sim.progress import say


class NounName(StrEnum):
    """The records that have a schema to print."""

    DOCUMENT = "document"
    TASK = "task"
    TRAJECTORY = "trajectory"
    VERDICT = "verdict"
    GRADE = "grade"
    PAIR = "pair"


@app.command(rich_help_panel=TOOLS)
def check(
    agent: Annotated[str, typer.Argument(help="An agent by name or path.")],
    agent_option: AgentOptions = [],
) -> None:
    """Try an agent's endpoint: reachable, tools, reasoning, window."""
    from rich.table import Table
    from rich.text import Text

    from lrat_sim.agent.check import check_agent
    from lrat_sim.agent.profile import load_agent
    from lrat_sim.progress import Screen

    table = Table("what", "state", "detail", title=f"agent {agent}")
    found = check_agent(load_agent(agent, pairs_of(agent_option)))
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for each in found:
        table.add_row(each.what, Text(each.state, colours[each.state]), each.detail)
    Screen().print(table)
    if any(each.state == "fail" for each in found):
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def schema(noun: Annotated[NounName, typer.Argument(help="Which record.")]) -> None:
    """Print the JSON schema of a record."""
    import json

    from lrat_sim.records import NOUNS, json_schema

    say(json.dumps(json_schema(NOUNS[noun]), indent=2))


@app.command(name="list", rich_help_panel=TOOLS)
def list_names() -> None:
    """List the agents, task sets, recipes, prompts and retrievers that can be named."""
    from lrat_sim import catalog
    from lrat_sim.formats import FORMATS
    from lrat_sim.formats.pairs import PAIR_FORMATS
    from lrat_sim.retrieval import known_retrievers

    for kind in ("agents", "corpora", "recipes", "prompts"):
        say(f"{kind}: {', '.join(catalog.names(kind))}")
    say(f"retrievers: {', '.join(known_retrievers())}")
    say(f"formats of trajectories: {', '.join(FORMATS)}")
    say(f"formats of pairs: {', '.join(PAIR_FORMATS)}")


@app.command(name="judge-report", rich_help_panel=TOOLS)
def judge_report(
    folder: Annotated[Path, typer.Argument(help="Trajectories as LRAT publishes them, with mined-pairs.release.json.")],
) -> None:
    """Show the rule judge's verdicts on recorded reasoning beside given ones, for a reader to check."""
    from lrat_sim.grading.report import judge_report as report
    from lrat_sim.progress import Screen

    Screen().print(report(folder))


@app.command(rich_help_panel=TOOLS)
def serve(
    retriever: Annotated[str, typer.Argument(help="A retriever by name, spec or model folder.")] = "bm25",
    host: Annotated[str, typer.Option(help="The address; another than loopback needs --token-env.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one and says which.")] = 8000,
    token_env: Annotated[
        str | None, typer.Option(help="The environment variable with the token that clients must send.")
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Speak MCP over standard input and output instead.")] = False,
    k: K = 5,
    task_set: TaskSet = "world",
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Serve a retriever over HTTP (ours, and Search-R1's /retrieve) and as an MCP server."""
    from lrat_sim.experiment import opened
    from lrat_sim.retrieval.result_format import ResultFormat
    from lrat_sim.retrieval.schemas import read_token

    check_retrievers(retriever)
    token, shown = read_token(token_env), ResultFormat(k=k)
    found = opened(retriever, dataset_named(task_set, source, task_option, data))
    if stdio:
        from lrat_sim.retrieval.mcp_server import serve_stdio

        serve_stdio(found, shown=shown)
    else:
        from lrat_sim.retrieval.server import serve as serve_http

        serve_http(found, host=host, port=port, token=token, shown=shown, announce=say)
