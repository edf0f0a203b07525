"""The retry rule: which failures are tried again, how long to wait before, and when to stop.

Tried again: 429 (after the time that the server asks for), 408, 409, 425, 5xx, timeouts, dropped connections and
bodies that hold no answer.  Never: other refusals, an exhausted quota, a prompt longer than the context window.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Literal

import httpx
from msgspec import Struct
from tenacity import RetryCallState, wait_random_exponential

from lrat_sim.errors import LratSimError
from lrat_sim.keys import redact
from lrat_sim.models.transport import ReplyTooLarge

LONGEST_BACKOFF = 30.0  # seconds that the wait grows to where the server names none

# the prompt is too long, the provider wants fewer calls, another attempt may succeed, none will
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
_NO_ANSWER = re.compile(r"error converting to valid response", re.IGNORECASE)
_WAIT_IN_WORDS = re.compile(
    r"(?:try again|retry) in (?P<in>\d+(?:\.\d+)?) ?(?P<unit>ms|s\b|second)|retryDelay\W+(?P<delay>\d+(?:\.\d+)?)s",
    re.IGNORECASE,
)


class Failed(Struct, frozen=True, kw_only=True):
    """An attempt that brought no answer; ``retry_after`` is the seconds that the server asks to wait."""

    cause: Cause
    message: str
    status: int | None = None
    retry_after: float | None = None

    @property
    def may_pass(self) -> bool:
        """Whether another attempt is worth it."""
        return self.cause in ("limited", "passing")


def failure(error: Exception) -> Failed:
    """What an error that a model or a server raised means."""
    message = redact(f"{type(error).__name__}: {error}")[:2000]  # redacted before it is cut: half a key gives it away
    status = getattr(error, "status_code", None)
    unreadable = isinstance(error, TimeoutError | ConnectionError | httpx.TransportError)
    for cause in _chain(error):
        # litellm guesses an error's kind from its words: a 500 that speaks of rate limits becomes a 429
        if isinstance(cause, httpx.HTTPStatusError):
            status = cause.response.status_code
        unreadable = unreadable or isinstance(cause, JSONDecodeError | RecursionError)
        if isinstance(cause, ReplyTooLarge):  # of which openai's client only says "Connection error."
            message = f"{type(cause).__name__}: {cause}"
    status = status if isinstance(status, int) else None
    too_long = type(error).__name__ == "ContextWindowExceededError" or _OVERFLOW.search(message)
    cause_of_it: Cause = "refused"
    if status == 413 or (status == 429 and _TOO_LARGE.search(message)) or (status in (400, 422, 500) and too_long):
        cause_of_it = "overflow"
    elif status == 429:
        cause_of_it = "refused" if _EXHAUSTED.search(message) else "limited"
    # a body that holds no answer comes with 200, and litellm gives 500 to a dropped connection
    elif unreadable or status in (200, 408, 409, 425) or (status or 0) >= 500 or _NO_ANSWER.search(message):
        cause_of_it = "passing"
    return Failed(cause=cause_of_it, message=message, status=status, retry_after=retry_after(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The errors behind an error, up to one of ours: that was being handled when this call was made."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen and not isinstance(cause, LratSimError):
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def retry_after(error: BaseException | None) -> float | None:
    """The seconds that the server asks to wait: in Retry-After (RFC 9110), ``retry-after-ms`` or the words of a 429."""
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        if not headers:
            continue
        exact = _seconds(headers.get("retry-after-ms") or "")
        seconds = exact / 1000 if exact is not None else _seconds(headers.get("retry-after") or "")
        if seconds is not None:
            return seconds
    words = _WAIT_IN_WORDS.search(str(error)) if getattr(error, "status_code", None) == 429 else None
    if words is None:
        return None
    return float(words["delay"] or words["in"]) / (1000 if words["unit"] == "ms" else 1)


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date; a date without a zone
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def wait_as_asked(
    *, otherwise: float = LONGEST_BACKOFF, longest: float = math.inf
) -> Callable[[RetryCallState], float]:
    """A wait for tenacity: what the error, its cause or the result says that the server asks for, up to ``longest``
    seconds, else a random time that grows up to ``otherwise`` seconds."""
    backoff = wait_random_exponential(multiplier=0.5, max=otherwise)

    def wait(state: RetryCallState) -> float:
        wish = None
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            wish = retry_after(error)
            wish = retry_after(error.__cause__) if wish is None else wish
        elif state.outcome is not None:
            wish = getattr(state.outcome.result(), "retry_after", None)
        return backoff(state) if wish is None else min(wish, longest)

    return wait
