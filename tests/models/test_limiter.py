"""How many calls are in flight."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.models.limiter import START, AdaptiveLimiter, RunLimiter


async def full(limiter, stack):
    """As many calls in flight as the limiter allows; their tickets."""
    return [await stack.enter_async_context(limiter.slot()) for _ in range(limiter.limit - limiter.taken)]


async def round_trip(limiter):
    """A full limiter's calls are all answered."""
    async with AsyncExitStack() as stack:
        for _ in await full(limiter, stack):
            limiter.answered()


def limits_after(limiter, trips):
    async def run():
        seen = []
        for _ in range(trips):
            await round_trip(limiter)
            seen.append(limiter.limit)
        return seen

    return asyncio.run(run())


async def refuse(limiter):
    async with AsyncExitStack() as stack:
        tickets = await full(limiter, stack)
        for ticket in tickets:
            limiter.refused(ticket)


def test_it_starts_at_20_and_grows_quickly_to_the_ceiling_until_the_first_429():
    limiter = AdaptiveLimiter(200)
    assert limiter.limit == START
    limits = limits_after(limiter, 5)
    assert limits[0] >= 1.9 * START
    assert limits[-1] == 200


def test_a_low_ceiling_is_the_start():
    assert limits_after(AdaptiveLimiter(3), 3) == [3, 3, 3]


def test_without_adaption_the_ceiling_holds_whatever_the_provider_says():
    limiter = AdaptiveLimiter(200, adaptive=False)
    asyncio.run(refuse(limiter))
    assert limiter.limit == 200


def test_the_429s_of_one_round_trip_halve_the_limit_once():
    limiter = AdaptiveLimiter(20)
    asyncio.run(refuse(limiter))
    assert limiter.limit == 10
    asyncio.run(refuse(limiter))
    assert limiter.limit == 5


def test_the_limit_never_falls_below_one_and_calls_still_pass():
    limiter = AdaptiveLimiter(20)
    for _ in range(10):
        asyncio.run(refuse(limiter))
    assert limiter.limit == 1
    assert limits_after(limiter, 5)[-1] in (4, 5)


def test_after_a_429_a_round_trip_adds_one_up_to_the_ceiling():
    limiter = AdaptiveLimiter(14)
    asyncio.run(refuse(limiter))
    before = limiter.limit
    limits = limits_after(limiter, 20)
    assert all(later - earlier <= 1 for earlier, later in zip([before, *limits], limits, strict=False))
    assert limits[-1] == 14


def test_it_does_not_grow_while_nobody_wants_more():
    async def one_after_the_other():
        limiter = AdaptiveLimiter(200)
        for _ in range(100):
            async with limiter.slot():
                limiter.answered()
        return limiter.limit

    assert asyncio.run(one_after_the_other()) == START


def test_who_waits_is_served_by_priority_and_then_in_order():
    async def run():
        limiter, served = AdaptiveLimiter(1, adaptive=False), []

        async def call(name, priority):
            async with limiter.slot(priority):
                served.append(name)

        async with limiter.slot():
            waiting = [asyncio.ensure_future(call(*each)) for each in [("c", 2), ("a", 1), ("d", 2), ("b", 1)]]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return served

    assert asyncio.run(run()) == ["a", "b", "c", "d"]


def test_a_waiter_that_is_let_in_and_cancelled_in_one_breath_leaves_its_place():
    async def run():
        limiter = AdaptiveLimiter(1, adaptive=False)

        async def call():
            async with limiter.slot():
                pass

        async with limiter.slot():
            waiting = asyncio.ensure_future(call())
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        return limiter.taken

    assert asyncio.run(run()) == 0


def test_a_gate_without_places_is_refused():
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
def test_no_place_is_lost_or_given_twice_whatever_fails_or_is_cancelled(ceiling, adaptive, plan):
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
        assert {type(each) for each in ended} <= {type(None), ZeroDivisionError, asyncio.CancelledError}
        assert limiter.taken == 0
        assert most <= ceiling
        async with asyncio.timeout(300), AsyncExitStack() as stack:
            assert len(await full(limiter, stack)) == limiter.limit

    asyncio.run(run())


def test_runs_are_admitted_to_fill_the_gate_and_more_while_calls_wait_to_try_again():
    async def run():
        limiter = AdaptiveLimiter(8, adaptive=False)
        runs_limiter, inside = RunLimiter(limiter), 0

        async def one_run():
            nonlocal inside
            async with runs_limiter.slot():
                inside += 1
                await asyncio.sleep(600)

        runs = [asyncio.ensure_future(one_run()) for _ in range(100)]
        await asyncio.sleep(0)
        seen = [inside]
        with limiter.pause(), limiter.pause(), limiter.pause():
            await asyncio.sleep(0)
            seen.append(inside)
        for each in random.Random(0).sample(runs, 90):
            each.cancel()
        await asyncio.sleep(0.01)
        seen.append(runs_limiter.taken)
        for each in runs:
            each.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        return seen, runs_limiter.taken

    assert asyncio.run(run()) == ([10, 13, 10], 0)


def test_however_many_calls_wait_the_runs_are_bounded():
    limiter = AdaptiveLimiter(8)
    limiter.pausing = 1000
    assert RunLimiter(limiter).limit == 32
