"""The turn loop: one agent, one retriever, one task (LRAT paper, section 3; limits as in section 6.1).

A turn is one answer of the model and the calls that ran for it; at a limit one more call tells the agent to answer now,
and once more where it calls a tool instead.
A message that was cut off at the provider's token limit is no answer, unless its line is complete, and a call at its
end does not run: the model is told so twice, then to answer now; if that is cut off too, the run ends by ``length``.

Two agents do without the loop, so that a comparison can show what it adds (the profile's ``harness``).  ``rag``
searches once for the question and puts what it finds in the one prompt: that search is the run's first turn, and no
model's.  ``closed-book`` sends the question alone.
"""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec

import lrat_sim.agent.simulated  # noqa: F401  # enters the simulated model
from lrat_sim.agent.answer import read_answer, states_answer
from lrat_sim.agent.calls import one_query_each
from lrat_sim.agent.mending import read_strictly
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import ParsedMessage
from lrat_sim.agent.tools import MOST_ANSWERED, Toolbox, refused
from lrat_sim.agent.transcript import Context, Transcript, with_calls
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import BoundaryError, RetrieverError, TaskError
from lrat_sim.models.call import CallFailed, CallRefused, Completion, ContextOverflow, DeadlinePassed, Request
from lrat_sim.models.client import Client
from lrat_sim.models.message import ToolCall
from lrat_sim.records import EndReason, Failure, Status, Task, Trajectory
from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.result_format import SEARCH

_REMINDERS = 2  # in a row, for messages that are neither call nor answer; after them the model must answer
_CUT_OFF = (
    "Your message was cut off, since it was longer than the limit of tokens. Write less this time: call a tool, or "
    "give the final answer."
)
_CUT_CALL = "not run, since the message was cut off at the limit of tokens before it was complete; write it again"
_SPENT = ("token_limit", "time_limit", "cost_limit")  # limits that a further call would pass
_TOO_LATE = "no calls are run any more; write the final answer"
_TOOL_CHOICE = re.compile(r"tool[_ ]?choice", re.IGNORECASE)

_End = tuple[Status, EndReason, str | None]  # how a run ended, by what, and its answer


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
    name = trajectory_id(task, described["fingerprint"], retriever.fingerprint, sample, seed)
    run = _Run(task, agent.resolved(), sample, seed, client or Client(), priority, name)
    began, started = time.perf_counter(), time.time()
    end: _End = ("error", "error", None)
    failure = None
    try:
        end = await run.finish(retriever)
    except BoundaryError as error:
        failure = Failure(boundary=error.boundary, message=str(error))
        if isinstance(error, CallFailed):
            run.transcript.keep_attempts(error)
    status, end_reason, answer = end
    extra = {
        "sampling": run.sampling,
        "canary": task.canary,
        "simulation": run.simulation,
        "attempts": run.transcript.failed or None,
        "left_out": sorted(run.transcript.left_out) or None,
    }
    return Trajectory(
        id=name,
        task_id=task.id,
        question=task.question,
        sample=sample,
        agent=described,
        retriever={**served, "fingerprint": retriever.fingerprint},
        seed=seed,
        status=status,
        end_reason=end_reason,
        answer=answer,
        turns=run.transcript.turns,
        usage=run.transcript.usage,
        error=failure,
        started=started,
        seconds=time.perf_counter() - began,
        extra={name: value for name, value in extra.items() if value is not None},
    )


def trajectory_id(task: Task, agent: str, retriever: str, sample: int, seed: int) -> str:
    """The name of a run: task, sample, and a short fingerprint of all else that decides it."""
    decisive = [agent, retriever, seed, task.question, task.plan]
    return f"{task.id}.{sample}.{fingerprint(decisive)[:8]}"


class _Run:
    """The state of one run; nothing of it is shared with another."""

    def __init__(
        self, task: Task, agent: AgentSettings, sample: int, seed: int, client: Client, priority: int, name: str
    ):
        # a task's id may be any text, which a header may not
        self.session = None if agent.simulated else fingerprint(name)
        self.task, self.agent, self.protocol = task, agent, agent.tool_protocol
        self.sample, self.client, self.priority = sample, client, priority
        self.transcript, self.context = Transcript(agent, task.question), Context(agent)
        self.deadline = None if agent.limits.seconds is None else time.monotonic() + agent.limits.seconds
        self.tool_choice = self.protocol.tool_choice if self.protocol.tools else None  # of the request for an answer
        self.sampling = agent.sampling.sent(sample=sample, seed=seed, stop=self.protocol.stop)
        self.simulation: dict[str, Any] | None = None
        if agent.simulated and task.plan is not None:
            # never in a message; of the run's seed, task and sample alone, so that two retrievers' runs are paired
            own_seed = int(fingerprint([seed, task.id, sample]), 16) >> 11  # 53 bits, which any JSON reader keeps
            plan = msgspec.to_builtins(task.plan)
            self.simulation = {"plan": plan, "persona": agent.simulation, "seed": own_seed}

    async def finish(self, retriever: Retriever) -> _End:
        """The turns up to the answer."""
        if self.agent.simulated and self.task.plan is None:
            raise TaskError(f"task {self.task.id!r} has no plan, which a simulated agent needs")
        tools = Toolbox(retriever, self.task, self.agent)
        if self.agent.harness != "loop":
            return await self._answer_at_once(tools)
        reminded = 0
        while (limit := self._limit()) is None:
            try:
                completion = await self._ask(self.transcript.messages)
            except (DeadlinePassed, ContextOverflow) as error:
                self.transcript.keep_attempts(error)
                if isinstance(error, DeadlinePassed):
                    return await self._answer_now("time_limit")
                self.transcript.make_room()
                return await self._answer_now("token_limit")
            parsed, cut_off = self._read(completion), completion.cut_off
            if completion.withheld:
                self.transcript.record_refused(completion, parsed, _TOO_LATE)
                return "unanswered", "content_filter", None
            if parsed.calls:
                ran = await self._act(completion, parsed, tools)
                reminded = 0 if ran or not cut_off else reminded + 1
                if reminded > _REMINDERS:
                    return await self._answer_now("length")
                continue
            self.transcript.record(completion, parsed, [])
            if cut_off and (answer := _complete_answer(parsed.answer)) is not None:
                return "answered", "answer", answer
            if parsed.answer is not None and not cut_off:
                answer = read_answer(parsed.answer)
                return ("answered", "answer", answer) if answer is not None else ("unanswered", "gave_up", None)
            if reminded == _REMINDERS or not (cut_off or (parsed.remind and not parsed.silent)):
                return await self._answer_now("length" if cut_off else "answer")  # there is nothing to go on from
            reminder = parsed.reminder or f"{self.protocol.problem(parsed)}{self.protocol.reminder}"
            self.transcript.remind(parsed, _CUT_OFF if cut_off else reminder)
            reminded += 1
        return await self._answer_now(limit)

    async def _answer_at_once(self, tools: Toolbox) -> _End:
        """One call of the model: from what one search for the question shows, or from what the model knows."""
        if tools.tools:
            search = ToolCall(id="rag", name=SEARCH, arguments=msgspec.json.encode({"query": tools.question}).decode())
            self.transcript.show(await tools.run([search]))
        return await self._answer_now("answer")

    def _limit(self) -> EndReason | None:
        """The limit that the run has reached, or would pass with the next call."""
        limits = self.agent.limits
        if len(self.transcript.turns) >= limits.turns:
            return "turn_limit"
        if limits.cost is not None and self.transcript.spent >= limits.cost:
            return "cost_limit"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "time_limit"
        return None if self.context.fits(self.transcript.messages) else "token_limit"

    async def _ask(self, messages: list[dict[str, Any]], *, answer: bool = False) -> Completion:
        """What the model says to the messages; where it must ``answer``, without calls and however long it takes."""
        agent = self.agent
        extra = dict(agent.provider)
        if answer:
            extra.pop("tool_choice", None)
        if self.simulation is not None:
            extra["simulation"] = self.simulation
        request = Request(
            model=agent.model,
            messages=messages,
            tools=self.protocol.tools,
            tool_choice=self.tool_choice if answer else None,
            sampling=self.sampling,
            base_url=agent.base_url,
            key_env=agent.key_env,
            timeout=agent.timeout,
            retries=agent.retries,
            extra=extra,
            api=agent.api,
            sample=self.sample,
            empty_content=agent.empty_content,
            session=self.session,
            session_header=agent.session_header,
        )
        deadline = None if answer else self.deadline
        completion = await self.client.complete(request, priority=self.priority, deadline=deadline)
        self.context.note(messages, completion)
        return completion

    def _read(self, completion: Completion) -> ParsedMessage:
        """What the model's message says, with a search for each query of a list where the profile says so."""
        parsed, written = self.protocol.read(completion.message), completion.message.calls[:MOST_ANSWERED]
        if self.agent.list_queries == "first":
            return parsed
        calls = [one for call in parsed.calls for one in one_query_each(call)]
        if len(calls) == len(parsed.calls):
            return parsed
        raw = with_calls(parsed.raw, written) if written else parsed.raw
        return msgspec.structs.replace(parsed, calls=calls, raw=raw)

    async def _act(self, completion: Completion, parsed: ParsedMessage, tools: Toolbox) -> bool:
        """Runs a turn's calls, records the turn, and tells the model their outputs; whether any ran."""
        requested = self.transcript.numbered(parsed)
        whole = requested[:-1] if completion.cut_off and _may_be_cut(completion, requested[-1]) else requested
        try:
            calls = await tools.run(whole, parsed.reasoning)
        except RetrieverError as error:
            self.transcript.record_refused(completion, parsed, str(error))
            raise
        calls += [refused(call, _CUT_CALL) for call in requested[len(whole) :]]
        if more := len(parsed.calls) - len(requested):
            problem = f"{calls[-1].error}; the {more:,} calls after it were dropped and are not recorded"
            calls[-1] = refused(requested[-1], problem)
        self.transcript.add(completion, parsed, requested, calls)
        return any(call.executed is not None for call in calls)

    async def _answer_now(self, reason: EndReason) -> _End:
        """One more call, for an answer from what was found.  A model that calls a tool instead is told once that none
        runs, unless what the run may spend is spent."""
        for last in (reason in _SPENT, True):
            if (said := await self._demand()) is None:
                return "unanswered", "token_limit", None
            completion = said
            parsed = self.protocol.read(completion.message)
            text = parsed.plain
            if last and text is None and states_answer(parsed.text):  # beside another call
                text = parsed.text
            if last or text is not None or not parsed.calls or completion.withheld or completion.cut_off:
                break
            self.transcript.refuse(completion, parsed, _TOO_LATE)
        self.transcript.record_refused(completion, parsed, _TOO_LATE)
        if completion.withheld:
            return "unanswered", "content_filter", None
        answer = _complete_answer(text) if completion.cut_off else read_answer(text)
        if answer is not None:
            return "answered", reason, answer
        if completion.cut_off:
            return "unanswered", "length", None
        return "unanswered", "gave_up" if reason == "answer" else reason, None

    async def _demand(self) -> Completion | None:
        """What the model says to the demand for an answer; outputs that leave no room for it are left out, and it is
        None where nothing is left to leave out."""
        transcript = self.transcript
        while not self.context.fits_window(transcript.answer_request()) and transcript.make_room():
            pass
        count = 1
        while True:
            try:
                return await self._ask(transcript.answer_request(), answer=True)
            except ContextOverflow as error:
                transcript.keep_attempts(error)
                if not transcript.make_room(count):
                    return None
                count *= 2  # a window that is far too small must not cost a call for every turn
            except CallRefused as error:
                if self.tool_choice is None or not _TOOL_CHOICE.search(str(error)):
                    raise
                self.tool_choice = None  # which some providers do not know
                transcript.keep_attempts(error)


def _complete_answer(text: str | None) -> str | None:
    """The answer of a text that was cut off: one stated as asked for, on a line that another one follows."""
    whole, line_break, _ = (text or "").rpartition("\n")
    return read_answer(whole) if line_break and states_answer(whole) else None


def _may_be_cut(completion: Completion, last: ToolCall) -> bool:
    """Whether the last call of a message that was cut off may be incomplete: all but a native one of whole JSON."""
    return not completion.message.calls or read_strictly(last.arguments) is None
