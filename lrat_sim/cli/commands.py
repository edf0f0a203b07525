"""The commands: a verb each, how its result is shown, and an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from lrat_sim import verbs
from lrat_sim.cli import show, tools
from lrat_sim.settings import Setting

FIRST, STEPS, STUDIES, DATA_SETS, TOOLS = "Begin here", "Single steps", "Studies", "Data sets of trajectories", "Tools"


class Command(NamedTuple):
    """One command: a verb that is generated from, or (``show`` is None) a function that is typer's already."""

    panel: str
    verb: Callable[..., Any]
    show: Callable[..., None] | None
    example: str
    extra: tuple[Setting, ...] = ()


FULL = Setting("full", Annotated[bool, Meta(description="Show every table.")], False)

COMMANDS = {
    "demo": Command(FIRST, verbs.demo, show.study, "demo", (FULL,)),
    "rollout": Command(FIRST, verbs.rollout, show.run, "rollout -t world -r bm25 --limit 50"),
    "mine": Command(FIRST, verbs.mine, show.pairs, "mine runs/collect"),
    "train": Command(FIRST, verbs.train, show.model, "train runs/collect -o runs/model"),
    "compare": Command(
        FIRST, verbs.compare, show.study, "compare bm25 trained=runs/model -t world -o runs/compare", (FULL,)
    ),
    "flywheel": Command(FIRST, verbs.flywheel, show.study, "flywheel -t world --rounds 3", (FULL,)),
    "view": Command(FIRST, verbs.view, show.nothing, "view runs"),
    "report": Command(FIRST, verbs.report, show.report, "report runs/demo"),
    "prepare": Command(STEPS, verbs.prepare, show.data, "prepare world --task-option documents=20000"),
    "index": Command(STEPS, verbs.index, show.indexes, "index bm25 dense -t world"),
    "search": Command(STEPS, verbs.search, show.results, "search 'who designed Brindle Lighthouse' -t world"),
    "grade": Command(STEPS, verbs.grade, show.evaluation, "grade runs/collect"),
    "evaluate": Command(STEPS, verbs.evaluate, show.evaluation, "evaluate runs/collect runs/collect-dense"),
    "explain": Command(STEPS, verbs.explain, show.printed, "explain runs/collect 3"),
    "sweep": Command(STUDIES, verbs.sweep, show.study, "sweep runs/collect --size 250 --size 500", (FULL,)),
    "ablate": Command(STUDIES, verbs.ablate, show.study, "ablate -t world --arm paper --arm naive", (FULL,)),
    "controls": Command(STUDIES, verbs.controls, show.controls, "controls -t world"),
    "probe": Command(STUDIES, verbs.probe, show.probe, "probe -t world --limit 50"),
    "behaviour": Command(STUDIES, verbs.behaviour, show.behaviour, "behaviour runs/collect -o runs/behaviour"),
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
