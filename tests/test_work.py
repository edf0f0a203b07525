import asyncio
from contextlib import aclosing
from itertools import count

import pytest

from lrat_sim.errors import InputError
from lrat_sim.work import bounded_map


class Worker:
    """Doubles its item after a pause, and keeps account of what is under way."""

    def __init__(self, pause=0.002):
        self.pause = pause
        self.under_way = self.most = self.started = self.cancelled = 0

    async def __call__(self, item):
        self.started += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.pause(item) if callable(self.pause) else self.pause)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        return 2 * item


async def collect(stream):
    return [pair async for pair in stream]


@pytest.mark.parametrize("concurrency", [1, 4, 50])
def test_every_item_comes_with_its_result_and_at_most_so_many_are_under_way(concurrency):
    worker = Worker()
    found = asyncio.run(collect(bounded_map(worker, range(20), concurrency)))
    assert sorted(found) == [(item, 2 * item) for item in range(20)]
    assert worker.most == min(concurrency, 20)
    assert asyncio.run(collect(bounded_map(worker, [], concurrency))) == []


def test_results_come_as_they_are_ready_not_in_order():
    worker = Worker(pause=lambda item: 0.2 if item == 0 else 0.001)
    found = asyncio.run(collect(bounded_map(worker, range(5), 2)))
    assert found[-1] == (0, 0)


def test_items_are_drawn_only_when_a_place_is_free():
    drawn = []

    def endless():
        for item in count():
            drawn.append(item)
            yield item

    async def first_five():
        async with aclosing(bounded_map(Worker(), endless(), 3)) as stream:
            return [await anext(stream) for _ in range(5)]

    assert len(asyncio.run(first_five())) == 5
    assert len(drawn) <= 5 + 3


def test_stopping_early_cancels_what_is_under_way():
    worker = Worker(pause=lambda item: 0.001 if item == 0 else 60)

    async def first():
        async with aclosing(bounded_map(worker, range(10), 4)) as stream:
            await anext(stream)
        return worker.under_way

    assert asyncio.run(first()) == 0
    assert worker.cancelled == 3


def test_cancelling_the_consumer_cancels_the_workers():
    worker = Worker(pause=60)

    async def cancelled():
        consumer = asyncio.ensure_future(collect(bounded_map(worker, range(10), 4)))
        await asyncio.sleep(0.01)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer

    asyncio.run(cancelled())
    assert (worker.under_way, worker.cancelled) == (0, 4)


def test_defect_of_a_worker_ends_the_map_and_cancels_its_neighbours():
    worker = Worker(pause=60)

    async def faulty(item):
        if item == 2:
            raise ZeroDivisionError
        return await worker(item)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(collect(bounded_map(faulty, range(10), 4)))
    assert (worker.under_way, worker.started, worker.cancelled) == (0, 3, 3)


def test_what_is_ready_is_handed_out_before_a_defect_ends_the_map():
    async def seen():
        found, go = [], asyncio.Event()

        async def worker(item):
            await go.wait()
            if item == 0:
                raise ZeroDivisionError
            return item

        asyncio.get_running_loop().call_later(0.01, go.set)
        try:
            async for item, _ in bounded_map(worker, range(4), 4):
                found.append(item)
        except ZeroDivisionError:
            return found

    assert sorted(asyncio.run(seen())) == [1, 2, 3]


@pytest.mark.parametrize("concurrency", [0, -1])
def test_concurrency_below_one_is_refused_rather_than_doing_nothing(concurrency):
    with pytest.raises(InputError, match=f"concurrency is {concurrency}"):
        asyncio.run(collect(bounded_map(Worker(), range(3), concurrency)))
