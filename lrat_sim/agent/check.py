"""Tries an agent's endpoint before many runs depend on it."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.errors import UnknownDocument
from lrat_sim.llm.client import Retries
from lrat_sim.llm.facts import model_facts, require_key
from lrat_sim.records import Document, Hit, Hop, Plan, Task, Trajectory
from lrat_sim.retrieval.base import Retriever

_PAGE = Document(
    id="7",
    title="Brindle Lighthouse",
    text="Brindle Lighthouse stands on a rock off the coast. It was designed by Maren Oxley and lit in 1874.",
)
_TASK = Task(
    id="check",
    question="Who designed Brindle Lighthouse? Use the search tool to find out.",
    answers=["Maren Oxley"],
    evidence=[_PAGE.id],
    plan=Plan(
        hops=[
            Hop(
                subject="Brindle Lighthouse",
                relation="designer",
                object="Maren Oxley",
                phrasings=["who designed {subject}"],
            )
        ]
    ),
)


class Check(Struct, frozen=True):
    """One thing tried: what, how it went, and what was seen."""

    what: Literal["endpoint", "tool calls", "reasoning", "context window", "price"]
    state: Literal["ok", "warn", "fail"]
    detail: str


class _OnePage(Retriever):
    """A collection of one page, so that the check needs no corpus."""

    def search(self, queries: Any, k: int) -> list[list[Hit]]:
        return [[Hit(docid=_PAGE.id, score=1.0, rank=1)] for _ in queries]

    def document(self, docid: str) -> Document:
        if docid != _PAGE.id:
            raise UnknownDocument(docid)
        return _PAGE

    def describe(self) -> dict[str, Any]:
        return {"kind": "one page"}


def check_agent(settings: AgentSettings) -> list[Check]:
    """Runs one small task and says of the endpoint whether it is reachable, calls tools and shows its reasoning.

    Returns:
        One check each; ``fail`` means that runs would break, ``warn`` that something is missing or unknown.

    Raises:
        InputError: the settings cannot be used, or the model's key is not set.
    """
    require_key(settings.model, base_url=settings.base_url, key_env=settings.key_env)
    limits = msgspec.structs.replace(settings.limits, turns=4, tokens=None, seconds=None, cost=None)
    brief = msgspec.structs.replace(settings, limits=limits, retries=Retries(attempts=2, seconds=60.0))
    run = asyncio.run(run_task(_TASK, brief, _OnePage()))
    facts = model_facts(settings.model)
    known = f"{facts.window:,} tokens" if facts.window else "unknown"
    return [
        _endpoint(run),
        *([_tool_calls(run), _reasoning(run)] if run.turns else []),
        Check("context window", "ok" if facts.window or settings.simulated else "warn", known),
        Check("price", "ok" if facts.priced else "warn", "known" if facts.priced else "unknown: costs will be too"),
    ]


def _endpoint(run: Trajectory) -> Check:
    if run.error is not None:
        return Check("endpoint", "fail", run.error.message)
    slowest = max(turn.attempts[-1].seconds for turn in run.turns)
    return Check("endpoint", "ok", f"{len(run.turns)} calls, the slowest {slowest:.1f} s")


def _tool_calls(run: Trajectory) -> Check:
    calls = [call for turn in run.turns for call in turn.calls]
    ran = sum(call.executed is not None for call in calls)
    if not ran:
        return Check(
            "tool calls", "fail", f"none that could run, of {len(calls)}; its text: {run.turns[0].text!r:.200}"
        )
    state: Literal["ok", "warn"] = "ok" if ran == len(calls) else "warn"
    return Check("tool calls", state, f"{ran} of {len(calls)} could run; the run ended by {run.end_reason}")


def _reasoning(run: Trajectory) -> Check:
    seen = [turn.reasoning for turn in run.turns]
    if any(seen):
        return Check("reasoning", "ok", f"{sum(turn.reasoning_tokens for turn in run.turns)} tokens")
    lack = "absent" if all(reasoning is None for reasoning in seen) else "empty"
    return Check("reasoning", "warn", f"{lack}: browses cannot be judged by it, nor pairs weighted")
