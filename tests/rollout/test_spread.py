import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.rollout.spread import Allowance, Governor, Report, RunWorker, SharedBudget, SharedLimiter, fair_shares


@given(st.integers(0, 500), st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 300), min_size=1))
def test_shares_are_fair_and_add_up(total, wanted):
    shares = fair_shares(total, wanted)
    assert sum(shares.values()) == total
    for name, share in shares.items():
        if share < wanted[name]:  # who lacks something has no less than any other, but for what does not divide
            assert all(share >= other - 1 for other in shares.values())


def report(governor, worker, **told):
    default = {"spent": 0.0, "answered": 0, "refused": None, "taken": 0, "wanted": 100}
    return governor.report(Report(worker, **{**default, **told}))


def test_workers_never_have_more_calls_together_than_allowed():
    governor = Governor(0.0, 20, False, 2)
    first, second = report(governor, "a"), report(governor, "b")
    assert (first.calls, second.calls) == (10, 10)
    assert report(governor, "a", taken=10, wanted=1).calls == 1
    assert report(governor, "b", taken=10).calls == 10  # the ten of the other are still under way
    left = report(governor, "a", taken=1, wanted=1).calls
    assert report(governor, "b", taken=10).calls == 20 - left > 10


def test_a_provider_that_refuses_several_workers_at_once_halves_the_limit_once():
    governor = Governor(0.0, 16, True, 2)
    report(governor, "a"), report(governor, "b")
    cut = report(governor, "a", refused=0, taken=8)
    assert (cut.version, cut.calls) == (1, 0)  # the eight of the other are still under way
    again = report(governor, "b", refused=0, taken=0)
    assert (again.version, again.calls) == (1, 0)
    # until it reports again, it may go on as it was allowed before
    assert [report(governor, name).calls for name in "aba"] == [0, 4, 4]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), st.booleans(), st.booleans()), min_size=8))
def test_no_order_of_reports_and_answers_lets_all_exceed_the_limit(steps):
    """A worker may use what the last answer that it has read allows, while the next one is on its way."""
    governor = Governor(0.0, 12, False, 2)
    allowed, taken, coming = [0, 0], [0, 0], [0, 0]
    for worker, wanted, idle, late in steps:
        allowed[worker] = coming[worker]
        taken[worker] = 0 if idle else max(taken[worker], min(wanted, allowed[worker]))
        coming[worker] = report(governor, str(worker), taken=taken[worker], wanted=wanted).calls
        if not late:
            allowed[worker] = coming[worker]
        assert sum(map(max, allowed, taken)) <= 12


def test_what_all_spend_is_one_sum():
    governor = Governor(1.0, 4, False, 2)
    report(governor, "a", spent=0.25)
    assert report(governor, "b", spent=0.5).spent == pytest.approx(1.75)
    assert governor.total() == pytest.approx(1.75)


def test_what_the_count_of_spending_could_not_be_told_is_told_again():
    exceptions = pytest.importorskip("ray.exceptions")
    told, replies = [], [exceptions.ActorUnavailableError("silent", None), Allowance(spent=7.0, calls=3, version=1)]

    async def report(sent):
        told.append(sent)
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        worker._limiter.cut.set()  # the next report comes at once, and finds nobody
        return reply

    async def reporting():
        with pytest.raises(IndexError):
            await worker._report("a")

    # as in a worker, but for Ray's handle of the actor
    worker = object.__new__(RunWorker)
    worker._governor = SimpleNamespace(report=SimpleNamespace(remote=report))
    worker._limiter, worker._budget = SharedLimiter(10), SharedBudget(cost=None, seconds=None)
    worker._budget.spend(2.0)
    worker._limiter.answered()
    worker._limiter.cut.set()
    asyncio.run(reporting())
    first, again, _ = told
    assert first == again == Report("a", spent=2.0, answered=1, refused=0, taken=0, wanted=0)
    assert worker._budget.spent == 7.0
