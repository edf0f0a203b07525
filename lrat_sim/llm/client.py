"""One call of a language model through litellm, retried by cause.

Tried again, within bounds of count and time: 429 (after the time the server asks for), 408, 5xx, timeouts, cut
connections and bodies that are no answer.  Never: 400, 401, 403, 404, an exhausted quota, a prompt longer than the
context window.  Every attempt is recorded.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from tenacity import AsyncRetrying, stop_after_attempt, stop_before_delay

from lrat_sim.errors import ModelError
from lrat_sim.llm import import_litellm
from lrat_sim.llm.message import Message, read_message
from lrat_sim.llm.retry import wait_as_asked
from lrat_sim.records import Attempt, Usage

PROVIDERS: dict[str, Callable[[], None]] = {}
"""Providers of our own: the prefix of their model strings, and what tells litellm of them, cheap when repeated.

Whoever owns a provider enters it here; it computes its answers in this process, so its calls cost nothing.
"""

_OVERFLOW = re.compile(
    r"maximum context length|maximum model length|context window|context length|context_length_exceeded"
    r"|prompt is too long|input is too long|too many (input )?tokens|max_model_len",
    re.IGNORECASE,
)
_EXHAUSTED = re.compile(r"insufficient_quota|exceeded your current quota|billing", re.IGNORECASE)


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a call is tried: at most ``attempts`` times, and not beyond ``seconds`` in all."""

    attempts: int = 6
    seconds: float = 300.0


class Request(Struct, frozen=True, kw_only=True):
    """One call: what is sent, and where.

    ``sampling`` and ``extra`` are sent as they stand; ``extra`` holds parameters of one provider.  ``key_env`` names
    the environment variable with the key; without it litellm finds the provider's usual one.  ``timeout`` is in
    seconds, for one attempt.
    """

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    sampling: dict[str, Any] = {}
    base_url: str | None = None
    key_env: str | None = None
    timeout: float = 300.0
    retries: Retries = Retries()
    extra: dict[str, Any] = {}


class Completion(Struct, frozen=True, kw_only=True):
    """A model's answer: the message, what it used, why it ended, and the attempts that it took."""

    message: Message
    usage: Usage
    finish_reason: str | None
    attempts: list[Attempt]


class CallFailed(ModelError):
    """The call was given up; ``attempts`` are those made."""

    def __init__(self, message: str, attempts: list[Attempt]):
        self.attempts = attempts
        super().__init__(message)


class ContextOverflow(CallFailed):
    """The prompt is longer than the model's context window."""


class _Transient(Exception):
    """Worth another attempt."""


async def complete(request: Request) -> Completion:
    """Asks the model, again where the cause of a failure may pass.

    Raises:
        ContextOverflow: the prompt does not fit the model's window.
        CallFailed: the model did not answer; the message says why and after how many attempts.
    """
    attempts: list[Attempt] = []
    retrying = AsyncRetrying(
        retry=lambda state: state.outcome is not None and isinstance(state.outcome.exception(), _Transient),
        stop=stop_after_attempt(request.retries.attempts) | stop_before_delay(request.retries.seconds),
        wait=wait_as_asked(otherwise=30.0),
        reraise=True,
    )
    try:
        return await retrying(_attempt, request, _arguments(request), attempts)
    except _Transient as error:
        raise CallFailed(f"{request.model} failed {len(attempts)} times, last: {error}", attempts) from error


def register_provider(model: str) -> None:
    """Tells litellm of one of our own providers, if ``model`` names one; cheap when repeated."""
    register = PROVIDERS.get(model.partition("/")[0])
    if register is not None:
        register()


def _arguments(request: Request) -> dict[str, Any]:
    """The keyword arguments of ``litellm.acompletion``; its own retries are off, since ours count and record."""
    arguments: dict[str, Any] = {
        "model": request.model,
        "timeout": request.timeout,
        "max_retries": 0,
        "num_retries": 0,
        **request.sampling,
        **request.extra,
    }
    if request.tools:
        arguments["tools"] = request.tools
    if request.base_url is not None:
        arguments["api_base"] = request.base_url
    if request.key_env is not None:
        arguments["api_key"] = os.environ.get(request.key_env)
    elif request.base_url is not None and request.model.startswith("openai/"):
        arguments["api_key"] = "none"  # a server of one's own is not to be sent the key of another
    return arguments


async def _attempt(request: Request, arguments: dict[str, Any], attempts: list[Attempt]) -> Completion:
    litellm = import_litellm()
    register_provider(request.model)
    began = time.perf_counter()
    try:
        # a provider may ignore the timeout it is given, so there is one around it
        async with asyncio.timeout(request.timeout * 1.05 + 1):
            # litellm gets a list of its own, since the caller's grows
            response = await litellm.acompletion(messages=list(request.messages), **arguments)
    except Exception as error:  # litellm lets through errors of many kinds; each is this call's failure
        status = getattr(error, "status_code", None)
        said = f"{type(error).__name__}: {error}"[:2000]
        attempts.append(Attempt(seconds=time.perf_counter() - began, status=status, error=said))
        raise _judged(error, status, said, request, attempts) from error
    if not response.choices:
        attempts.append(Attempt(seconds=time.perf_counter() - began, status=200, error="the answer has no choices"))
        raise _Transient("the answer has no choices")
    attempts.append(Attempt(seconds=time.perf_counter() - began, status=200))
    choice = response.choices[0]
    message = read_message(choice.message.model_dump(exclude_none=True))
    usage = _usage(response, request.model)
    return Completion(message=message, usage=usage, finish_reason=choice.finish_reason, attempts=attempts)


def _judged(error: Exception, status: int | None, said: str, request: Request, attempts: list[Attempt]) -> Exception:
    """The error by which the retries go on or stop."""
    if status in (400, 413, 422) and _OVERFLOW.search(said):
        return ContextOverflow(f"the prompt is longer than the window of {request.model}: {said}", attempts)
    # a body that is no answer comes with status 200, a cut connection or a timeout with 500, 408 or none
    passing = isinstance(error, TimeoutError) or status in (200, 408, 409, 425, 429) or (status or 0) >= 500
    if passing and not (status == 429 and _EXHAUSTED.search(said)):
        return _Transient(said)
    return CallFailed(f"{request.model} refused the call: {said}", attempts)


def _usage(response: Any, model: str) -> Usage:
    used = getattr(response, "usage", None)
    details = getattr(used, "completion_tokens_details", None)
    return Usage(
        prompt_tokens=getattr(used, "prompt_tokens", None) or 0,
        completion_tokens=getattr(used, "completion_tokens", None) or 0,
        reasoning_tokens=getattr(details, "reasoning_tokens", None) or 0,
        cost=_cost(response, model),
    )


def _cost(response: Any, model: str) -> float | None:
    if model.partition("/")[0] in PROVIDERS:
        return 0.0  # computed here, so known to cost nothing
    # litellm prices the call itself; it says None, or zero for some, where it knows no price
    cost = response._hidden_params.get("response_cost")
    return float(cost) if cost else None
