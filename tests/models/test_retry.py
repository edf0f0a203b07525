from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest
from tenacity import Future, RetryCallState, Retrying

from lrat_sim.models.retry import retry_after, wait_as_asked


def told(value, *, inside=False):
    """An error with a Retry-After header, in the place where litellm keeps it or in the response that it wraps."""
    error = RuntimeError("slow down")
    if inside:
        error.response = SimpleNamespace(headers={"retry-after": value})
    else:
        error.litellm_response_headers = {"retry-after": value}
    return error


def waited(outcome, **settings):
    state = RetryCallState(Retrying(), None, (), {})
    state.outcome = Future.construct(1, outcome, has_exception=isinstance(outcome, Exception))
    return wait_as_asked(**settings)(state)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("0.5", 0.5), ("-3", 0), ("soon", None), ("nan", None)])
def test_seconds_are_read_wherever_they_are_kept(value, seconds, inside):
    assert retry_after(told(value, inside=inside)) == seconds


def test_a_date_is_as_far_as_it_is_ahead():
    ahead, past = (format_datetime(datetime.now(UTC) + timedelta(seconds=s), usegmt=True) for s in (60, -60))
    assert 58 <= retry_after(told(ahead)) <= 60
    assert retry_after(told(past)) == 0


def test_milliseconds_are_exact_and_come_first_and_without_a_header_there_is_nothing():
    assert retry_after(RuntimeError("down")) is retry_after(None) is None
    error = told("7")
    error.litellm_response_headers["retry-after-ms"] = "250"
    assert retry_after(error) == 0.25


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.5s.", 1.5),
        ("Please try again in 20ms. Visit the site.", 0.02),
        ('"retryDelay": "37s"', 37.0),
        ("Please retry in 12 seconds", 12.0),
        ("Slow down.", None),
    ],
)
def test_a_429_may_say_it_in_words(words, seconds):
    error = RuntimeError(words)
    assert retry_after(error) is None
    error.status_code = 429
    assert retry_after(error) == seconds


def test_the_wait_is_what_the_result_the_error_or_its_cause_asks_for_up_to_the_longest():
    assert waited(SimpleNamespace(retry_after=3.0), otherwise=1.0) == 3.0
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = told("90")
    for error in (told("90"), wrapped):
        assert waited(error, otherwise=1.0) == 90
        assert waited(error, otherwise=1.0, longest=60.0) == 60


def test_otherwise_the_wait_is_random_within_its_bound():
    waits = [waited(RuntimeError("down"), otherwise=0.3) for _ in range(20)]
    assert len(set(waits)) > 1
    assert all(0 <= wait <= 0.3 for wait in waits)
