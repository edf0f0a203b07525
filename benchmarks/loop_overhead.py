"""What a turn of the agent's loop costs beyond litellm's own call and the retrieval.

    python benchmarks/loop_overhead.py [turns] [repeats]

A trivial provider answers at once, with 100 words of reasoning and one tool call, four searches to a browse.  The
loop runs against it; then the very requests that it made are sent again by litellm alone.  Overhead = loop's time a
turn - litellm's time a call - the retriever's time a turn, all in one process, the median of the repeats; by the
clock, and in processor time, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import time
from typing import Any

import numpy as np

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.agent.tools import TOOLS
from lrat_sim.models.litellm_model import import_litellm
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever

WORDS = "the old lighthouse keeper wrote letters about storms tides ships and quiet winters near northern harbours"
DOCUMENTS = [Document(id=str(n), title=f"Page {n}", text=f"{n} {WORDS} " * 40) for n in range(500)]


class Fixed(Retriever):
    """Ten documents by a counter; knows how long it took."""

    def __init__(self) -> None:
        self.queries, self.seconds = 0, 0.0

    def search(self, queries: Any, k: int) -> list[list[Hit]]:
        began = time.perf_counter()
        self.queries += 1
        start = self.queries * 7
        hits = [Hit(docid=str((start + n) % 500), score=1.0 - n / 100, rank=n + 1) for n in range(k)]
        self.seconds += time.perf_counter() - began
        return [hits]

    def document(self, docid: str) -> Document:
        return DOCUMENTS[int(docid)]

    def describe(self) -> dict[str, Any]:
        return {"kind": "fixed"}


def provider(sent: list[list[dict[str, Any]]]) -> Any:
    import_litellm()
    from litellm.llms.custom_llm import CustomLLM
    from litellm.types.utils import ModelResponse

    class Trivial(CustomLLM):
        record = True

        async def acompletion(self, *_: Any, **request: Any) -> ModelResponse:
            messages = request["messages"]
            if self.record:
                sent.append(copy.deepcopy(messages))
            last = messages[-1].get("content") or ""
            if len(messages) % 10 == 0 and "DocID:" in last:
                name, arguments = "get_document", {"docid": last.split("DocID:")[1].split("\n")[0]}
            else:
                name, arguments = "search", {"query": f"storms {len(messages)}"}
            call = {"id": f"c{len(messages)}", "type": "function"}
            call["function"] = {"name": name, "arguments": json.dumps(arguments)}
            message = {"role": "assistant", "content": None, "reasoning_content": f"{WORDS} " * 7, "tool_calls": [call]}
            return ModelResponse(
                model="x",
                choices=[{"index": 0, "finish_reason": "tool_calls", "message": message}],
                usage={"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
            )

    return Trivial()


async def main(turns: int, repeats: int) -> None:
    sent: list[list[dict[str, Any]]] = []
    litellm, trivial, retriever = import_litellm(), provider(sent), Fixed()
    litellm.custom_provider_map = [{"provider": "trivial", "custom_handler": trivial}]
    agent = AgentSettings(model="trivial/x", limits=Limits(turns=turns))
    sampling = agent.sampling.sent(sample=0, seed=0)
    task = Task(id="t", question="Who wrote letters about storms?")
    await run_task(task, agent, Fixed())  # imports, caches of litellm
    loop, bare, retrieval = [], [], []
    for _ in range(repeats):
        sent.clear()
        trivial.record = True
        await run_task(task, agent, retriever)
        trivial.record = False
        retriever.seconds = 0.0
        began = now()
        await run_task(task, agent, retriever)
        loop.append((now() - began) / len(sent))
        retrieval.append(np.full(2, retriever.seconds / len(sent)))
        began = now()
        for messages in sent:
            tools = {"tools": TOOLS} if messages is not sent[-1] else {}
            await litellm.acompletion(
                model="trivial/x", messages=messages, timeout=300.0, max_retries=0, num_retries=0, **sampling, **tools
            )
        bare.append((now() - began) / len(sent))
    overhead = [a - b - c for a, b, c in zip(loop, bare, retrieval, strict=True)]
    print(f"{turns} turns a run, median of {repeats} repeats, ms a turn:   clock  processor")
    for name, values in (("loop", loop), ("litellm alone", bare), ("retrieval", retrieval), ("overhead", overhead)):
        clock, processor = 1000 * np.median(values, axis=0)
        print(f"  {name:<52}{clock:7.2f}{processor:11.2f}")


def now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:]]
    asyncio.run(main(*(given + [50, 9][len(given) :])))
