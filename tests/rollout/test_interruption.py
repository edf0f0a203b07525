import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lrat_sim.records import canonical
from lrat_sim.rollout.index import read_trajectories

SCRIPT = Path(__file__).parents[1] / "support" / "interrupted_rollout.py"
TASKS = 40


def start(folder, concurrency=4, pause=0.02):
    command = [sys.executable, str(SCRIPT), str(folder), str(TASKS), str(concurrency), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(folder):
    path = folder / "trajectories.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(process, folder, count):
    deadline = time.monotonic() + 60
    while lines(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be stopped"


def content(folder):
    return sorted(canonical(trajectory) for trajectory in read_trajectories(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start(folder, pause=0.0)
    assert "finished" in process.communicate(timeout=120)[0]
    return content(folder)


def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path):
    folder = tmp_path / "run"
    for count in sorted(random.Random(5).sample(range(2, TASKS - 12), 2)):
        process = start(folder)
        wait_for(process, folder, count)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = {trajectory.task_id[1:] for trajectory in read_trajectories(folder)}
    called = Counter((tmp_path / "called.txt").read_text().split())
    process = start(folder, concurrency=7, pause=0.0)
    assert "finished" in process.communicate(timeout=120)[0]
    assert content(folder) == whole
    after = Counter((tmp_path / "called.txt").read_text().split())
    assert all(after[number] == called[number] for number in done), "a finished task was called again"
    assert len(done) < TASKS


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(whole, tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(process, folder, 5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "the same command goes on from there" in " ".join(said.split())
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert (folder / "trajectories.jsonl").read_bytes().endswith(b"\n")
    assert (folder / "index.parquet").exists()
    process = start(folder, pause=0.0)
    assert "finished" in process.communicate(timeout=120)[0]
    assert content(folder) == whole


def test_two_processes_do_not_write_one_folder(tmp_path):
    folder = tmp_path / "run"
    first = start(folder)
    wait_for(first, folder, 1)
    _, said = start(folder).communicate(timeout=60)
    assert "another process" in " ".join(said.split())
    first.kill()
    first.communicate()
