"""Runs many tasks at once, each recorded as it ends, and goes on where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct
from rich.console import Console

from lrat_sim.agent.loop import run_task, trajectory_id
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.errors import InputError
from lrat_sim.llm.facts import model_facts, require_key
from lrat_sim.progress import ProgressCallback, console
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import TRAJECTORIES, Row, record_asked, row, write_index
from lrat_sim.rollout.manifest import check_manifest, record_call
from lrat_sim.rollout.table import Board, Tally
from lrat_sim.store import Store, read_with_offsets
from lrat_sim.work import bounded_map

Grader = Callable[[Task, Trajectory], Grade | None]


class RolloutSummary(Struct, frozen=True, kw_only=True):
    """What a rollout did.

    ``asked`` runs (tasks times samples) were wanted, ``reused`` of them were there already, ``ran`` were run now;
    ``answered``, ``unanswered`` and ``errors`` count all that were asked.  ``left_out`` names the tasks without
    a plan.  ``success`` is known with a grader, ``cost`` where every price is (US dollars).
    """

    folder: Path
    asked: int
    reused: int
    ran: int
    answered: int
    unanswered: int
    errors: int
    left_out: list[str]
    success: float | None
    mean_steps: float | None
    tokens: int
    cost: float | None


def rollout(
    tasks: Iterable[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path | str,
    *,
    samples: int = 1,
    seed: int = 0,
    concurrency: int = 8,
    grade: Grader | None = None,
    table: bool = True,
    progress: ProgressCallback | None = None,
) -> RolloutSummary:
    """Runs every task and records it; the same call again goes on where it was stopped.

    The folder gets run.yaml, tasks.jsonl (those asked), trajectories.jsonl and index.parquet.

    Runs that ended in an answer or without one are kept; those that broke are run again.  A trajectory depends on
    (task, sample, agent, retriever, seed) alone, whatever the concurrency.

    Args:
        tasks: those without a plan are left out, by name, where the agent is simulated.
        agent: the agent's settings.
        retriever: what it searches with.
        folder: the run folder; made if missing.
        samples: runs of each task, with different seeds.
        seed: the run's seed.
        concurrency: runs under way at once.
        grade: grades a trajectory as it ends, for the success shown so far; None is ungraded.
        table: shows a live table, or plain lines where there is no terminal.
        progress: told (done, total, what) after each run.

    Raises:
        InputError: nothing can be run, the folder cannot be written to, or was made with other settings.
        KeyboardInterrupt: stopped by Ctrl-C, after what was under way was cancelled and the files were closed.
    """
    work = _Rollout(list(tasks), agent.resolved(), retriever, Path(folder), samples, seed, concurrency, grade)
    shown = console if table else None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:  # a notebook has a loop of its own, which cannot be entered twice
        with ThreadPoolExecutor(1) as beside:
            return beside.submit(lambda: asyncio.run(work.run(shown, progress))).result()
    try:
        return asyncio.run(work.run(shown, progress))
    except KeyboardInterrupt:
        if shown is not None:
            shown.print(
                f"stopped; what had ended is in {folder}, and the same command goes on from there", markup=False
            )
        raise


class _Rollout:
    """One call of :func:`rollout`."""

    def __init__(
        self,
        tasks: list[Task],
        agent: AgentSettings,
        retriever: Retriever,
        folder: Path,
        samples: int,
        seed: int,
        concurrency: int,
        grade: Grader | None,
    ):
        if samples < 1 or concurrency < 1:
            raise InputError(f"samples is {samples} and concurrency {concurrency}; both must be 1 or more.")
        self.agent, self.retriever, self.folder = agent, retriever, folder
        self.samples, self.seed, self.concurrency, self.grade = samples, seed, concurrency, grade
        require_key(agent.model, base_url=agent.base_url, key_env=agent.key_env)
        self.tasks, self.left_out = _runnable(tasks, agent)
        identity = agent.describe()["fingerprint"], retriever.fingerprint
        self.wanted = {
            trajectory_id(task, *identity, sample, seed): (task, sample)
            for sample in range(samples)
            for task in self.tasks
        }
        self.rows: dict[str, Row] = {}

    async def run(self, shown: Console | None, progress: ProgressCallback | None) -> RolloutSummary:
        """Runs what is missing."""
        self._say_what_is_left_out(shown)
        try:
            return await self._run(shown, progress)
        except OSError as error:
            remedy = "what had ended is kept: make room there and run the same command again"
            raise InputError(f"{self.folder} cannot be written to ({error.strerror}); {remedy}.") from error

    async def _run(self, shown: Console | None, progress: ProgressCallback | None) -> RolloutSummary:
        with Store(self.folder / TRAJECTORIES, Trajectory) as store:
            check_manifest(self.folder, self.agent, self.retriever, self.seed)
            record_asked(self.folder, self.tasks)
            for offset, trajectory in read_with_offsets(store.path, Trajectory):
                self.rows[trajectory.id] = self._row(trajectory, offset)
            tally = Tally(len(self.wanted), graded=self.grade is not None)
            finished = {name for name in self.wanted if name in self.rows and self.rows[name].status != "error"}
            for name in finished:
                tally.add(self.rows[name])
            missing = [item for name, item in self.wanted.items() if name not in finished]
            reused = len(finished)
            if missing:
                record_call(
                    self.folder,
                    self.agent,
                    self.retriever,
                    self.seed,
                    samples=self.samples,
                    concurrency=self.concurrency,
                    runs=len(missing),
                )
            if shown is not None and reused:
                shown.print(
                    f"{reused:,} of {len(self.wanted):,} runs are in {self.folder} already: reused",
                    markup=False,
                    soft_wrap=True,
                )
            title = f"{self.agent.name or self.agent.model} with {self.retriever.describe().get('kind', 'a retriever')}"
            try:
                with Board(title, tally, shown) as board:
                    async with aclosing(bounded_map(self._run_one, missing, self.concurrency)) as results:
                        async for _, trajectory in results:
                            ended = self._row(trajectory, store.append(trajectory))
                            self.rows[trajectory.id] = ended
                            tally.add(ended)
                            board.update()
                            if progress is not None:
                                progress(tally.done, tally.total, "runs")
            finally:
                write_index(self.folder, self.rows.values())
        return RolloutSummary(
            folder=self.folder,
            asked=tally.total,
            reused=reused,
            ran=tally.done - reused,
            answered=tally.answered,
            unanswered=tally.unanswered,
            errors=tally.errors,
            left_out=self.left_out,
            success=tally.success,
            mean_steps=tally.mean_steps,
            tokens=tally.tokens,
            cost=tally.cost,
        )

    async def _run_one(self, item: tuple[Task, int]) -> Trajectory:
        task, sample = item
        return await run_task(task, self.agent, self.retriever, sample=sample, seed=self.seed)

    def _row(self, trajectory: Trajectory, offset: int) -> Row:
        graded = None
        if self.grade is not None and trajectory.id in self.wanted and trajectory.status == "answered":
            graded = self.grade(self.wanted[trajectory.id][0], trajectory)
        return row(trajectory, offset, graded)

    def _say_what_is_left_out(self, shown: Console | None) -> None:
        if self.left_out and shown is not None:
            named = ", ".join(self.left_out[:3]) + (", ..." if len(self.left_out) > 3 else "")
            all_tasks = len(self.tasks) + len(self.left_out)
            shown.print(
                f"left out {len(self.left_out):,} of {all_tasks:,} tasks, without a plan: {named}", markup=False
            )


def _runnable(tasks: list[Task], agent: AgentSettings) -> tuple[list[Task], list[str]]:
    """The tasks that this agent can run, and the ids of those left out for want of a plan.

    Raises:
        InputError: there is none, two have one id, or a limit cannot be kept.
    """
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise InputError(f"two tasks have the id {task.id!r}; give each its own.")
        seen.add(task.id)
    if agent.limits.cost is not None and not model_facts(agent.model).priced:
        raise InputError(
            f"`limits.cost` cannot be kept: the price of {agent.model!r} is unknown; limit tokens instead."
        )
    runnable = [task for task in tasks if not agent.simulated or task.plan is not None]
    if not runnable:
        why = (
            f"none of the {len(tasks):,} tasks has a plan, which a sim/ agent needs" if tasks else "there are no tasks"
        )
        raise InputError(f"nothing to run: {why}; choose another task set or agent.")
    return runnable, [task.id for task in tasks if agent.simulated and task.plan is None]
