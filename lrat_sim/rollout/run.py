"""Runs many tasks at once and records each as it ends; the same call again runs what is missing."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.console import Console

from lrat_sim import __version__
from lrat_sim.agent.loop import run_task, trajectory_id
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import Store, read_with_offsets, write_text, writing
from lrat_sim.catalog import dump_yaml
from lrat_sim.cluster import current
from lrat_sim.errors import InputError
from lrat_sim.keys import redact_all
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.client import Client
from lrat_sim.models.limiter import RunLimiter
from lrat_sim.models.litellm_model import require_key
from lrat_sim.progress import ProgressCallback, console
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import RUNS_A_CALL, CallOptions, opened
from lrat_sim.rollout.index import (
    RUN,
    TRAJECTORIES,
    Row,
    check_manifest,
    index_grades,
    read_manifest,
    record_asked,
    row,
    run_identity,
    write_index,
)
from lrat_sim.rollout.spans import exporting
from lrat_sim.rollout.spread import Run, spread_runs
from lrat_sim.rollout.summary import RolloutSummary, Tally, board, left_out_sentence, runnable
from lrat_sim.success import runs_by_task, success
from lrat_sim.work import bounded_map

__all__ = ["Grader", "RolloutSummary", "rollout"]

_PARTS = ("litellm", "openai", "msgspec", "bm25s", "sentence-transformers", "torch", "tokenizers")

Grader = Callable[[Task, Trajectory], Grade | None]


def rollout(
    tasks: Iterable[Task],
    agent: AgentSettings,
    retriever: Retriever,
    folder: Path | str,
    *,
    samples: int = 1,
    seed: int = 0,
    calls: CallOptions | None = None,
    budget: Budget | None = None,
    grade: Grader | None = None,
    table: bool = True,
    progress: ProgressCallback | None = None,
) -> RolloutSummary:
    """Runs every task and records it; rerun the same call to resume, and to run again what broke.

    The folder gets run.yaml, tasks.jsonl (those asked), trajectories.jsonl and index.parquet.  A trajectory depends on
    (task, sample, agent, retriever, seed) alone, whatever the concurrency.

    Args:
        tasks: those without a plan are left out, by name, where the agent is simulated.
        agent, retriever: who searches, and with what.
        folder: the run folder; made if missing.
        samples: runs of each task, with different seeds.
        seed: of the run.
        calls: how model calls are sent, and what they may cost and take together.  What the folder cost before counts;
            calls under way when a limit is reached are cut off, and not counted.  The rollout is ``stopped`` then;
            rerun it with a higher limit to resume.
        budget: in place of the limits of ``calls``, one that several rollouts share.
        grade: grades a trajectory as it ends, for the success shown so far; None is ungraded.
        table: shows a live table, or plain lines where there is no terminal.
        progress: told (done, total, what) after each run.

    Raises:
        InputError: nothing can be run, a limit cannot be kept, the folder or the cache cannot be written to, or the
            folder was made with other settings.
        KeyboardInterrupt: stopped by Ctrl-C, after what was under way was cancelled and the files were closed; a note
            says how to go on.
    """
    if samples < 1:
        raise InputError(f"samples is {samples}; it must be 1 or more.")
    folder, shown = Path(folder), console if table else None
    options = (calls or CallOptions()).resolved(agent.model, folder, budget)
    work = _Rollout(list(tasks), agent.resolved(), retriever, folder, samples, seed, options, grade, shown, progress)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:  # a notebook has a loop of its own, which cannot be entered twice
        with ThreadPoolExecutor(1) as beside:
            return beside.submit(copy_context().run, lambda: asyncio.run(work.run(budget))).result()
    try:
        return asyncio.run(work.run(budget))
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped; finished runs are in {folder}; rerun the same command to resume")
        raise


@dataclass
class _Rollout:
    """One call of :func:`rollout`, and what is known of its runs by their ids."""

    tasks: list[Task]
    agent: AgentSettings
    retriever: Retriever
    folder: Path
    samples: int
    seed: int
    calls: CallOptions
    grade: Grader | None
    shown: Console | None
    progress: ProgressCallback | None
    rows: dict[str, Row] = field(default_factory=dict)
    known: dict[str, str | None] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_key(self.agent.model, base_url=self.agent.base_url, key_env=self.agent.key_env)
        self.tasks, self.left_out = runnable(self.tasks, self.agent)
        identity = self.agent.describe()["fingerprint"], self.retriever.fingerprint
        self.wanted = {
            trajectory_id(task, *identity, sample, self.seed): (task, sample)
            for sample in range(self.samples)
            for task in self.tasks
        }

    def say(self, text: str) -> None:
        if self.shown is not None:
            self.shown.print(text, markup=False, soft_wrap=True)

    async def run(self, budget: Budget | None) -> RolloutSummary:
        """Runs what is missing."""
        if self.left_out:
            self.say(left_out_sentence(self.left_out, len(self.tasks) + len(self.left_out)))
        check_manifest(self.folder, self.agent, self.retriever, self.seed)  # a folder that is refused stays as it was
        with writing(self.folder), Store(self.folder / TRAJECTORIES, Trajectory) as store:
            check_manifest(self.folder, self.agent, self.retriever, self.seed)  # again: others may have made it since
            spent = self._read(store)
            tally = Tally(len(self.wanted), graded=self.grade is not None)
            missing = []
            for name in self.wanted:
                if name in self.rows and self.rows[name].status != "error":
                    tally.add(self.rows[name])
                else:
                    missing.append(name)
            reused, options = tally.done, self.calls
            if missing or not (self.folder / RUN).exists():
                how = {"runs": len(missing), "samples": self.samples, **structs.asdict(options)}
                self._record_call(how)
            record_asked(self.folder, self.tasks)  # after run.yaml, by which the folder is known
            if not missing or current() is not None:
                options = structs.replace(options, cache=False)  # nothing to open it for, here
            if reused:
                self.say(f"{reused:,} of {tally.total:,} runs are in {self.folder} already: reused")
            try:
                async with opened(options, self.agent.model, self.folder, spent, budget) as (client, limiter):
                    kind = self.retriever.describe().get("kind", "a retriever")
                    title = f"{self.agent.name or self.agent.model} with {kind}"
                    with exporting(options.otel) as send, board(title, tally, self.shown, client):
                        stopped = await self._run_missing(missing, client, limiter, store, tally, send)
            finally:
                write_index(self.folder, self.rows.values())
        if stopped is not None:
            self.say(
                f"stopped: {stopped}, with {tally.done:,} of {tally.total:,} runs done; rerun the same command with a "
                "higher limit to resume"
            )
        runs = ((row.task_id, row.status, row.grade) for name, row in self.rows.items() if name in self.wanted)
        by_task = runs_by_task(runs, (task.id for task in self.tasks))
        return RolloutSummary(
            folder=self.folder,
            asked=tally.total,
            reused=reused,
            ran=tally.done - reused,
            answered=tally.answered,
            forced=tally.forced,
            unanswered=tally.unanswered,
            # those that a limit kept from being run again too
            errors=sum(name in self.rows and self.rows[name].status == "error" for name in self.wanted),
            left_out=self.left_out,
            success=success(by_task.values()).value if self.grade is not None else None,
            mean_steps=tally.mean_steps,
            tokens=tally.tokens,
            cost=tally.cost,
            unknown_usage=tally.unknown_usage,
            stopped=None if stopped is None else stopped.limit,
            cached=client.cached,
            cause=next((self.causes[name] for name in self.rows if name in self.causes), None),
        )

    def _record_call(self, how: dict[str, Any]) -> None:
        """Writes run.yaml, or adds this call to the one that is there, with how its runs are made."""
        identity = run_identity(self.agent, self.retriever, self.seed)
        manifest = read_manifest(self.folder) or {"schema_version": 1, **identity, "calls": []}
        versions = {"lrat-sim": __version__, "python": platform.python_version()}
        for part in _PARTS:
            with suppress(PackageNotFoundError):
                versions[part] = version(part)
        machine: dict[str, Any] = {"platform": platform.platform(), "processors": os.cpu_count()}
        if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
            machine["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1)
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        manifest["calls"].append({"started": started, **how, "versions": versions, "machine": machine})
        write_text(self.folder / RUN, dump_yaml(redact_all(manifest)))

    def _read(self, store: Store[Trajectory]) -> float:
        """Reads what is there; returns what it cost.

        A run that broke finds its answers in the cache when it is run again, and they count then; without a cache it
        pays for them twice.
        """
        spent, self.known = 0.0, index_grades(self.folder)
        before = read_with_offsets(store.path, Trajectory) if store.path.exists() else ()
        for offset, trajectory in before:
            if self.calls.cache and trajectory.id in self.rows:
                spent -= self.rows[trajectory.id].cost or 0.0
            spent += self._add(trajectory, offset).cost or 0.0
        return spent

    async def _run_missing(
        self,
        missing: list[str],
        client: Client,
        limiter: RunLimiter | None,
        store: Store[Trajectory],
        tally: Tally,
        send: Callable[[Trajectory], None],
    ) -> LimitReached | None:
        """Runs what is missing, the first ones first, and sends each; returns the limit that ended it early."""

        async def here(item: tuple[int, Task, int]) -> Trajectory:
            place, task, sample = item
            async with nullcontext() if limiter is None else limiter.slot():
                if missing[place] in self.rows and self.calls.cache and client.budget is not None:
                    client.budget.take_back(self.rows[missing[place]].cost)
                return await run_task(
                    task, self.agent, self.retriever, sample=sample, seed=self.seed, client=client, priority=place
                )

        cluster, items = current(), [(place, *self.wanted[name]) for place, name in enumerate(missing)]
        at_once = self.calls.concurrency * (1 if limiter is None else RUNS_A_CALL)
        spread: AbstractContextManager[tuple[Run, int]] = nullcontext((here, at_once))
        if cluster is not None and missing:
            client.limiter = None  # each worker has its own
            spread = spread_runs(cluster, self.agent, self.retriever, self.seed, self.calls, client, len(missing))
        try:
            with spread as (run, at_once):
                async with aclosing(bounded_map(run, items, at_once)) as results:
                    async for _, trajectory in results:
                        tally.add(self._add(trajectory, store.append(trajectory)))
                        send(trajectory)
                        if self.progress is not None:
                            self.progress(tally.done, tally.total, "runs")
        except LimitReached as reached:
            return reached
        return None

    def _add(self, trajectory: Trajectory, offset: int) -> Row:
        """Takes in a trajectory that starts at a byte of the file; the last of an id counts."""
        name, wanted = trajectory.id, trajectory.id in self.wanted
        state = self.known.get(name)
        if self.grade is not None and wanted and trajectory.status == "answered":
            grade = self.grade(self.wanted[name][0], trajectory)
            state = grade.state if grade is not None else state
        self.causes.pop(name, None)
        if trajectory.error is not None and wanted:
            self.causes[name] = f"{trajectory.error.boundary}: {trajectory.error.message}"
        self.rows[name] = row(trajectory, offset, state)
        return self.rows[name]
