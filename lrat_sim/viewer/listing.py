"""The list of trajectories: searched, filtered, sorted and cut into pages on the table of all runs."""

from __future__ import annotations

from functools import reduce
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
from msgspec import Meta, Struct
from pyarrow import compute

Evidence = Literal["all", "some", "none", "opened", "unknown"]
Sort = Literal[
    "task", "-task", "outcome", "-outcome", "arm", "-arm", "retriever", "-retriever",
    "steps", "-steps", "tokens", "-tokens", "evidence", "-evidence",
]  # fmt: skip

EVIDENCE: dict[str, str] = {
    "all": "all of it shown",
    "some": "part of it shown",
    "none": "none of it shown",
    "opened": "some of it opened",
    "unknown": "unknown",
}
"""What may be asked of the evidence, in words."""

_COLUMNS = {
    "task": "task_id",
    "outcome": "outcome",
    "arm": "arm",
    "retriever": "retriever_name",
    "steps": "steps",
    "tokens": "tokens",
    "evidence": "share",
}


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which trajectories are listed.

    ``q`` holds words that all stand in the question, the answer, or the id of task or trajectory; ``evidence`` is how
    much of it the run was shown; ``-`` before the column in ``sort`` begins at the end; ``page`` counts from 1; the
    others are values of their columns.
    """

    q: Annotated[str, Meta(max_length=1000)] = ""
    status: str = ""
    outcome: str = ""
    arm: str = ""
    retriever: str = ""
    agent: str = ""
    evidence: Evidence | Literal[""] = ""
    task: str = ""
    sort: Sort = "task"
    page: Annotated[int, Meta(ge=1)] = 1
    size: Annotated[int, Meta(ge=1, le=500)] = 50

    def url(self, **changed: Any) -> str:
        """The address of this list with some fields changed; with another order or filter it begins at page 1."""
        fields = {**msgspec.structs.asdict(self), **({} if "page" in changed else {"page": 1}), **changed}
        return address("/trajectories", **{name: value for name, value in fields.items() if value != _DEFAULTS[name]})

    def sorted_by(self, column: str) -> str:
        """The address of the list sorted by a column; the other way round where it is already."""
        return self.url(sort=f"-{column}" if self.sort == column else column)

    @property
    def filters(self) -> bool:
        """Whether any row may be left out."""
        return any(getattr(self, name) for name in (*FILTER_COLUMNS, "q", "evidence"))


FILTER_COLUMNS = {
    "status": "status",
    "outcome": "outcome",
    "arm": "arm",
    "retriever": "retriever_name",
    "agent": "agent_name",
    "task": "task_id",
}
_DEFAULTS = msgspec.structs.asdict(Query())


class Page(Struct, frozen=True):
    """A page of rows, of ``total`` that were found; ``number`` of ``pages``, ``first`` is the index of its first."""

    rows: list[dict[str, Any]]
    total: int
    number: int
    pages: int
    first: int


def page_bounds(total: int, size: int, wanted: int) -> tuple[int, int, int]:
    """The page that is shown (one behind the last is the last), the number of pages, and the index of its first row."""
    pages = max(1, -(-total // size))
    number = min(wanted, pages)
    return number, pages, (number - 1) * size


def select(table: Any, query: Query) -> Page:
    """The page of a query.

    Args:
        table: by :data:`lrat_sim.viewer.table.SCHEMA`.
        query: what is asked for; a page behind the last is the last.
    """
    found = matching(table, query)
    way = "descending" if query.sort.startswith("-") else "ascending"
    by = _COLUMNS[query.sort.lstrip("-")]
    if by == "share":
        found = found.append_column("share", _share(found))
    keys = [(by, way)] + [(name, "ascending") for name in ("task_id", "arm", "sample", "id") if name != by]
    order = compute.sort_indices(found, sort_keys=keys)
    number, pages, first = page_bounds(len(order), query.size, query.page)
    return Page(found.take(order[first : first + query.size]).to_pylist(), len(order), number, pages, first)


def matching(table: Any, query: Query) -> Any:
    """The rows that a query asks for, in the order of the table."""
    equal = {column: value for name, column in FILTER_COLUMNS.items() if (value := getattr(query, name))}
    conditions = [compute.equal(table[column], value) for column, value in equal.items()]
    conditions += [compute.match_substring(table["words"], word) for word in query.q.casefold().split()]
    if query.evidence:
        conditions.append(_evidence(table, query.evidence))
    return table.filter(reduce(compute.and_kleene, conditions)) if conditions else table


def choices(table: Any, column: str) -> list[tuple[str, str]]:
    """The values of a column in order, each with how it is offered: with its count."""
    counts = compute.value_counts(table[column]).to_pylist()
    found = sorted((each["values"], each["counts"]) for each in counts if each["values"] is not None)
    return [(value, f"{value} ({count:,})") for value, count in found]


def address(path: str, **parameters: Any) -> str:
    """A path with its parameters percent-encoded, whatever characters they hold."""
    return f"{path}?{urlencode(parameters, errors='replace')}" if parameters else path


def _evidence(table: Any, asked: str) -> Any:
    known = compute.greater(table["evidence"], 0)
    if asked == "unknown":
        return compute.invert(known)
    every, none = compute.equal(table["evidence_shown"], table["evidence"]), compute.equal(table["evidence_shown"], 0)
    fits = {
        "all": every,
        "none": none,
        "some": compute.invert(compute.or_kleene(every, none)),
        "opened": compute.greater(table["evidence_opened"], 0),
    }
    return compute.and_kleene(known, fits[asked])


def _share(table: Any) -> Any:
    """The share of its evidence that each run was shown; null where none is known."""
    evidence = compute.cast(table["evidence"], pa.float64())
    return compute.divide(table["evidence_shown"], compute.if_else(compute.greater(evidence, 0), evidence, None))
