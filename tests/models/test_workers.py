"""Attempts made in other processes: real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lrat_sim.errors import InputError
from lrat_sim.models.attempt import Answered
from lrat_sim.models.client import Client, Request, Retries
from lrat_sim.models.workers import Workers


def request(server, text="hello", **settings):
    content = [{"role": "user", "content": text}]
    return Request(model="hosted_vllm/m", messages=content, base_url=server.url, **{"timeout": 60.0, **settings})


def echo(scripted, hang=0.0):
    def answer(asked, _):
        return scripted.Reply(scripted.body(scripted.says(asked["messages"][0]["content"], "Why.")), hang=hang)

    return answer


def gone(pid, seconds=300.0):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split(") ")[1][0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_calls_are_answered_by_several_processes_each_with_its_own_answer(scripted):
    async def run(server):
        async with Workers(2) as workers:
            await workers.ready()
            client = Client(processes=workers)
            texts = [f"say {number} \u00e4\u2028" + "x" * 100_000 for number in range(20)]
            found = await asyncio.gather(*(client.complete(request(server, text)) for text in texts))
            assert [each.message.text for each in found] == texts
            assert {each.message.reasoning for each in found} == {"Why."}
            assert all([(a.status, a.error) for a in each.attempts] == [(200, None)] for each in found)
            return workers.ids

    with scripted.Server(echo(scripted)) as server:
        pids = asyncio.run(run(server))
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert all(gone(pid) for pid in pids)


def test_failures_come_back_as_they_do_here(scripted):
    fault = scripted.Reply({"error": {"message": "slow down"}}, status=429, retry_after="7")

    async def run(server):
        async with Workers(1) as workers:
            await workers.ready()
            limited = await workers.attempt(request(server))
            absent = await workers.attempt(Request(model="nobody/m", messages=[]))
            return limited, absent

    with scripted.Server(lambda *_: fault) as server:
        limited, absent = asyncio.run(run(server))
    assert (limited.cause, limited.status, limited.retry_after) == ("limited", 429, 7.0)
    assert absent.cause == "refused"


def test_a_process_that_dies_is_started_again_and_its_calls_are_tried_again(scripted):
    async def run(server):
        async with Workers(1) as workers:
            await workers.ready()
            client = Client(processes=workers)
            await client.complete(request(server))
            (pid,) = workers.ids
            waiting = [asyncio.ensure_future(client.complete(request(server, f"say {n}"))) for n in range(3)]
            while len(server.requests) < 4:
                await asyncio.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            found = await asyncio.gather(*waiting)
            assert [each.message.text for each in found] == ["say 0", "say 1", "say 2"]
            assert all("process that made the call ended (-9)" in each.attempts[0].error for each in found)
            assert workers.ids != [pid]

    with scripted.Server(echo(scripted, hang=0.3)) as server:
        asyncio.run(run(server))


def test_a_hung_process_is_given_up(scripted, monkeypatch):
    monkeypatch.setattr("lrat_sim.models.workers._GRACE", 0.3)

    async def run(server):
        async with Workers(1) as workers:
            await workers.ready()
            assert isinstance(await workers.attempt(request(server, timeout=60.0)), Answered)
            (pid,) = workers.ids
            os.kill(pid, signal.SIGSTOP)
            outcome = await workers.attempt(request(server, timeout=0.2))
            assert (outcome.cause, "silent" in outcome.said) == ("passing", True)
            assert isinstance(await workers.attempt(request(server, timeout=60.0)), Answered)
            assert workers.ids != [pid]

    with scripted.Server(echo(scripted)) as server:
        asyncio.run(run(server))


def test_a_call_that_is_no_longer_wanted_is_dropped_there_too(scripted):
    async def run(server):
        async with Workers(1) as workers:
            await workers.ready()
            client = Client(processes=workers)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await client.complete(request(server, retries=Retries(attempts=1)))
            return len(workers._processes[0].asked)

    with scripted.Server(echo(scripted, hang=600.0)) as server:
        assert asyncio.run(run(server)) == 0


PARENT = textwrap.dedent(
    """
    import asyncio, sys, time
    from lrat_sim.models.workers import Workers

    async def run():
        async with Workers(2) as workers:
            print(*workers.ids, flush=True)
            await asyncio.sleep(600)

    asyncio.run(run())
    """
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_parent(how):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.send_signal(how)
    parent.communicate(timeout=300)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_count_below_one_is_refused():
    with pytest.raises(InputError, match="processes is 0"):
        Workers(0)


def test_until_a_process_is_ready_this_one_makes_the_calls(scripted):
    async def run(server):
        async with Workers(1) as workers:
            assert isinstance(await workers.attempt(request(server)), Answered)
            assert not workers._processes[0].ready.is_set()
            await workers.ready()
            before = len(workers._processes[0].asked)
            call = asyncio.ensure_future(workers.attempt(request(server)))
            await asyncio.sleep(0)
            assert (before, len(workers._processes[0].asked)) == (0, 1)
            assert isinstance(await call, Answered)

    with scripted.Server(echo(scripted)) as server:
        asyncio.run(run(server))


def test_a_process_that_never_comes_up_is_not_started_for_ever(scripted, monkeypatch):
    started = []
    spawn = asyncio.create_subprocess_exec

    async def broken(*_, **how):
        started.append(1)
        return await spawn(sys.executable, "-c", "raise SystemExit('no memory')", **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", broken)

    async def run(server):
        async with Workers(1) as workers:
            for _ in range(6):
                assert isinstance(await workers.attempt(request(server)), Answered)
                while workers._processes[0].running is not None:
                    await asyncio.sleep(0.01)

    with scripted.Server(echo(scripted)) as server, pytest.warns(RuntimeWarning, match="no memory"):
        asyncio.run(run(server))
    assert len(started) == 3
