"""The card of a data set: README.md with the head that the Hugging Face hub and ``datasets`` read.

Its text is in ``cards/``, what the columns mean in ``cards/columns.yaml``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lrat_sim import __version__
from lrat_sim.catalog import read_yaml
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.registry import About
from lrat_sim.success import run_success, success
from lrat_sim.tables import Table, number

_CARDS = Path(__file__).with_name("cards")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@lru_cache(maxsize=1)
def _columns() -> dict[str, Any]:
    return read_yaml(_CARDS / "columns.yaml")


def column_meanings(table: str) -> dict[str, str]:
    """The columns of a table and what each means."""
    columns: Mapping[str, str | list[str]] = _columns()[table]
    return {name: known if isinstance(known, str) else known[1] for name, known in columns.items()}


def column_kinds(table: str) -> dict[str, str]:
    """The columns of a table and their kinds, for :func:`lrat_sim.formats.columns.schema_of`."""
    return {name: kind for name, (kind, _) in _columns()[table].items()}


def column_table(title: str, meanings: Mapping[str, str]) -> str:
    """What each column means, as Markdown."""
    rows = [(f"`{name}`", meaning) for name, meaning in meanings.items()]
    return Table.of(title, ["column", "meaning"], rows, text_columns=(0, 1)).to_markdown()


def write_card(
    folder: Path,
    template: str,
    about: About,
    *,
    rows: int,
    tables: Sequence[str],
    categories: Sequence[str],
    tags: Sequence[str],
    canaries: Iterable[str],
    **values: Any,
) -> None:
    """Writes README.md.

    Args:
        folder: where the data set is.
        template: its text's name in ``cards/``.
        about: name, license and language.
        rows: how many the main table has.
        tables: the names of its tables' files in ``data``; the first is the main one.
        categories: tasks that the data are for, as the hub names them.
        tags: beside those of every data set of ours.
        canaries: of the benchmarks whose questions are in it.
        values: what else the template needs.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    head = {
        "pretty_name": about.name,
        "license": about.license,
        "language": [about.language],
        "task_categories": [*categories],
        "tags": [*tags, "agent-trajectories", "search-agents", "lrat-sim"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == tables[0] else {}),
                "data_files": [{"split": "train", "path": f"data/{name}-*.parquet"}],
            }
            for name in tables
        ],
    }
    values |= {"about": about, "rows": rows, "tables": tables, "canaries": sorted(canaries), "version": __version__}
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip()
    cards = Environment(loader=FileSystemLoader(_CARDS), undefined=StrictUndefined, autoescape=False)
    text = cards.get_template(f"{template}.md").render(head=written, **values)
    (folder / "README.md").write_text(text, encoding="utf-8")


class EntryCounts:
    """Counts entries as they are written, for the card."""

    def __init__(self) -> None:
        self.trajectories = 0
        self.tasks: set[str] = set()
        self.canaries: set[str] = set()
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._runs: dict[tuple[str, str], dict[str, list[float | None]]] = {}

    def add(self, entry: Entry) -> None:
        """Counts one."""
        trajectory = entry.trajectory
        self.trajectories += 1
        self.tasks.add(trajectory.task_id)
        if entry.canary is not None:
            self.canaries.add(entry.canary)
        arm = entry.agent_name, entry.retriever_name
        grade = entry.grade.state if entry.grade is not None else "ungraded"
        self._runs.setdefault(arm, {}).setdefault(trajectory.task_id, []).append(run_success(trajectory.status, grade))
        counts = self._counts.setdefault(arm, Counter())
        counts.update(["trajectories", trajectory.status])
        counts["graded " + grade] += trajectory.status == "answered"
        counts["searches"] += sum(1 for _ in trajectory.searches())
        counts["browses"] += sum(1 for _ in trajectory.browses())

    def table(self, asked: int) -> str:
        """A Markdown table with a row an agent and retriever; ``asked`` are the tasks, those nobody ran included."""
        columns = ["agent", "retriever", "trajectories", "answered", "unanswered", "errors", "correct", "incorrect"]
        columns += ["success, %", "searches a run", "documents opened a run"]
        counted = ("trajectories", "answered", "unanswered", "error", "graded correct", "graded incorrect")
        unrun: list[list[float | None]] = [[] for _ in range(asked - len(self.tasks))]
        rows = [
            [
                *arm,
                *(number(counts[name], 0) for name in counted),
                number(success([*self._runs[arm].values(), *unrun]).value, scale=100),
                *(number(counts[name] / counts["trajectories"], 2) for name in ("searches", "browses")),
            ]
            for arm, counts in sorted(self._counts.items())
        ]
        return Table.of("Runs by agent and retriever", columns, rows, text_columns=(0, 1)).to_markdown()
