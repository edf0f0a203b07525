"""The agent's two tools: what is told of them, how a call is run and what is shown.

What was asked and what ran are kept apart; a call that cannot run gets a message from which the model can recover.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

from lrat_sim.agent.calls import Asked, read_call
from lrat_sim.errors import RetrieverError
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Hit
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.control_tokens import escape_control_tokens
from lrat_sim.retrieval.result_format import LONGEST_QUERY, SEARCH, ResultFormat, Text, show_document, show_hits
from lrat_sim.retrieval.result_format import TOOLS as SHOWN_TOOLS
from lrat_sim.text import first_tokens, query_with_history, query_with_reasoning

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema()},
    }
    for tool in SHOWN_TOOLS
]
"""The tools as a model is told of them."""

MOST_CALLS = 16
"""Calls of one turn that are run."""
MOST_ANSWERED = 64
"""Calls of one turn that get an output and are recorded; a message may hold thousands."""

_THREADS = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="lrat-sim-tool")
"""Apart from asyncio's own threads, in which litellm begins its calls: a slow retriever must not hold those up."""

SearchWith = Literal["query", "reasoning", "history"]

_SEARCH_TEXTS: Mapping[SearchWith, Callable[[str, str | None, str, list[str]], str]] = {
    "query": lambda question, reasoning, query, earlier: query,
    "reasoning": lambda question, reasoning, query, earlier: query_with_reasoning(reasoning, query),
    "history": query_with_history,
}
"""From the question, the turn's reasoning, the query and those of earlier turns to what the retriever is sent."""

_DOCID = re.compile(r"^\W*doc(?:ument)?[\s_]*(?:id)?\s*[:#]?\s*", re.IGNORECASE)


def _meant(value: str, shown: dict[str, str]) -> str | None:
    """The id that an agent means by ``value``: as it was shown first, then without what stands around it."""
    bare = _DOCID.sub("", value)
    found = (shown.get(candidate) for candidate in (value, bare, bare.strip("[]()\"'`. ")))
    return next((docid for docid in found if docid is not None), None)


class Toolbox:
    """The tools of one run.

    Args:
        retriever: what answers, as seen from the run's task.
        texts: titles and first tokens, from :func:`texts_of`.
        shown: what the agent is shown.
        form: how a call is to be written, for one that cannot be read.
        search_with: what the retriever is sent beside the query.
        question: the run's question, which ``history`` sends.
    """

    def __init__(
        self,
        retriever: Retriever,
        texts: Text,
        shown: ResultFormat,
        form: str = "",
        search_with: SearchWith = "query",
        question: str = "",
    ):
        self.retriever, self.texts, self.shown, self.form = retriever, texts, shown, form
        self.search_with, self.question = search_with, question
        self.queries: dict[str, None] = {}
        """What was searched for in earlier turns, each once, in order."""
        self.seen: dict[str, str] = {}
        """The ids that were shown, by how they were."""

    async def run(self, calls: list[ToolCall], reasoning: str | None = None) -> list[Call]:
        """Runs the calls of one turn, at once, and returns them in their order.

        At most 16 are run.  Only documents of earlier turns can be opened, since a turn's calls are written before
        any of their outputs.

        Args:
            calls: what the model asked for.
            reasoning: what it wrote before, None where it gave none.

        Raises:
            RetrieverError: the retriever failed.
        """
        done = list(await asyncio.gather(*(self._one(call, index, reasoning) for index, call in enumerate(calls))))
        for call in done:
            if call.hits is not None and call.executed is not None:
                self.queries[call.executed["query"]] = None
            for hit in call.hits or []:
                self.seen |= {escape_control_tokens(hit.docid): hit.docid, hit.docid: hit.docid}
        return done

    async def _one(self, call: ToolCall, index: int, reasoning: str | None) -> Call:
        asked = read_call(call, form=self.form)
        if index >= MOST_CALLS:
            return refused(call, asked, f"not run, since a turn has {MOST_CALLS} calls at most")
        if asked.problem is not None:
            return refused(call, asked, asked.problem)
        if len(asked.value) > LONGEST_QUERY:
            return refused(call, asked, f"the query has {len(asked.value):,} characters; use a short one")
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._run, call, asked, reasoning)

    def _run(self, call: ToolCall, asked: Asked, reasoning: str | None) -> Call:
        began = time.perf_counter()
        if asked.means == SEARCH:
            sent = _SEARCH_TEXTS[self.search_with](self.question, reasoning, asked.value, list(self.queries))
            sent = sent[:LONGEST_QUERY]  # with reasoning and history it may be any length
            hits = self._search(sent)
            output = show_hits(asked.value, hits, self._text, self.shown.snippet_tokens)
            docid, executed = None, {"query": asked.value}
            if sent != asked.value:
                executed["sent"] = sent
        else:
            meant = _meant(asked.value, self.seen)
            if meant is None:
                problem = (
                    f"document {asked.value[:80]!r} is not in any result you were shown; open an id of a result list"
                )
                return refused(call, asked, problem)
            output = show_document(meant, self._text, self.shown.document_tokens)
            hits, docid, executed = None, meant, {"docid": meant}
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
        with _as_retriever_error(f"search for {query!r}"):
            (hits,) = self.retriever.search([query], self.shown.k)
            if not all(math.isfinite(hit.score) for hit in hits):
                raise RetrieverError(f"search for {query!r}: a score is not a finite number")
            return hits

    def _text(self, docid: str, limit: int) -> tuple[str, str]:
        with _as_retriever_error(f"document {docid!r}"):
            return self.texts(docid, limit)


@contextmanager
def _as_retriever_error(what: str) -> Iterator[None]:
    """A retriever may be the user's own: whatever it raises is this run's failure."""
    try:
        yield
    except RetrieverError:
        raise
    except Exception as error:
        raise RetrieverError(f"{what}: {type(error).__name__}: {error}") from error


def refused(call: ToolCall, asked: Asked, problem: str) -> Call:
    """A call that did not run, with what the model is told of it."""
    output = escape_control_tokens(f"Error: {problem}.")
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
