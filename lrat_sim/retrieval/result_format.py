"""Hits and documents as text: exactly what this project's agents are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from lrat_sim.records import Hit
from lrat_sim.retrieval.control_tokens import escape_control_tokens

SEARCH, BROWSE = "search", "get_document"
"""The names of the two tools."""

LONGEST_QUERY = 32_000
"""Characters of a query that is searched for: the longest prompt of a benchmark has a tenth of that."""
LONGEST_NAME = 1_000
"""Characters of a title or a query that are repeated, and of a document's id; public titles have 300 at most."""

Text = Callable[[str, int], tuple[str, str]]
"""Title and first tokens of a document, from its id and the number of tokens."""


class ToolDescription(Struct, frozen=True):
    """A tool as it is described to a model; it takes one text."""

    name: str
    description: str
    argument: str
    meaning: str

    def schema(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        properties = {self.argument: {"type": "string", "description": self.meaning}}
        return {"type": "object", "properties": properties, "required": [self.argument]}


TOOLS = (
    ToolDescription(
        SEARCH,
        "Search the collection. Returns the best documents, each with its id, its title and the beginning of its text.",
        "query",
        "What to look for, in a few words.",
    ),
    ToolDescription(
        BROWSE, "Open one document of an earlier result list.", "docid", "The document's id, as a result list shows it."
    ),
)


class ResultFormat(Struct, frozen=True):
    """How much an agent is shown: ``k`` hits a search, so many tokens of each, and of a document that is opened."""

    k: int = 10
    snippet_tokens: int = 64
    document_tokens: int = 512


def show_hits(query: str, hits: Sequence[Hit], texts: Text, tokens: int) -> str:
    """A result list as text, with ``tokens`` of each document; nothing in it can end a model's turn.

    Its length is bounded, whatever the query, the titles and the documents are.
    """
    blocks = []
    for hit in hits:
        title, snippet = texts(hit.docid, tokens)
        blocks.append("\n".join([f"DocID:{hit.docid}", *([f"[{title[:LONGEST_NAME]}]"] if title else []), snippet]))
    head = f"A search for '{query[:LONGEST_NAME]}' found {len(hits)} results:\n\n## Web Results"
    return escape_control_tokens("\n\n".join(["\n".join([head, *blocks[:1]]), *blocks[1:]]))


def show_document(docid: str, texts: Text, tokens: int) -> str:
    """A document as text, its first ``tokens``; nothing in it can end a model's turn, and its length is bounded."""
    title, text = texts(docid, tokens)
    return escape_control_tokens(f"Document {docid}:\n{title[:LONGEST_NAME]}\n{text}")
