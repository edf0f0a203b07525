"""What the conversation shows: result lists and opened documents, read from the messages alone."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

_SEARCH = re.compile(r"A search for '(.*)' found \d+ results?:\n", re.DOTALL)
_BLOCK = re.compile(r"^DocID:(.+)$", re.MULTILINE)
_PAGE = re.compile(r"Document (.+):\n")
_TITLE = re.compile(r"\[([^\n]*)\]\n?")


class Glimpse(Struct, frozen=True):
    """One hit as it was shown; ``rank`` counts from 1."""

    docid: str
    title: str
    snippet: str
    rank: int


class Results(Struct, frozen=True):
    """A result list that was shown for a query."""

    query: str
    glimpses: tuple[Glimpse, ...]


class Page(Struct, frozen=True):
    """A document that was opened, as far as it was shown; its first line is its title."""

    docid: str
    title: str
    text: str


class Mishap(Struct, frozen=True):
    """A tool call that brought neither, with what it said."""

    message: str


Event = Results | Page | Mishap


@lru_cache(maxsize=1 << 13)
def read_event(content: str) -> Event:
    """What one tool message shows."""
    if (search := _SEARCH.match(content)) is not None:
        marks = list(_BLOCK.finditer(content, search.end()))
        ends = [mark.start() for mark in marks[1:]] + [len(content)] * bool(marks)  # none where nothing was found
        return Results(
            search.group(1),
            tuple(
                _glimpse(mark.group(1), content[mark.end() + 1 : end].strip(), rank)
                for rank, (mark, end) in enumerate(zip(marks, ends, strict=True), start=1)
            ),
        )
    if (page := _PAGE.match(content)) is not None:
        body = content[page.end() :]
        return Page(page.group(1), body.split("\n", 1)[0], body)
    return Mishap(content)


def _glimpse(docid: str, block: str, rank: int) -> Glimpse:
    title = _TITLE.match(block)
    if title is None:
        return Glimpse(docid, "", block, rank)
    return Glimpse(docid, title.group(1), block[title.end() :], rank)


def recall(messages: list[dict[str, Any]]) -> list[Event]:
    """Everything that the tool messages of a conversation show, in order."""
    return [read_event(_text(message.get("content"))) for message in messages if message.get("role") == "tool"]


def _text(content: Any) -> str:
    """A message's content as text; providers allow a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def question(messages: list[dict[str, Any]]) -> str:
    """The first message of the user."""
    return next((_text(message.get("content")) for message in messages if message.get("role") == "user"), "")


def asked(messages: list[dict[str, Any]]) -> set[str]:
    """The queries that this conversation has already sent."""
    queries: set[str] = set()
    for message in messages:
        for call in message.get("tool_calls") or []:
            arguments = msgspec.json.decode(call["function"]["arguments"])
            if "query" in arguments:
                queries.add(arguments["query"])
    return queries
