"""The tools that agents search and read with."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from lrat_sim.agent.tool import Tool, ToolRefusal, ToolResult
from lrat_sim.records import Hit
from lrat_sim.retrieval.result_format import LONGEST_NAME, TOOLS, Text, document_text, hits_text
from lrat_sim.text import WIDEST, count_tokens, first_tokens, normalise

if TYPE_CHECKING:
    from lrat_sim.agent.tools import RunView

_SEARCH, _BROWSE = TOOLS
_DEEPEST = 1000  # documents of one search: what a search server gives at most by default
_DOCID = {"type": "string", "description": _BROWSE.meaning}
_PASSAGE = re.compile(r"\n+|(?<=[.!?])\s+")  # between two sentences


class Search(Tool):
    """Searches the collection: the k best documents, with the beginning of each."""

    name = _SEARCH.name
    description = _SEARCH.description
    brief = "the best documents for the query, each with its id, its title and the beginning of its text."
    parameters = _SEARCH.schema()
    longest_output = None  # `limits` bound it

    def run(self, arguments: dict[str, Any], view: RunView) -> ToolResult:
        """A result list."""
        query = arguments["query"]
        hits, note = self.rank(query, view)
        text = hits_text(query, hits, self.texts(view), self.tokens(view), note)
        return ToolResult(text=text, hits=hits, executed={"query": query})

    def rank(self, query: str, view: RunView) -> tuple[list[Hit], str]:
        """What is listed, and a note to the model above it."""
        return view.search(query, view.limits.k), ""

    def texts(self, view: RunView) -> Text:
        """What is shown of each document."""
        return view.listed

    def tokens(self, view: RunView) -> int:
        """How much is shown of each document."""
        return view.limits.snippet_tokens


class DeduplicatedSearch(Search):
    """Searches the collection for what no earlier turn of the run listed; the next results move up.

    As in ITER's agents, the documents that would have stood in the list are named above it, so that the model knows of
    them and can open them.  Calls of one turn are made before any of their results are seen, and may list the same.
    """

    description = f"{_SEARCH.description} Documents of earlier result lists are left out."
    brief = f"{Search.brief[:-1]}; those of earlier result lists are left out."

    def rank(self, query: str, view: RunView) -> tuple[list[Hit], str]:
        """The best k that were not shown, ranked anew."""
        k, shown = view.limits.k, {*view.shown}
        found = view.search(query, max(k, min(k + len(shown), _DEEPEST)))
        new = [hit for hit in found if hit.docid not in shown][:k]
        before = ", ".join(hit.docid[:LONGEST_NAME] for hit in found[:k] if hit.docid in shown)
        note = f"Left out, since earlier lists showed them: {before}" if before else ""
        return [replace(hit, rank=rank) for rank, hit in enumerate(new, start=1)], note


class Passages(Search):
    """Searches the collection, and shows as much of each document as an opened one does; `rag` has it."""

    description = "Search the collection. Returns the best documents, each with its id, its title and its text."
    brief = "the best documents for the query, each with its id, its title and its text."

    def texts(self, view: RunView) -> Text:
        """What is shown of each document."""
        return view.text

    def tokens(self, view: RunView) -> int:
        """How much is shown of each document."""
        return view.limits.document_tokens


class GetDocument(Tool):
    """Opens a document that a result list showed: its beginning."""

    name = _BROWSE.name
    description = _BROWSE.description
    brief = "one document of an earlier result list, in full."
    parameters = _BROWSE.schema()
    longest_output = None

    def run(self, arguments: dict[str, Any], view: RunView) -> ToolResult:
        """The first ``document_tokens`` of it."""
        docid = view.opened(arguments["docid"])
        text = document_text(docid, *view.text(docid, view.limits.document_tokens))
        return ToolResult(text=text, docid=docid, executed={"docid": docid})


class GetSection(Tool):
    """Opens one section of a long document; each has as many tokens as an opened document shows."""

    name = "get_section"
    description = (
        "Open one section of a long document of an earlier result list. Section 1 is its beginning, which get_document "
        "shows too; the output says how many there are."
    )
    parameters = {
        "type": "object",
        "properties": {"docid": _DOCID, "section": {"type": "integer", "description": "The section's number, from 1."}},
        "required": ["docid", "section"],
    }
    longest_output = None

    def run(self, arguments: dict[str, Any], view: RunView) -> ToolResult:
        """One section of it."""
        docid, number, tokens = view.opened(arguments["docid"]), arguments["section"], view.limits.document_tokens
        document = view.document(docid)
        start, sections = 0, [""] if not document.text else []
        while start < len(document.text) and len(sections) < number:
            head = document.text[start : start + tokens * WIDEST]
            # where every character is several tokens there may be no beginning that is short enough
            sections.append(first_tokens(head, tokens) or head[:tokens])
            start += len(sections[-1])
        if not 1 <= number <= len(sections):
            there = f"{len(sections)} sections" if number > 0 else "sections from 1 on"
            raise ToolRefusal(f"document {docid!r} has {there}; ask for one of them")
        follow = math.ceil(count_tokens(document.text[start:]) / tokens)
        more = f"about {follow} more follow" if follow else "the last one"
        text = document_text(docid, document.title, f"(Section {number}; {more}.)\n{sections[-1].strip()}")
        return ToolResult(text=text, docid=docid, executed={"docid": docid, "section": number})


class FindInDocument(Tool):
    """Shows the passages of a document that hold words of a query, so that a long one need not be read whole.

    A passage is a sentence or several, up to ``snippet_tokens``.  Of those that hold most of the words, and rare ones,
    as many are shown as fit into ``document_tokens``, in the order of the text.  With a match the document counts as
    opened, since its text was read; without one nothing was shown of it.
    """

    name = "find_in_document"
    description = "Find the passages of one document of an earlier result list that hold some of the given words."
    parameters = {
        "type": "object",
        "properties": {"docid": _DOCID, "query": {"type": "string", "description": "The words to look for."}},
        "required": ["docid", "query"],
    }
    longest_output = None

    def run(self, arguments: dict[str, Any], view: RunView) -> ToolResult:
        """The passages that match."""
        docid, query, limits = view.opened(arguments["docid"]), arguments["query"], view.limits
        document, words = view.document(docid), {*normalise(query).split()}
        executed = {"docid": docid, "query": query}
        passages = _passages(document.text, limits.snippet_tokens)
        held = [words & {*normalise(passage).split()} for passage in passages]
        common = Counter(word for of_passage in held for word in of_passage)  # a word of few passages tells most
        scored = [(-sum(1 / common[word] for word in own), place) for place, own in enumerate(held) if own]
        chosen: list[int] = []
        room = limits.document_tokens
        for _, place in sorted(scored):
            room -= count_tokens(passages[place])
            if room < 0 and chosen:
                break
            chosen.append(place)
        if not chosen:
            text = f"No passage of document {docid} holds any of these words: {query[:LONGEST_NAME]}"
            return ToolResult(text=text, executed=executed)
        found = f"({len(chosen)} of {len(scored)} passages that match '{query[:LONGEST_NAME]}'.)"
        shown = first_tokens("\n\n".join(passages[place] for place in sorted(chosen)), limits.document_tokens)
        text = document_text(docid, document.title, f"{found}\n{shown}")
        return ToolResult(text=text, docid=docid, executed=executed)


def _passages(text: str, tokens: int) -> list[str]:
    """A text in passages of whole sentences, up to ``tokens`` each; a longer sentence is one by itself."""
    passages: list[str] = []
    room = 0
    for sentence in _PASSAGE.split(text):
        length = count_tokens(sentence)
        if passages and length <= room:
            passages[-1], room = f"{passages[-1]} {sentence}", room - length
        elif sentence.strip():
            passages.append(sentence)
            room = tokens - length
    return passages
