"""What a rollout was asked, how it goes, and what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from msgspec import Struct
from rich.console import Console, RenderableType
from rich.live import Live

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.errors import InputError, NothingCame
from lrat_sim.models.budget import Limit
from lrat_sim.models.client import Client
from lrat_sim.models.litellm_model import model_facts
from lrat_sim.progress import Pace, every_ten_seconds
from lrat_sim.records import Task, known_sum
from lrat_sim.rollout.index import Row
from lrat_sim.success import run_success, task_success
from lrat_sim.tables import Table


def runnable(tasks: list[Task], agent: AgentSettings) -> tuple[list[Task], list[str]]:
    """The tasks that this agent can run, and the ids of those left out for want of a plan."""
    name, times = next(iter(Counter(task.id for task in tasks).most_common(1)), ("", 0))
    if times > 1:
        raise InputError(f"two tasks have the id {name!r}; give each its own.")
    if agent.limits.cost is not None and model_facts(agent.model).price is None:
        raise InputError(
            f"`limits.cost` cannot be kept: the price of {agent.model!r} is unknown; limit tokens instead."
        )
    runnable = [task for task in tasks if not agent.simulated or task.plan is not None]
    if not runnable:
        no_plan = f"none of the {len(tasks):,} tasks has a plan, which a sim/ agent needs"
        why = no_plan if tasks else "there are no tasks"
        raise InputError(f"nothing to run: {why}; choose another task set or agent.")
    return runnable, [task.id for task in tasks if agent.simulated and task.plan is None]


def left_out_sentence(left_out: list[str], total: int) -> str:
    """Says which tasks were left out of how many."""
    named = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
    return f"left out {len(left_out):,} of {total:,} tasks, without a plan: {named}"


class Tally:
    """Running totals over the rows of a rollout."""

    def __init__(self, total: int, *, graded: bool):
        self.total, self.graded = total, graded
        self.done = self.answered = self.forced = self.unanswered = self.errors = 0
        self.solved, self.known = 0.0, 0  # sums over tasks, kept up since the table is drawn four times a second
        self.runs: dict[str, list[float | None]] = {}
        self.steps = self.unknown_usage = 0
        self.tokens: int | None = 0
        self.cost: float | None = 0.0

    def add(self, row: Row) -> None:
        """Counts one more trajectory."""
        self.done += 1
        self.answered += row.status == "answered"
        self.forced += row.forced
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
            **({"answered": f"{self.answered:,}, {self.forced:,} of them forced"} if self.forced else {}),
            "unanswered": f"{self.unanswered:,}",
            "errors": f"{self.errors:,}",
            "tokens": f"unknown (usage of {self.unknown_usage:,} calls)" if self.tokens is None else f"{self.tokens:,}",
            "cost": "unknown" if self.cost is None else f"${self.cost:,.2f}",
        }


@contextmanager
def board(title: str, tally: Tally, console: Console | None, client: Client) -> Iterator[None]:
    """Shows a tally while it grows, with the calls under way, and once more at the end; no console shows nothing."""
    pace = Pace(tally.done)

    def fields() -> dict[str, str]:
        fields = tally.fields()
        if (limiter := client.limiter) is not None:
            fields |= {"calls": f"{limiter.taken}/{limiter.limit}", "retries": f"{client.retried:,}"}
        left = pace.left(tally.done, tally.total)
        return {**fields, "left": left} if left else fields

    def line(fields: dict[str, str]) -> str:
        return f"{title}: {', '.join(f'{name} {value}' for name, value in fields.items())}"

    def table() -> RenderableType:
        now = fields()
        return Table.of(title, [*now], [[*now.values()]], text_columns=()).to_terminal()

    if console is None:
        yield
        return
    drawn: AbstractContextManager[object] = (
        Live(console=console, get_renderable=table, refresh_per_second=4, transient=True)
        if console.is_terminal
        else every_ten_seconds(lambda: line(fields()))
    )
    try:
        with drawn:
            yield
    finally:
        console.print(line(tally.fields()), soft_wrap=True)


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """What a rollout did; ``answered`` (``forced`` of them at a limit), ``unanswered`` and ``errors`` count all the
    runs that were asked.

    ``tokens`` and ``cost`` (US dollars) are known where those of every call are.
    """

    folder: Path
    asked: int  # tasks times samples
    reused: int  # there already
    ran: int
    answered: int
    unanswered: int
    errors: int
    left_out: list[str]  # tasks without a plan
    success: float | None  # known with a grader
    mean_steps: float | None
    tokens: int | None
    cost: float | None
    unknown_usage: int = 0  # calls whose tokens the provider did not tell
    stopped: Limit | None = None  # the limit of the whole rollout that ended it early
    cached: int = 0  # calls that were answered from the cache
    cause: str | None = None  # of the first error
    forced: int = 0

    def check(self, agent: str) -> None:
        """Raises NothingCame where every run that there is broke; ``agent`` is the profile's name."""
        if self.errors and not self.answered + self.unanswered:
            raise NothingCame(
                f"all {self.errors:,} runs in {self.folder} failed; first error: {self.cause}; test the agent with "
                f"`lrat-sim check {agent}`, then rerun the same command."
            )
