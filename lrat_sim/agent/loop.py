"""The turn loop: one agent, one retriever, one task (LRAT paper, section 3; limits as in section 6.1).

A turn is one answer of the model and the calls that ran for it.  At a limit the agent is told to answer now with
what it has, by one more call without tools.

The simulated agent gets its task's plan as a request parameter, never in a message::

    litellm.acompletion(model="sim/...", ..., simulation={"plan": Plan as dict, "persona": dict, "seed": int})

which reaches a custom provider as ``optional_params["simulation"]`` beside the sampling and ``tools`` (absent in
the call that wants an answer).  ``seed`` comes from (run's seed, task, sample), so that runs with two retrievers
are paired.  What was sent stands in the trajectory's ``extra``: ``sampling`` and, here, ``simulation``.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec

from lrat_sim.agent.answer import read_answer
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.simulated import register
from lrat_sim.agent.tools import TOOLS, Shown, Toolbox, parse_arguments, read_call, refused, texts_of
from lrat_sim.errors import BoundaryError, RetrieverError, TaskError
from lrat_sim.fingerprint import fingerprint
from lrat_sim.llm.client import PROVIDERS, CallFailed, Completion, ContextOverflow, Request, complete
from lrat_sim.llm.message import Message, ToolCall
from lrat_sim.records import Call, EndReason, Failure, Status, Task, Trajectory, Turn, Usage
from lrat_sim.retrieval.base import Retriever
from lrat_sim.text import count_tokens

PROVIDERS["sim"] = register

_LEFT_OUT = "(left out, since the context is full)"


async def run_task(
    task: Task, agent: AgentSettings, retriever: Retriever, *, sample: int = 0, seed: int = 0
) -> Trajectory:
    """Runs one task to its end, whatever happens: a failure is data.

    Args:
        task: the question; a simulated agent needs its plan.
        agent: the settings; names of prompts are resolved here if they are not yet.
        retriever: what answers the searches; called in threads.
        sample: which of several runs of the task this is, from 0.
        seed: the run's seed.

    Returns:
        The trajectory: answered, unanswered, or ``error`` with the boundary that was crossed.

    Raises:
        InputError: the settings cannot be used.
    """
    described, served = agent.describe(), retriever.describe()
    run = _Run(task, agent.resolved(), sample, seed)
    began = time.perf_counter()
    status: Status = "error"
    end_reason: EndReason = "error"
    answer, failure = None, None
    try:
        status, end_reason, answer = await run.finish(retriever)
    except BoundaryError as error:
        failure = Failure(boundary=error.boundary, message=str(error))
        if isinstance(error, CallFailed):
            run.extra["attempts"] = [{"status": each.status, "error": each.error} for each in error.attempts]
    return Trajectory(
        id=trajectory_id(task, described["fingerprint"], retriever.fingerprint, sample, seed),
        task_id=task.id,
        question=task.question,
        sample=sample,
        agent=described,
        retriever={**served, "fingerprint": retriever.fingerprint},
        seed=seed,
        status=status,
        end_reason=end_reason,
        answer=answer,
        turns=run.turns,
        usage=run.usage,
        error=failure,
        seconds=time.perf_counter() - began,
        extra=run.extra,
    )


def trajectory_id(task: Task, agent: str, retriever: str, sample: int, seed: int) -> str:
    """The name of a run: task, sample, and a short fingerprint of all else that decides it."""
    decisive = [agent, retriever, seed, task.question, task.plan]
    return f"{task.id}.{sample}.{fingerprint(decisive)[:8]}"


class _Run:
    """The state of one run; nothing of it is shared with another."""

    def __init__(self, task: Task, agent: AgentSettings, sample: int, seed: int):
        self.task, self.agent = task, agent
        self.turns: list[Turn] = []
        self.usage = Usage(cost=0.0)
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": agent.prompt},
            {"role": "user", "content": task.question},
        ]
        self.extra: dict[str, Any] = {"sampling": agent.sampling.sent(sample=sample, seed=seed)}
        if agent.simulated and task.plan is not None:
            own_seed = int(fingerprint([seed, task.id, sample]), 16) >> 11  # 53 bits, which any JSON reader keeps
            plan = msgspec.to_builtins(task.plan)
            self.extra["simulation"] = {"plan": plan, "persona": agent.simulation, "seed": own_seed}
        self.began = time.monotonic()

    async def finish(self, retriever: Retriever) -> tuple[Status, EndReason, str | None]:
        """The turns up to the answer: status, why it ended, the answer."""
        if self.agent.simulated and self.task.plan is None:
            raise TaskError(f"task {self.task.id!r} has no plan, which a simulated agent needs")
        limits = self.agent.limits
        shown = Shown(limits.k, limits.snippet_tokens, limits.document_tokens)
        tools = Toolbox(retriever.for_task(self.task), texts_of(retriever), shown)
        while (limit := self._limit()) is None:
            try:
                async with asyncio.timeout(self._seconds_left()):
                    completion = await self._ask(TOOLS)
            except TimeoutError:
                return await self._answer_now("time_limit")
            except ContextOverflow:
                self._shorten()
                return await self._answer_now("token_limit")
            if completion.message.calls:
                await self._act(completion, tools)
                continue
            self._record(completion, [])
            if completion.message.text is None:  # neither calls nor text: nothing to go on from
                return await self._answer_now("answer")
            answer = read_answer(completion.message.text)
            return ("answered", "answer", answer) if answer is not None else ("unanswered", "gave_up", None)
        return await self._answer_now(limit)

    async def _ask(self, tools: list[dict[str, Any]] | None) -> Completion:
        agent = self.agent
        simulation = {"simulation": self.extra["simulation"]} if "simulation" in self.extra else {}
        return await complete(
            Request(
                model=agent.model,
                messages=self.messages,
                tools=tools,
                sampling=self.extra["sampling"],
                base_url=agent.base_url,
                key_env=agent.key_env,
                timeout=agent.timeout,
                retries=agent.retries,
                extra={**agent.provider, **simulation},
            )
        )

    async def _act(self, completion: Completion, tools: Toolbox) -> None:
        """Runs a turn's calls, records the turn, and tells the model their outputs."""
        asked = _with_ids(completion.message.calls, len(self.turns))
        self.messages.append(_assistant(completion.message, asked, self.agent.pass_reasoning))
        try:
            calls = await tools.run(asked)
        except RetrieverError as error:
            self._record(completion, [refused(call, read_call(call), str(error)) for call in asked])
            raise
        self._record(completion, calls)
        self.messages += [{"role": "tool", "tool_call_id": call.id, "content": call.output} for call in calls]

    async def _answer_now(self, reason: EndReason) -> tuple[Status, EndReason, str | None]:
        """One more call, without tools, for an answer from what was found."""
        self.messages.append({"role": "user", "content": self.agent.answer_prompt})
        try:
            completion = await self._ask(None)
        except ContextOverflow:
            return "unanswered", "token_limit", None
        late = _with_ids(completion.message.calls, len(self.turns))
        self._record(completion, [refused(call, read_call(call), "no calls are run any more") for call in late])
        answer = read_answer(completion.message.text)
        if answer is not None:
            return "answered", reason, answer
        return "unanswered", "gave_up" if reason == "answer" else reason, None

    def _record(self, completion: Completion, calls: list[Call]) -> None:
        message = completion.message
        turn = Turn(
            reasoning=message.reasoning,
            reasoning_tokens=count_tokens(message.reasoning) if message.reasoning else 0,
            calls=calls,
            text=message.text,
            usage=completion.usage,
            attempts=completion.attempts,
            raw=message.raw,
        )
        self.turns.append(turn)
        self.usage = self.usage + completion.usage

    def _limit(self) -> EndReason | None:
        """The limit that the run has reached."""
        limits, usage = self.agent.limits, self.usage
        if len(self.turns) >= limits.turns:
            return "turn_limit"
        if limits.tokens is not None and usage.prompt_tokens + usage.completion_tokens >= limits.tokens:
            return "token_limit"
        if limits.cost is not None and usage.cost is not None and usage.cost >= limits.cost:
            return "cost_limit"
        left = self._seconds_left()
        return "time_limit" if left is not None and left <= 0 else None

    def _seconds_left(self) -> float | None:
        seconds = self.agent.limits.seconds
        return None if seconds is None else self.began + seconds - time.monotonic()

    def _shorten(self) -> None:
        """Makes room for an answer: the outputs of the last turn, which did not fit, are left out."""
        for message in reversed(self.messages):
            if message["role"] != "tool":
                break
            message["content"] = _LEFT_OUT


def _with_ids(calls: list[ToolCall], turn: int) -> list[ToolCall]:
    """The calls with ids that are there and differ, since outputs are matched to calls by them."""
    taken: set[str] = set()
    named = []
    for place, call in enumerate(calls):
        own = call.id if call.id and call.id not in taken else f"call_{turn}_{place}"
        taken.add(own)
        named.append(msgspec.structs.replace(call, id=own))
    return named


def _assistant(message: Message, calls: list[ToolCall], pass_reasoning: bool) -> dict[str, Any]:
    """The model's own message as it gets it back."""
    said: dict[str, Any] = {"role": "assistant", "content": message.text}
    said["tool_calls"] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
        for call in calls
    ]
    if pass_reasoning and message.reasoning is not None:
        said["reasoning_content"] = message.reasoning
        if message.raw and message.raw.get("thinking_blocks"):  # signed, so that they must come back as they were
            said["thinking_blocks"] = message.raw["thinking_blocks"]
    return said


def _arguments(call: ToolCall) -> str:
    """A call's arguments as JSON of a mapping: endpoints refuse a conversation that holds anything else."""
    try:
        if isinstance(json.loads(call.arguments), dict):
            return call.arguments
    except ValueError:
        pass
    return json.dumps(parse_arguments(call.arguments) or {}, ensure_ascii=False)
