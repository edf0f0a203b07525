"""The card of a data set of trajectories: README.md with the head that the Hugging Face hub and ``datasets`` read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from lrat_sim import __version__
from lrat_sim.formats.formats import About, Entry
from lrat_sim.success import run_success, success

Group = tuple[str, str]


class Tally:
    """Counts entries as they are written, for the card."""

    def __init__(self) -> None:
        self.trajectories = 0
        self.tasks: set[str] = set()
        self.canaries: set[str] = set()
        self._groups: dict[Group, Counter[str]] = {}
        self._runs: dict[Group, dict[str, list[float | None]]] = {}

    def add(self, entry: Entry) -> None:
        """Counts one."""
        trajectory = entry.trajectory
        self.trajectories += 1
        self.tasks.add(trajectory.task_id)
        if entry.canary is not None:
            self.canaries.add(entry.canary)
        group = agent_name(entry), retriever_name(entry)
        counts = self._groups.setdefault(group, Counter())
        calls = list(trajectory.calls())
        grade = entry.grade.state if entry.grade is not None else "ungraded"
        of_task = self._runs.setdefault(group, {}).setdefault(trajectory.task_id, [])
        of_task.append(run_success(trajectory.status, grade))
        counts.update(
            {
                "trajectories": 1,
                trajectory.status: 1,
                "graded " + grade: trajectory.status == "answered",
                "searches": sum(call.hits is not None for call in calls),
                "browses": sum(call.docid is not None for call in calls),
            }
        )

    def table(self, asked: int) -> list[str]:
        """Lines of a Markdown table: one an agent and retriever.

        Args:
            asked: how many tasks were, those that nobody ran included.
        """
        heads = ["agent", "retriever", "trajectories", "answered", "unanswered", "errors", "correct", "incorrect"]
        heads += ["success, %", "searches a run", "documents opened a run"]
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        unrun: list[list[float | None]] = [[] for _ in range(asked - len(self.tasks))]
        for (agent, retriever), counts in sorted(self._groups.items()):
            runs = counts["trajectories"]
            right, wrong = counts["graded correct"], counts["graded incorrect"]
            found = success([*self._runs[agent, retriever].values(), *unrun]).value
            cells = [
                *(agent, retriever, f"{runs:,}", f"{counts['answered']:,}", f"{counts['unanswered']:,}"),
                *(f"{counts['error']:,}", f"{right:,}", f"{wrong:,}"),
                "not graded" if found is None else f"{100 * found:.1f}",
                *(f"{counts[what] / runs:.2f}" for what in ("searches", "browses")),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        return lines


def agent_name(entry: Entry) -> str:
    """What people call the agent: its name, else its model."""
    agent = entry.trajectory.agent
    return str(agent.get("name") or agent.get("model") or "unknown")


def retriever_name(entry: Entry) -> str:
    """What people call the retriever: its kind."""
    return str(entry.trajectory.retriever.get("kind") or "unknown")


def card(about: About, tally: Tally, tasks: int, fields: dict[str, str]) -> str:
    """The text of README.md.

    Args:
        about: name, license and language.
        tally: of what was written.
        tasks: how many tasks were asked.
        fields: each column and what it holds.
    """
    head: dict[str, Any] = {
        "pretty_name": about.name,
        "license": about.license,
        "language": [about.language],
        "task_categories": ["question-answering", "text-retrieval"],
        "tags": ["agent-trajectories", "search-agents", "deep-research", "lrat-sim"],
        "size_categories": [size_category(tally.trajectories)],
        "configs": [
            _config("trajectories", default=True),
            _config("tasks"),
        ],
    }
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {about.name}",
        "",
        f"{tally.trajectories:,} trajectories of search agents on {len(tally.tasks):,} of {tasks:,} tasks: every "
        f"turn's reasoning, tool calls and what they returned. Written by lrat-sim {__version__}.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        'trajectories = load_dataset("PATH", split="train")',
        'tasks = load_dataset("PATH", "tasks", split="train")',
        "```",
        "",
        "## What made it",
        "",
        *tally.table(tasks),
        "",
        "Success is correct / tasks asked, a task with the mean over its trajectories: one without an answer, or that "
        "broke, is a failure; answers that no judge graded are left out.",
        "",
        "## Fields",
        "",
        "| column | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in fields.items()),
        "",
    ]
    if tally.canaries:
        lines += [
            "## Benchmark data",
            "",
            "Questions of a benchmark are among these that asks not to be republished in plain text, so that it does "
            "not enter training data. Do not publish this data set. Its canary:",
            "",
            *(f"    {canary}" for canary in sorted(tally.canaries)),
            "",
        ]
    return "\n".join(lines)


def _config(name: str, *, default: bool = False) -> dict[str, Any]:
    files = [{"split": "train", "path": f"data/{name}-*.parquet"}]
    return {"config_name": name, **({"default": True} if default else {}), "data_files": files}


def size_category(count: int) -> str:
    """The size as the hub names it."""
    steps = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in steps if count < limit), "1M<n<10M")
