"""The agent's two tools: how a call is read, run and shown.

Reading is tolerant, since models are sloppy; the record is strict: what was asked and what ran are kept apart, and
a call that cannot run gets a message from which the model can recover.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import time
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgspec import Struct

from lrat_sim.errors import RetrieverError
from lrat_sim.llm.message import ToolCall, recordable
from lrat_sim.records import Call, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import first_tokens

SEARCH, BROWSE = "search", "get_document"


def _schema(name: str, description: str, argument: str, meaning: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string", "description": meaning}},
        "required": [argument],
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    _schema(
        SEARCH,
        "Search the collection. Returns the best documents, each with its id, its title and the beginning of its text.",
        "query",
        "What to look for, in a few words.",
    ),
    _schema(
        BROWSE,
        "Open one document of an earlier result list.",
        "docid",
        "The document's id, as a result list shows it.",
    ),
]
"""The tools as a model is told of them."""

_TOOL_NAMES = {SEARCH: SEARCH, BROWSE: BROWSE, "visit": BROWSE, "open": BROWSE, "browse": BROWSE, "getdocument": BROWSE}
_QUERY_NAMES = ("query", "queries", "q", "search_query")
_DOCID_NAMES = ("docid", "doc_id", "document_id", "documentid", "docids", "id", "url")


class Shown(Struct, frozen=True):
    """What an agent is shown: ``k`` hits a search, so many tokens of each and of a document that is opened."""

    k: int
    snippet_tokens: int
    document_tokens: int


class Asked(Struct, frozen=True, kw_only=True):
    """A call as it was understood: the tool and its argument, or the problem with it."""

    tool: str
    arguments: dict[str, Any] | str
    value: str = ""
    problem: str | None = None


def read_call(call: ToolCall) -> Asked:
    """Understands a native tool call; never raises.

    A list of queries runs its first; an id may be a number, a list, or stand behind ``DocID:``; ``visit`` is
    ``get_document``; arguments may be JSON, JSON in a JSON string, or what Python would print.
    """
    tool = _TOOL_NAMES.get(call.name.strip().lower())
    parsed = parse_arguments(call.arguments)
    arguments = call.arguments if parsed is None else parsed
    if tool is None:
        known = f"there is no tool {call.name!r}; the tools are {SEARCH}(query) and {BROWSE}(docid)"
        return Asked(tool=call.name, arguments=arguments, problem=known)
    field, names = ("query", _QUERY_NAMES) if tool == SEARCH else ("docid", _DOCID_NAMES)
    if parsed is None:
        problem = f'the arguments of {tool} are not JSON; write them as {{"{field}": "..."}}'
        return Asked(tool=tool, arguments=arguments, problem=problem)
    folded = {str(key).strip().lower(): value for key, value in parsed.items()}
    value = _first_text(next((folded[name] for name in names if name in folded), None))
    if not value:
        return Asked(tool=tool, arguments=arguments, problem=f"{tool} needs a `{field}` that is not empty")
    return Asked(tool=tool, arguments=arguments, value=value)


def parse_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call as a mapping, None where ``text`` cannot be read as one."""
    for read in (json.loads, _literal):
        try:
            value = read(text.strip() or "{}")
            if isinstance(value, str):
                value = read(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
        if isinstance(value, dict):
            return recordable(value)  # type: ignore[no-any-return]  # a mapping stays one
    return None


def _literal(text: str) -> Any:
    """A Python literal of nothing but what JSON can hold."""
    return json.loads(json.dumps(ast.literal_eval(text)))


def _first_text(value: Any) -> str:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()


_DOCID = re.compile(r"^\W*doc(?:ument)?[\s_]*(?:id)?\s*[:#]?\s*", re.IGNORECASE)


def _meant(value: str, shown: set[str]) -> str | None:
    """The id of ``shown`` that an agent means by ``value``: as it stands first, then without what stands around it."""
    bare = _DOCID.sub("", value)
    for candidate in (value, bare, bare.strip("[]()\"'`. ")):
        if candidate in shown:
            return candidate
    return None


Text = Callable[[str, int], tuple[str, str]]


class Toolbox:
    """The tools of one run.

    Args:
        retriever: what answers, as seen from the run's task.
        texts: titles and first tokens, from :func:`texts_of`.
        shown: what the agent is shown.
    """

    def __init__(self, retriever: Retriever, texts: Text, shown: Shown):
        self.retriever, self.texts, self.shown = retriever, texts, shown
        self.seen: set[str] = set()

    async def run(self, calls: list[ToolCall]) -> list[Call]:
        """Runs the calls of one turn, at once, and returns them in their order.

        Only documents of earlier turns can be opened, since a turn's calls are written before any of their outputs.

        Raises:
            RetrieverError: the retriever failed.
        """
        done = list(await asyncio.gather(*(asyncio.to_thread(self._run, call) for call in calls)))
        for call in done:
            self.seen.update(hit.docid for hit in call.hits or [])
        return done

    def _run(self, call: ToolCall) -> Call:
        began = time.perf_counter()
        asked = read_call(call)
        if asked.problem is not None:
            return refused(call, asked, asked.problem)
        if asked.tool == SEARCH:
            hits = self._search(asked.value)
            output, docid, executed = self._show(asked.value, hits), None, {"query": asked.value}
        else:
            meant = _meant(asked.value, self.seen)
            if meant is None:
                problem = f"document {asked.value!r} is not in any result you were shown; open an id of a result list"
                return refused(call, asked, problem)
            title, text = self._text(meant, self.shown.document_tokens)
            output, hits, docid, executed = f"Document {meant}:\n{title}\n{text}", None, meant, {"docid": meant}
        return Call(
            id=call.id,
            tool=asked.tool,
            arguments=asked.arguments,
            executed=executed,
            output=output,
            hits=hits,
            docid=docid,
            seconds=time.perf_counter() - began,
        )

    def _search(self, query: str) -> list[Hit]:
        try:
            return self.retriever.search([query], self.shown.k)[0]
        except RetrieverError:
            raise
        except Exception as error:  # a retriever may be the user's own: whatever it raises is this run's failure
            raise RetrieverError(f"search for {query!r}: {type(error).__name__}: {error}") from error

    def _text(self, docid: str, limit: int) -> tuple[str, str]:
        try:
            return self.texts(docid, limit)
        except RetrieverError:
            raise
        except Exception as error:  # as above
            raise RetrieverError(f"document {docid!r}: {type(error).__name__}: {error}") from error

    def _show(self, query: str, hits: list[Hit]) -> str:
        blocks = [f"A search for '{query}' found {len(hits)} results:", "## Web Results"]
        for hit in hits:
            title, snippet = self._text(hit.docid, self.shown.snippet_tokens)
            lines = [f"DocID:{hit.docid}", f"[{title}]", snippet] if title else [f"DocID:{hit.docid}", snippet]
            blocks.append("\n".join(lines))
        head, *results = blocks[1:]
        return blocks[0] + "\n\n" + "\n\n".join([f"{head}\n{results[0]}", *results[1:]] if results else [head])


def refused(call: ToolCall, asked: Asked, problem: str) -> Call:
    """A call that did not run, with what the model is told of it."""
    output = f"Error: {problem}."
    return Call(id=call.id, tool=asked.tool, arguments=asked.arguments, output=output, error=problem)


_texts: weakref.WeakKeyDictionary[Retriever, Text] = weakref.WeakKeyDictionary()


def texts_of(retriever: Retriever) -> Text:
    """Title and first tokens of a retriever's documents, remembered: every search shows ten, and many again."""
    if retriever not in _texts:
        own = weakref.ref(retriever)  # what is remembered must not keep the retriever, and its index, alive

        @lru_cache(maxsize=1 << 15)
        def text(docid: str, limit: int) -> tuple[str, str]:
            source = own()
            if source is None:
                raise RetrieverError("the retriever is gone")
            document = source.document(docid)
            return document.title, first_tokens(document.text, limit)

        _texts[retriever] = text
    return _texts[retriever]
