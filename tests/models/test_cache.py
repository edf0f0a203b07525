"""Answers on disk."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from lrat_sim.errors import InputError
from lrat_sim.models.cache import CallCache, call_key
from lrat_sim.models.call import Completion, Request, Retries
from lrat_sim.models.message import Message, ToolCall
from lrat_sim.records import Attempt, Usage

TOOL = {"type": "function", "function": {"name": "search"}}
REQUEST = Request(model="openai/m", messages=[{"role": "user", "content": "x"}], tools=[TOOL])
COMPLETION = Completion(
    message=Message(
        reasoning="Because.",
        text=None,
        calls=[ToolCall(id="1", name="search", arguments='{"query": "ä"}')],
        raw={"role": "assistant", "thinking_blocks": [{"thinking": "Because.", "signature": "s"}]},
    ),
    usage=Usage(prompt_tokens=10, completion_tokens=5, reasoning_tokens=2, cost=0.25),
    finish_reason="tool_calls",
    attempts=[Attempt(seconds=1.0, status=200)],
)


def test_a_completion_comes_back_whole_marked_and_without_attempts(tmp_path):
    with CallCache(tmp_path / "new" / "calls.sqlite") as cache:
        assert cache.get(b"k") is None
        cache.put(b"k", COMPLETION)
    with CallCache(tmp_path / "new" / "calls.sqlite") as cache:
        assert cache.get(b"k") == msgspec.structs.replace(COMPLETION, cached=True, attempts=[])


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "openai/n"},
        {"messages": [{"role": "user", "content": "y"}]},
        {"tools": None},
        {"tool_choice": "none"},
        {"sampling": {"temperature": 0.5}},
        {"extra": {"top_k": 3}},
        {"base_url": "http://elsewhere/v1"},
        {"sample": 1},
        {"empty_content": "none"},
    ],
)
def test_all_that_changes_the_answer_changes_the_key(changed):
    assert call_key(msgspec.structs.replace(REQUEST, **changed)) != call_key(REQUEST)


def test_how_a_call_is_sent_and_the_order_of_keys_do_not_change_it():
    sent = {"timeout": 7.0, "retries": Retries(attempts=2), "key_env": "OTHER"}
    sent |= {"session": "5e55", "session_header": "X-Session-ID"}
    reordered = {"messages": [{"content": "x", "role": "user"}]}
    assert call_key(msgspec.structs.replace(REQUEST, **sent, **reordered)) == call_key(REQUEST)


def test_the_first_of_two_answers_stays(tmp_path):
    with CallCache(tmp_path / "calls.sqlite") as cache:
        cache.put(b"k", COMPLETION)
        cache.put(b"k", msgspec.structs.replace(COMPLETION, finish_reason="stop"))
        assert cache.get(b"k").finish_reason == "tool_calls"


def test_a_damaged_file_page_or_answer_is_one_sentence(tmp_path):
    none, path = tmp_path / "none.sqlite", tmp_path / "calls.sqlite"
    none.write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"none\.sqlite is damaged.*delete it"):
        CallCache(none)
    with CallCache(path) as cache:
        for number in range(500):
            cache.put(str(number).encode(), msgspec.structs.replace(COMPLETION, finish_reason=os.urandom(200).hex()))
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"), CallCache(path) as cache:
        [cache.get(str(number).encode()) for number in range(500)]
    other = tmp_path / "other.sqlite"
    with CallCache(other) as cache:
        cache.put(b"k", COMPLETION)
        cache._connection.execute("UPDATE calls SET completion = x'00'")
        with pytest.raises(InputError, match="is damaged"):
            cache.get(b"k")


def test_the_database_of_another_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE people (name)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="no cache of calls"):
        CallCache(path)
    assert path.read_bytes() == before, "not even the kind of its journal"
    assert list(tmp_path.iterdir()) == [path]


WRITER = textwrap.dedent(
    """
    import sys
    from lrat_sim.models.cache import CallCache
    from lrat_sim.models.call import Completion
    from lrat_sim.models.message import Message
    from lrat_sim.records import Usage

    message = Message(reasoning=None, text="x" * 1000, calls=[])
    completion = Completion(message=message, usage=Usage(), finish_reason=None, attempts=[])
    with CallCache(sys.argv[1]) as cache:
        for number in range(int(sys.argv[3])):
            cache.put(f"{sys.argv[2]}{number}".encode(), completion)
            print(number, flush=True)
    """
)


def start(path, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_may_write_at_once(tmp_path):
    path = tmp_path / "calls.sqlite"
    writers = [start(path, name, 300) for name in "abc"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda writer: writer.communicate(timeout=600), writers))
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with CallCache(path) as cache:
        assert all(cache.get(f"{name}{number}".encode()) for name in "abc" for number in range(300))


def test_what_another_process_keeps_is_found_soon(tmp_path):
    path = tmp_path / "calls.sqlite"
    with CallCache(path) as cache:
        assert cache.get(b"a0") is None
        start(path, "a", 1).communicate()
        ends = time.monotonic() + 300
        while cache.get(b"a0") is None and time.monotonic() < ends:
            time.sleep(0.05)
        assert cache.get(b"a0")
        assert cache.get(b"a1") is None


def test_a_kill_leaves_all_that_was_kept(tmp_path):
    path = tmp_path / "calls.sqlite"
    writer = start(path, "a", 1_000_000)
    kept = -1
    ends = time.monotonic() + 300
    while kept < 200 and time.monotonic() < ends:
        kept = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    with CallCache(path) as cache:
        assert all(cache.get(f"a{number}".encode()) for number in range(kept + 1))
        cache.put(b"more", COMPLETION)
        assert cache.get(b"more")
