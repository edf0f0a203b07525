"""How many calls are in flight."""

import asyncio
import random
from contextlib import AsyncExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.models.gate import START, Admission, Gate


async def full(gate, stack):
    """As many calls in flight as the gate allows; their tickets."""
    return [await stack.enter_async_context(gate.place()) for _ in range(gate.limit - gate.in_flight)]


async def round_trip(gate):
    """A full gate's calls are all answered."""
    async with AsyncExitStack() as stack:
        for _ in await full(gate, stack):
            gate.answered()


def limits_after(gate, trips):
    async def run():
        seen = []
        for _ in range(trips):
            await round_trip(gate)
            seen.append(gate.limit)
        return seen

    return asyncio.run(run())


async def refuse(gate):
    async with AsyncExitStack() as stack:
        tickets = await full(gate, stack)
        for ticket in tickets:
            gate.refused(ticket)


def test_it_starts_at_20_and_grows_quickly_to_the_ceiling_until_the_first_429():
    gate = Gate(200)
    assert gate.limit == START
    limits = limits_after(gate, 5)
    assert limits[0] >= 1.9 * START
    assert limits[-1] == 200


def test_a_low_ceiling_is_the_start():
    assert limits_after(Gate(3), 3) == [3, 3, 3]


def test_without_adaption_the_ceiling_holds_whatever_the_provider_says():
    gate = Gate(200, adaptive=False)
    asyncio.run(refuse(gate))
    assert gate.limit == 200


def test_the_429s_of_one_round_trip_halve_the_limit_once():
    gate = Gate(20)
    asyncio.run(refuse(gate))
    assert gate.limit == 10
    asyncio.run(refuse(gate))
    assert gate.limit == 5


def test_the_limit_never_falls_below_one_and_calls_still_pass():
    gate = Gate(20)
    for _ in range(10):
        asyncio.run(refuse(gate))
    assert gate.limit == 1
    assert limits_after(gate, 5)[-1] in (4, 5)


def test_after_a_429_a_round_trip_adds_one_up_to_the_ceiling():
    gate = Gate(14)
    asyncio.run(refuse(gate))
    before = gate.limit
    limits = limits_after(gate, 20)
    assert all(later - earlier <= 1 for earlier, later in zip([before, *limits], limits, strict=False))
    assert limits[-1] == 14


def test_it_does_not_grow_while_nobody_wants_more():
    async def one_after_the_other():
        gate = Gate(200)
        for _ in range(100):
            async with gate.place():
                gate.answered()
        return gate.limit

    assert asyncio.run(one_after_the_other()) == START


def test_who_waits_is_served_by_priority_and_then_in_order():
    async def run():
        gate, served = Gate(1, adaptive=False), []

        async def call(name, priority):
            async with gate.place(priority):
                served.append(name)

        async with gate.place():
            waiting = [asyncio.ensure_future(call(*each)) for each in [("c", 2), ("a", 1), ("d", 2), ("b", 1)]]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return served

    assert asyncio.run(run()) == ["a", "b", "c", "d"]


def test_a_waiter_that_is_let_in_and_cancelled_in_one_breath_leaves_its_place():
    async def run():
        gate = Gate(1, adaptive=False)

        async def call():
            async with gate.place():
                pass

        async with gate.place():
            waiting = asyncio.ensure_future(call())
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert waiting.cancelled()
        return gate.in_flight

    assert asyncio.run(run()) == 0


def test_a_gate_without_places_is_refused():
    with pytest.raises(InputError, match="concurrency is 0"):
        Gate(0)


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
        gate, most = Gate(ceiling, adaptive=adaptive), 0

        async def call(priority, fate):
            nonlocal most
            async with gate.place(priority) as ticket:
                most = max(most, gate.in_flight)
                await asyncio.sleep(0)
                if fate == "limited":
                    gate.refused(ticket)
                elif fate == "broken":
                    raise ZeroDivisionError
                else:
                    gate.answered()

        tasks = []
        for priority, fate, turns, cancelled in plan:
            tasks.append(asyncio.ensure_future(call(priority, fate)))
            for _ in range(turns):
                await asyncio.sleep(0)
            if cancelled is not None:
                tasks[cancelled % len(tasks)].cancel()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 300)
        assert {type(each) for each in ended} <= {type(None), ZeroDivisionError, asyncio.CancelledError}
        assert gate.in_flight == 0
        assert most <= ceiling
        async with asyncio.timeout(300), AsyncExitStack() as stack:
            assert len(await full(gate, stack)) == gate.limit

    asyncio.run(run())


def test_runs_are_admitted_to_fill_the_gate_and_more_while_calls_wait_to_try_again():
    async def run():
        gate = Gate(8, adaptive=False)
        admission, inside = Admission(gate), 0

        async def one_run():
            nonlocal inside
            async with admission.place():
                inside += 1
                await asyncio.sleep(600)

        runs = [asyncio.ensure_future(one_run()) for _ in range(100)]
        await asyncio.sleep(0)
        seen = [inside]
        with gate.pause(), gate.pause(), gate.pause():
            await asyncio.sleep(0)
            seen.append(inside)
        for each in random.Random(0).sample(runs, 90):
            each.cancel()
        await asyncio.sleep(0.01)
        seen.append(admission.taken)
        for each in runs:
            each.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        return seen, admission.taken

    assert asyncio.run(run()) == ([10, 13, 10], 0)


def test_however_many_calls_wait_the_runs_are_bounded():
    gate = Gate(8)
    gate.pausing = 1000
    assert Admission(gate).room() == 32
