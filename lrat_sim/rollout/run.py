"""Runs many tasks at once, each recorded as it ends, and goes on where it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import msgspec
from rich.console import Console

from lrat_sim.agent.loop import run_task, trajectory_id
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import Store, read_with_offsets, writing
from lrat_sim.errors import InputError
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.facts import require_key
from lrat_sim.progress import ProgressCallback, console
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import CallOptions, Calls, opened
from lrat_sim.rollout.index import RUN, TRAJECTORIES, Row, index_grades, record_asked, row, write_index
from lrat_sim.rollout.manifest import check_manifest, record_call
from lrat_sim.rollout.summary import RolloutSummary, left_out_sentence, runnable
from lrat_sim.rollout.table import Tally, board
from lrat_sim.success import runs_by_task, success
from lrat_sim.work import bounded_map

__all__ = ["Grader", "RolloutSummary", "rollout"]

Grader = Callable[[Task, Trajectory], Grade | None]


def rollout(
    tasks: Iterable[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path | str,
    *,
    samples: int = 1,
    seed: int = 0,
    concurrency: int = 20,
    adaptive: bool = True,
    cost: float | None = None,
    seconds: float | None = None,
    budget: Budget | None = None,
    cache: Path | str | bool = True,
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
        concurrency: model calls in flight at once.  While calls wait to be tried again, further runs begin.
        adaptive: starts with 20 calls in flight at most and lets the provider's 429s decide from there, up to
            ``concurrency``; False is ``concurrency`` from the start.
        cost: US dollars that all runs of the folder may cost together, earlier calls of this function included.
            Calls under way when it is reached are cut off, and not counted.
        seconds: that this call may take.  A rollout that reached one of the two limits is ``stopped``; the same
            call with a higher limit goes on from there.
        budget: in place of the two limits, one that several rollouts share.
        cache: the file of answers that were paid for; True is RUN/calls.sqlite, and none for models of our own; False
            is none.  Several rollouts, also at once, may share a file.
        grade: grades a trajectory as it ends, for the success shown so far; None is ungraded.
        table: shows a live table, or plain lines where there is no terminal.
        progress: told (done, total, what) after each run.

    Raises:
        InputError: nothing can be run, a limit cannot be kept, the folder or the cache cannot be written to, or the
            folder was made with other settings.
        KeyboardInterrupt: stopped by Ctrl-C, after what was under way was cancelled and the files were closed.
    """
    if samples < 1 or concurrency < 1:
        raise InputError(f"samples is {samples} and concurrency {concurrency}; both must be 1 or more.")
    calls = CallOptions(
        concurrency=concurrency,
        adaptive=adaptive,
        max_cost=cost if budget is None else budget.cost,
        max_seconds=seconds if budget is None else budget.seconds,
        cache=cache if isinstance(cache, bool) else str(cache),
    ).resolved(agent.model, Path(folder))
    work = _Rollout(list(tasks), agent.resolved(), retriever, Path(folder), samples, seed, calls, budget, grade)
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
        calls: CallOptions,
        budget: Budget | None,
        grade: Grader | None,
    ):
        self.agent, self.retriever, self.folder = agent, retriever, folder
        self.samples, self.seed, self.calls, self.budget, self.grade = samples, seed, calls, budget, grade
        require_key(agent.model, base_url=agent.base_url, key_env=agent.key_env)
        self.tasks, self.left_out = runnable(tasks, agent)
        identity = agent.describe()["fingerprint"], retriever.fingerprint
        self.wanted = {
            trajectory_id(task, *identity, sample, seed): (task, sample)
            for sample in range(samples)
            for task in self.tasks
        }
        self.rows: dict[str, Row] = {}
        self.known: dict[str, str | None] = {}
        self.causes: dict[str, str] = {}

    async def run(self, shown: Console | None, progress: ProgressCallback | None) -> RolloutSummary:
        """Runs what is missing."""
        self._say_what_is_left_out(shown)
        check_manifest(self.folder, self.agent, self.retriever, self.seed)  # a folder that is refused stays as it was
        with writing(self.folder):
            return await self._run(shown, progress)

    async def _run(self, shown: Console | None, progress: ProgressCallback | None) -> RolloutSummary:
        with Store(self.folder / TRAJECTORIES, Trajectory) as store:
            check_manifest(self.folder, self.agent, self.retriever, self.seed)  # again: others may have made it since
            spent = self._read(store)
            tally = Tally(len(self.wanted), graded=self.grade is not None)
            finished = {name for name in self.wanted if name in self.rows and self.rows[name].status != "error"}
            for name in finished:
                tally.add(self.rows[name])
            missing = [name for name in self.wanted if name not in finished]
            how = self.calls
            if missing or not (self.folder / RUN).exists():
                record_call(
                    self.folder,
                    self.agent,
                    self.retriever,
                    self.seed,
                    samples=self.samples,
                    calls=how,
                    runs=len(missing),
                )
            record_asked(self.folder, self.tasks)  # after run.yaml, by which the folder is known
            if not missing:
                how = msgspec.structs.replace(how, cache=False)  # nothing to open it for
            if shown is not None and finished:
                said = f"{len(finished):,} of {len(self.wanted):,} runs are in {self.folder} already: reused"
                shown.print(said, markup=False, soft_wrap=True)
            try:
                async with opened(how, self.agent.model, self.folder, spent=spent, budget=self.budget) as calls:
                    with board(self._title(), tally, shown, calls.fields):
                        stopped = await self._run_missing(missing, calls, store, tally, progress)
            finally:
                write_index(self.folder, self.rows.values())
        if stopped is not None and shown is not None:
            said = f"stopped: {stopped}, with {tally.done:,} of {tally.total:,} runs done"
            shown.print(
                f"{said}; the same command with a higher limit goes on from there", markup=False, soft_wrap=True
            )
        return RolloutSummary(
            folder=self.folder,
            asked=tally.total,
            reused=len(finished),
            ran=tally.done - len(finished),
            answered=tally.answered,
            unanswered=tally.unanswered,
            # those that a limit kept from being run again too
            errors=sum(name in self.rows and self.rows[name].status == "error" for name in self.wanted),
            left_out=self.left_out,
            success=self._success(),
            mean_steps=tally.mean_steps,
            tokens=tally.tokens,
            cost=tally.cost,
            unknown_usage=tally.unknown_usage,
            stopped=None if stopped is None else stopped.limit,
            cached=calls.client.cached,
            cause=next((self.causes[name] for name in self.rows if name in self.causes), None),
        )

    def _read(self, store: Store[Trajectory]) -> float:
        """Reads what is there; returns what it cost.

        With a cache a run that broke finds its answers there when it is run again, and they count then; without
        one it pays for them twice.
        """
        spent, self.known = 0.0, index_grades(self.folder)
        before = read_with_offsets(store.path, Trajectory) if store.path.exists() else ()
        for offset, trajectory in before:
            known = self.rows.get(trajectory.id)
            if known is not None and self.calls.cache:
                spent -= known.cost or 0.0
            self._add(trajectory, offset)
            spent += trajectory.usage.cost or 0.0
        return spent

    async def _run_missing(
        self,
        missing: list[str],
        calls: Calls,
        store: Store[Trajectory],
        tally: Tally,
        progress: ProgressCallback | None,
    ) -> LimitReached | None:
        """Runs what is missing, the first ones first; returns the limit that ended it early."""

        async def run(item: tuple[int, str]) -> Trajectory:
            place, name = item
            task, sample = self.wanted[name]
            async with calls.admitted():
                if name in self.rows and self.calls.cache:
                    calls.budget.take_back(self.rows[name].cost)
                return await run_task(
                    task, self.agent, self.retriever, sample=sample, seed=self.seed, client=calls.client, priority=place
                )

        try:
            async with aclosing(bounded_map(run, enumerate(missing), calls.runs)) as results:
                async for _, trajectory in results:
                    tally.add(self._add(trajectory, store.append(trajectory)))
                    if progress is not None:
                        progress(tally.done, tally.total, "runs")
        except LimitReached as reached:
            return reached
        return None

    def _title(self) -> str:
        return f"{self.agent.name or self.agent.model} with {self.retriever.describe().get('kind', 'a retriever')}"

    def _add(self, trajectory: Trajectory, offset: int) -> Row:
        """Takes in a trajectory that starts at a byte of the file; the last of an id counts."""
        graded = self.known.get(trajectory.id)
        if self.grade is not None and trajectory.id in self.wanted and trajectory.status == "answered":
            grade = self.grade(self.wanted[trajectory.id][0], trajectory)
            graded = grade.state if grade is not None else graded
        self.causes.pop(trajectory.id, None)
        if trajectory.error is not None and trajectory.id in self.wanted:
            self.causes[trajectory.id] = f"{trajectory.error.boundary}: {trajectory.error.message}"
        self.rows[trajectory.id] = found = row(trajectory, offset, graded)
        return found

    def _success(self) -> float | None:
        """Over the tasks of this call; None without a grader."""
        runs = ((each.task_id, each.status, each.grade) for name, each in self.rows.items() if name in self.wanted)
        by_task = runs_by_task(runs, (task.id for task in self.tasks))
        return success(by_task.values()).value if self.grade is not None else None

    def _say_what_is_left_out(self, shown: Console | None) -> None:
        if self.left_out and shown is not None:
            shown.print(left_out_sentence(self.left_out, len(self.tasks) + len(self.left_out)), markup=False)
