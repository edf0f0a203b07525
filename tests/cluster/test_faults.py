"""Faults in the middle of a rollout on a cluster: what ended is kept, and the same command ends with what one process
gives."""

import os
import signal
import subprocess
import sys
import threading
import time

import provider
import psutil
import pytest
import scripted
from run_folder import content, lines

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import write_records, write_text
from lrat_sim.catalog import dump_yaml
from lrat_sim.cluster import connected
from lrat_sim.corpus import prepare
from lrat_sim.models.call import Retries
from lrat_sim.records import Task
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.rollout.run import rollout

pytestmark = pytest.mark.slow

TASKS = 60


def wait_until(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds(), "it did not happen in time"


def processes_below(pid):
    return psutil.Process(pid).children(recursive=True)


def left_of(processes):
    """Those that have not ended; children of this process are reaped, since Ray's workers wait for a zombie too."""
    _, left = psutil.wait_procs(processes, timeout=0)
    return [process for process in left if is_alive(process)]


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(processes):
    """Waits until none of these is left; Ray's agents look for their node's end only every few seconds."""
    wait_until(lambda: not left_of(processes))


@pytest.fixture
def server(tmp_path):
    with provider.Provider(tmp_path / "requests.jsonl", seed=5, turns=3, latency=0.4) as server:
        yield server


@pytest.fixture
def start(server, tmp_path):
    """start(RUN, *options) starts a rollout of TASKS tasks by the command line, in a process group of its own, with
    ``at`` as the address of the cluster; whatever happens, none outlives the test."""
    source, started = tmp_path / "source", []
    write_records(source / "corpus.jsonl", scripted.DOCUMENTS)
    write_records(source / "test.jsonl", [Task(id=f"t{n}", question=provider.question(n)) for n in range(TASKS)])
    prepare("jsonl", tmp_path / "set", source=source)
    settings = {"model": "openai/glm-4", "base_url": server.url, "retries": {"attempts": 4, "seconds": 30.0}}
    write_text(tmp_path / "agent.yaml", dump_yaml(settings))

    def start(run, *options, at=None):
        command = [sys.executable, "-m", "lrat_sim.cli", "rollout", "-t", tmp_path / "set", "-r", "bm25", "-o", run]
        command += ["-a", tmp_path / "agent.yaml", "--split", "test", "--concurrency", "12", *options]
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | ({"RAY_ADDRESS": at} if at else {}),
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def ends(process):
    """Its exit code and what it said."""
    _, said = process.communicate(timeout=300)
    return process.returncode, " ".join(said.split())


def whole(start, run, folder, *options):
    """Whether the same command ends with what one process gives."""
    kept = lines(run)
    assert kept > 0
    code, said = ends(start(run, *options))
    assert code == 0, said
    assert ends(start(folder / "one"))[0] == 0
    assert lines(run) == lines(folder / "one") == TASKS, "a run was lost, or recorded twice"
    return content(run) == content(folder / "one")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_no_process_and_resumes(sent, start, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    run = tmp_path / "run"
    process = start(run, "--cluster", "local", "--workers", "2")
    wait_until(lambda: lines(run) >= 15)
    rays = processes_below(process.pid)
    assert len(rays) > 4
    # a terminal's Ctrl-C goes to all processes of the group
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    code, said = ends(process)
    if sent != signal.SIGKILL:
        assert code == 130
        assert f"stopped; finished runs are in {run}; rerun the same command to resume" in said
        assert "Traceback" not in said
    else:
        assert code == -sent
    wait_until_ended(rays)
    assert lines(run) < TASKS
    cluster = () if sent == signal.SIGKILL else ("--cluster", "local", "--workers", "2")
    assert whole(start, run, tmp_path, *cluster)


def test_a_rollout_whose_budget_is_no_longer_counted_stops_and_resumes(start, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    run = tmp_path / "run"
    process = start(run, "--cluster", "local", "--workers", "2")
    wait_until(lambda: lines(run) >= 5)
    [counting] = [each for each in processes_below(process.pid) if each.name() == "ray::Governor"]
    counting.kill()
    code, said = ends(process)
    assert code == 2
    assert "the process that counts what all workers spend was lost" in said
    assert "Traceback" not in said
    assert lines(run) < TASKS
    assert whole(start, run, tmp_path)


def test_a_rollout_whose_head_is_killed_ends_and_resumes_without_it(short_lived_nodes, start, tmp_path, server):
    run = tmp_path / "run"
    process = start(run, "--cluster", "auto", "--concurrency", "2", at=short_lived_nodes.address)
    wait_until(lambda: lines(run) >= 5)
    # what manages a node looks for its head for a minute longer
    rays = [each for node in short_lived_nodes.worker_nodes for each in node_processes(node)]
    rays = [each for each in rays if each.name() in ("ray::_Worker", "ray::Governor")]
    assert len(rays) >= 2
    head = short_lived_nodes.head_node.all_processes
    for each in (*head["gcs_server"], *head["raylet"]):
        each.process.kill()
    code, said = ends(process)
    assert code not in (0, None)
    assert "GCS" in said
    wait_until_ended(rays)
    assert lines(run) < TASKS
    assert whole(start, run, tmp_path)


def node_processes(node):
    """The processes of a node that speak for it: what manages it, and its workers."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [raylet, *raylet.children(recursive=True)]


def test_a_node_that_is_silent_for_a_while_is_given_up(short_lived_nodes, server, tmp_path, capsys):
    import ray

    ray.init(address=short_lived_nodes.address, log_to_driver=False, logging_level="error")
    tasks = [Task(id=f"t{n}", question=provider.question(n)) for n in range(TASKS)]
    agent = AgentSettings(model="openai/glm-4", base_url=server.url, retries=Retries(attempts=4, seconds=30.0))
    ray.cloudpickle.register_pickle_by_value(scripted)
    victim = next(iter(short_lived_nodes.worker_nodes))
    silenced = []

    def silence():
        wait_until(lambda: lines(tmp_path / "three") >= 5)
        silenced.extend(node_processes(victim))
        for process in silenced:
            process.suspend()
        wait_until(lambda: sum(node["Alive"] for node in ray.nodes()) == 2)
        wait_until(lambda: lines(tmp_path / "three") >= 30)
        for process in silenced:
            process.resume()

    thread = threading.Thread(target=silence)
    thread.start()
    try:
        calls = CallOptions(concurrency=6)
        with connected("auto"):
            summary = rollout(tasks, agent, scripted.Tiny(), tmp_path / "three", calls=calls, table=False)
        thread.join()
    finally:
        ray.cloudpickle.unregister_pickle_by_value(scripted)
        ray.shutdown()
    assert "was lost; others do its work again" in capsys.readouterr().err
    wait_until_ended(silenced)
    rollout(tasks, agent, scripted.Tiny(), tmp_path / "one", table=False)
    assert (summary.ran, summary.errors, lines(tmp_path / "three")) == (TASKS, 0, TASKS)
    assert content(tmp_path / "three") == content(tmp_path / "one")


@pytest.mark.parametrize("attempts", [2, 8])
def test_a_server_that_restarts_costs_retries_or_errors_that_are_run_again(attempts, start, server, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    run = tmp_path / "run"
    settings = ("--agent-option", f"retries.attempts={attempts}")
    process = start(run, *settings, "--cluster", "local", "--workers", "2")
    wait_until(lambda: lines(run) >= 10)
    server.process.kill()
    server.process.wait()
    time.sleep(3.0)
    with provider.Provider(server.path, port=server.port, **server.settings):
        code, said = ends(process)
        assert code == 0, said
        failed = [each.error.boundary for each in read_trajectories(run) if each.status == "error"]
        assert failed == (["model"] * len(failed) if attempts == 2 else [])
        assert bool(failed) == (attempts == 2)
        assert len({each.id for each in read_trajectories(run)}) == TASKS
        before = server.path.stat().st_size
        assert ends(start(run, *settings))[0] == 0
        again = {request["task"] for request in server.requests(before)}
        assert len(again) == len(failed)
        assert ends(start(tmp_path / "one", *settings))[0] == 0
    assert content(run) == content(tmp_path / "one")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of so many kB; it can be made larger."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size, *options):
        how = ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}k"]), "none", str(folder)]
        if subprocess.run(how, capture_output=True).returncode:
            pytest.skip("no file system may be mounted here (root may)")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.mark.parametrize("full", ["results", "cache"])
def test_a_full_disk_is_one_sentence_and_keeps_what_ended(full, small_disk, start, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    disk = small_disk(130)
    run = disk / "run" if full == "results" else tmp_path / "run"
    where = ("--no-cache",) if full == "results" else ("--cache", disk / "calls.sqlite")
    code, said = ends(start(run, *where, "--cluster", "local", "--workers", "2"))
    file = run / "trajectories.jsonl" if full == "results" else disk / "calls-"
    assert (code, said.count("lrat-sim: ")) == (2, 1)
    assert str(file) in said.partition("lrat-sim: ")[2]
    assert "full" in said or "No space left" in said
    assert "Traceback" not in said
    small_disk(20_000, "remount")
    assert whole(start, run, tmp_path, *where)
