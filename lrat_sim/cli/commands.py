"""The commands: a verb each, how its result is shown, and an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lrat_sim import verbs
from lrat_sim.cli import show, tools
from lrat_sim.settings import Setting

FIRST, STEPS, DATA_SETS, TOOLS = "Begin here", "Single steps", "Data sets of trajectories", "Tools"


class Command(NamedTuple):
    """One command: a verb that is generated from, or (``show`` is None) a function that is typer's already."""

    panel: str
    verb: Callable[..., Any]
    show: Callable[..., None] | None
    example: str
    extra: tuple[Setting, ...] = ()


COMMANDS = {
    "rollout": Command(FIRST, verbs.rollout, show.run, "rollout -t world -r bm25 --limit 50"),
    "mine": Command(FIRST, verbs.mine, show.pairs, "mine runs/collect"),
    "train": Command(FIRST, verbs.train, show.model, "train runs/collect -o runs/model"),
    "view": Command(FIRST, verbs.view, show.nothing, "view runs"),
    "report": Command(FIRST, verbs.report, show.report, "report runs/demo"),
    "prepare": Command(STEPS, verbs.prepare, show.data, "prepare world --task-option documents=20000"),
    "index": Command(STEPS, verbs.index, show.indexes, "index bm25 dense -t world"),
    "search": Command(STEPS, verbs.search, show.results, "search 'who designed Brindle Lighthouse' -t world"),
    "grade": Command(STEPS, verbs.grade, show.evaluation, "grade runs/collect"),
    "evaluate": Command(STEPS, verbs.evaluate, show.evaluation, "evaluate runs/collect runs/collect-dense"),
    "behaviour": Command(STEPS, verbs.behaviour, show.behaviour, "behaviour runs/collect -o runs/behaviour"),
    "explain": Command(STEPS, verbs.explain, show.printed, "explain runs/collect 3"),
    "convert": Command(DATA_SETS, verbs.convert, show.sentence, "convert runs/collect --to openai -o collect.jsonl"),
    "export-pairs": Command(
        DATA_SETS, verbs.export_pairs, show.sentence, "export-pairs runs/collect --to flagembedding -o pairs.jsonl"
    ),
    "merge": Command(DATA_SETS, verbs.merge, show.sentence, "merge runs/collect runs/collect-dense -o runs/both"),
    "split": Command(DATA_SETS, verbs.split, show.parts, "split runs/collect -o runs/parts --test 0.2"),
    "check": Command(TOOLS, verbs.check, show.checks, "check openai-tools --agent-option model=gpt-4.1-mini"),
    "serve": Command(TOOLS, verbs.serve, show.nothing, "serve dense -t world"),
    "list": Command(TOOLS, tools.list_names, None, "list"),
    "schema": Command(TOOLS, tools.schema, None, "schema trajectory"),
    "judge-report": Command(TOOLS, tools.judge_report, None, "judge-report lrat-trajectories"),
}
"""In the order of ``lrat-sim --help``."""
