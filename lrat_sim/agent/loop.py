"""The turn loop: one agent, one retriever, one task (LRAT paper, section 3; limits as in section 6.1).

A turn is one answer of the model and the calls that ran for it.  How both are written is the protocol's business
(:mod:`lrat_sim.agent.protocols`).  At a limit one more call tells the agent to answer now with what it has.

A message that was cut off at the provider's token limit is no answer, and a call at its end does not run: the model is
told so twice, then to answer now; if that is cut off too, the run ends by ``length``.  Only an answer whose line is
complete counts.  Where the provider's filter withheld a message, the run ends by ``content_filter``.

The simulated agent gets its task's plan as the request parameter ``simulation`` (plan, persona, seed), never in a
message.  Its seed comes from (run's seed, task, sample), so that runs with two retrievers are paired.  What was sent is
in the trajectory's ``extra``: ``sampling`` and ``simulation``.
"""

from __future__ import annotations

import time
from typing import Any

from lrat_sim.agent.answer import read_answer, states_answer
from lrat_sim.agent.asking import Asker
from lrat_sim.agent.calls import read_call
from lrat_sim.agent.conversation import Conversation
from lrat_sim.agent.mending import read_strictly
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import ParsedMessage
from lrat_sim.agent.recording import Recording
from lrat_sim.agent.tools import Toolbox, refused, texts_of
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import BoundaryError, RetrieverError, TaskError
from lrat_sim.models.call import CallFailed, CallRefused, Completion, ContextOverflow, DeadlinePassed
from lrat_sim.models.client import Client
from lrat_sim.models.message import ToolCall
from lrat_sim.records import EndReason, Failure, Status, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import ResultFormat

_REMINDERS = 2
"""Reminders in a row for messages that are neither call nor answer; after them the model must answer."""
_CUT_OFF = (
    "Your message was cut off, since it was longer than the limit of tokens. Write less this time: call a tool, or "
    "give the final answer."
)
_CUT_CALL = "not run, since the message was cut off at the limit of tokens before it was complete; write it again"
_TOO_LATE = "no calls are run any more"

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
        client: asks the model; a plain one by default.
        priority: of its calls among those that wait for a slot; lower goes first.

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
    end: _End = ("error", "error", None)
    failure = None
    try:
        end = await run.finish(retriever)
    except BoundaryError as error:
        failure = Failure(boundary=error.boundary, message=str(error))
        if isinstance(error, CallFailed):
            run.recording.keep_attempts(error)
    status, end_reason, answer = end
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
        turns=run.recording.turns,
        usage=run.recording.usage,
        error=failure,
        seconds=time.perf_counter() - began,
        extra=run.described(),
    )


def trajectory_id(task: Task, agent: str, retriever: str, sample: int, seed: int) -> str:
    """The name of a run: task, sample, and a short fingerprint of all else that decides it."""
    decisive = [agent, retriever, seed, task.question, task.plan]
    return f"{task.id}.{sample}.{fingerprint(decisive)[:8]}"


class _Run:
    """The state of one run; nothing of it is shared with another."""

    def __init__(self, task: Task, agent: AgentSettings, sample: int, seed: int, client: Client, priority: int):
        self.task, self.agent, self.protocol = task, agent, agent.talks
        self.asker = Asker(task, agent, sample, seed, client, priority)
        self.conversation = Conversation(agent, task.question)
        self.recording = Recording()
        seconds = agent.limits.seconds
        self.deadline = None if seconds is None else time.monotonic() + seconds

    async def finish(self, retriever: Retriever) -> _End:
        """The turns up to the answer: status, why it ended, the answer."""
        if self.agent.simulated and self.task.plan is None:
            raise TaskError(f"task {self.task.id!r} has no plan, which a simulated agent needs")
        limits, task = self.agent.limits, self.task
        shown = ResultFormat(limits.k, limits.snippet_tokens, limits.document_tokens)
        seen = retriever.for_task(task), texts_of(retriever), shown
        tools = Toolbox(*seen, self.protocol.form, self.agent.search_with, task.question)
        reminded = 0
        while (limit := self._limit()) is None:
            try:
                completion = await self.asker.ask(self.conversation.messages, deadline=self.deadline)
            except DeadlinePassed as error:
                self.recording.keep_attempts(error)
                return await self._answer_now("time_limit")
            except ContextOverflow as error:
                self.recording.keep_attempts(error)
                self.conversation.make_room(self.recording.turns)
                return await self._answer_now("token_limit")
            parsed, cut_off = self.protocol.read(completion.message), completion.cut_off
            if completion.withheld:
                self.recording.add_refused(completion, parsed, _TOO_LATE)
                return "unanswered", "content_filter", None
            if parsed.calls:
                ran = await self._act(completion, parsed, tools)
                reminded = 0 if ran or not cut_off else reminded + 1
                if reminded > _REMINDERS:
                    return await self._answer_now("length")
                continue
            self.recording.add(completion, parsed, [])
            if cut_off and (answer := _complete_answer(parsed.answer)) is not None:
                return "answered", "answer", answer
            if parsed.answer is not None and not cut_off:
                answer = read_answer(parsed.answer)
                return ("answered", "answer", answer) if answer is not None else ("unanswered", "gave_up", None)
            if reminded == _REMINDERS or not (cut_off or (parsed.remind and not parsed.silent)):
                return await self._answer_now("length" if cut_off else "answer")  # there is nothing to go on from
            self.conversation.remind(parsed, _CUT_OFF if cut_off else self.protocol.reminder)
            reminded += 1
        return await self._answer_now(limit)

    def _limit(self) -> EndReason | None:
        """The limit that the run has reached, or would pass with the next call."""
        limits = self.agent.limits
        if len(self.recording.turns) >= limits.turns:
            return "turn_limit"
        if limits.cost is not None and self.recording.spent >= limits.cost:
            return "cost_limit"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "time_limit"
        return None if self.asker.fits(self.conversation.messages) else "token_limit"

    async def _act(self, completion: Completion, parsed: ParsedMessage, tools: Toolbox) -> bool:
        """Runs a turn's calls, records the turn, and tells the model their outputs; whether any ran."""
        asked = self.recording.numbered(parsed)
        whole = asked[:-1] if completion.cut_off and _may_be_cut(completion, asked[-1]) else asked
        try:
            calls = await tools.run(whole, parsed.reasoning)
            calls += [refused(call, read_call(call), _CUT_CALL) for call in asked[len(whole) :]]
            if more := len(parsed.calls) - len(asked):
                problem = f"{calls[-1].error}; the {more:,} calls after it were dropped and are not recorded"
                calls[-1] = refused(asked[-1], read_call(asked[-1]), problem)
        except RetrieverError as error:
            self.recording.add_refused(completion, parsed, str(error))
            raise
        self.conversation.add_turn(len(self.recording.turns), parsed, asked, calls)
        self.recording.add(completion, parsed, calls)
        return any(call.executed is not None for call in calls)

    async def _answer_now(self, reason: EndReason) -> _End:
        """One more call, for an answer from what was found; outputs that leave no room for it are left out."""
        conversation = self.conversation
        while not self.asker.context.fits_window(conversation.answer_request()) and conversation.make_room(
            self.recording.turns
        ):
            pass
        completion, count = None, 1
        while completion is None:
            try:
                completion = await self.asker.ask(conversation.answer_request(), answer=True)
            except ContextOverflow as error:
                self.recording.keep_attempts(error)
                if not conversation.make_room(self.recording.turns, count):
                    return "unanswered", "token_limit", None
                count *= 2  # a window that is far too small must not cost a call for every turn
            except CallRefused as error:
                if not self.asker.may_ask_again(error):
                    raise
                self.recording.keep_attempts(error)
        parsed = self.protocol.read(completion.message)
        self.recording.add_refused(completion, parsed, _TOO_LATE)
        if completion.withheld:
            return "unanswered", "content_filter", None
        answer = _complete_answer(parsed.plain) if completion.cut_off else read_answer(parsed.plain)
        if answer is not None:
            return "answered", reason, answer
        if completion.cut_off:
            return "unanswered", "length", None
        return "unanswered", "gave_up" if reason == "answer" else reason, None

    def described(self) -> dict[str, Any]:
        """The trajectory's ``extra``."""
        extra = {
            "sampling": self.asker.sampling,
            "canary": self.task.canary,
            "simulation": self.asker.simulation,
            "attempts": self.recording.failed or None,
            "left_out": sorted(self.conversation.left_out) or None,
        }
        return {name: value for name, value in extra.items() if value is not None}


def _complete_answer(text: str | None) -> str | None:
    """The answer of a text that was cut off: one stated as asked for, on a line that another one follows."""
    whole, line_break, _ = (text or "").rpartition("\n")
    return read_answer(whole) if line_break and states_answer(whole) else None


def _may_be_cut(completion: Completion, last: ToolCall) -> bool:
    """Whether the last call of a message that was cut off may be incomplete: all but a native one of whole JSON."""
    return not completion.message.calls or read_strictly(last.arguments) is None
