"""How many calls are in flight."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.models.limiter import START, AdaptiveLimiter, RunLimiter

pytestmark = pytest.mark.anyio


async def full(limiter, stack):
    """As many calls in flight as the limiter allows; their tickets."""
    return [await stack.enter_async_context(limiter.slot()) for _ in range(limiter.limit - limiter.taken)]


async def limits_after(limiter, trips):
    """The limit after each of some round trips, in which a full limiter's calls are all answered."""
    limits = []
    for _ in range(trips):
        async with AsyncExitStack() as stack:
            for _ in await full(limiter, stack):
                limiter.answered()
        limits.append(limiter.limit)
    return limits


async def refuse(limiter):
    async with AsyncExitStack() as stack:
        for ticket in await full(limiter, stack):
            limiter.refused(ticket)


async def test_it_starts_at_20_and_grows_quickly_to_the_ceiling_until_the_first_429():
    limiter = AdaptiveLimiter(200)
    assert limiter.limit == START
    limits = await limits_after(limiter, 5)
    assert limits[0] >= 1.9 * START
    assert limits[-1] == 200
    assert await limits_after(AdaptiveLimiter(3), 3) == [3, 3, 3]  # a low ceiling is the start


async def test_without_adaption_the_ceiling_holds_whatever_the_provider_says():
    limiter = AdaptiveLimiter(200, adaptive=False)
    await refuse(limiter)
    assert limiter.limit == 200


async def test_the_429s_of_one_round_trip_halve_the_limit_once_and_calls_still_pass_in_the_end():
    limiter, limits = AdaptiveLimiter(20), []
    for _ in range(10):
        await refuse(limiter)
        limits.append(limiter.limit)
    assert limits == [10, 5, 2, *[1] * 7]
    assert (await limits_after(limiter, 5))[-1] in (4, 5)


async def test_after_a_429_a_round_trip_adds_one_up_to_the_ceiling():
    limiter = AdaptiveLimiter(14)
    await refuse(limiter)
    limits = [limiter.limit, *await limits_after(limiter, 20)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(limits))
    assert limits[-1] == 14


async def test_it_does_not_grow_while_nobody_wants_more():
    limiter = AdaptiveLimiter(200)
    for _ in range(100):
        async with limiter.slot():
            limiter.answered()
    assert limiter.limit == START


async def test_who_waits_is_served_by_priority_and_then_in_order():
    limiter, served = AdaptiveLimiter(1, adaptive=False), []

    async def call(name, priority):
        async with limiter.slot(priority):
            served.append(name)

    async with limiter.slot():
        waiting = [asyncio.ensure_future(call(*each)) for each in [("c", 2), ("a", 1), ("d", 2), ("b", 1)]]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert served == ["a", "b", "c", "d"]


async def test_a_waiter_that_is_let_in_and_cancelled_in_one_breath_leaves_its_slot():
    limiter = AdaptiveLimiter(1, adaptive=False)
    async with AsyncExitStack() as stack:
        async with limiter.slot():
            waiting = asyncio.ensure_future(stack.enter_async_context(limiter.slot()))
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        assert limiter.taken == 0


def test_a_limiter_without_slots_is_refused():
    with pytest.raises(InputError, match="concurrency is 0"):
        AdaptiveLimiter(0)


CALL = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["fine", "limited", "broken"]),
    st.integers(0, 3),  # so many turns of the event loop pass before the next call
    st.none() | st.integers(0, 60),  # the call that is cancelled then
)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.booleans(), st.lists(CALL, max_size=60))
def test_no_slot_is_lost_or_given_twice_whatever_fails_or_is_cancelled(ceiling, adaptive, plan):
    async def run():
        limiter, most = AdaptiveLimiter(ceiling, adaptive=adaptive), 0

        async def call(priority, fate):
            nonlocal most
            async with limiter.slot(priority) as ticket:
                most = max(most, limiter.taken)
                await asyncio.sleep(0)
                if fate == "limited":
                    limiter.refused(ticket)
                elif fate == "broken":
                    raise ZeroDivisionError
                else:
                    limiter.answered()

        tasks = []
        for priority, fate, turns, cancelled in plan:
            tasks.append(asyncio.ensure_future(call(priority, fate)))
            for _ in range(turns):
                await asyncio.sleep(0)
            if cancelled is not None:
                tasks[cancelled % len(tasks)].cancel()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 300)
        assert {type(outcome) for outcome in ended} <= {type(None), ZeroDivisionError, asyncio.CancelledError}
        assert limiter.taken == 0
        assert most <= ceiling
        async with asyncio.timeout(300), AsyncExitStack() as stack:
            assert len(await full(limiter, stack)) == limiter.limit

    asyncio.run(run())


async def test_runs_are_admitted_to_fill_the_limiter_and_more_while_calls_wait_to_try_again():
    limiter = AdaptiveLimiter(8, adaptive=False)
    runs_limiter, inside = RunLimiter(limiter), 0

    async def one_run():
        nonlocal inside
        async with runs_limiter.slot():
            inside += 1
            await asyncio.sleep(600)

    runs = [asyncio.ensure_future(one_run()) for _ in range(100)]
    await asyncio.sleep(0)
    assert inside == 10
    with limiter.pause(), limiter.pause(), limiter.pause():
        await asyncio.sleep(0)
        assert inside == 13
    for run in random.Random(0).sample(runs, 90):
        run.cancel()
    await asyncio.sleep(0.01)
    assert runs_limiter.taken == 10
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    assert runs_limiter.taken == 0


def test_however_many_calls_wait_the_runs_are_bounded():
    limiter = AdaptiveLimiter(8)
    limiter.pausing = 1000
    assert RunLimiter(limiter).limit == 32
