"""The client: any model's calls, cached, retried by cause, and bounded together."""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from lrat_sim.foreign.values import recordable
from lrat_sim.keys import redact_all
from lrat_sim.models.budget import Budget
from lrat_sim.models.cache import CallCache, call_key
from lrat_sim.models.call import (
    OWN_MODELS,
    Answer,
    CallFailed,
    CallRefused,
    Completion,
    ContextOverflow,
    DeadlinePassed,
    Model,
    Request,
)
from lrat_sim.models.limiter import AdaptiveLimiter
from lrat_sim.models.litellm_model import LiteLLMModel, close_litellm
from lrat_sim.models.message import read_message
from lrat_sim.models.openai_model import OpenAIModel, close_clients
from lrat_sim.models.retry import Failed, failure, wait_as_asked
from lrat_sim.records import Attempt

_WAIT = wait_as_asked()


def model_for(request: Request) -> Model:
    """The model that answers a request, by the prefix of its name and whether it has a ``base_url``."""
    if request.provider in OWN_MODELS:
        return OWN_MODELS[request.provider]()
    # many runs call such a server at once, and openai's client costs a fraction of litellm's processor time
    if request.provider == "openai" and request.base_url is not None:
        return OpenAIModel()
    return LiteLLMModel()


async def close_connections() -> None:
    """Closes the connections that the running event loop holds open; to be called before the loop ends."""
    await close_clients()
    await close_litellm()


class Client:
    """What many calls share; by default it only retries, and :func:`model_for` chooses the model of each request."""

    def __init__(
        self,
        *,
        limiter: AdaptiveLimiter | None = None,
        cache: CallCache | None = None,
        budget: Budget | None = None,
        model: Model | None = None,
    ):
        self.limiter, self.cache, self.budget, self.model = limiter, cache, budget or Budget(), model
        self.cached = self.retried = 0

    async def complete(self, request: Request, *, priority: int = 0, deadline: float | None = None) -> Completion:
        """Asks the model, and asks again where the cause of a failure may pass.

        Of the calls that wait for a slot, the lowest ``priority`` goes first; ``deadline`` is the ``time.monotonic()``
        by which the call must have ended.

        Raises:
            ContextOverflow: the prompt does not fit the model's window.
            CallRefused: the provider would refuse it again.
            DeadlinePassed: there was no answer by the deadline, or another attempt would begin after it.
            CallFailed: the model did not answer; the message says why and after how many attempts.
            LimitReached: the budget is spent.
        """
        messages = recordable(request.messages)  # half a surrogate pair that a model wrote cannot be sent
        if messages is not request.messages:
            request = msgspec.structs.replace(request, messages=messages)
        key = b"" if self.cache is None else call_key(request)
        completion = None if self.cache is None else self.cache.get(key)
        if completion is not None:
            self.cached += 1
            self.budget.spend(completion.usage.cost)
            return completion
        completion = await _Call(self, request, priority, deadline).finish()
        if self.cache is not None:
            self.cache.put(key, completion)
        return completion


async def attempt(model: Model, request: Request) -> Answer | Failed:
    """One attempt; never raises for what a model or a network does."""
    try:
        # a provider may ignore the timeout that it is given, and each byte of a slow reply puts it off
        async with asyncio.timeout(request.timeout * 1.05 + 1):
            answer = await model.answer(request)
    except TimeoutError:
        return Failed(cause="passing", message=f"no whole answer came within {request.timeout:g} seconds")
    except Exception as error:  # models raise errors of many kinds; each is this call's failure
        return failure(error)
    return Answer(
        message=redact_all(recordable(answer.message)),
        usage=answer.usage,
        finish_reason=None if answer.finish_reason is None else recordable(str(answer.finish_reason)[:40]),
    )


class _Call:
    """One call on its way to an answer."""

    def __init__(self, client: Client, request: Request, priority: int, deadline: float | None):
        self.client, self.request, self.priority, self.deadline = client, request, priority, deadline
        self.model = client.model or model_for(request)
        # it must have ended at the deadline, or with the time of the budget
        self.ends = min((end for end in (deadline, client.budget.ends) if end is not None), default=None)
        self.attempts: list[Attempt] = []
        self.began = time.monotonic()
        self.queued = 0.0  # seconds of waiting for a slot
        self.late = False  # whether the deadline would come before another attempt

    async def finish(self) -> Completion:
        """Attempts and waits, up to an answer or the error by which the call is given up."""
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, Failed) and outcome.may_pass),
            stop=self._enough,
            wait=_WAIT,
            sleep=self._pause,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome is not None else None,
        )
        left = None if self.ends is None else self.ends - time.monotonic()
        if left is not None and left <= 0:
            raise self._out_of_time()
        try:
            async with asyncio.timeout(left) as bound:
                outcome: Answer | Failed = await retrying(self._attempt)
        except TimeoutError:
            if bound.expired():
                raise self._out_of_time() from None
            raise
        if isinstance(outcome, Failed):
            raise self._given_up(outcome)
        self.client.budget.spend(outcome.usage.cost)
        return Completion(
            message=read_message(outcome.message),
            usage=outcome.usage,
            finish_reason=outcome.finish_reason,
            attempts=self.attempts,
        )

    def _enough(self, state: RetryCallState) -> bool:
        """Whether another attempt is one too many, or would begin too late."""
        if len(self.attempts) >= self.request.retries.attempts:
            return True
        again = time.monotonic() + state.upcoming_sleep
        self.late = self.deadline is not None and again >= self.deadline
        return self.late or again - self.began - self.queued >= self.request.retries.seconds

    async def _pause(self, seconds: float) -> None:
        self.client.retried += 1
        with contextlib.nullcontext() if self.client.limiter is None else self.client.limiter.pause():
            await asyncio.sleep(seconds)

    async def _attempt(self) -> Answer | Failed:
        limiter, waiting_since = self.client.limiter, time.monotonic()
        async with contextlib.nullcontext(0) if limiter is None else limiter.slot(self.priority) as ticket:
            self.queued += time.monotonic() - waiting_since
            self.client.budget.check()
            began = time.perf_counter()
            try:
                outcome = await attempt(self.model, self.request)
            except asyncio.CancelledError:
                self._record(began, None, "cut off before an answer came")
                raise
            if isinstance(outcome, Answer):
                self._record(began, 200, None)
                if limiter is not None:
                    limiter.answered()
            else:
                self._record(began, outcome.status, outcome.message)
                if limiter is not None and outcome.cause == "limited":
                    limiter.refused(ticket)
            return outcome

    def _record(self, began: float, status: int | None, error: str | None) -> None:
        self.attempts.append(Attempt(seconds=time.perf_counter() - began, status=status, error=error))

    def _out_of_time(self) -> Exception:
        if self.ends is not None and self.ends == self.client.budget.ends:
            return self.client.budget.late()
        last = f", last: {self.attempts[-1].error}" if self.attempts else ""
        message = f"{self.request.model} did not answer by the deadline, in {len(self.attempts)} attempts{last}"
        return DeadlinePassed(message, self.attempts)

    def _given_up(self, failed: Failed) -> Exception:
        model, attempts = self.request.model, self.attempts
        if failed.cause == "overflow":
            return ContextOverflow(f"the prompt is longer than the window of {model}: {failed.message}", attempts)
        if failed.cause == "refused":
            return CallRefused(f"{model} refused the call: {failed.message}", attempts)
        if self.late:
            return self._out_of_time()
        return CallFailed(f"{model} failed {len(attempts)} times, last: {failed.message}", attempts)
