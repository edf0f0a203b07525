"""What all pages share: templates, the parameters of an address, finding a trajectory, and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from pyarrow import compute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lrat_sim.errors import InputError
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.tables import dollars, number, percent
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import EVIDENCE, address
from lrat_sim.viewer.run import RunFolder
from lrat_sim.viewer.transcript import Transcript
from lrat_sim.viewer.versus import RESULTS

P = TypeVar("P", bound=Struct)

PAGE = 50
"""Rows a page, where a page cannot say otherwise."""


class BadAddress(InputError):
    """The parameters of an address cannot be read."""

    def __init__(self, problem: object):
        super().__init__(f"the address cannot be read: {problem}; correct it, or begin at the list.")


class ShownRun(Struct, frozen=True, kw_only=True):
    """A trajectory with its folder, task and latest grade; ``arm`` and ``retriever`` as people call them."""

    run: RunFolder
    trajectory: Trajectory
    task: Task | None
    grade: Grade | None
    arm: str
    retriever: str
    outcome: str

    def transcript(self, library: Library, **options: Any) -> Transcript:
        """What is shown of it turn by turn; ``options`` as :class:`Transcript` has them."""
        return Transcript(self.trajectory, self.task, library.corpora.of(self.trajectory.retriever), **options)


class Renderer:
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
        self._templates.filters.update(FILTERS)

    def page(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """A page from a template."""
        text = self._templates.get_template(template).render(library=self.library, **values)
        # half of a surrogate pair, as a broken reply may hold, is no character of UTF-8
        return Response(text.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")

    def shown(self, run: str, name: str) -> ShownRun:
        """A trajectory by its run and id.

        Raises:
            InputError: there is no such run, or no such trajectory in it.
        """
        folder = self.library.run(run)
        found = folder.trajectory(name)
        if found is None:
            raise InputError(f"the run {run!r} has no trajectory {name!r}; choose one of the list.")
        grades = folder.grades(name)
        grade = grades[-1] if grades else None
        graded = grade.state if grade is not None else "ungraded"
        return ShownRun(
            run=folder,
            trajectory=found,
            task=folder.tasks.get(found.task_id),
            grade=grade,
            arm=self._arm(run, name) or self.library.arm_of(folder),
            retriever=self.library.retriever(found.retriever),
            outcome=graded if found.status == "answered" else found.status,
        )

    def _arm(self, run: str, name: str) -> str | None:
        table = self.library.table
        arms = table.filter(compute.and_(compute.equal(table["run"], run), compute.equal(table["id"], name)))["arm"]
        return str(arms[0].as_py()) if len(arms) else None

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


def read_address(parameters: Mapping[str, str], kind: type[P]) -> P:
    """The parameters of an address as a record; blank ones are left out.

    Raises:
        BadAddress: one is missing, unknown, or has a value that is not allowed.
    """
    try:
        return msgspec.convert({key: value for key, value in parameters.items() if value != ""}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadAddress(error) from error


def _seconds(value: float) -> str:
    """A time, as long as it needs."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def _many(count: int, word: str, plural: str = "") -> str:
    """A count with its word: 1 turn, 2 turns."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


FILTERS: dict[str, Any] = {
    "number": lambda value, digits=0: number(value, digits),
    "percent": percent,
    "seconds": _seconds,
    "dollars": dollars,
    "many": _many,
    "last": lambda path: path.rpartition("/")[2],
    "before_last": lambda path: "".join(path.rpartition("/")[:2]),
}
"""How the templates word numbers and names."""
