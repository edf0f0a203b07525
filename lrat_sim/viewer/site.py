"""What all pages share: templates, the parameters of an address, finding a trajectory, and refusals."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from pyarrow import compute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import Task, Trajectory
from lrat_sim.viewer import words
from lrat_sim.viewer.evidence import counted
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import EVIDENCE, BadAddress, address
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.table import agent_label, retriever_label
from lrat_sim.viewer.versus import RESULTS

P = TypeVar("P", bound=Struct)

PAGE = 50
"""Rows a page, where a page cannot say otherwise."""


class Facts(Struct, frozen=True, kw_only=True):
    """A trajectory in numbers; evidence is that of its task, ``first`` the turn that was first shown any of it."""

    agent: str
    retriever: str
    steps: int
    searches: int
    browses: int
    failed: int
    evidence: int
    shown: int
    opened: int
    first: int | None


class Site:
    """The library with the templates that show it.

    Args:
        library: what is shown.
    """

    def __init__(self, library: Library):
        self.library = library
        self._templates = Environment(
            loader=PackageLoader("lrat_sim.viewer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(address=address, EVIDENCE=EVIDENCE, RESULTS=RESULTS)
        self._templates.filters.update(words.FILTERS)

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """A page from a template."""
        text = self._templates.get_template(template).render(library=self.library, **values)
        # half of a surrogate pair, as a broken reply may hold, is no character of UTF-8
        return Response(text.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")

    def trajectory(self, run: str, name: str) -> tuple[RunFolder, Trajectory]:
        """A trajectory by its run and id.

        Raises:
            InputError: there is no such run, or no such trajectory in it.
        """
        folder = self.library.run(run)
        found = folder.trajectory(name)
        if found is None:
            raise InputError(f"the run {run!r} has no trajectory {name!r}; choose one of the list.")
        return folder, found

    def arm(self, run: RunFolder, name: str) -> str:
        """The arm that a trajectory of a run belongs to."""
        place = compute.index(run.table["id"], name).as_py()
        return str(run.table["arm"][place].as_py())

    async def refused(self, _: Request, error: Exception) -> Response:
        """Something asked for cannot be had."""
        return self.page("error.html", 400 if isinstance(error, BadAddress) else 404, sentence=str(error))

    async def not_found(self, _: Request, error: Exception) -> Response:
        """An address of no page, or a method that no page has."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        sentence = "there is no such page; begin at the list."
        return self.page("error.html", status, sentence=sentence if status == 404 else "pages can only be read.")

    async def failed(self, _: Request, error: Exception) -> Response:
        """A fault of the viewer's own; the server's log has the rest."""
        sentence = f"the page could not be made ({type(error).__name__}: {error})."
        return self.page("error.html", 500, sentence=sentence)


def parameters(request: Request, kind: type[P]) -> P:
    """The parameters of an address, checked.

    Raises:
        BadAddress: one is missing, unknown, or has a value that is not allowed.
    """
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadAddress(error) from error


def facts(trajectory: Trajectory, task: Task | None) -> Facts:
    """A trajectory in numbers."""
    calls = list(trajectory.calls())
    evidence = set(task.evidence) if task is not None else set()
    shown, opened = counted(trajectory, evidence)
    first = (
        number
        for number, turn in enumerate(trajectory.turns)
        for call in turn.calls
        if evidence & {hit.docid for hit in call.hits or ()}
    )
    return Facts(
        agent=agent_label(trajectory.agent),
        retriever=retriever_label(trajectory.retriever),
        steps=sum(call.hits is not None or call.docid is not None for call in calls),
        searches=sum(call.hits is not None for call in calls),
        browses=sum(call.docid is not None for call in calls),
        failed=sum(call.executed is None for call in calls),
        evidence=len(evidence),
        shown=shown,
        opened=opened,
        first=next(first, None),
    )
