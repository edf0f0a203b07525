"""A tool of your own: documents that are like one that the agent was shown."""

from typing import Any

import lrat_sim as ls
from lrat_sim.agent.tools import RunView


class Related(ls.Tool):
    """Lists the documents that are most like one of an earlier result list."""

    name = "related"
    description = "List the documents that are most like one of an earlier result list."
    parameters = {
        "type": "object",
        "properties": {"docid": {"type": "string", "description": "The document's id, as a result list shows it."}},
        "required": ["docid"],
    }
    longest_output = 4_000  # characters that the model is shown

    def run(self, arguments: dict[str, Any], view: RunView) -> ls.ToolResult:
        docid = view.opened(arguments["docid"])  # as the model means it; one that was not shown is refused
        title, beginning = view.text(docid, 32)
        query = f"{title} {beginning}"
        found = [hit for hit in view.search(query, view.limits.k + 1) if hit.docid != docid]
        hits = [ls.Hit(docid=hit.docid, score=hit.score, rank=rank) for rank, hit in enumerate(found, start=1)]
        lines = [f"DocID:{hit.docid}\n[{view.text(hit.docid, 1)[0]}]" for hit in hits]
        # what is listed counts as shown, and may be opened; the query says what it was found by
        return ls.ToolResult(text="\n\n".join(lines), hits=hits, executed={"docid": docid, "query": query})
