"""How a rollout goes, while it goes: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from lrat_sim.progress import Pace, every_ten_seconds
from lrat_sim.records import known_sum
from lrat_sim.rollout.index import Row
from lrat_sim.success import run_success, task_success
from lrat_sim.tables import Table


class Tally:
    """Running totals over the rows of a rollout."""

    def __init__(self, total: int, *, graded: bool):
        self.total, self.graded = total, graded
        self.done = self.answered = self.unanswered = self.errors = 0
        self.solved, self.known = 0.0, 0  # sums over tasks, kept up since the table is drawn four times a second
        self.runs: dict[str, list[float | None]] = {}
        self.steps = self.unknown_usage = 0
        self.tokens: int | None = 0
        self.cost: float | None = 0.0

    def add(self, row: Row) -> None:
        """Counts one more trajectory."""
        self.done += 1
        self.answered += row.status == "answered"
        self.unanswered += row.status == "unanswered"
        self.errors += row.status == "error"
        runs = self.runs.setdefault(row.task_id, [])
        before = task_success(runs).value if runs else None
        runs.append(run_success(row.status, row.grade))
        after = task_success(runs).value
        self.solved += (after or 0.0) - (before or 0.0)
        self.known += (after is not None) - (before is not None)
        self.steps += row.steps if row.status != "error" else 0
        self.unknown_usage += row.unknown_usage
        self.tokens = known_sum((self.tokens, row.prompt_tokens, row.completion_tokens))
        self.cost = known_sum((self.cost, row.cost))

    @property
    def success(self) -> float | None:
        """Over the tasks that have a run so far; None where nothing is graded."""
        return self.solved / self.known if self.graded and self.known else None

    @property
    def mean_steps(self) -> float | None:
        """Executed calls a run, errors aside."""
        finished = self.answered + self.unanswered
        return self.steps / finished if finished else None

    def fields(self) -> dict[str, str]:
        """The totals as they are shown, by heading."""
        share, steps = self.success, self.mean_steps
        return {
            "done": f"{self.done:,}/{self.total:,}",
            "success" if self.done == self.total else "success so far": "-" if share is None else f"{share:.1%}",
            "steps": "-" if steps is None else f"{steps:.1f}",
            "unanswered": f"{self.unanswered:,}",
            "errors": f"{self.errors:,}",
            "tokens": f"unknown (usage of {self.unknown_usage:,} calls)" if self.tokens is None else f"{self.tokens:,}",
            "cost": "unknown" if self.cost is None else f"${self.cost:,.2f}",
        }


@contextmanager
def board(
    title: str, tally: Tally, console: Console | None, moment: Callable[[], dict[str, str]] = dict
) -> Iterator[None]:
    """Shows a tally while it grows, and once more at the end.

    Args:
        title: what runs.
        tally: what is shown.
        console: where; None shows nothing.
        moment: what else is true at the moment, by heading; not in the last line.
    """
    pace = Pace(tally.done)

    def fields(now: dict[str, str]) -> dict[str, str]:
        left = pace.left(tally.done, tally.total)
        return {**tally.fields(), **now, **({"left": left} if left else {})}

    def line(now: dict[str, str]) -> str:
        return f"{title}: {', '.join(f'{name} {value}' for name, value in fields(now).items())}"

    def table() -> RenderableType:
        now = fields(moment())
        return Table.of(title, [*now], [[*now.values()]], text_columns=()).to_terminal()

    if console is None:
        yield
        return
    drawn: AbstractContextManager[object] = (
        Live(console=console, get_renderable=table, refresh_per_second=4, transient=True)
        if console.is_terminal
        else every_ten_seconds(lambda: line(moment()))
    )
    try:
        with drawn:
            yield
    finally:
        console.print(line({}), soft_wrap=True)
