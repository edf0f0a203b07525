"""The cluster that work is spread over: which one, and how a verb is connected to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from lrat_sim.cluster.workers import Workers
from lrat_sim.errors import InputError
from lrat_sim.progress import console
from lrat_sim.settings import Settings, Whole

T = TypeVar("T")
U = TypeVar("U")

NAMESPACE = "lrat-sim"
_ABOUT = (
    "Spread the work by Ray: local starts it on this machine, auto joins the cluster that this machine is part of, "
    "ray://HOST:PORT another one."
)


class ClusterSettings(Settings, frozen=True, kw_only=True):
    """Where work is done; none of it decides a result."""

    cluster: Annotated[str | None, Meta(description=_ABOUT)] = None
    workers: Annotated[
        Whole | None, Meta(description="Worker processes on the cluster; by default one for each processor or GPU.")
    ] = None


class Cluster:
    """The machines of a Ray cluster that this process is connected to."""

    def __init__(self, workers: int | None = None):
        self._workers = workers

    @property
    def gpus(self) -> int:
        """How many GPUs all machines have together."""
        return int(self._resources("GPU"))

    @property
    def trainers(self) -> int:
        """Processes that train one model together: as many as asked for, else one a GPU; 0 for this process."""
        return min(self._workers or self.gpus, self.gpus or self._workers or 0)

    def count(self, *, gpu: bool = False) -> int:
        """How many workers there are: as many as asked for, else one a GPU where ``gpu`` can use them and there are
        any, else one a processor."""
        return self._workers or (self.gpus if gpu else 0) or max(1, int(self._resources("CPU")))

    def workers(
        self, open_: Callable[[], Callable[[T], Any]], *, most: int | None = None, at_once: int = 2, gpu: bool = False
    ) -> Workers[T, Any]:
        """Workers that each call ``open_`` once, and its result for every item; use them in a ``with`` statement.

        Args:
            open_: picklable; makes the function that takes an item, which may be a coroutine function.
            most: more workers than this would have nothing to do.
            at_once: items that one worker has under way at once.
            gpu: each has a GPU of its own, where the cluster has any.
        """
        count = min(self.count(gpu=gpu), max(1, most or self.count(gpu=gpu)))
        return Workers(open_, count=count, at_once=at_once, gpus=int(gpu and self.gpus > 0))

    @staticmethod
    def _resources(kind: str) -> float:
        return float(import_ray().cluster_resources().get(kind, 0))


_current: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


def current() -> Cluster | None:
    """The cluster that the running verb spreads its work over; None where this process does all itself."""
    return _current.get()


@contextmanager
def connected(settings: ClusterSettings | str | None) -> Iterator[Cluster | None]:
    """A context in which work is spread over a cluster; without one, nothing changes.

    At its end, and so on Ctrl-C, every task of the work is ended, and a cluster that was started here is shut down.
    """
    if isinstance(settings, str):
        settings = ClusterSettings(cluster=settings)
    if settings is None or settings.cluster is None:
        if settings is not None and settings.workers is not None:
            raise InputError("--workers counts the workers of a cluster; name one with --cluster, such as local.")
        yield None
        return
    ray = import_ray()
    address = settings.cluster
    if address not in ("local", "auto") and not address.startswith("ray://"):
        raise InputError(f"the cluster is {address!r}; give local, auto or ray://HOST:PORT.")
    own = not ray.is_initialized()
    if own:
        _connect(ray, address, settings.workers)
    cluster = Cluster(settings.workers)
    token = _current.set(cluster)
    nodes = sum(node["Alive"] for node in ray.nodes())
    console.print(
        f"cluster: {nodes:,} machine{'s' * (nodes != 1)}, {cluster.count():,} workers, {cluster.gpus:,} GPUs",
        markup=False,
    )
    try:
        yield cluster
    finally:
        _current.reset(token)
        if own:
            ray.shutdown()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "error"}
    if address == "local":  # more workers than processors are allowed, as with any processes
        own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        options |= {"include_dashboard": False, "num_cpus": max(workers or 1, own)}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own prints where the process was
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise InputError(
            f"the Ray cluster {address!r} cannot be reached ({first[0][:300]}); start it with `ray start --head`, "
            "give the same RAY_AUTH_TOKEN here as there, or use --cluster local."
        ) from error


def import_ray() -> Any:
    """The library, which is an extra."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning of a coming default
    try:
        import ray
    except ImportError as error:
        raise InputError("--cluster needs Ray, which is not installed; install lrat-sim[ray].") from error
    return ray
