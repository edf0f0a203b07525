"""Runs on the workers of a cluster: each worker is a plain event loop against the model's server, and all of them keep
one budget and one limit on the calls in flight, which a governor shares out."""

from __future__ import annotations

import asyncio
import gc
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from msgspec import structs

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.cluster import Cluster, Workers
from lrat_sim.cluster.connection import NAMESPACE, import_ray
from lrat_sim.errors import InputError
from lrat_sim.models.budget import Budget
from lrat_sim.models.cache import CallCache
from lrat_sim.models.call import is_own
from lrat_sim.models.client import Client
from lrat_sim.models.limiter import AdaptiveLimiter, RunLimiter
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.records import Task, Trajectory, decode, encode
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import RUNS_A_CALL, CallOptions

_BETWEEN_REPORTS = 0.25
"""Seconds; for so long the workers together may exceed a limit that has just sunk, or the budget."""
_EXPECTED = 60.0
"""Seconds for which a worker's share of the calls is kept for it before it comes."""
_SILENT = 10.0
"""Seconds without a report after which a worker's share of the calls goes to the others."""
_RUNS_AHEAD = 1.5
"""Runs that are handed to the workers for each call that may be in flight, since a run also searches."""


class Report(NamedTuple):
    """What a worker tells the governor of the time since its last report."""

    worker: str
    spent: float  # US dollars
    answered: int  # calls
    refused: int | None  # the version of the limit under which the provider asked for fewer calls, if it did
    taken: int  # calls in flight now
    wanted: int  # and those that wait for a slot


class Allowance(NamedTuple):
    """What a worker may do until its next report."""

    spent: float  # US dollars, by all
    calls: int  # in flight at once
    version: int  # of the limit, which grows whenever it is cut


class _Known(NamedTuple):
    """What the governor knows of a worker."""

    taken: int
    wanted: int
    allowed: int  # calls in flight, by the last answer to it
    held: int  # what others cannot have: it may go on with the answer before until it has read the last
    heard: float  # when it last reported


class Governor:
    """The actor that counts what all workers spend, and divides the calls that may be in flight among them."""

    def __init__(self, spent: float, concurrency: int, adaptive: bool, workers: int):
        self.spent = spent
        self._limiter = AdaptiveLimiter(concurrency, adaptive=adaptive)
        self._version = 0
        # those that have not come yet keep their share
        later = time.monotonic() + _EXPECTED
        self._known = {f"expected-{number}": _Known(0, concurrency, 0, 0, later) for number in range(workers)}

    def total(self) -> float:
        """US dollars spent by all."""
        return self.spent

    def report(self, report: Report) -> Allowance:
        """Takes in what a worker did, and returns what it may do."""
        self.spent += report.spent
        limiter, now = self._limiter, time.monotonic()
        if report.worker not in self._known:
            self._known.pop(next((name for name in self._known if name.startswith("expected")), ""), None)
        self._known = {name: known for name, known in self._known.items() if now - known.heard < _SILENT}
        others = [known for name, known in self._known.items() if name != report.worker]
        limiter.taken = report.taken + sum(known.taken for known in others)
        for _ in range(report.answered):
            limiter.answered()
        if report.refused == self._version:  # else it was cut since those calls were sent
            limiter.refused(sys.maxsize)
            self._version += 1
        wanted = {name: known.wanted for name, known in self._known.items()} | {report.worker: report.wanted}
        share = fair_shares(limiter.limit, wanted)[report.worker]
        calls = max(0, min(share, limiter.limit - sum(known.held for known in others)))
        before = self._known[report.worker].allowed if report.worker in self._known else 0
        held = max(calls, report.taken, before)
        self._known[report.worker] = _Known(report.taken, report.wanted, calls, held, now)
        return Allowance(self.spent, calls, self._version)


def fair_shares(total: int, wanted: dict[str, int]) -> dict[str, int]:
    """Divides ``total`` so that nobody who wants more than another gets less (max-min fairness).

    What nobody wants is divided too, so that a call that comes need not wait for the next report.
    """
    shares, left = dict.fromkeys(wanted, 0), total
    for place, name in enumerate(sorted(wanted, key=lambda name: (wanted[name], name))):
        shares[name] = min(wanted[name], left // (len(wanted) - place))
        left -= shares[name]
    # the first ones get what does not divide, those that want something before the others
    order = sorted(wanted, key=lambda name: (wanted[name] <= shares[name], name))
    for place, name in enumerate(order):
        shares[name] += left // len(order) + (place < left % len(order))
    return shares


class SharedBudget(Budget):
    """A worker's view of the budget of all; ``unreported`` is what it spent since its last report."""

    unreported = 0.0

    def spend(self, cost: float | None) -> None:
        """See :meth:`Budget.spend`."""
        before = self.spent
        super().spend(cost)
        self.unreported += self.spent - before


class SharedLimiter(AdaptiveLimiter):
    """A worker's share of the calls in flight, as the governor sets it."""

    def __init__(self, ceiling: int):
        super().__init__(ceiling, adaptive=False)
        self.done, self.version, self.cut = 0, 0, asyncio.Event()
        self._set(0.0)  # nothing before the first allowance
        self._since = 0  # the number of the last entry before the limit was cut

    @property
    def wanted(self) -> int:
        """Calls in flight and in line."""
        return self.taken + len(self._waiting)

    def answered(self) -> None:
        """See :meth:`AdaptiveLimiter.answered`; the governor decides."""
        self.done += 1

    def refused(self, ticket: int) -> None:
        """See :meth:`AdaptiveLimiter.refused`; the governor is told at once."""
        if ticket > self._since:
            self.cut.set()

    def allow(self, allowance: Allowance) -> None:
        """Takes a new share."""
        if allowance.version != self.version:
            self.version, self._since = allowance.version, next(self._tickets)
        self._set(float(allowance.calls))


class RunWorker:
    """What a worker does with a run; one is opened in each worker, in its event loop."""

    def __init__(
        self,
        agent: AgentSettings,
        retriever: Retriever,
        seed: int,
        options: CallOptions,
        limits: tuple[float | None, float | None, float | None],
        governor: str,
    ):
        cost, seconds, left = limits
        self._agent, self._retriever, self._seed = agent, retriever, seed
        self._governor = import_ray().get_actor(governor, namespace=NAMESPACE)
        self._budget = SharedBudget(cost=cost, seconds=left if left is None else max(left, 1e-3))
        self._budget.seconds = seconds  # as it was given, for the message
        self._runs: RunLimiter | None = None
        if is_own(agent.model):
            self._client = Client(budget=self._budget)
        else:
            import_litellm()
            gc.freeze()  # as a rollout in one process does
            cache = None
            if isinstance(options.cache, str):  # SQLite is shared by the processes of one machine
                path = Path(options.cache)
                cache = CallCache(path.with_name(f"{path.stem}-{platform.node()}{path.suffix}"))
            self._limiter = SharedLimiter(options.concurrency)
            self._runs = RunLimiter(self._limiter, most=RUNS_A_CALL)
            self._client = Client(limiter=self._limiter, cache=cache, budget=self._budget)
            self._reporting = asyncio.ensure_future(self._report(uuid4().hex[:12]))
        self._told = (0, 0)

    async def __call__(self, item: tuple[int, Task, int]) -> tuple[bytes, int, int]:
        """Runs (place, task, sample); returns the trajectory, and the calls cached and retried since the last one."""
        place, task, sample = item
        if self._runs is None:
            trajectory = await self._run(place, task, sample)
        elif self._reporting.done():
            raise InputError(
                "the process that counts what all workers spend was lost, perhaps for want of memory; run the same "
                "command again to resume."
            )
        else:
            async with self._runs.slot(place):
                trajectory = await self._run(place, task, sample)
        before, self._told = self._told, (self._client.cached, self._client.retried)
        return encode(trajectory), self._told[0] - before[0], self._told[1] - before[1]

    async def _run(self, place: int, task: Task, sample: int) -> Trajectory:
        return await run_task(
            task, self._agent, self._retriever, sample=sample, seed=self._seed, client=self._client, priority=place
        )

    async def _report(self, name: str) -> None:
        """Tells the governor what happened, at once where the provider wants fewer calls, and takes its allowance."""
        limiter, budget = self._limiter, self._budget
        unavailable, refused = import_ray().exceptions.ActorUnavailableError, None
        while True:
            spent, budget.unreported = budget.unreported, 0.0
            done, limiter.done = limiter.done, 0
            if limiter.cut.is_set():
                refused = limiter.version
            limiter.cut.clear()
            report = Report(name, spent, done, refused, limiter.taken, limiter.wanted)
            try:
                allowance = Allowance(*await self._governor.report.remote(report))
            except unavailable:  # what it may not have heard is said again: too much spent is the safe side
                budget.unreported += spent
                limiter.done += done
            else:
                refused = None
                budget.spent = allowance.spent + budget.unreported
                limiter.allow(allowance)
            try:
                await asyncio.wait_for(limiter.cut.wait(), _BETWEEN_REPORTS)
            except TimeoutError:
                continue


Run = Callable[[tuple[int, Task, int]], Awaitable[Trajectory]]


@contextmanager
def spread_runs(
    cluster: Cluster, agent: AgentSettings, retriever: Retriever, seed: int, options: CallOptions, client: Client,
    runs: int,
) -> Iterator[tuple[Run, int]]:  # fmt: skip
    """Gives a function that does a run on some worker, and how many to call at once; ``client`` counts what all did,
    and its budget bounds that."""
    ray = import_ray()
    own, count = is_own(agent.model), min(cluster.count(), runs)
    wanted = 2 * count if own else int(options.concurrency * _RUNS_AHEAD)
    budget = client.budget
    # beside this process, without which the others would have nothing to do either
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=True
    )
    name = f"governor-{uuid4().hex}"  # by which workers find it: a handle of Ray's client is of use to nobody else
    governor = (
        ray.remote(Governor)
        .options(name=name, namespace=NAMESPACE, num_cpus=0, scheduling_strategy=here)
        .remote(budget.spent, options.concurrency, options.adaptive, count)
    )
    left = None if budget.ends is None else budget.ends - time.monotonic()
    options = structs.replace(options, max_cost=budget.cost)
    opened = partial(RunWorker, agent, retriever, seed, options, (budget.cost, budget.seconds, left), name)
    workers: Workers[tuple[int, Task, int], tuple[bytes, int, int]] = cluster.workers(
        opened, most=count, at_once=-(-wanted // count)
    )

    async def run(item: tuple[int, Task, int]) -> Trajectory:
        encoded, cached, retried = await workers.call(item)
        client.cached += cached
        client.retried += retried
        return decode(encoded, Trajectory)

    try:
        with workers:
            yield run, workers.places
    finally:
        if not own:
            with suppress(ray.exceptions.RayActorError):  # it was lost, which ends the runs
                budget.spent = ray.get(governor.total.remote())
        ray.kill(governor)
