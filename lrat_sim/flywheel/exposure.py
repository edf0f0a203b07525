"""How unequally documents are shown and opened.

A flywheel learns from what its own retriever showed.  Where it shows ever fewer documents, it learns ever more about
them and nothing about the rest; that is seen in the Gini coefficient of how often each document is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.rollout.index import read_trajectories


class Exposure(Struct, frozen=True, kw_only=True):
    """What became of a corpus's documents in some runs.

    Attributes:
        documents: of the corpus.
        shown, opened: how many of them stood in a result list, or were opened, at least once.
        shown_gini, opened_gini: inequality of how often each was, over the whole corpus; None where none was.
    """

    documents: int
    shown: int
    opened: int
    shown_gini: float | None
    opened_gini: float | None


def exposure(runs: Iterable[Path], documents: int) -> Exposure:
    """Counts, over the searches and browses of run folders, how often each document was shown and opened.

    Args:
        runs: the run folders, all over one corpus.
        documents: how many the corpus holds.

    Raises:
        InputError: a folder has no trajectories.
    """
    shown: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    for run in runs:
        for trajectory in read_trajectories(run):
            for call in trajectory.calls():
                shown.update(hit.docid for hit in call.hits or ())
                if call.docid is not None:
                    opened[call.docid] += 1
    return Exposure(
        documents=documents,
        shown=len(shown),
        opened=len(opened),
        shown_gini=_gini_of(shown, documents),
        opened_gini=_gini_of(opened, documents),
    )


def _gini_of(counts: Counter[str], documents: int) -> float | None:
    every = np.zeros(max(documents, len(counts)), np.float64)
    every[: len(counts)] = list(counts.values())
    return gini(every)


def gini(counts: npt.NDArray[np.float64]) -> float | None:
    """The Gini coefficient: 0 where all counts are equal, (n - 1) / n where one has everything; None where all are 0.

    With the n counts in rising order, x_1 to x_n, it is sum_i (2 i - n - 1) x_i / (n sum_i x_i).

    Args:
        counts: 0 or more each, shape (n,).
    """
    total, n = float(counts.sum()), len(counts)
    if total == 0:
        return None
    ranks = np.arange(1, n + 1)
    return float(((2 * ranks - n - 1) * np.sort(counts)).sum() / (n * total))
