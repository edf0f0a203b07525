"""How fast the viewer opens and pages: 25,000 trajectories of real size, from the command to the first page.

    python benchmarks/viewer_speed.py [trajectories] [--keep FOLDER]

25,000 trajectories by default, 60 kB and 15 steps each (1.5 GB on disk), are generated once, with their index, tasks
and grades.  ``lrat-sim view`` is then begun as a process of its own, and asked as a browser would ask it.  The bytes
beside each line are those that the process read of any file, trajectories and index alike, as the kernel counts them.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from mining_speed import generate

from lrat_sim.artifact import read_with_offsets, write_records
from lrat_sim.records import Grade, Task, Trajectory
from lrat_sim.rollout.index import Row, row, write_index

COMMAND = "from lrat_sim.cli import main; main()"
TARGET = 2.0


def finish(folder: Path) -> None:
    """The files beside the trajectories, as a rollout and its judge leave them."""
    rows: list[Row] = []
    tasks: list[Task] = []
    grades: list[Grade] = []
    for offset, trajectory in read_with_offsets(folder / "trajectories.jsonl", Trajectory):
        rows.append(row(trajectory, offset))
        shown = [hit.docid for turn in trajectory.turns for call in turn.calls for hit in call.hits or ()]
        tasks.append(Task(id=trajectory.task_id, question=trajectory.question, answers=["x"], evidence=shown[:40:20]))
        state = "correct" if offset % 2 else "incorrect"
        grades.append(Grade(trajectory_id=trajectory.id, state=state, judge="bench"))
    write_index(folder, rows)
    write_records(folder / "tasks.jsonl", tasks)
    write_records(folder / "grades.jsonl", grades)


def read_so_far(process: int) -> int:
    """The bytes that a process has read."""
    return int(Path(f"/proc/{process}/io").read_text().split()[1])


def worked(process: int) -> float:
    """The seconds of processor that a process has taken: other work on the machine does not lengthen them."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(process: int) -> float:
    """The most memory that a process has held, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def main(count: int, folder: Path) -> None:
    if not (folder / "index.parquet").exists():
        generate(folder, count)
        finish(folder)
    size = (folder / "trajectories.jsonl").stat().st_size
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"{count:,} trajectories, {size / 1e9:.2f} GB\n")
    print(f"{'':<48}{'seconds':>9}{'processor':>11}{'MB read':>9}{'MB held':>9}")
    began = time.perf_counter()
    command = [sys.executable, "-c", COMMAND, "view", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().split(" at ")[1].split(";")[0]
        read, work = 0, 0.0

        def asked(title: str, path: str = "/", since: float | None = None, **parameters: object) -> float:
            nonlocal read, work
            since = time.perf_counter() if since is None else since
            with urlopen(f"{url}{path}?{urlencode(parameters)}") as answer:
                assert answer.status == 200
                answer.read()
            seconds, before, idle = time.perf_counter() - since, read, work
            read, work = read_so_far(server.pid), worked(server.pid)
            print(
                f"{title:<48}{seconds:>9.3f}{work - idle:>11.2f}{(read - before) / 1e6:>9.1f}{peak(server.pid):>9,.0f}",
                flush=True,
            )
            return seconds

        opened = asked("from the command to the first page", since=began)
        asked("page 250", page=250)
        asked("sorted by tokens, page 100", sort="-tokens", page=100)
        asked("searched for two words", q="the university")
        asked("correct ones with the fewest steps", outcome="correct", sort="steps")
        asked("one trajectory", "/trajectory", run=folder.resolve().name, id=f"q{count - 1}/0")
        asked("another trajectory", "/trajectory", run=folder.resolve().name, id=f"q{count // 2}/0")
        asked("filtered by evidence, which reads all once", evidence="some")
        asked("filtered by evidence again", evidence="all")
    finally:
        server.terminate()
        server.wait()
    print(f"\ntarget: the first page within {TARGET:g} s; {'held' if opened < TARGET else 'MISSED'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trajectories", type=int, nargs="?", default=25_000)
    parser.add_argument("--keep", type=Path, help="a folder for the trajectories, which is kept and used again")
    given = parser.parse_args()
    if given.keep:
        main(given.trajectories, given.keep)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(given.trajectories, Path(temporary))
