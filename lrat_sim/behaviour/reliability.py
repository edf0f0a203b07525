"""An agent as a tester of retrievers: does it put retrievers in the order that is known?

The order is known by construction where a retriever is degraded at growing rates (:class:`Degraded`), and else from a
real agent.  What is random in an altered retriever depends on the query alone, in any order and process.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from msgspec import Struct

from lrat_sim.behaviour.observed import names_of, observe
from lrat_sim.behaviour.resample import RESAMPLES, MeasureEstimate, TaskResamples, Values
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever
from lrat_sim.tables import Table

if TYPE_CHECKING:
    from rich.console import RenderableType


class Ordering(Struct, frozen=True, kw_only=True):
    """How an agent ordered retrievers, which are named from the worst to the best.

    ``errors`` are runs that broke, which are failures; ``gains`` are those in success of each retriever over the one
    before.  ``tau`` is Kendall's tau between the known order and that by success; ties count neither way.
    """

    names: list[str]
    tasks: int
    success: list[MeasureEstimate]
    errors: list[int]
    tau: MeasureEstimate
    gains: list[MeasureEstimate]

    def told_apart(self) -> list[str]:
        """Whether the agent tells each retriever from the one before: yes, no, or sure of the reversed order."""
        return [
            "yes" if (gain.low or 0.0) > 0 else "reversed" if (gain.high or 0.0) < 0 else "no" for gain in self.gains
        ]

    def __rich__(self) -> RenderableType:
        """Success by retriever, worst first, and whether each can be told apart from the one before."""
        success, gains = ([estimate.text(scale=100) for estimate in part] for part in (self.success, self.gains))
        columns = self.names, success, map(str, self.errors), ["", *gains], ["", *self.told_apart()]
        return Table.of(
            f"order of {len(self.names)} retrievers on {self.tasks} tasks: Kendall's tau {self.tau.text(3)}",
            ["retriever, worst first", "success, %", "errors", "gain over the one\nbefore, points", "told apart"],
            zip(*columns, strict=True),
            text_columns=(0, 4),
        ).to_terminal()


def ordering(runs: Sequence[Path], *, seed: int = 0, resamples: int = RESAMPLES) -> Ordering:
    """How the agent of some runs orders their retrievers by success, paired by task.

    ``runs`` are one for each retriever, the worst first, of which at least one task must be graded in all.
    """
    if len(runs) < 2:
        raise InputError("an order needs two runs or more; give one a retriever, the worst first.")
    names, groups = names_of(runs), {group.name: group for group in observe(runs, resamples=0)}
    for run, name in zip(runs, names, strict=True):
        if name not in groups or not groups[name].success:
            raise InputError(f"{run} holds no graded run; grade it first (lrat-sim grade).")
    shared = sorted(set.intersection(*(set(group.success) for group in groups.values())))
    if not shared:
        raise InputError("the runs share no graded task; give runs on the same tasks, and grade them first.")
    values = np.array([[groups[name].success[task] for task in shared] for name in names])
    tasks = TaskResamples(shared, seed=seed, resamples=resamples)
    index = tasks.indices(shared)
    return Ordering(
        names=names,
        tasks=len(shared),
        success=[tasks.ratio(index, column) for column in values],
        errors=[groups[name].outcomes.get("error", 0) for name in names],
        tau=tasks.of_sums(index, list(values), _tau, len(shared)),
        gains=[tasks.ratio(index, gain) for gain in np.diff(values, axis=0)],
    )


def _tau(sums: Values) -> Values:
    """Kendall's tau-a of each row with the order of its columns."""
    pairs = combinations(range(sums.shape[1]), 2)
    tau: Values = np.mean([np.sign(sums[:, later] - sums[:, earlier]) for earlier, later in pairs], axis=0)
    return tau


class Altered(Retriever):
    """The retriever ``base`` with its lists altered; ``seed`` decides, with the query, what is random."""

    def __init__(self, base: Retriever, seed: int = 0):
        self.base, self.seed = base, seed

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`Retriever.search`; scores count down, since those of the base no longer hold."""
        altered = []
        for query, hits in zip(queries, self.base.search(queries, k), strict=True):
            seed = blake2b(f"{self.seed}\x1f{query}".encode(), digest_size=8).digest()
            docids = self.alter([hit.docid for hit in hits], Random(int.from_bytes(seed, "big")))
            best = float(len(docids))
            altered.append([Hit(docid=docid, score=best - at, rank=at + 1) for at, docid in enumerate(docids)])
        return altered

    @abstractmethod
    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """One list, altered."""

    def document(self, docid: str) -> Document:
        """See :meth:`Retriever.document`."""
        return self.base.document(docid)

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return {"kind": type(self).__name__.lower(), "seed": self.seed, "base": self.base.describe()}

    def for_task(self, task: Task) -> Self:
        """See :meth:`Retriever.for_task`; passed on to the base."""
        altered = copy(self)
        altered.base = self.base.for_task(task)
        return altered


class Shuffled(Altered):
    """The same hits in random order: what an agent opens then shows how it attends to rank, whatever the retriever."""

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """See :meth:`Altered.alter`."""
        return rng.sample(docids, len(docids))


class Degraded(Altered):
    """Each hit is, with probability ``rate``, a random id of ``corpus``; a higher rate spoils these hits and more."""

    def __init__(self, base: Retriever, rate: float, corpus: Sequence[str], seed: int = 0):
        super().__init__(base, seed)
        if not 0.0 <= rate <= 1.0:
            raise InputError(f"the rate of degradation is {rate}; give a number from 0 to 1.")
        self.rate, self._corpus = rate, corpus

    def alter(self, docids: list[str], rng: Random) -> list[str]:
        """See :meth:`Altered.alter`."""
        draws = [(rng.random(), self._corpus[rng.randrange(len(self._corpus))]) for _ in docids]
        spoiled = [other if chance < self.rate else own for own, (chance, other) in zip(docids, draws, strict=True)]
        return list(dict.fromkeys(spoiled))

    def describe(self) -> dict[str, Any]:
        """See :meth:`Retriever.describe`."""
        return {**super().describe(), "rate": self.rate}
