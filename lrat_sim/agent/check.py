"""Tries an agent's endpoint before many runs depend on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import PROTOCOLS
from lrat_sim.models.call import Completion, Request, Retries
from lrat_sim.models.client import Client, close_connections
from lrat_sim.models.litellm_model import model_facts, require_key
from lrat_sim.models.message import Message
from lrat_sim.records import Document, Hit, Hop, Plan, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import normalise

_PAGE = Document(
    id="7",
    title="Brindle Lighthouse",
    text="Brindle Lighthouse stands on a rock off the coast. It was designed by Maren Oxley and lit in 1874.",
)
_HOP = Hop(subject=_PAGE.title, relation="designer", object="Maren Oxley", phrasings=["who designed {subject}"])
_TASK = Task(
    id="check",
    question="Who designed Brindle Lighthouse? Use the search tool to find out.",
    answers=[_HOP.object],
    evidence=[_PAGE.id],
    plan=Plan(hops=[_HOP]),
)
_LEFT_IN_TEXT = ("<tool_call", "<|channel|>", "<|tool_call", "[TOOL_CALLS]", "<function=", ":tool_call>")
_PARSER = "start the server with its tool-call parser (vLLM: --enable-auto-tool-choice --tool-call-parser NAME)"

Subject = Literal["endpoint", "protocol", "tool calls", "reasoning", "answer", "context window", "price"]
State = Literal["ok", "warn", "fail"]


class Check(Struct, frozen=True):
    """One thing tried: what, how it went, and what was seen or is to be changed."""

    what: Subject
    state: State  # `fail` means that runs would break, `warn` that something is missing or unknown
    detail: str


class _OnePage(Retriever):
    """A collection of one page, so that the check needs no corpus."""

    def search(self, queries: Any, k: int) -> list[list[Hit]]:
        return [[Hit(docid=_PAGE.id, score=1.0, rank=1)] for _ in queries]

    def document(self, docid: str) -> Document:
        return _PAGE

    def describe(self) -> dict[str, Any]:
        return {"kind": "one page"}


class _Listener(Client):
    """A client that keeps the messages as they were read, since a turn does not say in which shape they came."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    async def complete(self, request: Request, *, priority: int = 0, deadline: float | None = None) -> Completion:
        completion = await super().complete(request, priority=priority, deadline=deadline)
        self.messages.append(completion.message)
        return completion


def check_agent(settings: AgentSettings) -> list[Check]:
    """Runs one small task and says of the endpoint whether it is reachable, calls tools and shows its reasoning."""
    require_key(settings.model, base_url=settings.base_url, key_env=settings.key_env)
    return list(_checks(settings))


def _checks(settings: AgentSettings) -> Iterator[Check]:
    run, messages = _try(settings, turns=4)
    if run.error is not None:
        yield Check("endpoint", "fail", run.error.message)
    else:
        seconds = [turn.attempts[-1].seconds for turn in run.turns if turn.attempts]  # `rag` searches before any call
        yield Check("endpoint", "ok", f"{len(seconds)} calls, the slowest {max(seconds):.1f} s")
    if run.turns:
        if settings.harness == "loop":
            yield _protocol(settings, run)
            yield _tool_calls(settings, run, messages)
        yield _reasoning(settings, run, messages)
        yield _answer(run)
    facts, price = model_facts(settings.model), model_facts(settings.model).price
    if settings.window:
        yield Check("context window", "ok", f"{settings.window:,} tokens, as the profile says")
    elif facts.window:
        yield Check("context window", "ok", f"{facts.window:,} tokens, as litellm knows")
    elif settings.simulated:
        yield Check("context window", "ok", "none")
    else:
        yield Check("context window", "warn", "unknown: set `window`, or only a refused prompt shows where it ends")
    if price is None:
        yield Check("price", "warn", "unknown: costs will be too, and limits.cost does nothing")
    else:
        cached = "" if price.cached is None else f", {1e6 * price.cached:g} from its cache"
        paid = f"US$ {1e6 * price.prompt:g} a million tokens sent, {1e6 * price.completion:g} written"
        yield Check("price", "ok", paid + cached)


def _try(settings: AgentSettings, *, turns: int) -> tuple[Trajectory, list[Message]]:
    limits = msgspec.structs.replace(settings.limits, turns=turns, tokens=None, seconds=None, cost=None)
    brief = msgspec.structs.replace(settings, limits=limits, retries=Retries(attempts=2, seconds=60.0))
    client = _Listener()

    async def run() -> Trajectory:
        try:
            return await run_task(_TASK, brief, _OnePage(), client=client)
        finally:
            await close_connections()

    return asyncio.run(run()), client.messages


def _executed(run: Trajectory) -> int:
    return sum(call.executed is not None for call in run.calls())


def _protocol(settings: AgentSettings, run: Trajectory) -> Check:
    """The profile's protocol, and, where no call came by it, those by which calls do come."""
    if _executed(run):
        return Check("protocol", "ok", settings.protocol)
    tried = [f"by {settings.protocol} no call could run"]
    for name, protocol in PROTOCOLS.items():
        if name == settings.protocol or settings.simulated:
            continue
        prompt, answer_prompt = protocol.prompts
        other = msgspec.structs.replace(settings, protocol=name, prompt=prompt, answer_prompt=answer_prompt)
        ran = _executed(_try(other, turns=2)[0])
        remedy = f"{ran} calls came: set protocol={name} prompt={prompt} answer_prompt={answer_prompt}"
        tried.append(f"by {name} {remedy if ran else 'no call came'}")
    return Check("protocol", "warn", "; ".join(tried))


def _tool_calls(settings: AgentSettings, run: Trajectory, messages: list[Message]) -> Check:
    calls, ran, native = list(run.calls()), _executed(run), settings.protocol == "tools"
    if not ran:
        remedy = f"; {_PARSER}, or choose another protocol" if native else ""
        text = next((turn.text for turn in run.turns if turn.text), None)
        return Check("tool calls", "fail", f"none that could run, of {len(calls)}; its text: {text!r:.200}{remedy}")
    if native and any(map(_left_in_text, messages)):
        detail = f"{ran} could run, read from the text, where the server left them; {_PARSER}"
        return Check("tool calls", "warn", detail)
    if ran < len(calls):
        problem = next(call.error for call in calls if call.error)
        return Check("tool calls", "warn", f"{ran} of {len(calls)} could run; one that could not: {problem}")
    return Check("tool calls", "ok", f"{ran} of {len(calls)} could run")


def _left_in_text(message: Message) -> bool:
    written = message.content or message.text or ""
    native = (message.raw or {}).get("tool_calls") or (message.calls and "<|channel|>" not in written)
    return not native and any(mark in written for mark in _LEFT_IN_TEXT)


def _reasoning(settings: AgentSettings, run: Trajectory, messages: list[Message]) -> Check:
    reasoning = [turn.reasoning for turn in run.turns]
    shapes = list(dict.fromkeys(shape for message in messages for shape in message.shapes))
    if not any(reasoning):
        lack = "absent" if all(thought is None for thought in reasoning) else "empty"
        remedy = "; a server needs its reasoning parser (vLLM, SGLang: --reasoning-parser NAME)" if not shapes else ""
        return Check("reasoning", "warn", f"{lack}: browses cannot be judged by it, nor pairs weighted{remedy}")
    came = f"{sum(turn.reasoning_tokens for turn in run.turns)} tokens, in {' and '.join(shapes) or 'the text'}"
    back = settings.pass_reasoning
    own = {"reasoning", "reasoning_details"} & set(shapes)  # reasoning_content may be what litellm made of <think>
    if settings.protocol == "tools" and own and back not in {*own, "no"} and "thinking_blocks" not in shapes:
        return Check("reasoning", "warn", f"{came}; it goes back as {back}: set pass_reasoning={sorted(own)[-1]}")
    return Check("reasoning", "ok", came)


def _answer(run: Trajectory) -> Check:
    if run.answer is None:
        return Check("answer", "warn", f"none; the run ended by {run.end_reason}")
    forced = "" if run.end_reason == "answer" else f", when it was told to answer ({run.end_reason})"
    if normalise(_HOP.object) in normalise(run.answer):
        return Check("answer", "warn" if forced else "ok", f"{run.answer!r:.200}{forced}")
    return Check("answer", "warn", f"{run.answer!r:.200}{forced}, not {_HOP.object!r}, which its page says")
