"""A tiny conversation partner: a corpus of a few documents, and a search that shows them as the agent's tools do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lrat_sim.agent.simulated.persona import Persona
from lrat_sim.agent.simulated.policy import Action, AnswerAction, BrowseAction, SearchAction, think
from lrat_sim.agent.simulated.reading import OpenedDocument, ResultList, recall
from lrat_sim.corpus.plans import stands_in
from lrat_sim.records import Document, Hop, Plan
from lrat_sim.text import normalise

PLAN = Plan(
    hops=[
        Hop(
            subject="The Salt Lantern",
            relation="author",
            object="Ysolde Marrick",
            phrasings=["author of {subject}", "who wrote {subject}", "{subject} writer"],
        ),
        Hop(
            subject="#1",
            relation="place of birth",
            object="Thornmouth",
            phrasings=["where was {subject} born", "{subject} birthplace"],
        ),
    ]
)
DOCUMENTS = [
    Document(id="d1", title="The Salt Lantern", text="The Salt Lantern is a novel. " * 12 + "Ysolde Marrick wrote it."),
    Document(id="d2", title="Ysolde Marrick", text="Ysolde Marrick told stories. " * 12 + "She first saw Thornmouth."),
    Document(id="d3", title="The Salt Lanterns", text="The Salt Lanterns is a play. The author is Orrin Fell."),
    Document(id="d4", title="Harbour tolls", text="Tolls were paid in salt at every quay of the coast."),
]


class Conversation:
    """The messages of one run, its actions, and what the corpus answers."""

    def __init__(
        self,
        plan: Plan,
        documents: list[Document],
        persona: Persona,
        seed: int,
        snippet: int = 60,
        question: str = "Where was its author born?",
    ):
        self.plan, self.persona, self.seed, self.snippet = plan, persona, seed, snippet
        self.documents = {document.id: document for document in documents}
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
        self.actions: list[Action] = []

    def run(self, turns: int = 60) -> AnswerAction:
        for turn in range(turns):
            _, action = think(self.messages, self.plan, self.persona, self.seed, tools=turn < turns - 1)
            self.actions.append(action)
            if isinstance(action, AnswerAction):
                return action
            self.execute(action)
        raise AssertionError("the last turn offers no tools, so it must answer")

    def finished(self, turns: int = 60) -> Conversation:
        self.run(turns)
        return self

    def said_before_read(self) -> list[str]:
        """What was searched or answered, of the objects of hops, before the question or anything shown held it."""
        shown, said = [normalise(self.messages[0]["content"])], []
        events = iter(recall(self.messages))
        for action in self.actions:
            text = getattr(action, "query", None) or getattr(action, "value", None) or ""
            objects = [hop.object for hop in self.plan.hops if stands_in(hop.object, text)]
            said += [text for value in objects if not any(stands_in(value, part) for part in shown)]
            event = next(events, None)
            if isinstance(event, OpenedDocument):
                shown.append(event.text)
            elif isinstance(event, ResultList):
                shown += [f"{hit.title} {hit.snippet}" for hit in event.glimpses]
        return said

    def queries(self) -> list[str]:
        return [action.query for action in self.actions if isinstance(action, SearchAction)]

    def browses(self) -> int:
        return sum(isinstance(action, BrowseAction) for action in self.actions)

    def execute(self, action: Action) -> None:
        if isinstance(action, SearchAction):
            name, arguments, content = "search", {"query": action.query}, self.search(action.query)
        else:
            document = self.documents[action.glimpse.docid]
            name, arguments = "get_document", {"docid": document.id}
            content = f"Document {document.id}:\n{document.title}\n{document.text}"
        call = {"id": "c", "function": {"name": name, "arguments": msgspec.json.encode(arguments).decode()}}
        self.messages += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": content},
        ]

    def search(self, query: str) -> str:
        words = set(query.lower().split())
        found = sorted(
            self.documents.values(),
            key=lambda document: (-len(words & set(f"{document.title} {document.text}".lower().split())), document.id),
        )[:3]
        blocks = "\n\n".join(f"DocID:{hit.id}\n[{hit.title}]\n{hit.text[: self.snippet]}" for hit in found)
        return f"A search for '{query}' found {len(found)} results:\n\n## Web Results\n{blocks}"


@pytest.fixture
def converse() -> Callable[..., Conversation]:
    def build(
        plan: Plan = PLAN, documents: list[Document] | None = None, seed: int = 1, **persona: Any
    ) -> Conversation:
        told = {name: persona.pop(name) for name in ("snippet", "question") if name in persona}
        return Conversation(plan, documents or DOCUMENTS, Persona(**persona), seed, **told)

    return build
