"""Rollouts in a process of their own, stopped at any moment and started again."""

import random
import signal
import subprocess
import sys
import time

import pytest
from pyarrow import parquet
from run_folder import content, lines

from lrat_sim.artifact import Store, write_records, write_text
from lrat_sim.catalog import dump_yaml
from lrat_sim.errors import InputError
from lrat_sim.records import Task, Trajectory
from lrat_sim.rollout.index import read_trajectories


@pytest.fixture
def start(rollout_process):
    """Starts a rollout in a process of its own; whatever happens, none outlives the test."""
    started = []

    def start(folder, url, tasks, concurrency=16, command=()):
        command = command or [rollout_process.__file__, folder, url, tasks, concurrency]
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(process, folder, count):
    deadline = time.monotonic() + 600
    while lines(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, "it ended before it could be stopped"
    assert lines(folder) >= count, "it stands still"


def finished(folder):
    if not lines(folder):
        return set()
    return {int(each.task_id[1:]) for each in read_trajectories(folder) if each.status != "error"}


@pytest.mark.parametrize(("kills", "tasks"), [(3, 45), pytest.param(50, 500, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(
    kills, tasks, start, rollout_process, provider, tmp_path
):
    chance = random.Random(kills)
    folder, log = tmp_path / "killed", tmp_path / "requests.jsonl"
    moments = []
    with provider.Provider(log, seed=11, turns=3, faults=0.05, kinds="500,cut,cut-body") as server:
        for left in range(kills, 0, -1):
            process, before = start(folder, server.url, tasks), lines(folder)
            # so many more trajectories, on average a fair share of the rest, and any moment until the next
            wait_for(process, folder, before + int(chance.random() * 1.5 * (tasks - before) / (left + 1)))
            time.sleep(chance.random() * 0.03)  # some tasks end in it, too few to run out of them
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            moments.append((log.stat().st_size if log.exists() else 0, finished(folder)))
        rollout_process.main(folder, server.url, tasks, 16)
        for seen, done in moments:
            assert not done & {request["task"] for request in server.requests(seen)}, "a finished task was called again"
        rollout_process.main(tmp_path / "whole", server.url, tasks, 7)
    assert len({len(done) for _, done in moments}) > kills / 2, "the kills fell on few moments"
    assert len(finished(folder)) == tasks
    assert content(folder) == content(tmp_path / "whole")
    assert parquet.read_table(folder / "index.parquet").num_rows == tasks


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(start, rollout_process, provider, tmp_path):
    folder = tmp_path / "run"
    with provider.Provider(tmp_path / "requests.jsonl", latency=0.1) as server:
        process = start(folder, server.url, 60, 4)
        wait_for(process, folder, 5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
        assert process.returncode != 0
        resume = f"stopped; finished runs are in {folder}; rerun the same command to resume"
        assert said.rstrip().endswith(f"KeyboardInterrupt\n{resume}")
        assert "never retrieved" not in said
        assert (folder / "trajectories.jsonl").read_bytes().endswith(b"\n")
        done = lines(folder)
        assert parquet.read_table(folder / "index.parquet").num_rows == done
        rollout_process.main(folder, server.url, 60, 16)
    assert lines(folder) == 60


# a shell without job control, as a batch script's, starts what it runs in the background so that SIGINT is ignored
IGNORING = "import runpy, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
BACKGROUND = IGNORING + "runpy.run_module('lrat_sim.cli', run_name='__main__')"


@pytest.mark.parametrize(
    ("sent", "program"),
    [
        (signal.SIGINT, ["-m", "lrat_sim.cli"]),
        (signal.SIGTERM, ["-m", "lrat_sim.cli"]),
        (signal.SIGTERM, ["-c", BACKGROUND]),
    ],
    ids=["Ctrl-C", "a scheduler", "a scheduler, in the background"],
)
def test_a_command_is_stopped_by_ctrl_c_and_by_a_scheduler(sent, program, start, provider, scripted, tmp_path):
    folder, source = tmp_path / "run", tmp_path / "set"
    write_records(source / "corpus.jsonl", scripted.DOCUMENTS)
    write_records(source / "test.jsonl", [Task(id=f"t{n}", question=provider.question(n)) for n in range(60)])
    with provider.Provider(tmp_path / "requests.jsonl", latency=0.1) as server:
        write_text(tmp_path / "agent.yaml", dump_yaml({"model": "openai/glm-4", "base_url": server.url}))
        command = [*program, "rollout", "-t", source, "--data", tmp_path / "data", "-r", "bm25"]
        command += ["-a", tmp_path / "agent.yaml", "--split", "test", "--concurrency", 4, "-o", folder]
        process = start(folder, server.url, 60, command=command)
        wait_for(process, folder, 5)
        process.send_signal(sent)
        _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert f"stopped; finished runs are in {folder}; rerun the same command to resume" in " ".join(said.split())
    assert "Traceback" not in said
    assert parquet.read_table(folder / "index.parquet").num_rows == lines(folder) < 60


def test_two_writers_of_one_folder_are_refused(rollout_process, tmp_path):
    with Store(tmp_path / "trajectories.jsonl", Trajectory), pytest.raises(InputError, match="another process"):
        rollout_process.main(tmp_path, "http://127.0.0.1:9/v1", 1, 1)
