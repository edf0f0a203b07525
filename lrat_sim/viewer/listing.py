"""The list of trajectories: searched, filtered, sorted and cut into pages on the table of all runs."""

from __future__ import annotations

from functools import reduce
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import pyarrow as pa
from msgspec import Meta, Struct
from pyarrow import compute

PAGE = 50  # rows a page, unless its address says otherwise

EVIDENCE = {
    "all": "all of it shown",
    "some": "part of it shown",
    "none": "none of it shown",
    "opened": "some of it opened",
    "unknown": "unknown",
}
"""What may be asked of the evidence, in words."""

_FILTERS = {
    "status": "ending",
    "outcome": "outcome",
    "arm": "arm",
    "retriever": "retriever_name",
    "agent": "agent_name",
    "task": "task_id",
}
_SORTS = {name: _FILTERS[name] for name in ("task", "outcome", "arm", "retriever")}
_SORTS |= {"steps": "steps", "tokens": "tokens", "evidence": "share"}


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which trajectories are listed; ``q`` holds words that all stand in the question, the answer or an id, ``-``
    before the column in ``sort`` reverses it."""

    q: Annotated[str, Meta(max_length=1000)] = ""
    status: str = ""
    outcome: str = ""
    arm: str = ""
    retriever: str = ""
    agent: str = ""
    evidence: Literal["all", "some", "none", "opened", "unknown", ""] = ""
    task: str = ""
    sort: Annotated[str, Meta(pattern=f"^-?({'|'.join(_SORTS)})$")] = "task"
    page: Annotated[int, Meta(ge=1)] = 1
    size: Annotated[int, Meta(ge=1, le=500)] = PAGE

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
        return any(getattr(self, name) for name in (*_FILTERS, "q", "evidence"))


_DEFAULTS = msgspec.structs.asdict(Query())


class Page(Struct, frozen=True):
    """A page of rows, of ``total`` in all; ``number`` of ``pages``, ``first`` is the index of its first row."""

    rows: list[Any]
    total: int
    number: int
    pages: int
    first: int

    @classmethod
    def cut(cls, rows: Any, wanted: int, size: int = PAGE) -> Page:
        """The page of that number, from 1, of a list or range of rows; one behind the last is the last."""
        pages = max(1, -(-len(rows) // size))
        number = min(wanted, pages)
        first = (number - 1) * size
        return cls(rows[first : first + size], len(rows), number, pages, first)


def select(table: Any, query: Query) -> Page:
    """The page of the table of :class:`lrat_sim.viewer.library.Library` that a query asks for."""
    matched = matching(table, query)
    way = "descending" if query.sort.startswith("-") else "ascending"
    by = _SORTS[query.sort.removeprefix("-")]
    if by == "share":  # of its evidence that each run was shown; null where none is known
        evidence = compute.cast(matched["evidence"], pa.float64())
        known = compute.if_else(compute.greater(evidence, 0), evidence, None)
        matched = matched.append_column("share", compute.divide(matched["evidence_shown"], known))
    keys = [(by, way)] + [(name, "ascending") for name in ("task_id", "arm", "sample", "id") if name != by]
    page = Page.cut(compute.sort_indices(matched, sort_keys=keys), query.page, query.size)
    return msgspec.structs.replace(page, rows=matched.take(page.rows).to_pylist())


def matching(table: Any, query: Query) -> Any:
    """The rows that a query asks for, in the order of the table."""
    equal = {column: value for name, column in _FILTERS.items() if (value := getattr(query, name))}
    conditions = [compute.equal(table[column], value) for column, value in equal.items()]
    conditions += [compute.match_substring(table["words"], word) for word in query.q.casefold().split()]
    if query.evidence:
        conditions.append(_evidence(table, query.evidence))
    return table.filter(reduce(compute.and_kleene, conditions)) if conditions else table


def choices(table: Any) -> dict[str, list[tuple[str, str]]]:
    """What each filter but the task offers: the values of its column in order, each with its count."""
    offered = {}
    for name, column in _FILTERS.items():
        if name != "task":
            counts = compute.value_counts(table[column]).to_pylist()
            known = sorted((count["values"], count["counts"]) for count in counts if count["values"] is not None)
            offered[name] = [(value, f"{value} ({count:,})") for value, count in known]
    return offered


def address(path: str, **parameters: Any) -> str:
    """A path with its parameters percent-encoded, whatever characters they hold."""
    return f"{path}?{urlencode(parameters, errors='replace')}" if parameters else path


def _evidence(table: Any, wanted: str) -> Any:
    known = compute.greater(table["evidence"], 0)
    if wanted == "unknown":
        return compute.invert(known)
    every, none = compute.equal(table["evidence_shown"], table["evidence"]), compute.equal(table["evidence_shown"], 0)
    fits = {
        "all": every,
        "none": none,
        "some": compute.invert(compute.or_kleene(every, none)),
        "opened": compute.greater(table["evidence_opened"], 0),
    }
    return compute.and_kleene(known, fits[wanted])
