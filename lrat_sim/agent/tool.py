"""What a tool of an agent is, and how one is found by name.

A tool of your own is a class that an entry point of the group ``lrat_sim.tools`` names in your package's metadata::

    [project.entry-points."lrat_sim.tools"]
    related = "my_package.tools:Related"

A profile then lists it: ``tools: [search, get_document, related]``.  Protocols describe it to the model, the toolbox
checks and bounds its input and output, and what its result counts as shown or opened is what evidence metrics, mining,
formats and the viewer see.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from lrat_sim.errors import InputError, UnknownName
from lrat_sim.records import Hit
from lrat_sim.retrieval.result_format import LONGEST_QUERY

if TYPE_CHECKING:
    from lrat_sim.agent.tools import RunView

GROUP = "lrat_sim.tools"
DEFAULT_TOOLS = ("search", "get_document")

_BUILT_IN = {
    "search": "Search",
    "passages": "Passages",
    "deduplicated_search": "DeduplicatedSearch",
    "get_document": "GetDocument",
    "get_section": "GetSection",
    "find_in_document": "FindInDocument",
}
_HOME = "lrat_sim.agent.document_tools"


class ToolRefusal(Exception):
    """A call that a tool does not run; the message tells the model why, and what to do, without a full stop."""


class ToolResult(Struct, frozen=True, kw_only=True):
    """What a call of a tool gave.

    ``text`` is what the model is shown.  ``hits`` are the documents that it lists, best first: they count as shown, may
    be opened, and make the call a search.  ``docid`` is the document whose text it shows: that counts as opened.
    ``executed`` is what ran, where that differs from the arguments; of a call with hits it holds the ``query``.
    """

    text: str
    hits: list[Hit] | None = None
    docid: str | None = None
    executed: dict[str, Any] | None = None


class Tool(ABC):
    """One tool of an agent.  Each run has an instance of its own, which several threads may call at once.

    A class states what the model is told and what is allowed; :meth:`run` does the work.
    """

    name: ClassVar[str]
    """As the model calls it: letters, digits, ``_`` and ``-``."""
    description: ClassVar[str]
    brief: ClassVar[str] = ""
    """What a prompt says of the tool where its declaration is sent beside it; by default the description."""
    parameters: ClassVar[dict[str, Any]]
    """A JSON schema of type object.  Arguments outside it are dropped; texts and whole numbers are read from whatever a
    model writes for one, the rest comes as it was written."""
    longest_input: ClassVar[int] = LONGEST_QUERY
    """Characters of one argument; a call with a longer one is refused."""
    longest_output: ClassVar[int | None] = 100_000
    """Characters of the text that the model is shown; what is beyond is cut off, and the text says so.  None where the
    agent's ``limits`` bound it."""

    @abstractmethod
    def run(self, arguments: dict[str, Any], view: RunView) -> ToolResult:
        """Runs one call.

        Args:
            arguments: those of the schema that the call gives; required ones are there, and their texts not empty.
            view: the run so far.

        Raises:
            ToolRefusal: the call cannot run; the model is told why, and goes on.
            Exception: any other is a failure of the run, which is recorded, and run again on resume.
        """

    def describe(self) -> dict[str, Any]:
        """Everything that decides an output, as plain JSON, for the agent's fingerprint: here the declaration."""
        return self.declaration()

    @classmethod
    def declaration(cls) -> dict[str, Any]:
        """The tool as it is described to a model."""
        function = {"name": cls.name, "description": cls.description, "parameters": cls.parameters}
        return {"type": "function", "function": function}

    @classmethod
    def required(cls) -> list[str]:
        """The names of the arguments that a call must give."""
        return [*cls.parameters.get("required", [])]


def open_tools(names: Sequence[str]) -> list[Tool]:
    """New instances of tools by name.

    Raises:
        InputError: a name is not known, its class cannot be used, or two tools have the same name for the model.
    """
    tools = [_tool_class(name)() for name in names]
    called = [tool.name for tool in tools]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise InputError(f"two of the tools {', '.join(names)} are called {twice!r} by the model; leave one out.")
    return tools


def declarations(names: Sequence[str]) -> list[dict[str, Any]]:
    """Tools by name as they are described to a model; see :func:`open_tools`."""
    return [tool.declaration() for tool in open_tools(names)]


def known_tools() -> list[str]:
    """The names that a profile may list."""
    return [*_BUILT_IN, *sorted({point.name for point in entry_points(group=GROUP)} - _BUILT_IN.keys())]


def about(name: str) -> str:
    """What a tool is, as its class says, or why it cannot be used."""
    try:
        return (_tool_class(name).__doc__ or _tool_class(name).description).strip()
    except InputError as error:
        return str(error)


@lru_cache(maxsize=64)
def _tool_class(name: str) -> type[Tool]:
    if name in _BUILT_IN:
        built_in: type[Tool] = getattr(import_module(_HOME), _BUILT_IN[name])
        return built_in
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        raise UnknownName("tool", name, known_tools())
    try:
        own = points[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the tool {name!r} ({points[0].value}) cannot be loaded ({error}); install what it needs."
        ) from error
    if not (isinstance(own, type) and issubclass(own, Tool)):
        raise InputError(f"the tool {name!r} ({points[0].value}) is no class of lrat_sim.Tool; make it one.")
    _check(name, own)
    return own


def _check(name: str, own: type[Tool]) -> None:
    """Refuses a class that declares what no model can be told."""
    lacking = [field for field in ("name", "description", "parameters") if not hasattr(own, field)]
    if lacking:
        raise InputError(f"the tool {name!r} has no `{lacking[0]}`; give its class one.")
    properties = own.parameters.get("properties") if isinstance(own.parameters, dict) else None
    if not isinstance(properties, dict) or own.parameters.get("type") != "object":
        raise InputError(f"the `parameters` of the tool {name!r} are no JSON schema of type object; correct them.")
    if unknown := [field for field in own.required() if field not in properties]:
        raise InputError(f"the tool {name!r} requires {unknown[0]!r}, which its `properties` lack; correct them.")
