"""What the calls of a rollout share: limits of the whole, a cache, a limiter, through a server on loopback."""

import asyncio
import os
import threading
import time
from collections import Counter
from contextlib import contextmanager

import msgspec
import pytest
import yaml

from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.errors import InputError
from lrat_sim.models.call import Retries
from lrat_sim.records import Task
from lrat_sim.rollout.index import read_trajectories

PRICE = 10 * 0.15e-6 + 5 * 0.6e-6
"""Of one call of gpt-4o-mini with the usage that the server states."""


def tasks(count):
    return [Task(id=f"t{number}", question=f"Question {number}") for number in range(count)]


class Model:
    """Searches once and answers; ``fault(number, turn)`` may be a reply instead."""

    def __init__(self, scripted, fault, hang):
        self.scripted, self.fault, self.hang = scripted, fault, hang
        self.called = []
        self.in_flight = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, request, _):
        number = int(request["messages"][1]["content"].split()[-1])
        turn = sum(message["role"] == "tool" for message in request["messages"])
        with self.lock:
            self.called.append((number, turn))
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        time.sleep(self.hang)
        with self.lock:
            self.in_flight -= 1
        if (fault := self.fault(number, turn)) is not None:
            return fault
        if turn == 0:
            said = self.scripted.calls(("search", {"query": f"harbour {number}"}), reasoning="Search.")
        else:
            said = self.scripted.says(f"Exact Answer: {number}", "Done.")
        return self.scripted.Reply(self.scripted.body(said, model="gpt-4o-mini"))


@pytest.fixture
def served(rollout, scripted, tmp_path):
    """A model on loopback, and the rollout of so many tasks with an agent that calls it."""

    @contextmanager
    def served(fault=lambda number, turn: None, hang=0.0, **changes):
        model = Model(scripted, fault, hang)
        with scripted.Server(model) as server:
            usual = {"model": "openai/gpt-4o-mini", "base_url": server.url, "timeout": 10.0}
            agent = AgentSettings(**{**usual, "retries": Retries(attempts=1), **changes})
            yield model, lambda count, folder=tmp_path, **options: rollout(tasks(count), agent, folder, **options)

    return served


@pytest.fixture
def refusing(served, scripted):
    """As ``served``, with a model that searches and refuses to answer until ``refusing.over`` is set."""
    over = threading.Event()
    refused = scripted.Reply({"error": {"message": "no"}}, status=400)
    with served(lambda number, turn: refused if turn and not over.is_set() else None) as (model, run):
        yield model, run, over


def answers(folder):
    return {each.task_id: each.answer for each in read_trajectories(folder)}


def test_the_cost_limit_ends_the_rollout_and_a_higher_one_resumes_it(served, capsys):
    with served() as (model, run):
        summary = run(20, concurrency=1, max_cost=10.5 * PRICE, table=True)
        assert (summary.stopped, summary.ran, summary.answered, summary.errors) == ("cost", 5, 5, 0)
        assert len(model.called) == 11
        said = " ".join(capsys.readouterr().err.split())
        assert f"the limit of ${10.5 * PRICE:.4g} is reached" in said
        assert "with 5 of 20 runs done; rerun the same command with a higher limit to resume" in said
        # what is recorded counts: the same limit has room for the call that was paid but not recorded, and no more
        again = run(20, concurrency=1, max_cost=10.5 * PRICE)
        assert (again.stopped, again.ran, again.cached) == ("cost", 0, 1)
        assert len(model.called) == 11
        rest = run(20, max_cost=1.0)
    assert (rest.stopped, rest.reused, rest.ran, rest.answered) == (None, 5, 15, 20)
    assert rest.cost == pytest.approx(40 * PRICE)
    assert len(model.called) == len(set(model.called)) == 40, "something was paid for twice"


def test_a_broken_run_that_is_run_again_counts_its_cost_once(refusing):
    model, run, over = refusing
    assert run(4).errors == 4
    over.set()
    # four searches were paid for, four answers are missing
    summary = run(4, max_cost=8.5 * PRICE)
    assert (summary.stopped, summary.answered, summary.cached) == (None, 4, 4)
    more = run(6, max_cost=9.5 * PRICE, concurrency=1)
    # eight calls count, so there is room for two more
    assert (more.stopped, more.ran, more.errors) == ("cost", 1, 0)
    assert len(model.called) == 4 + 4 + 4 + 2, "a finished call was made again, or too many were"


def test_without_a_cache_what_is_paid_twice_counts_twice(refusing):
    _, run, over = refusing
    run(4, cache=False)
    over.set()
    summary = run(4, max_cost=8.5 * PRICE, concurrency=1, cache=False)
    assert (summary.stopped, summary.ran, summary.cached) == ("cost", 2, 0)
    assert summary.errors == 2, "a broken run that was not reached stays one"


def test_the_time_limit_cuts_off_what_is_under_way_and_records_nothing_of_it(served, tmp_path):
    stuck = threading.Event()
    with served(lambda number, _: stuck.wait(600) and None if number >= 10 else None, timeout=600.0) as (_, run):
        run(1)  # litellm is loaded
        summary = run(30, max_seconds=5.0, concurrency=4)
        assert not stuck.is_set()
        assert (summary.stopped, summary.errors) == ("seconds", 0)
        assert 0 < summary.ran < 10
        assert len(answers(tmp_path)) == 1 + summary.ran
        stuck.set()
        rest = run(30, concurrency=30, adaptive=False)
    assert (rest.stopped, rest.answered) == (None, 30)


def test_a_limit_that_cannot_be_kept_is_refused_before_anything_runs(rollout, tmp_path):
    unpriced = AgentSettings(model="hosted_vllm/m", base_url="http://127.0.0.1:9/v1")
    for wrong, named in (
        ({"max_cost": 1.0}, "price of 'hosted_vllm/m' is unknown"),
        ({"max_cost": -1.0}, "max_cost is -1.0"),
        ({"max_seconds": 0.0}, "max_seconds is 0.0"),
        ({"cache": str(tmp_path)}, "cache"),
    ):
        with pytest.raises(InputError, match=named):
            rollout(tasks(1), unpriced, tmp_path / "run", **wrong)


def test_several_rollouts_share_a_cache_and_pay_once(served, tmp_path):
    with served() as (model, run):
        for name in ("a", "b"):
            summary = run(5, tmp_path / name, cache=str(tmp_path / "shared.sqlite"), samples=2)
    assert (summary.answered, summary.cached) == (10, 20)
    assert Counter(Counter(model.called).values()) == {2: 10}, "samples were taken for one another"
    assert answers(tmp_path / "a") == answers(tmp_path / "b")
    assert not (tmp_path / "a" / "calls.sqlite").exists()


def test_samples_that_are_sent_alike_are_still_asked_each(served):
    unseeded = msgspec.structs.replace(AgentSettings(model="sim/default").sampling, seed=None)
    with served(sampling=unseeded) as (model, run):
        summary = run(2, samples=3)
    assert (len(model.called), summary.cached) == (12, 0)


def test_a_damaged_cache_is_one_sentence_and_what_had_ended_stays(served, tmp_path):
    with served() as (_, run):
        run(2)
        (tmp_path / "calls.sqlite").write_bytes(b"?" * 5000)
        with pytest.raises(InputError, match=r"damaged.*delete it"):
            run(4)
        (tmp_path / "calls.sqlite").unlink()
        assert run(4).reused == 2


def test_calls_in_flight_are_bounded_and_runs_begin_in_order(served):
    with served(hang=0.05) as (model, run):
        run(40, concurrency=4)
    assert model.most == 4
    begun = [number for number, turn in model.called if turn == 0]
    assert all(abs(place - number) <= 8 for place, number in enumerate(begun))
    # a run begins only when it can go on, so that its time is not spent waiting
    under_way = [sum(1 - 2 * turn for _, turn in model.called[:n]) for n in range(1, 80)]
    assert max(under_way) <= 4 * 1.25


def test_runs_that_wait_to_try_again_do_not_keep_others_from_starting(served, scripted, tmp_path):
    limited, others = scripted.Reply({}, status=429, retry_after="0.2"), set(range(3, 12))
    done = set()

    def fault(number, turn):
        if number in others and turn:
            done.add(number)
        return limited if number < 3 and done != others else None

    with served(fault, retries=Retries(attempts=1000, seconds=600.0)) as (_, run):
        run(12, concurrency=2)
    assert set(answers(tmp_path).values()) == {str(number) for number in range(12)}


def test_how_calls_were_sent_is_recorded_and_may_change(served, tmp_path):
    with served() as (_, run):
        run(1)
        run(2, concurrency=3, adaptive=False, max_cost=1.0, max_seconds=60.0, cache=False)
    first, second = yaml.safe_load((tmp_path / "run.yaml").read_text())["calls"]
    recorded = ("concurrency", "adaptive", "max_cost", "max_seconds", "cache")
    assert [first[key] for key in recorded] == [20, True, None, None, str(tmp_path / "calls.sqlite")]
    assert [second[key] for key in recorded] == [3, False, 1.0, 60.0, False]


def test_no_connection_outlives_its_rollout(served, tmp_path):
    open_files = []
    for name in ("first", "second", "third"):
        with served(hang=0.02) as (_, run):
            run(10, tmp_path / name)
            open_files.append(len(os.listdir("/proc/self/fd")))
    assert open_files[-1] <= open_files[0]


def test_a_rollout_can_be_called_where_a_loop_is_running_with_all_of_it(served):
    async def notebook(run):
        return run(2, max_cost=1.0)

    with served() as (_, run):
        assert asyncio.run(notebook(run)).answered == 2


def test_the_limit_of_a_run_ends_only_that_run(served, tmp_path):
    with served(limits=Limits(cost=0.5 * PRICE)) as (_, run):
        summary = run(3)
    assert (summary.stopped, summary.ran) == (None, 3)
    assert {each.end_reason for each in read_trajectories(tmp_path)} == {"cost_limit"}
