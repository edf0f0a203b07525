"""What a tool's output says of the call: what ran, which documents it listed or opened.

Records of other tools keep the text that the agent was shown, and seldom more.  Result lists and documents are read
as LRAT's tools and ours write them, and as JSON, which BrowseComp-Plus' tools write.  What is not certain is left
unsaid: the call then keeps its output and has neither hits nor document.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from lrat_sim.records import Call, Hit

RANKS_AS_SCORES = "1/rank: the source states no scores"
"""What a retriever's ``scores`` says where hits were read from a list without scores."""

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


def observe(call: Call, output: str) -> tuple[Call, bool]:
    """A call with its output and what that says; never raises.

    Args:
        call: the tool, of any project, and its arguments.
        output: the text that the agent was shown.

    Returns:
        The call, and whether the scores of its hits are the source's own, not 1/rank.
    """

    def ran(executed: dict[str, Any], **more: Any) -> Call:
        return msgspec.structs.replace(call, output=output, executed=executed, **more)

    def failed(error: str) -> Call:
        return msgspec.structs.replace(call, output=output, executed=None, error=error)

    if found := _LIST.match(output):
        return ran({"query": found[1]}, hits=_listed(output[found.end() :], int(found[2][:9]))), False
    asked = call.arguments if isinstance(call.arguments, dict) else {}
    searches = bool(_SEARCHES.search(call.tool))
    if searches and (nothing := _NOTHING.match(output)):
        return ran({"query": nothing[1]}, hits=[]), False
    opened = _DOCUMENT.match(output)
    if opened and (_BROWSES.search(call.tool) or opened[1] in map(str, asked.values())):
        return ran({"docid": opened[1]}, docid=opened[1]), False
    value = _json(output)
    if isinstance(value, dict) and isinstance(value.get("error"), str) and value["error"]:
        return failed(value["error"]), False
    if searches and (listed := _hits(value)) is not None:
        hits, scored = listed
        return ran(asked, hits=hits), scored
    if opens_documents(call.tool) and isinstance(value, dict) and (docid := _docid(value)):
        return ran({"docid": docid}, docid=docid), False
    if not output.strip() or _FAILED.match(output):
        return failed(output.strip().split("\n")[0] or "no output"), False
    return ran(asked), False


def opens_documents(tool: str) -> bool:
    """Whether a tool of that name opens documents, as far as its name says."""
    return bool(_BROWSES.search(tool)) and not _SEARCHES.search(tool)


def _listed(body: str, stated: int) -> list[Hit]:
    """The hits of a list in text; no more than the list says it has, since a document may hold such lines too."""
    heads = (_ENTRY.match(block) for block in _BLOCKS.split(body))
    docids = [head[1].strip() for head in heads if head][:stated]
    return [Hit(docid=docid, score=1 / rank, rank=rank) for rank, docid in enumerate(docids, start=1)]


def _json(output: str) -> Any:
    if output.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return None


def _hits(value: Any) -> tuple[list[Hit], bool] | None:
    """The hits of a list in JSON, and whether it states their scores; None where it is no result list."""
    if isinstance(value, dict):
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    docids = [_docid(item) for item in value]
    if not all(docids):
        return None
    scores = [item.get("score") for item in value]
    scored = bool(scores) and all(_is_score(score) for score in scores)
    hits = [
        Hit(docid=str(docid), score=float(score) if scored and score is not None else 1 / rank, rank=rank)
        for rank, (docid, score) in enumerate(zip(docids, scores, strict=True), start=1)
    ]
    return hits, scored


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _docid(item: dict[str, Any]) -> str | None:
    for name in _DOCIDS:
        value = item.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return None
