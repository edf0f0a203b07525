"""One attempt at a call through litellm: from plain data to plain data, so that any process can make it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, Literal

from msgspec import Struct

from lrat_sim.errors import LratSimError
from lrat_sim.foreign.values import recordable
from lrat_sim.keys import read_environment, read_key, redact, redact_all
from lrat_sim.models import import_litellm
from lrat_sim.models.call import Request
from lrat_sim.models.direct import direct_client
from lrat_sim.models.faults import restored, token_count
from lrat_sim.models.retry import retry_after
from lrat_sim.models.transport import ReplyTooLarge, reach_directly
from lrat_sim.records import Usage

PROVIDERS: dict[str, Callable[[], None]] = {}
"""Providers of our own: the prefix of their model strings, and what tells litellm of them, cheap when repeated.

Whoever owns a provider enters it here; it computes its answers in this process, so its calls cost nothing.
"""

Cause = Literal["overflow", "limited", "passing", "refused"]

_OVERFLOW = re.compile(
    r"maximum context length|maximum model length|maximum prompt length|context window|context length|context size"
    r"|context limit|context_length_exceeded|prompt is too long|input is too long|too many (input )?tokens"
    r"|max_model_len|exceeds the maximum number of tokens|max_new_tokens` must be",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
# some providers word a limit by the minute like a spent quota, but then they say when to come back
_EXHAUSTED = re.compile(
    r"insufficient_quota|billing_hard_limit|exceeded your current quota(?!.*(retry ?in|retry_?delay))"
    r"|insufficient (credit|balance|fund)|credit balance is too low",
    re.IGNORECASE | re.DOTALL,
)
_MOST_DOLLARS = 1_000_000
"""What one call can cost; more is a fault of the provider's."""
_NO_ANSWER = re.compile(r"error converting to valid response", re.IGNORECASE)


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    """The model answered: its message as it came."""

    message: dict[str, Any]
    usage: Usage
    finish_reason: str | None


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """It did not.

    ``cause`` decides what follows: the prompt is too long (``overflow``), the provider wants fewer calls
    (``limited``), another attempt may help (``passing``), or none will (``refused``).  ``status`` is the HTTP status
    where there was one, ``retry_after`` the seconds that the server asks to wait.
    """

    cause: Cause
    said: str
    status: int | None = None
    retry_after: float | None = None


Outcome = Answered | Failed


async def attempt(request: Request) -> Outcome:
    """Asks the model once; never raises for what a model, a network or litellm does."""
    litellm = import_litellm()
    register_provider(request.model)
    reach_directly(request.base_url)
    try:
        # a provider may ignore the timeout it is given, so there is one around it
        async with asyncio.timeout(request.timeout * 1.05 + 1):
            with _unlogged(litellm):
                response = await litellm.acompletion(messages=_messages(request), **_arguments(request))
        if not response.choices:
            return Failed(cause="passing", status=200, said="the answer has no choices")
        choice = response.choices[0]
        reason = choice.finish_reason
        return Answered(
            message=redact_all(recordable(restored(choice.message.model_dump(exclude_none=True)))),
            usage=_usage(response, request.model),
            finish_reason=None if reason is None else recordable(str(reason)[:40]),
        )
    except TimeoutError:
        return Failed(cause="passing", said=f"no whole answer came within {request.timeout:g} seconds")
    except Exception as error:  # litellm lets through errors of many kinds; each is this call's failure
        return failure(error)


_LISTENERS = [f"{kind}{when}_callback" for kind in ("", "_async_") for when in ("input", "success", "failure")]
_LISTENERS += ["callbacks", "service_callback", "max_budget"]


@contextmanager
def _unlogged(litellm: Any) -> Iterator[None]:
    """Spares litellm its log of a call where nobody listens: for that it would go through the whole conversation."""
    if any(map(vars(litellm).get, _LISTENERS)):
        yield
        return
    from litellm._internal_context import is_internal_call

    before = is_internal_call.set(True)
    try:
        yield
    finally:
        is_internal_call.reset(before)


def register_provider(model: str) -> None:
    """Tells litellm of one of our own providers, if ``model`` names one; cheap when repeated."""
    register = PROVIDERS.get(model.partition("/")[0])
    if register is not None:
        register()


def in_process(model: str) -> bool:
    """Whether the model's answers are computed in this process: by a provider of our own or one litellm was told of."""
    prefix = model.partition("/")[0]
    if prefix in PROVIDERS:
        return True
    litellm: Any = sys.modules.get("litellm")  # while it is not imported, nobody told it of any
    return litellm is not None and any(each["provider"] == prefix for each in litellm.custom_provider_map)


def failure(error: Exception) -> Failed:
    """What an error that litellm raised says of its call.

    litellm guesses the kind of an error from words of its text: a 500 that speaks of rate limits becomes a 429, a
    413 too.  So where the response itself is at hand, its status counts.
    """
    said = redact(f"{type(error).__name__}: {error}")[:2000]  # before it is cut: half a key gives it away, too
    status, unreadable = getattr(error, "status_code", None), isinstance(error, TimeoutError)
    for each in _chain(error):
        if type(each).__name__ == "HTTPStatusError":  # httpx's, with the response as it came
            status = each.response.status_code  # type: ignore[attr-defined]
        unreadable = unreadable or isinstance(each, JSONDecodeError)
        if isinstance(each, ReplyTooLarge):  # of which openai's client says "Connection error."
            said = f"{type(each).__name__}: {each}"
    status = status if isinstance(status, int) else None
    too_long = type(error).__name__ == "ContextWindowExceededError" or _OVERFLOW.search(said)
    cause: Cause = "refused"
    if status == 413 or (_TOO_LARGE.search(said) if status == 429 else status in (400, 422, 500) and too_long):
        cause = "overflow"
    elif status == 429:
        cause = "refused" if _EXHAUSTED.search(said) else "limited"
    elif unreadable or status in (200, 408, 409, 425) or (status or 0) >= 500 or _NO_ANSWER.search(said):
        cause = "passing"  # a body that is no answer comes with 200, a cut connection with 500
    return Failed(cause=cause, said=said, status=status, retry_after=retry_after(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The errors behind an error, up to one of ours: that was being handled when this call was made."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen and not isinstance(each, LratSimError):
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _messages(request: Request) -> list[dict[str, Any]]:
    """The messages as litellm gets them: a list of its own, since the caller's grows.

    litellm leaves out a content that is None, without which the chat template of a server of one's own may fail;
    hosted providers take an empty one each in its own way, so they get what litellm makes of None.
    """
    speaks_openai = request.model.partition("/")[0] in ("openai", *import_litellm().openai_compatible_providers)
    if request.base_url is None or not speaks_openai:
        return list(request.messages)
    return [
        {**message, "content": ""} if message.get("content", "") is None else message for message in request.messages
    ]


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
    if request.model.partition("/")[0] in import_litellm().openai_compatible_providers:
        # for some of these litellm drops max_retries as unknown to the provider, and openai's client then tries thrice
        arguments["allowed_openai_params"] = [*arguments.get("allowed_openai_params", []), "max_retries"]
    if request.tools:
        arguments["tools"] = request.tools
        if request.tool_choice is not None:
            arguments["tool_choice"] = request.tool_choice
    read_environment()  # litellm may take a key from there
    if request.base_url is not None:
        arguments["api_base"] = request.base_url
    if request.key_env is not None:
        arguments["api_key"] = read_key(request.key_env)
    elif request.base_url is not None and request.model.startswith("openai/"):
        arguments["api_key"] = "none"  # a server of one's own is not to be sent the key of another
    if request.base_url is not None and request.model.startswith("openai/") and arguments["api_key"]:
        arguments["client"] = direct_client(request.base_url, arguments["api_key"])
    return arguments


def _usage(response: Any, model: str) -> Usage:
    """What the provider says that the call used; what it does not say, or cannot be, is unknown.

    litellm fills in zeros where a provider says nothing; no prompt has none.
    """
    used = getattr(response, "usage", None)
    prompt, completion = (
        token_count(getattr(used, "prompt_tokens", None)),
        token_count(getattr(used, "completion_tokens", None)),
    )
    if not prompt or completion is None:
        return Usage(cost=0.0 if _own(model) else None)
    details = getattr(used, "completion_tokens_details", None)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=token_count(getattr(details, "reasoning_tokens", None)),
        cost=_cost(response, model),
    )


def _cost(response: Any, model: str) -> float | None:
    if _own(model):
        return 0.0  # computed here, so known to cost nothing
    # litellm prices the call itself; it says None, or zero for some, where it knows no price
    cost = response._hidden_params.get("response_cost")
    return float(cost) if isinstance(cost, int | float) and 0 < cost < _MOST_DOLLARS else None


def _own(model: str) -> bool:
    return model.partition("/")[0] in PROVIDERS
