"""The turn loop: one agent, one retriever, one task (LRAT paper, section 3; limits as in section 6.1).

A turn is one answer of the model and the calls that ran for it.  How both are written is the protocol's
(:mod:`lrat_sim.agent.protocols`).  At a limit the agent is told to answer now with what it has, by one more call.

A message that was cut off at the provider's limit of tokens is no answer, and a call that it ends in does not run: the
model is told so twice, then to answer now; if that is cut off too, the run ends by ``length``.  Only an answer whose
line is complete counts.  Where the provider's filter withheld a message, the run ends by ``content_filter``.

The simulated agent gets its task's plan as a request parameter, never in a message::

    litellm.acompletion(model="sim/...", ..., simulation={"plan": Plan as dict, "persona": dict, "seed": int})

which reaches a custom provider as ``optional_params["simulation"]`` beside the sampling and ``tools``
(``tool_choice`` is ``none`` in the call that wants an answer).  ``seed`` comes from (run's seed, task, sample), so
that runs with two retrievers are paired.  What was sent stands in the trajectory's ``extra``: ``sampling`` and,
here, ``simulation``.
"""

from __future__ import annotations

import re
import time
from typing import Any, cast

import msgspec

from lrat_sim.agent.answer import read_answer, states_answer
from lrat_sim.agent.calls import is_mended, read_call
from lrat_sim.agent.context import Context
from lrat_sim.agent.mending import read_strictly
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import PassReasoning, Spoken
from lrat_sim.agent.simulated import register
from lrat_sim.agent.tools import MOST_ANSWERED, Toolbox, refused, texts_of
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import BoundaryError, RetrieverError, TaskError
from lrat_sim.models.client import (
    PROVIDERS,
    CallFailed,
    CallRefused,
    Client,
    Completion,
    ContextOverflow,
    DeadlinePassed,
    Request,
)
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, EndReason, Failure, Status, Task, Trajectory, Turn, Usage
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import ResultFormat
from lrat_sim.text import count_tokens

PROVIDERS["sim"] = register

_LEFT_OUT = "(left out, since the context is full)"
_REMINDERS = 2
"""Messages in a row that are neither call nor answer and get the protocol's reminder; after them it must answer."""
_CUT_OFF = (
    "Your message was cut off, since it was longer than the limit of tokens. Write less this time: call a tool, or "
    "give the final answer."
)
_CUT_CALL = "not run, since the message was cut off at the limit of tokens before it was complete; write it again"

_TOOL_CHOICE = re.compile(r"tool[_ ]?choice", re.IGNORECASE)

_End = tuple[Status, EndReason, str | None]


async def run_task(
    task: Task,
    agent: AgentSettings,
    retriever: Retriever,
    *,
    sample: int = 0,
    seed: int = 0,
    client: Client | None = None,
    priority: int = 0,
) -> Trajectory:
    """Runs one task to its end, whatever happens: a failure is data.

    Args:
        task: the question; a simulated agent needs its plan.
        agent: the settings; names of prompts are resolved here if they are not yet.
        retriever: what answers the searches; called in threads.
        sample: which of several runs of the task this is, from 0.
        seed: the run's seed.
        client: what asks the model; a plain one by default.
        priority: of its calls among those that wait for a place; lower goes first.

    Returns:
        The trajectory: answered, unanswered, or ``error`` with the boundary that was crossed.  Its ``extra`` holds
        ``sampling`` as sent, ``simulation`` and ``canary`` where there is one, ``attempts`` at calls that failed, and
        ``left_out``: the turns whose outputs the call for an answer had no room for.

    Raises:
        InputError: the settings cannot be used.
        LimitReached: the client's budget is spent.
    """
    described, served = agent.describe(), retriever.describe()
    run = _Run(task, agent.resolved(), sample, seed, client or Client(), priority)
    began = time.perf_counter()
    status: Status = "error"
    end_reason: EndReason = "error"
    answer, failure = None, None
    try:
        status, end_reason, answer = await run.finish(retriever)
    except BoundaryError as error:
        failure = Failure(boundary=error.boundary, message=str(error))
        if isinstance(error, CallFailed):
            run.keep_attempts(error)
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

    def __init__(self, task: Task, agent: AgentSettings, sample: int, seed: int, client: Client, priority: int):
        self.task, self.agent, self.sample = task, agent, sample
        self.client, self.priority = client, priority
        self.protocol = agent.talks
        self.pass_reasoning = cast(PassReasoning, agent.pass_reasoning)
        self.context = Context(agent, self.protocol.tools)
        self.turns: list[Turn] = []
        self.usage = Usage.zero()
        self.used, self.spent, self.dearest = 0, 0.0, 0.0
        self.may_choose = self.protocol.tool_choice is not None
        """Whether the call for an answer says by a parameter that no tool is to be called."""
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": agent.prompt},
            {"role": "user", "content": task.question},
        ]
        self.shown: list[tuple[int, int]] = []
        """Of the turns whose outputs the conversation still holds: its number, the place of its first output."""
        sampling = agent.sampling.sent(sample=sample, seed=seed, stop=self.protocol.stop)
        self.extra: dict[str, Any] = {"sampling": sampling}
        if task.canary is not None:
            self.extra["canary"] = task.canary
        if agent.simulated and task.plan is not None:
            own_seed = int(fingerprint([seed, task.id, sample]), 16) >> 11  # 53 bits, which any JSON reader keeps
            plan = msgspec.to_builtins(task.plan)
            self.extra["simulation"] = {"plan": plan, "persona": agent.simulation, "seed": own_seed}
        seconds = agent.limits.seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds

    async def finish(self, retriever: Retriever) -> _End:
        """The turns up to the answer: status, why it ended, the answer."""
        if self.agent.simulated and self.task.plan is None:
            raise TaskError(f"task {self.task.id!r} has no plan, which a simulated agent needs")
        limits = self.agent.limits
        shown = ResultFormat(limits.k, limits.snippet_tokens, limits.document_tokens)
        tools = Toolbox(
            retriever.for_task(self.task),
            texts_of(retriever),
            shown,
            self.protocol.form,
            self.agent.search_with,
            self.task.question,
        )
        reminded = 0
        while (limit := self._limit()) is None:
            try:
                completion = await self._ask(self.messages, deadline=self.deadline)
            except DeadlinePassed as error:
                self.keep_attempts(error)
                return await self._answer_now("time_limit")
            except ContextOverflow as error:
                self.keep_attempts(error)
                self._leave_out(1)
                return await self._answer_now("token_limit")
            spoken, cut_off = self.protocol.read(completion.message), completion.cut_off
            if completion.withheld:
                self._record_late(completion, spoken)
                return "unanswered", "content_filter", None
            if spoken.calls:
                ran = await self._act(completion, spoken, tools)
                reminded = 0 if ran or not cut_off else reminded + 1
                if reminded > _REMINDERS:
                    return await self._answer_now("length")
                continue
            self._record(completion, spoken, [])
            if cut_off and (answer := _complete(spoken.answer)) is not None:
                return "answered", "answer", answer
            if spoken.answer is not None and not cut_off:
                answer = read_answer(spoken.answer)
                return ("answered", "answer", answer) if answer is not None else ("unanswered", "gave_up", None)
            if reminded == _REMINDERS or not (cut_off or (spoken.remind and not spoken.silent)):
                return await self._answer_now("length" if cut_off else "answer")  # there is nothing to go on from
            self._remind(spoken, _CUT_OFF if cut_off else self.protocol.reminder)
            reminded += 1
        return await self._answer_now(limit)

    def _remind(self, spoken: Spoken, text: str) -> None:
        """Goes on after a message that is neither call nor answer; one without a word is left out."""
        said = self.protocol.turn(spoken, [], self.pass_reasoning)
        said.pop("tool_calls", None)  # an empty list is refused
        written = [said] if (said["content"] or "").strip() else []
        self.messages = self.protocol.ask([*self.messages, *written], text)

    async def _ask(
        self, messages: list[dict[str, Any]], *, answer: bool = False, deadline: float | None = None
    ) -> Completion:
        agent, protocol = self.agent, self.protocol
        extra = dict(agent.provider)
        if answer:
            extra.pop("tool_choice", None)
        if "simulation" in self.extra:
            extra["simulation"] = self.extra["simulation"]
        request = Request(
            model=agent.model,
            messages=messages,
            tools=protocol.tools,
            tool_choice=protocol.tool_choice if answer and self.may_choose else None,
            sampling=self.extra["sampling"],
            base_url=agent.base_url,
            key_env=agent.key_env,
            timeout=agent.timeout,
            retries=agent.retries,
            extra=extra,
            sample=self.sample,
        )
        completion = await self.client.complete(request, priority=self.priority, deadline=deadline)
        self.used += self.context.used(messages, completion.usage, completion.message)
        self.context.sent(messages, completion.usage.prompt_tokens)
        return completion

    async def _act(self, completion: Completion, spoken: Spoken, tools: Toolbox) -> bool:
        """Runs a turn's calls, records the turn, and tells the model their outputs; whether any ran."""
        asked = _with_ids(spoken.calls[:MOST_ANSWERED], len(self.turns))
        whole = asked[:-1] if completion.cut_off and _half(completion, asked[-1]) else asked
        try:
            calls = await tools.run(whole, spoken.reasoning)
            calls += [refused(call, read_call(call), _CUT_CALL) for call in asked[len(whole) :]]
            if more := len(spoken.calls) - len(asked):
                problem = f"{calls[-1].error}; the {more:,} calls after it were dropped and are not recorded"
                calls[-1] = refused(asked[-1], read_call(asked[-1]), problem)
        except RetrieverError as error:
            self._record(completion, spoken, [refused(call, read_call(call), str(error)) for call in asked])
            raise
        self.messages.append(self.protocol.turn(spoken, asked, self.pass_reasoning))
        self.shown.append((len(self.turns), len(self.messages)))
        self.messages += self.protocol.outputs(calls)
        self._record(completion, spoken, calls)
        return any(call.executed is not None for call in calls)

    async def _answer_now(self, reason: EndReason) -> _End:
        """One more call, for an answer from what was found; outputs that leave no room for it are left out."""
        messages = self._asked_for_answer()
        while not self.context.fits_window(messages) and self._leave_out(1):
            messages = self._asked_for_answer()
        completion, turns = None, 1
        while completion is None:
            try:
                completion = await self._ask(messages, answer=True)
            except ContextOverflow as error:
                self.keep_attempts(error)
                if not self._leave_out(turns):
                    return "unanswered", "token_limit", None
                messages, turns = self._asked_for_answer(), turns * 2
            except CallRefused as error:
                # some providers do not know the parameter: there the message alone must ask for the answer
                if not self.may_choose or not _TOOL_CHOICE.search(str(error)):
                    raise
                self.keep_attempts(error)
                self.may_choose = False
        spoken = self.protocol.read(completion.message)
        self._record_late(completion, spoken)
        if completion.withheld:
            return "unanswered", "content_filter", None
        answer = _complete(spoken.plain) if completion.cut_off else read_answer(spoken.plain)
        if answer is not None:
            return "answered", reason, answer
        if completion.cut_off:
            return "unanswered", "length", None
        return "unanswered", "gave_up" if reason == "answer" else reason, None

    def _asked_for_answer(self) -> list[dict[str, Any]]:
        return self.protocol.ask(self.messages, self.agent.answer_prompt)

    def _record_late(self, completion: Completion, spoken: Spoken) -> None:
        """Records a turn whose calls are not run, as the run is over."""
        late = _with_ids(spoken.calls[:MOST_ANSWERED], len(self.turns))
        self._record(completion, spoken, [refused(call, read_call(call), "no calls are run any more") for call in late])

    def _record(self, completion: Completion, spoken: Spoken, calls: list[Call]) -> None:
        turn = Turn(
            reasoning=spoken.reasoning,
            reasoning_tokens=count_tokens(spoken.reasoning) if spoken.reasoning else 0,
            calls=calls,
            text=spoken.text,
            finish_reason=completion.finish_reason,
            usage=completion.usage,
            attempts=completion.attempts,
            raw=_raw(completion, spoken),
        )
        self.turns.append(turn)
        self.usage = self.usage + completion.usage
        # a call whose cost is unknown counts as the dearest so far, as in the budget of a rollout
        self.dearest = max(self.dearest, completion.usage.cost or 0.0)
        self.spent += self.dearest if completion.usage.cost is None else completion.usage.cost

    def _limit(self) -> EndReason | None:
        """The limit that the run has reached, or would pass with the next call."""
        limits = self.agent.limits
        if len(self.turns) >= limits.turns:
            return "turn_limit"
        if limits.cost is not None and self.spent >= limits.cost:
            return "cost_limit"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "time_limit"
        fits = self.context.fits_window(self.messages) and self.context.fits_limit(self.messages, self.used)
        return None if fits else "token_limit"

    def _leave_out(self, turns: int) -> bool:
        """Makes room: leaves out the outputs of the last turns that still have theirs; False where none has."""
        for number, start in (last := self.shown[-turns:]):
            short = [msgspec.structs.replace(call, output=_LEFT_OUT) for call in self.turns[number].calls]
            told = self.protocol.outputs(short)
            self.messages[start : start + len(told)] = told
        del self.shown[-turns:]
        if last:
            self.extra["left_out"] = sorted([*self.extra.get("left_out", []), *(number for number, _ in last)])
        return bool(last)

    def keep_attempts(self, error: CallFailed) -> None:
        """Keeps the attempts at a call that failed, which no turn records."""
        failed = [{"status": each.status, "error": each.error} for each in error.attempts]
        self.extra["attempts"] = [*self.extra.get("attempts", []), *failed]


def _complete(text: str | None) -> str | None:
    """The answer of a text that was cut off: one stated as it was asked to, on a line that something follows."""
    whole, line_break, _ = (text or "").rpartition("\n")
    return read_answer(whole) if line_break and states_answer(whole) else None


def _half(completion: Completion, last: ToolCall) -> bool:
    """Whether the last call of a message that was cut off may be incomplete: all but a native one of whole JSON."""
    return not completion.message.calls or read_strictly(last.arguments) is None


def _with_ids(calls: list[ToolCall], turn: int) -> list[ToolCall]:
    """The calls with ids that are there and differ, since outputs are matched to calls by them."""
    taken: set[str] = set()
    named = []
    for place, call in enumerate(calls):
        own = call.id if call.id and call.id not in taken else f"call_{turn}_{place}"
        while own in taken:
            own += "_"
        taken.add(own)
        named.append(msgspec.structs.replace(call, id=own))
    return named


def _raw(completion: Completion, spoken: Spoken) -> dict[str, Any] | None:
    """The message as received, where the turn does not hold it all: also where arguments were mended."""
    calls = completion.message.calls[:MOST_ANSWERED]
    if not any(is_mended(call.arguments) for call in calls) or (spoken.raw or {}).get("tool_calls"):
        return spoken.raw
    written = [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    return {**(spoken.raw or {"role": "assistant"}), "tool_calls": written}
