"""How long to wait before a call is tried again: as long as the server asks for, else longer each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_random_exponential


def retry_after(error: BaseException | None) -> float | None:
    """The seconds of a Retry-After header (a number or a date, RFC 9110) that came with litellm's error, or None."""
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        value = headers.get("retry-after") if headers else None
        if value is not None:
            return _seconds(value)
    return None


def wait_as_asked(*, otherwise: float, longest: float = math.inf) -> Callable[[RetryCallState], float]:
    """A wait for tenacity: what :func:`retry_after` says of the error or its cause, else a random, growing time.

    Args:
        otherwise: seconds that the random time grows to.
        longest: seconds beyond which the server's wish is cut.
    """
    backoff = wait_random_exponential(multiplier=0.5, max=otherwise)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        for each in (error, getattr(error, "__cause__", None)):
            if (asked := retry_after(each)) is not None:
                return min(asked, longest)
        return backoff(state)

    return wait


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date; a date without a zone
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
