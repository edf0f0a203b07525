"""The agent's two tools: how they are described, how a call is run and what is shown."""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from lrat_sim.agent.calls import ParsedCall, read_call
from lrat_sim.errors import RetrieverError
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Task
from lrat_sim.retrieval.base import Retriever, retriever_failures
from lrat_sim.retrieval.result_format import (
    LONGEST_QUERY,
    SEARCH,
    Text,
    escape_control_tokens,
    show_document,
    show_hits,
)
from lrat_sim.retrieval.result_format import TOOLS as SHOWN_TOOLS
from lrat_sim.text import first_tokens, query_with_history, query_with_reasoning

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema()},
    }
    for tool in SHOWN_TOOLS
]
"""The tools as they are described to a model."""

MOST_CALLS = 16  # calls of one turn that are run
MOST_ANSWERED = 64  # calls of one turn that get an output and are recorded; a message may hold thousands

# apart from asyncio's own threads, in which litellm begins its calls: a slow retriever must not hold those up
_THREADS = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="lrat-sim-tool")

SearchWith = Literal["query", "reasoning", "history"]

# from the question, the turn's reasoning, the query and those of earlier turns to what the retriever is sent
_SEARCH_TEXTS: Mapping[SearchWith, Callable[[str, str | None, str, list[str]], str]] = {
    "query": lambda question, reasoning, query, earlier: query,
    "reasoning": lambda question, reasoning, query, earlier: query_with_reasoning(reasoning, query),
    "history": query_with_history,
}

_DOCID = re.compile(r"^\W*doc(?:ument)?[\s_]*(?:id)?\s*[:#]?\s*", re.IGNORECASE)


class Toolbox:
    """The tools of one run: what they show, and how much, is its agent's."""

    def __init__(self, retriever: Retriever, task: Task, agent: AgentSettings):
        self.retriever, self.texts = retriever.for_task(task), texts_of(retriever)
        self.agent, self.question = agent, task.question
        self.queries: dict[str, None] = {}  # what was searched for in earlier turns, each once, in order
        self.seen: dict[str, str] = {}  # the ids that were shown, by how they were

    async def run(self, calls: list[ToolCall], reasoning: str | None = None) -> list[Call]:
        """Runs the calls of one turn at once, and returns them in order; ``reasoning`` was written before them."""
        # `seen` changes after all have run: a turn's calls are written before any of their outputs
        done = list(await asyncio.gather(*(self._one(call, index, reasoning) for index, call in enumerate(calls))))
        for call in done:
            if call.hits is not None and call.executed is not None:
                self.queries[call.executed["query"]] = None
            for hit in call.hits or []:
                self.seen |= {escape_control_tokens(hit.docid): hit.docid, hit.docid: hit.docid}
        return done

    async def _one(self, call: ToolCall, index: int, reasoning: str | None) -> Call:
        parsed = read_call(call, form=self.agent.tool_protocol.form)
        problem = parsed.problem
        if index >= MOST_CALLS:
            problem = f"not run, since a turn has {MOST_CALLS} calls at most"
        elif problem is None and len(parsed.value) > LONGEST_QUERY:
            problem = f"the query has {len(parsed.value):,} characters; use a short one"
        if problem is not None:
            return refused(call, problem)
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._run, call, parsed, reasoning)

    def _run(self, call: ToolCall, parsed: ParsedCall, reasoning: str | None) -> Call:
        began, value, limits = time.perf_counter(), parsed.value, self.agent.limits
        hits, docid = None, None
        if parsed.means == SEARCH:
            sent = _SEARCH_TEXTS[self.agent.search_with](self.question, reasoning, value, list(self.queries))
            sent = sent[:LONGEST_QUERY]  # with reasoning and history it may be any length
            with retriever_failures(f"search for {sent!r}", passing=RetrieverError):
                (hits,) = self.retriever.search([sent], limits.k)
                if not all(math.isfinite(hit.score) for hit in hits):
                    raise RetrieverError(f"search for {sent!r}: a score is not a finite number")
            output = show_hits(value, hits, self._text, limits.snippet_tokens)
            executed = {"query": value} if sent == value else {"query": value, "sent": sent}
        else:
            bare = _DOCID.sub("", value)
            # the id as it was shown first, then without what stands around it
            shown = (self.seen.get(form) for form in (value, bare, bare.strip("[]()\"'`. ")))
            docid = next((docid for docid in shown if docid is not None), None)
            if docid is None:
                problem = f"document {value[:80]!r} is not in any result you were shown; open an id of a result list"
                return refused(call, problem)
            output = show_document(docid, self._text, limits.document_tokens)
            executed = {"docid": docid}
        return Call(
            id=call.id,
            tool=parsed.tool,
            arguments=parsed.arguments,
            executed=executed,
            output=output,
            hits=hits,
            docid=docid,
            seconds=time.perf_counter() - began,
        )

    def _text(self, docid: str, limit: int) -> tuple[str, str]:
        with retriever_failures(f"document {docid!r}", passing=RetrieverError):
            return self.texts(docid, limit)


def refused(call: ToolCall, problem: str) -> Call:
    """A call that did not run, with the error that the model is shown."""
    output = escape_control_tokens(f"Error: {problem}.")
    return Call(id=call.id, tool=call.name, arguments=read_call(call).arguments, output=output, error=problem)


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
