"""The language-model client: calls through litellm, retried by cause, bounded together.

Tried again, within bounds of count and time: 429 (after the time the server asks for), 408, 5xx, timeouts, cut
connections and bodies that are no answer.  Never: 400, 401, 403, 404, an exhausted quota, a prompt longer than the
context window.  Every attempt is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from lrat_sim.foreign.values import recordable
from lrat_sim.models.attempt import PROVIDERS, Answered, Failed, Outcome, attempt, in_process, register_provider
from lrat_sim.models.budget import Budget, LimitReached
from lrat_sim.models.cache import CallCache, call_key
from lrat_sim.models.call import (
    CallFailed,
    CallRefused,
    Completion,
    ContextOverflow,
    DeadlinePassed,
    Request,
    Retries,
)
from lrat_sim.models.gate import Gate
from lrat_sim.models.message import read_message
from lrat_sim.models.retry import wait_as_asked
from lrat_sim.models.workers import Workers
from lrat_sim.records import Attempt

__all__ = [
    "PROVIDERS",
    "Budget",
    "CallCache",
    "CallFailed",
    "CallRefused",
    "Client",
    "Completion",
    "ContextOverflow",
    "DeadlinePassed",
    "Gate",
    "LimitReached",
    "Request",
    "Retries",
    "Workers",
    "complete",
    "register_provider",
]

_LONGEST_BACKOFF = 30.0


class Client:
    """What many calls share; alone it is a plain client without gate, cache or budget.

    Args:
        gate: bounds the calls in flight.
        cache: answers that were paid for already.
        budget: ends everything when it is spent.
        processes: other processes that make the attempts; providers of our own stay in this one.
    """

    def __init__(
        self,
        *,
        gate: Gate | None = None,
        cache: CallCache | None = None,
        budget: Budget | None = None,
        processes: Workers | None = None,
    ):
        self.gate, self.cache, self.budget, self.processes = gate, cache, budget, processes
        self.cached = self.retried = 0

    async def complete(self, request: Request, *, priority: int = 0, deadline: float | None = None) -> Completion:
        """Asks the model, again where the cause of a failure may pass.

        Args:
            request: what to ask.
            priority: lower goes first among the calls that wait for a place.
            deadline: the ``time.monotonic()`` by which it must have ended.

        Raises:
            ContextOverflow: the prompt does not fit the model's window.
            CallRefused: the provider would refuse it for ever.
            DeadlinePassed: there was no answer by the deadline, or another attempt would begin after it.
            CallFailed: the model did not answer; the message says why and after how many attempts.
            LimitReached: the budget is spent.
        """
        if self.cache is None:
            return await _Call(self, _sendable(request), priority, deadline).finish()
        request, key = _keyed(request)
        if (kept := self.cache.get(key)) is not None:
            self.cached += 1
            self._spend(kept)
            return kept
        completion = await _Call(self, request, priority, deadline).finish()
        self.cache.put(key, completion)
        return completion

    def _spend(self, completion: Completion) -> None:
        if self.budget is not None:
            self.budget.spend(completion.usage.cost)


async def complete(request: Request) -> Completion:
    """One call by a plain client; see :meth:`Client.complete`."""
    return await Client().complete(request)


class _Call:
    """One call on its way to an answer."""

    def __init__(self, client: Client, request: Request, priority: int, deadline: float | None):
        self.client, self.request, self.priority, self.deadline = client, request, priority, deadline
        self.attempts: list[Attempt] = []
        self.began = time.monotonic()
        self.queued = 0.0  # seconds of waiting for a place
        self.late = False  # whether the deadline would come before another attempt

    async def finish(self) -> Completion:
        """Attempts and waits, up to an answer or the error by which the call is given up."""
        ends = self._ends()
        if ends is not None and ends <= time.monotonic():
            raise self._out_of_time()
        try:
            async with asyncio.timeout(None if ends is None else ends - time.monotonic()) as bound:
                outcome = await self._attempt()
                if _may_pass(outcome):  # most calls are answered at once, and are spared what tenacity costs
                    outcome = await self._again(outcome)
        except TimeoutError:
            if bound.expired():
                raise self._out_of_time() from None
            raise
        if isinstance(outcome, Answered):
            return self._completion(outcome)
        raise self._given_up(outcome)

    def _ends(self) -> float | None:
        """When it must have ended: at the deadline, or with the time of the budget."""
        ends = (self.deadline, self.client.budget.ends if self.client.budget is not None else None)
        return min((end for end in ends if end is not None), default=None)

    def _out_of_time(self) -> Exception:
        budget = self.client.budget
        if budget is not None and budget.ends is not None and budget.ends == self._ends():
            return budget.late()
        last = f", last: {self.attempts[-1].error}" if self.attempts else ""
        said = f"{self.request.model} did not answer by the deadline, in {len(self.attempts)} attempts{last}"
        return DeadlinePassed(said, self.attempts)

    def _enough(self, state: RetryCallState) -> bool:
        """Whether another attempt is one too many, or would begin too late."""
        if len(self.attempts) >= self.request.retries.attempts:
            return True
        again = time.monotonic() + state.upcoming_sleep
        self.late = self.deadline is not None and again >= self.deadline
        return self.late or again - self.began - self.queued >= self.request.retries.seconds

    async def _again(self, first: Outcome) -> Outcome:
        """More attempts after a first one that failed; the last outcome."""
        known = [first]

        async def next_one() -> Outcome:
            return known.pop() if known else await self._attempt()

        retrying = AsyncRetrying(
            retry=retry_if_result(_may_pass),
            stop=self._enough,
            wait=_WAIT,
            sleep=self._pause,
            retry_error_callback=_last_outcome,
        )
        last: Outcome = await retrying(next_one)
        return last

    async def _attempt(self) -> Outcome:
        gate = self.client.gate
        if gate is None:
            return await self._try()
        waiting_since = time.monotonic()
        async with gate.place(self.priority) as ticket:
            self.queued += time.monotonic() - waiting_since
            outcome = await self._try()
            if isinstance(outcome, Answered):
                gate.answered()
            elif outcome.cause == "limited":
                gate.refused(ticket)
            return outcome

    async def _try(self) -> Outcome:
        if self.client.budget is not None:
            self.client.budget.check()
        processes, began = self.client.processes, time.perf_counter()
        elsewhere = processes is not None and not in_process(self.request.model)
        try:
            outcome = await (processes.attempt if processes and elsewhere else attempt)(self.request)
        except asyncio.CancelledError:
            self.attempts.append(Attempt(seconds=time.perf_counter() - began, error="cut off before an answer came"))
            raise
        status, error = (200, None) if isinstance(outcome, Answered) else (outcome.status, outcome.said)
        self.attempts.append(Attempt(seconds=time.perf_counter() - began, status=status, error=error))
        return outcome

    async def _pause(self, seconds: float) -> None:
        self.client.retried += 1
        with contextlib.nullcontext() if self.client.gate is None else self.client.gate.pause():
            await asyncio.sleep(seconds)

    def _completion(self, answered: Answered) -> Completion:
        completion = Completion(
            message=read_message(answered.message),
            usage=answered.usage,
            finish_reason=answered.finish_reason,
            attempts=self.attempts,
        )
        self.client._spend(completion)
        return completion

    def _given_up(self, failed: Failed) -> Exception:
        model, attempts = self.request.model, self.attempts
        if failed.cause == "overflow":
            return ContextOverflow(f"the prompt is longer than the window of {model}: {failed.said}", attempts)
        if failed.cause == "refused":
            return CallRefused(f"{model} refused the call: {failed.said}", attempts)
        if self.late:
            return self._out_of_time()
        return CallFailed(f"{model} failed {len(attempts)} times, last: {failed.said}", attempts)


_WAIT = wait_as_asked(otherwise=_LONGEST_BACKOFF)


def _may_pass(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.cause in ("limited", "passing")


def _last_outcome(state: RetryCallState) -> Outcome:
    assert state.outcome is not None
    outcome: Outcome = state.outcome.result()
    return outcome


def _sendable(request: Request) -> Request:
    """The request without what no JSON can hold, such as half a surrogate pair that a model wrote."""
    messages = recordable(request.messages)
    return request if messages is request.messages else msgspec.structs.replace(request, messages=messages)


def _keyed(request: Request) -> tuple[Request, bytes]:
    """A sendable request and its key; both need its JSON, which is long."""
    try:
        return request, call_key(request)
    except (UnicodeEncodeError, OverflowError):
        request = _sendable(request)
        return request, call_key(request)
