"""A tool of your own: it lists the documents that are like one that the agent was shown."""

import asyncio
import json
from typing import Any

import lrat_sim as ls
from lrat_sim.agent.tools import RunView, Toolbox
from lrat_sim.models.message import ToolCall


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
        found = [hit for hit in view.search(query, view.limits.k + 1) if hit.docid != docid][: view.limits.k]
        hits = [ls.Hit(docid=hit.docid, score=hit.score, rank=rank) for rank, hit in enumerate(found, start=1)]
        lines = [f"DocID:{hit.docid}\n[{view.text(hit.docid, 1)[0]}]" for hit in hits]
        # what is listed counts as shown, and may be opened; the query says what it was found by
        return ls.ToolResult(text="\n\n".join(lines), hits=hits, executed={"docid": docid, "query": query})


if __name__ == "__main__":  # tried without a model: the calls are ours
    data = ls.prepare("world", "runs/custom-tool/data", documents=1000, train_tasks=5, test_tasks=5)
    task = data.tasks("test")[0]
    agent = ls.AgentSettings(model="any/model", limits={"k": 3})
    toolbox = Toolbox(ls.open_retriever("bm25", data), task, agent)
    toolbox.tools["related"] = Related()
    shown = asyncio.run(toolbox.run([ToolCall(id="1", name="search", arguments=json.dumps({"query": task.question}))]))
    asked = json.dumps({"docid": shown[0].hits[0].docid})
    print(asyncio.run(toolbox.run([ToolCall(id="2", name="related", arguments=asked)]))[0].output)
