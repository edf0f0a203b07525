from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lrat_sim.errors import ModelError
from lrat_sim.models.call import Completion, Request
from lrat_sim.models.message import Message
from lrat_sim.records import Call, Hit, Trajectory, Turn, Usage


def search(*docids: str) -> Call:
    hits = [Hit(docid=docid, score=0.0, rank=rank) for rank, docid in enumerate(docids, 1)]
    return Call(id="s", tool="search", arguments={"query": "q"}, executed={"query": "q"}, hits=hits)


def browse(docid: str) -> Call:
    return Call(id="b", tool="get_document", arguments={"docid": docid}, executed={"docid": docid}, docid=docid)


def refused(docid: str) -> Call:
    return Call(id="f", tool="get_document", arguments={"docid": docid}, error="no such document")


def turn(*calls: Call, reasoning: str | None = None, text: str | None = None) -> Turn:
    return Turn(reasoning=reasoning, reasoning_tokens=len((reasoning or "").split()), calls=list(calls), text=text)


def run(turns: Sequence[Turn] = (), **fields: Any) -> Trajectory:
    settings = {
        "id": "t1",
        "task_id": "q1",
        "question": "?",
        "sample": 0,
        "agent": {},
        "retriever": {},
        "seed": 0,
        "status": "answered",
        "end_reason": "answer",
        "answer": "Paris",
        "usage": Usage(prompt_tokens=10, completion_tokens=5, cost=0.5),
        **fields,
    }
    return Trajectory(turns=list(turns), **settings)


class Make:
    search, browse, refused, turn, run = (staticmethod(f) for f in (search, browse, refused, turn, run))


class ScriptedVotes:
    """A client whose reply to each vote is given: a text, or why there is none."""

    def __init__(self, *replies: str | ModelError):
        self.replies, self.prompts, self.asked = replies, list[str](), list[int]()

    async def complete(self, request: Request) -> Completion:
        self.prompts.append(request.messages[0]["content"])
        self.asked.append(request.sample)
        reply = self.replies[request.sample]
        if isinstance(reply, ModelError):
            raise reply
        usage = Usage(prompt_tokens=7, completion_tokens=2, cost=0.25)
        message = Message(reasoning=None, text=reply, calls=[])
        return Completion(message=message, usage=usage, finish_reason="stop", attempts=[])


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def votes() -> type[ScriptedVotes]:
    return ScriptedVotes
