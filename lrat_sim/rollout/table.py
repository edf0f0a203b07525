"""How a rollout goes, while it goes: a live table, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lrat_sim.records import known_sum
from lrat_sim.rollout.index import Row
from lrat_sim.success import run_success, task_success

_SECONDS_BETWEEN_LINES = 10.0


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


class Board:
    """Shows a tally; use it as a context manager.

    Args:
        title: what runs.
        tally: what is shown; :meth:`update` after each change.
        console: where; None shows nothing.
        moment: what else is true at the moment, by heading; not in the last line.
    """

    def __init__(
        self,
        title: str,
        tally: Tally,
        console: Console | None,
        moment: Callable[[], dict[str, str]] = dict,
    ):
        self.title, self.tally, self.console, self.moment = title, tally, console, moment
        self.began = self.said = time.monotonic()
        self.before = tally.done
        self.live = Live(console=console, get_renderable=self._table, refresh_per_second=4, transient=True)

    def __enter__(self) -> Board:
        if self.console is not None and self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()
        self._say(self.tally.fields())

    def update(self) -> None:
        """A trajectory was added."""
        if not self.live.is_started and time.monotonic() - self.said >= _SECONDS_BETWEEN_LINES:
            self._say({**self.tally.fields(), **self.moment()})

    def _say(self, fields: dict[str, str]) -> None:
        self.said = time.monotonic()
        if self.console is None:
            return
        line = ", ".join(f"{name} {value}" for name, value in {**fields, **self._left()}.items())
        self.console.print(f"{self.title}: {line}", markup=False, soft_wrap=True)

    def _left(self) -> dict[str, str]:
        ran, missing = self.tally.done - self.before, self.tally.total - self.tally.done
        if not missing or not ran:
            return {}
        seconds = (time.monotonic() - self.began) / ran * missing
        return {"left": f"{seconds // 3600:.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:02.0f}"}

    def _table(self) -> Table:
        table = Table(title=self.title, title_justify="left")
        fields = {**self.tally.fields(), **self.moment(), "left": self._left().get("left", "-")}
        for name in fields:
            table.add_column(name, justify="right")
        table.add_row(*fields.values())
        return table
