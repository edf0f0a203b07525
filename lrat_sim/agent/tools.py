"""The tools of one run: how a call is checked, run and recorded, and what a tool may use."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from lrat_sim.agent.calls import ParsedCall, parse_arguments, read_call
from lrat_sim.agent.tool import DEFAULT_TOOLS, Tool, ToolRefusal, ToolResult, declarations
from lrat_sim.decoding import convert
from lrat_sim.errors import RetrieverError
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Document, Hit, Task
from lrat_sim.retrieval.base import Retriever, retriever_failures
from lrat_sim.retrieval.query_text import NEED_TITLES, Asked, TextName, asked_in_run, text_of, texts_read
from lrat_sim.retrieval.result_format import Text, escape_control_tokens
from lrat_sim.text import first_tokens

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings

TOOLS = declarations(DEFAULT_TOOLS)
"""The tools of a profile that lists none, as they are described to a model."""

MOST_CALLS = 16  # calls of one turn that are run
MOST_ANSWERED = 64  # calls of one turn that get an output and are recorded; a message may hold thousands

# apart from asyncio's own threads, in which litellm begins its calls: a slow retriever must not hold those up
_THREADS = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), thread_name_prefix="lrat-sim-tool")

_DOCID = re.compile(r"^\W*doc(?:ument)?[\s_]*(?:id)?\s*[:#]?\s*", re.IGNORECASE)


class RunView:
    """What a tool may use of the run that calls it: the documents, and what was shown before this turn."""

    def __init__(self, toolbox: Toolbox, reasoning: str | None):
        self.question, self.limits = toolbox.question, toolbox.agent.limits
        self.sent: dict[TextName, str] = {}
        """What the retriever read in place of the query of the latest search, by the name of the text."""
        self._toolbox, self._reasoning = toolbox, reasoning

    @property
    def shown(self) -> list[str]:
        """The ids of the documents that result lists of earlier turns showed, each once, in order."""
        return list(dict.fromkeys(self._toolbox.seen.values()))

    def search(self, query: str, k: int) -> list[Hit]:
        """The retriever's best ``k`` documents; a failure is one of the run.

        The retriever is told what it may read beside the query: the question, this turn's reasoning, earlier searches.
        """
        with retriever_failures(f"search for {query!r}", passing=RetrieverError):
            asked = self._toolbox.asked(query, self._reasoning)
            self.sent = {name: text_of(name, asked) for name in self._toolbox.texts_read}
            (hits,) = self._toolbox.retriever.search([asked], k)
        return hits

    def opened(self, docid: str) -> str:
        """The id of a document as the model gives it, as it is; one that was not shown is a :class:`ToolRefusal`."""
        seen, bare = self._toolbox.seen, _DOCID.sub("", docid)
        # the id as it was shown first, then without what stands around it
        for form in (docid, bare, bare.strip("[]()\"'`. ")):
            if form in seen:
                return seen[form]
        raise ToolRefusal(f"document {docid[:80]!r} is not in any result you were shown; open an id of a result list")

    def document(self, docid: str) -> Document:
        """A document in full."""
        with retriever_failures(f"document {docid!r}", passing=RetrieverError):
            return self._toolbox.retriever.document(docid)

    def listed(self, docid: str, tokens: int) -> tuple[str, str]:
        """What a list of results shows of a document: its title and the first tokens of its text."""
        with retriever_failures(f"document {docid!r}", passing=RetrieverError):
            return self._toolbox.listed(docid, tokens)

    def text(self, docid: str, tokens: int) -> tuple[str, str]:
        """A document's title and the first tokens of its text."""
        with retriever_failures(f"document {docid!r}", passing=RetrieverError):
            return self._toolbox.texts(docid, tokens)


class Toolbox:
    """The tools of one run, those of its agent: their calls are checked, bounded and recorded."""

    def __init__(self, retriever: Retriever, task: Task, agent: AgentSettings):
        self.retriever, self.texts = retriever.for_task(task), texts_of(retriever)
        self.listed = texts_of(retriever, listed=True)
        self.agent, self.question = agent, task.question
        self.tools = {tool.name: tool for tool in agent.own_tools()}
        self.form = agent.tool_protocol.form
        self.texts_read = texts_read(retriever.describe())
        self.before: list[list[Call]] = []  # the calls of earlier turns
        self.seen: dict[str, str] = {}  # the ids that were shown, by how they were

    async def run(self, calls: list[ToolCall], reasoning: str | None = None) -> list[Call]:
        """Runs the calls of one turn at once, and returns them in order; ``reasoning`` was written before them."""
        # `seen` changes after all have run: a turn's calls are written before any of their outputs
        done = list(await asyncio.gather(*(self._one(call, index, reasoning) for index, call in enumerate(calls))))
        # the list itself: the loop adds to it what it refused of this turn
        self.before.append(done)
        for call in done:
            for hit in call.hits or []:
                self.seen |= {escape_control_tokens(hit.docid): hit.docid, hit.docid: hit.docid}
        return done

    def asked(self, query: str, reasoning: str | None) -> Asked:
        """A query of this turn, with the run that led to it."""
        named = NEED_TITLES.intersection(self.texts_read)
        title = (lambda docid: self.texts(docid, self.agent.limits.snippet_tokens)[0]) if named else None
        return asked_in_run(query, self.question, reasoning, self.before, title)

    async def _one(self, call: ToolCall, index: int, reasoning: str | None) -> Call:
        parsed = read_call(call, form=self.form, tools=[*self.tools.values()])
        problem = parsed.problem
        if index >= MOST_CALLS:
            problem = f"not run, since a turn has {MOST_CALLS} calls at most"
        elif problem is None:
            problem = _too_long(self.tools[parsed.means or ""], parsed.values)
        if problem is not None:
            return refused(call, problem)
        return await asyncio.get_running_loop().run_in_executor(_THREADS, self._run, call, parsed, reasoning)

    def _run(self, call: ToolCall, parsed: ParsedCall, reasoning: str | None) -> Call:
        began, tool = time.perf_counter(), self.tools[parsed.means or ""]
        try:
            with retriever_failures(f"tool {tool.name!r}", passing=(ToolRefusal, RetrieverError)):
                view = RunView(self, reasoning)
                result = _checked(tool.run(parsed.values, view), parsed.values)
        except ToolRefusal as refusal:
            return refused(call, str(refusal))
        text, longest = result.text, tool.longest_output
        if longest is not None and len(text) > longest:
            text = f"{text[:longest]}\n(Cut off: {len(text) - longest:,} of {len(text):,} characters are left out.)"
        executed = parsed.values if result.executed is None else result.executed
        if result.hits is not None and view.sent:
            executed = {**executed, "sent": view.sent}
        return Call(
            id=call.id,
            tool=parsed.tool,
            arguments=parsed.arguments,
            executed=executed,
            output=escape_control_tokens(text),
            hits=result.hits,
            docid=result.docid,
            seconds=time.perf_counter() - began,
        )


def _too_long(tool: Tool, values: dict[str, Any]) -> str | None:
    """What is wrong with an argument that is longer than a tool allows."""
    for field, value in values.items():
        length = len(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if length > tool.longest_input:
            return f"the {field} has {length:,} characters; use a short one"
    return None


def _checked(result: ToolResult, values: dict[str, Any]) -> ToolResult:
    """A result that can be recorded: a tool may be the user's own."""
    recordable = convert(msgspec.to_builtins(result), ToolResult)
    ran = values if result.executed is None else result.executed
    if recordable.hits is not None and not isinstance(ran.get("query"), str):
        raise ValueError("there are hits, but `executed` lacks the `query` that they answer; add it")
    if not all(math.isfinite(hit.score) for hit in recordable.hits or ()):
        raise ValueError(f"a score for {ran.get('query')!r} is not a finite number")
    return recordable


def refused(call: ToolCall, problem: str) -> Call:
    """A call that did not run, with the error that the model is shown."""
    output = escape_control_tokens(f"Error: {problem}.")
    arguments = parse_arguments(call.arguments)
    given = call.arguments if arguments is None else arguments
    return Call(id=call.id, tool=call.name, arguments=given, output=output, error=problem)


# of documents, and of what is listed of them
_texts: weakref.WeakKeyDictionary[Retriever, dict[bool, Text]] = weakref.WeakKeyDictionary()


def texts_of(retriever: Retriever, *, listed: bool = False) -> Text:
    """Title and first tokens of a retriever's documents, or of what is listed of them, remembered: every search shows
    ten, and many again."""
    kept = _texts.setdefault(retriever, {})
    if listed not in kept:
        own = weakref.ref(retriever)  # what is remembered must not keep the retriever, and its index, alive

        @lru_cache(maxsize=1 << 15)
        def text(docid: str, limit: int) -> tuple[str, str]:
            source = own()
            if source is None:
                raise RetrieverError("the retriever is gone")
            document = source.listed(docid) if listed else source.document(docid)
            return document.title, first_tokens(document.text, limit)

        kept[listed] = text
    return kept[listed]
