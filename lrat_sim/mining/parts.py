"""The parts that a recipe is made of, each a small function under the name that recipes use.

A part is added by adding a function to its table: which searches count, who is a positive, who is a negative, what is
the query, what does a pair weigh.  Whoever no part names is unlabelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lrat_sim.errors import InputError
from lrat_sim.mining.episodes import Episode, Search
from lrat_sim.records import Trajectory, VerdictState

Numbers = npt.NDArray[np.float64]


def every_search(trajectory: Trajectory, search: Search) -> bool:
    """Every search of the run counts."""
    return True


SEARCHES: Mapping[str, Callable[[Trajectory, Search], bool]] = {"all": every_search}


def browsed(state: VerdictState) -> str | None:
    """Every browsed document is a positive (LRAT section 5.1, naive)."""
    return None


def relevant(state: VerdictState) -> str | None:
    """Browsed documents that the judge calls relevant are positives (section 5.1, filter); others are unlabelled."""
    return None if state == "relevant" else state


POSITIVES: Mapping[str, Callable[[VerdictState], str | None]] = {"browsed": browsed, "relevant": relevant}
"""From a verdict to None, where the document is a positive, or to the reason why it is unlabelled."""


def unbrowsed(search: Search, episode: Episode) -> Iterator[str]:
    """D_t without every document of the chain, in rank order (section 5.1); asking in vain for one counts, too."""
    return (hit.docid for hit in search.hits if hit.docid not in episode.wanted)


NEGATIVES: Mapping[str, Callable[[Search, Episode], Iterator[str]]] = {"unbrowsed": unbrowsed}


def search_query(trajectory: Trajectory, search: Search) -> str:
    """The query that was sent to the retriever."""
    return search.query


QUERIES: Mapping[str, Callable[[Trajectory, Search], str]] = {"search": search_query}


class Weighting(NamedTuple):
    """Raw weights, one a pair, and the half-life they were made with, where there is one."""

    raw: Numbers
    beta: float | None


def by_length(lengths: Numbers) -> Weighting:
    """raw(l) = 1 - exp(-ln 2 * l / beta), beta the median of l (section 5.1, intensity), so that raw(beta) = 0.5.

    Args:
        lengths: l of every pair kept, in tokens.
    """
    beta = float(np.median(lengths)) if lengths.size else 0.0
    if beta <= 0:  # no length to tell pairs apart by
        return Weighting(np.ones_like(lengths), beta if lengths.size else None)
    return Weighting(-np.expm1(-np.log(2.0) * lengths / beta), beta)


def equal(lengths: Numbers) -> Weighting:
    """Every pair weighs the same."""
    return Weighting(np.ones_like(lengths), None)


WEIGHTS: Mapping[str, Callable[[Numbers], Weighting]] = {"length": by_length, "none": equal}


def check_part(field: str, name: str, table: Mapping[str, Any]) -> None:
    """Refuses a name that no part of a table has.

    Raises:
        InputError: naming the field, the value and what is allowed.
    """
    if name not in table:
        raise InputError(f"{field} is {name!r}; it must be one of {', '.join(sorted(table))}.")
