"""Commands that no script needs: names, schemas, the judge's report."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from lrat_sim import catalog
from lrat_sim.catalog import first_sentence
from lrat_sim.cli.show import printed
from lrat_sim.progress import say


def list_names() -> None:
    """List the agents, task sets, recipes, prompts and retrievers that can be named, with what each is."""
    from lrat_sim.formats import FORMATS, format_named
    from lrat_sim.formats.pairs import PAIR_FORMATS
    from lrat_sim.tables import Group, Row, Table

    kinds: dict[str, dict[str, str]] = {
        kind: {name: catalog.about(kind, name) for name in catalog.names(kind)} for kind in catalog.KINDS
    }
    kinds |= {
        "retrievers": _retrievers(),
        "formats of trajectories": {name: format_named(name).title for name in FORMATS},
        "formats of pairs": {name: form.title for name, form in PAIR_FORMATS.items()},
    }
    groups = [Group([Row([name, about]) for name, about in names.items()], title=kind) for kind, names in kinds.items()]
    printed(Table(title="", columns=["name", "what it is"], groups=groups, text_columns=(0, 1)))


def _retrievers() -> dict[str, str]:
    """Each retriever, with the first sentence of its module, of which nothing is imported."""
    from lrat_sim.retrieval.registry import GROUP

    sentences = {}
    for point in sorted(entry_points(group=GROUP)):
        try:
            spec = find_spec(point.module)
        except ImportError:
            spec = None
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
        sentences[point.name] = first_sentence(ast.get_docstring(ast.parse(source)) or "")
    return sentences


def schema(
    noun: Annotated[
        Literal["document", "task", "trajectory", "verdict", "grade", "pair"], typer.Argument(help="Which record.")
    ],
) -> None:
    """Print the JSON schema of a record."""
    import json

    import msgspec

    from lrat_sim.records import NOUNS

    say(json.dumps(msgspec.json.schema(NOUNS[noun]), indent=2))


def judge_report(
    folder: Annotated[Path, typer.Argument(help="Trajectories as LRAT publishes them, with mined-pairs.release.json.")],
) -> None:
    """Show the rule judge's verdicts on recorded reasoning beside given ones, for a reader to check."""
    from lrat_sim.behaviour.judge_report import judge_report as table

    printed(table(folder))
