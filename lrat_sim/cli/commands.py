"""The commands: a verb each, how its result is shown, and an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from lrat_sim.cli import show, tools
from lrat_sim.progress import say
from lrat_sim.settings import Setting
from lrat_sim.verbs import data, steps, studies
from lrat_sim.verbs import tools as more

FIRST, STEPS, STUDIES, DATA_SETS, TOOLS = "Begin here", "Single steps", "Studies", "Data sets of trajectories", "Tools"


class Command(NamedTuple):
    """One command: a verb that its options are made from, or (``show`` is None) a function that is typer's already."""

    panel: str
    verb: Callable[..., Any]
    show: Callable[..., None] | None
    example: str
    extra: tuple[Setting, ...] = ()


def _nothing(_: object) -> None:
    """A command that serves until it is stopped has nothing more to say."""


def _dataset(dataset: Any) -> None:
    say(f"task set: {dataset.folder}")  # preparing has described it


def _summary(summary: Any) -> None:
    say(summary.sentence())


FULL = Setting("full", Annotated[bool, Meta(description="Show every table.")], False)

COMMANDS = {
    "demo": Command(FIRST, studies.demo, show.study, "demo", (FULL,)),
    "rollout": Command(FIRST, steps.rollout, show.run, "rollout -t world -r bm25 --limit 50"),
    "mine": Command(FIRST, steps.mine, show.pairs, "mine runs/collect"),
    "train": Command(FIRST, steps.train, show.model, "train runs/collect -o runs/model"),
    "compare": Command(
        FIRST, studies.compare, show.study, "compare bm25 trained=runs/model -t world -o runs/compare", (FULL,)
    ),
    "flywheel": Command(FIRST, studies.flywheel, show.study, "flywheel -t world --rounds 3", (FULL,)),
    "view": Command(FIRST, more.view, _nothing, "view runs"),
    "report": Command(FIRST, more.report, lambda page: say(f"report: {page}"), "report runs/demo"),
    "prepare": Command(STEPS, data.prepare, _dataset, "prepare world --task-option documents=20000"),
    "world": Command(STEPS, data.world, _dataset, "world -o runs/world --documents 20000"),
    "index": Command(STEPS, steps.index, show.indexes, "index bm25 dense -t world"),
    "search": Command(STEPS, steps.search, show.results, "search 'who designed Brindle Lighthouse' -t world"),
    "grade": Command(STEPS, steps.grade, show.evaluation, "grade runs/collect"),
    "evaluate": Command(STEPS, steps.evaluate, show.evaluation, "evaluate runs/collect runs/collect-dense"),
    "explain": Command(STEPS, more.explain, show.printed, "explain runs/collect 3"),
    "sweep": Command(STUDIES, studies.sweep, show.study, "sweep runs/collect --size 250 --size 500", (FULL,)),
    "ablate": Command(STUDIES, studies.ablate, show.study, "ablate -t world --arm paper --arm naive", (FULL,)),
    "controls": Command(STUDIES, studies.controls, show.controls, "controls -t world"),
    "probe": Command(STUDIES, studies.probe, show.probe, "probe -t world --limit 50"),
    "behaviour": Command(STUDIES, more.behaviour, show.behaviour, "behaviour runs/collect -o runs/behaviour"),
    "convert": Command(DATA_SETS, more.convert, _summary, "convert runs/collect --to openai -o collect.jsonl"),
    "export-pairs": Command(
        DATA_SETS, more.export_pairs, _summary, "export-pairs runs/collect --to flagembedding -o pairs.jsonl"
    ),
    "merge": Command(DATA_SETS, more.merge, _summary, "merge runs/collect runs/collect-dense -o runs/both"),
    "split": Command(DATA_SETS, more.split, show.parts, "split runs/collect -o runs/parts --test 0.2"),
    "check": Command(TOOLS, more.check, show.checks, "check openai-tools --agent-option model=gpt-4.1-mini"),
    "serve": Command(TOOLS, more.serve, _nothing, "serve dense -t world"),
    "list": Command(TOOLS, tools.list_names, None, "list"),
    "schema": Command(TOOLS, tools.schema, None, "schema trajectory"),
    "judge-report": Command(TOOLS, tools.judge_report, None, "judge-report lrat-trajectories"),
}
"""In the order of ``lrat-sim --help``."""
