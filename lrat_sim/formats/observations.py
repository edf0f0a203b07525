"""What a tool's output says of the call: what ran, which documents it listed or opened.

Result lists and documents are read as LRAT's tools and ours write them, and as JSON.  What is not certain is left
unsaid.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from lrat_sim.foreign.values import id_in, is_number, mapping, parsed, text
from lrat_sim.records import Call, Hit

_LIST = re.compile(r"A search for '(.*?)' found (\d+) results:\s*## Web Results(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"^DocID:[ \t]*(\S[^\n]*)", re.MULTILINE)
_BLOCKS = re.compile(r"\n\n(?=DocID:)")
_NOTHING = re.compile(r"No results found for '(.*)'\. Try", re.DOTALL)
_DOCUMENT = re.compile(r"Document ([^\n]+?):\n")
_FAILED = re.compile(
    r"(?:\[?(?:Search|get_document|Tool)?\]? ?(?:Error|Invalid|Search error|Document not found)|Tool \S+ not found"
    r"|Sorry, )",
    re.IGNORECASE,
)
_SEARCHES = re.compile(r"search|retriev|query", re.IGNORECASE)
_BROWSES = re.compile(r"visit|get_?doc|open|browse|fetch|read", re.IGNORECASE)
_DOCIDS = ("docid", "doc_id", "document_id", "_id", "id")
_LISTS = ("results", "result", "documents", "hits")


def observe(call: Call, output: str) -> Call:
    """A call with its output and what that says; hits of a list that states no scores have the score 1/rank."""

    def ran(executed: dict[str, Any], **more: Any) -> Call:
        return msgspec.structs.replace(call, output=output, executed=executed, **more)

    def failed(error: str) -> Call:
        return msgspec.structs.replace(call, output=output, executed=None, error=error)

    if listed := _LIST.match(output):
        # no more than the list says it has, since a document may hold such lines too
        heads = map(_ENTRY.match, _BLOCKS.split(output[listed.end() :]))
        docids = [head[1].strip() for head in heads if head][: int(listed[2][:9])]
        return ran({"query": listed[1]}, hits=ranked(docids))
    arguments, searching = mapping(call.arguments), searches(call.tool)
    if searching and (nothing := _NOTHING.match(output)):
        return ran({"query": nothing[1]}, hits=[])
    opened = _DOCUMENT.match(output)
    if opened and (_BROWSES.search(call.tool) or opened[1] in map(str, arguments.values())):
        return ran({"docid": opened[1]}, docid=opened[1])
    value = parsed(output)
    if error := text(mapping(value).get("error")):
        return failed(error)
    if searching and (hits := _hits(value)) is not None:
        return ran(arguments, hits=hits)
    if opens_documents(call.tool) and (docid := id_in(mapping(value), _DOCIDS)):
        return ran({"docid": docid}, docid=docid)
    if not output.strip() or _FAILED.match(output):
        return failed(output.strip().split("\n")[0] or "no output")
    return ran(arguments)


def searches(tool: str) -> bool:
    """Whether a tool of that name searches, as far as its name says."""
    return bool(_SEARCHES.search(tool))


def opens_documents(tool: str) -> bool:
    """Whether a tool of that name opens documents, as far as its name says."""
    return bool(_BROWSES.search(tool)) and not _SEARCHES.search(tool)


def _hits(value: Any) -> list[Hit] | None:
    """The hits of a list in JSON; None where it is no result list."""
    if isinstance(value, dict):
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    docids = [docid for item in value if (docid := id_in(item, _DOCIDS))]
    scores = [item.get("score") for item in value]
    return ranked(docids, scores) if len(docids) == len(value) else None


def ranked(docids: list[str], scores: list[Any] | None = None) -> list[Hit]:
    """Hits in their order, from 1; with 1/rank as scores where not every one is given as a number."""
    given = [float(score) for score in scores or () if is_number(score) and abs(score) < 1e300]
    scores = given if len(given) == len(docids) else [1 / rank for rank in range(1, len(docids) + 1)]
    pairs = zip(docids, scores, strict=True)
    return [Hit(docid=docid, score=score, rank=rank) for rank, (docid, score) in enumerate(pairs, start=1)]
