"""Actors that each keep a part of something on a machine of its own, and are asked together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lrat_sim.cluster.connection import NAMESPACE, import_ray
from lrat_sim.errors import InputError, RetrieverError

_SECONDS = 120.0
"""How long all parts may take to answer, the replacement of a lost machine included."""


def actors_on_all_machines(name: str, kind: type, arguments: Sequence[Any], *, most: int) -> list[Any]:
    """One actor of a kind for each machine, at most so many, made as ``kind(number, count, *arguments)``; those of the
    name that another process of this cluster made are shared.

    Ray makes a lost one anew on another machine.  None reserves a processor, since all of them only work in searches.
    """
    ray = import_ray()
    if not ray.is_initialized():
        raise InputError("index=spread searches on the machines of a cluster; name one with --cluster, such as auto.")
    alive = sum(node["Alive"] for node in ray.nodes())
    # those that are there count, however many machines there are by now
    known = {actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)}
    counts = [int(each.rpartition("-of-")[2]) for each in known if each.startswith(f"{name}-")]
    count = counts[0] if counts else max(1, min(most, alive))
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= count else 0
    how: dict[str, Any] = {"num_cpus": 0, "num_gpus": gpus, "max_concurrency": 4, "scheduling_strategy": "SPREAD"}
    how |= {"max_restarts": -1, "max_task_retries": -1, "namespace": NAMESPACE, "get_if_exists": True}
    make = ray.remote(kind)
    return [
        make.options(name=f"{name}-{number}-of-{count}", **how).remote(number, count, *arguments)
        for number in range(count)
    ]


def ask_all(actors: Sequence[Any], *question: Any) -> list[Any]:
    """What each actor's ``ask`` returns."""
    ray = import_ray()
    try:
        answers: list[Any] = ray.get([actor.ask.remote(*question) for actor in actors], timeout=_SECONDS)
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        raise RetrieverError(f"a part of the index did not answer: {lines[-1][:300] if lines else 'lost'}") from error
    return answers
