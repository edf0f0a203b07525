"""How long to wait before a call is tried again: as long as the server asks for, else longer each time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_random_exponential

_SAID = re.compile(
    r"(?:try again|retry) in (?P<in>\d+(?:\.\d+)?) ?(?P<unit>ms|s\b|second)|retryDelay\W+(?P<delay>\d+(?:\.\d+)?)s",
    re.IGNORECASE,
)


def retry_after(error: BaseException | None) -> float | None:
    """The seconds that the server asks to wait, or None.

    They come with litellm's error in a Retry-After header (a number or a date, RFC 9110), in milliseconds in its
    cousin ``retry-after-ms``, and with some providers only in the words of a 429.
    """
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        if not headers:
            continue
        exact = _seconds(headers.get("retry-after-ms") or "")
        asked = exact / 1000 if exact is not None else _seconds(headers.get("retry-after") or "")
        if asked is not None:
            return asked
    said = _SAID.search(str(error)) if getattr(error, "status_code", None) == 429 else None
    if said is None:
        return None
    return float(said["delay"] or said["in"]) / (1000 if said["unit"] == "ms" else 1)


def wait_as_asked(*, otherwise: float, longest: float = math.inf) -> Callable[[RetryCallState], float]:
    """A wait for tenacity: what the server asks for, else a random, growing time.

    The server's wish is what :func:`retry_after` says of the error or its cause, or ``retry_after`` of a result.

    Args:
        otherwise: seconds that the random time grows to.
        longest: seconds beyond which the server's wish is cut.
    """
    backoff = wait_random_exponential(multiplier=0.5, max=otherwise)

    def wait(state: RetryCallState) -> float:
        asked = _asked(state)
        return backoff(state) if asked is None else min(asked, longest)

    return wait


def _asked(state: RetryCallState) -> float | None:
    if state.outcome is None:
        return None
    error = state.outcome.exception()
    if error is None:
        asked: float | None = getattr(state.outcome.result(), "retry_after", None)
        return asked
    found = retry_after(error)
    return retry_after(error.__cause__) if found is None else found


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date; a date without a zone
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
