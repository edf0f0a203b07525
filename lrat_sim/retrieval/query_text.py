"""What a retriever may read of a search: the query, or a text that also holds the question, the agent's reasoning and
its earlier searches.

A retriever names its text (the setting ``query_text``); the search tool hands every search over as an :class:`Asked`,
and mining writes the query of a pair by the same functions.  What stands before all of it, such as ``Instruct: …``, is
the encoder's prompt.

To add a text, write a function and give it a name in :data:`QUERY_TEXTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from lrat_sim.records import Call
from lrat_sim.retrieval.result_format import LONGEST_QUERY

TextName = Literal["query", "history", "history-found", "agentir", "agentic-r", "iter-i2", "iter-i7"]

PLAIN: TextName = "query"
"""The name of the text that is the query itself."""


class FoundDocument(Struct, frozen=True):
    """A document that an earlier search listed; the title is empty where no text that is asked for needs it."""

    docid: str
    title: str = ""


class EarlierSearch(Struct, frozen=True):
    """A search of an earlier turn and what it listed, best first."""

    query: str
    found: tuple[FoundDocument, ...] = ()


class Asked(str):
    """A query with the run that it comes from: for whatever reads no more, the query itself.

    ``question`` is the task's, ``reasoning`` what the agent wrote in this turn, None where it wrote nothing,
    ``earlier`` are the searches of earlier turns in order, and ``after_failure`` says that the call before this turn
    failed.  What is longer than a query may be is cut off, of the earlier searches the newest.
    """

    __slots__ = ("after_failure", "earlier", "question", "reasoning")

    question: str
    reasoning: str | None
    earlier: tuple[EarlierSearch, ...]
    after_failure: bool

    def __new__(
        cls,
        query: str,
        *,
        question: str,
        reasoning: str | None = None,
        earlier: Iterable[EarlierSearch] = (),
        after_failure: bool = False,
    ) -> Asked:
        """See the class."""
        asked = super().__new__(cls, query)
        asked.question, asked.after_failure = question[:LONGEST_QUERY], after_failure
        asked.reasoning = reasoning and reasoning[:LONGEST_QUERY]
        asked.earlier = tuple(_first(earlier))
        return asked

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (str(self),), {name: getattr(self, name) for name in self.__slots__}


def _first(searches: Iterable[EarlierSearch]) -> Iterator[EarlierSearch]:
    room = LONGEST_QUERY
    for search in searches:
        if room > 0:
            yield search
        room -= len(search.query)


def asked_in_run(
    query: str,
    question: str,
    reasoning: str | None,
    before: Sequence[Sequence[Call]],
    title: Callable[[str], str] | None = None,
) -> Asked:
    """A search as its run leads to it: ``before`` are the calls of earlier turns, ``title`` names a document, where
    the text that is wanted needs titles."""
    earlier = [
        EarlierSearch(
            searched, tuple(FoundDocument(hit.docid, title(hit.docid) if title else "") for hit in call.hits or ())
        )
        for calls in before
        for call in calls
        if call.is_search and (searched := query_of(call))
    ]
    last = next((calls[-1] for calls in reversed(before) if calls), None)
    return Asked(
        query,
        question=question,
        reasoning=reasoning,
        earlier=earlier,
        after_failure=last is not None and last.error is not None,
    )


def query_of(call: Call) -> str:
    """The query that a search call ran, the first where there are several."""
    for arguments in (call.executed, call.arguments):
        if (query := query_in(arguments)) is not None:
            return query
    return ""


def query_in(arguments: object) -> str | None:
    """The query among a call's arguments, the first where there are several; None where there is none."""
    query = arguments.get("query") if isinstance(arguments, dict) else None
    if isinstance(query, list):
        query = query[0] if query else None
    return query if isinstance(query, str) else None


def text_of(name: TextName, query: str) -> str:
    """What a retriever that reads the text ``name`` is to read of a query: the same string wherever it is made.

    A query that comes from no run is the first search of a run that asks nothing else.
    """
    if name == PLAIN:
        return str(query)  # without its run, which whoever remembers texts would keep
    asked = query if isinstance(query, Asked) else Asked(query, question=query)
    return QUERY_TEXTS[name](asked)[:LONGEST_QUERY]


def _history(asked: Asked) -> str:
    return _fields(asked, dict.fromkeys(search.query for search in asked.earlier))


def _history_found(asked: Asked) -> str:
    found: dict[str, str] = {}
    for search in asked.earlier:
        titles = [document.title or document.docid for document in search.found]
        found.setdefault(search.query, f"{search.query} ({', '.join(titles)})")
    return _fields(asked, found.values())


def _fields(asked: Asked, earlier: Iterable[str]) -> str:
    parts = {
        "Question": asked.question,
        "Reasoning": asked.reasoning or "",
        "Query": str(asked),
        "Earlier queries": "; ".join(earlier),
    }
    return "\n".join(f"{name}: {part.strip()}" for name, part in parts.items() if part.strip())


def _agentir(asked: Asked) -> str:
    # what follows a failed call is about the failure (AgentIR: skip_failed_reasonings)
    reasoning = "" if asked.after_failure else (asked.reasoning or "").strip()
    return f"Reasoning: {reasoning or 'Empty'}\n\nQuery: {asked}"


def _agentic_r(asked: Asked) -> str:
    return f"{asked.question} [SEP] {asked}"


def _iter_i2(asked: Asked) -> str:
    return "\n".join(_iter(asked, []))


def _iter_i7(asked: Asked) -> str:
    return "\n".join(_iter(asked, [f"Current Reasoning: {_one_line(asked.reasoning) or '<empty>'}"]))


def _iter(asked: Asked, reasoning: list[str]) -> Iterator[str]:
    yield f"Main Question: {_one_line(asked.question)}"
    yield from reasoning
    yield f"Current Subquery: {_one_line(asked)}"
    yield "Previous Interactions:" if asked.earlier else "Previous Interactions: <empty>"
    for number, search in enumerate(asked.earlier, start=1):
        yield f"Previous SubQuery {number}: {_one_line(search.query)}"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


QUERY_TEXTS: Mapping[TextName, Callable[[Asked], str]] = {
    PLAIN: str,
    "history": _history,
    "history-found": _history_found,
    "agentir": _agentir,
    "agentic-r": _agentic_r,
    "iter-i2": _iter_i2,
    "iter-i7": _iter_i7,
}
"""The texts by name: our own, which leave out what is empty, and those of AgentIR (arXiv 2603.04384), Agentic-R and
ITER (arXiv 2608.27912)."""

NEED_TITLES = {"history-found"}
"""The texts that name what earlier searches found."""

QueryText = Annotated[
    TextName | None, Meta(description="What is read of a search; by default what the model was trained on, or query.")
]
"""The setting of a retriever; see :data:`QUERY_TEXTS`."""


def described_text(query_text: TextName | None) -> dict[str, Any]:
    """A query text as retrievers describe it: the plain query goes without saying."""
    return {} if query_text in (None, PLAIN) else {"query_text": query_text}


def texts_read(description: Any) -> list[TextName]:
    """The names of all texts but the plain query that a retriever reads, by its description, those of its members
    included, each once, in order."""
    found: dict[TextName, None] = {}
    todo = [description]
    while todo:
        part = todo.pop(0)
        if isinstance(part, dict):
            name: Any = part.get("query_text")
            if isinstance(name, str) and name in QUERY_TEXTS and name != PLAIN:
                found[name] = None  # type: ignore[index]  # one of the table
            part = list(part.values())
        if isinstance(part, list):
            todo += part
    return [*found]
