"""The commands: a verb each, how its result is shown, and an example; and those that no script needs."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import typer
from msgspec import Meta

from lrat_sim import catalog
from lrat_sim.cli import show
from lrat_sim.progress import say
from lrat_sim.settings import Setting
from lrat_sim.tables import Group, Row, Table
from lrat_sim.verbs import data, steps, studies, tools

FIRST, STEPS, STUDIES, DATA_SETS, TOOLS = "Begin here", "Single steps", "Studies", "Data sets of trajectories", "Tools"


class Command(NamedTuple):
    """One command: a verb that its options are made from, or (``show`` is None) a function that is typer's already."""

    panel: str
    verb: Callable[..., Any]
    show: Callable[..., None] | None
    example: str
    extra: tuple[Setting, ...] = ()


def list_names() -> None:
    """List the agents, tools, task sets, recipes, prompts and retrievers that can be named, with what each is."""
    from lrat_sim.agent import tool
    from lrat_sim.formats import FORMATS, format_named
    from lrat_sim.formats.pairs import PAIR_FORMATS
    from lrat_sim.retrieval.registry import GROUP

    kinds = {str(kind): {name: catalog.about(kind, name) for name in catalog.names(kind)} for kind in catalog.KINDS}
    for point in sorted(entry_points(group=GROUP)):
        try:
            spec = find_spec(point.module)
        except ImportError:
            spec = None
        # the first sentence of the module, of which nothing is imported
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
        kinds["retrievers"][point.name] = catalog.first_sentence(ast.get_docstring(ast.parse(source)) or "")
    kinds["retrievers"] = dict(sorted(kinds["retrievers"].items()))
    kinds["tools"] = {name: catalog.first_sentence(tool.about(name)) for name in tool.known_tools()}
    kinds["formats of trajectories"] = {name: format_named(name).title for name in FORMATS}
    kinds["formats of pairs"] = {name: form.title for name, form in PAIR_FORMATS.items()}
    groups = [Group([Row([name, about]) for name, about in names.items()], title=kind) for kind, names in kinds.items()]
    show.printed(Table(title="", columns=["name", "what it is"], groups=groups, text_columns=(0, 1)))


def schema(
    noun: Annotated[
        Literal["document", "task", "trajectory", "verdict", "grade", "pair"], typer.Argument(help="Which record.")
    ],
) -> None:
    """Print the JSON schema of a record."""
    from lrat_sim.records import NOUNS

    say(json.dumps(msgspec.json.schema(NOUNS[noun]), indent=2))


def judge_report(
    folder: Annotated[Path, typer.Argument(help="Trajectories as LRAT publishes them, with mined-pairs.release.json.")],
) -> None:
    """Show the rule judge's verdicts on recorded reasoning beside given ones, for a reader to check."""
    from lrat_sim.behaviour.judge_report import judge_report as table

    show.printed(table(folder))


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
    "view": Command(FIRST, tools.view, lambda _: None, "view runs"),
    "report": Command(FIRST, tools.report, lambda page: say(f"report: {page}"), "report runs/demo"),
    "prepare": Command(STEPS, data.prepare, show.dataset, "prepare world --task-option documents=20000"),
    "world": Command(STEPS, data.world, show.dataset, "world -o runs/world --documents 20000"),
    "index": Command(STEPS, steps.index, show.indexes, "index bm25 dense -t world"),
    "search": Command(STEPS, steps.search, show.results, "search 'who designed Brindle Lighthouse' -t world"),
    "grade": Command(STEPS, steps.grade, show.evaluation, "grade runs/collect"),
    "evaluate": Command(STEPS, steps.evaluate, show.evaluation, "evaluate runs/collect runs/collect-dense"),
    "explain": Command(STEPS, tools.explain, show.printed, "explain runs/collect 3"),
    "sweep": Command(STUDIES, studies.sweep, show.study, "sweep runs/collect --size 250 --size 500", (FULL,)),
    "ablate": Command(STUDIES, studies.ablate, show.study, "ablate -t world --arm paper --arm naive", (FULL,)),
    "controls": Command(STUDIES, studies.controls, show.controls, "controls -t world"),
    "probe": Command(
        STUDIES, studies.probe, lambda made: show.behaviour((made.behaviour, made.order)), "probe -t world --limit 50"
    ),
    "behaviour": Command(STUDIES, tools.behaviour, show.behaviour, "behaviour runs/collect -o runs/behaviour"),
    "convert": Command(DATA_SETS, tools.convert, show.summary, "convert runs/collect --to openai -o collect.jsonl"),
    "export-pairs": Command(
        DATA_SETS, tools.export_pairs, show.summary, "export-pairs runs/collect --to flagembedding -o pairs.jsonl"
    ),
    "merge": Command(DATA_SETS, tools.merge, show.summary, "merge runs/collect runs/collect-dense -o runs/both"),
    "split": Command(DATA_SETS, tools.split, show.parts, "split runs/collect -o runs/parts --test 0.2"),
    "check": Command(TOOLS, tools.check, show.checks, "check openai-tools --agent-option model=gpt-4.1-mini"),
    "serve": Command(TOOLS, tools.serve, lambda _: None, "serve dense -t world"),
    "list": Command(TOOLS, list_names, None, "list"),
    "schema": Command(TOOLS, schema, None, "schema trajectory"),
    "judge-report": Command(TOOLS, judge_report, None, "judge-report lrat-trajectories"),
}
"""In the order of ``lrat-sim --help``."""
