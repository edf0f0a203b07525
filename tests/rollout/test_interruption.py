import importlib.util
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from pyarrow import parquet

from lrat_sim.errors import InputError
from lrat_sim.records import Trajectory, canonical
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.store import Store

SCRIPT = Path(__file__).parents[1] / "support" / "interrupted_rollout.py"
TASKS = 40


def start(folder):
    command = [sys.executable, str(SCRIPT), str(folder), str(TASKS), "4", "0.05"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


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
def run_here(scripted):
    """The same rollout in this process, at full speed and with another concurrency."""
    spec = importlib.util.spec_from_file_location("interrupted_rollout", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda folder: module.main(folder, TASKS, 7, 0.0)


def test_killed_and_resumed_equals_uninterrupted(run_here, tmp_path):
    folder = tmp_path / "killed" / "run"
    folder.parent.mkdir()
    for count in sorted(random.Random(5).sample(range(2, TASKS - 12), 2)):
        process = start(folder)
        wait_for(process, folder, count)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = {trajectory.task_id[1:] for trajectory in read_trajectories(folder)}
    assert 0 < len(done) < TASKS
    before = Counter((folder.parent / "called.txt").read_text().split())
    run_here(folder)
    after = Counter((folder.parent / "called.txt").read_text().split())
    assert all(after[number] == before[number] for number in done), "a finished task was called again"
    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    run_here(whole)
    assert content(folder) == content(whole)
    assert len(content(folder)) == TASKS


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(run_here, tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(process, folder, 5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "the same command goes on from there" in " ".join(said.split())
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in said
    assert (folder / "trajectories.jsonl").read_bytes().endswith(b"\n")
    done = lines(folder)
    assert parquet.read_table(folder / "index.parquet").num_rows == done
    run_here(folder)
    assert lines(folder) == TASKS


def test_two_writers_of_one_folder_are_refused(run_here, tmp_path):
    with Store(tmp_path / "trajectories.jsonl", Trajectory), pytest.raises(InputError, match="another process"):
        run_here(tmp_path)
