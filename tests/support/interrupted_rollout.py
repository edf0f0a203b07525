"""A rollout in a process of its own, to be stopped: interrupted_rollout.py FOLDER TASKS CONCURRENCY SECONDS_A_CALL."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import scripted

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.records import Task
from lrat_sim.rollout.run import rollout

FOLDER, TASKS, CONCURRENCY, PAUSE = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])


class Slow(scripted.Tiny):
    """Searches take a while, so that there is something to interrupt."""

    def search(self, queries: Any, k: int) -> Any:
        time.sleep(PAUSE)
        return super().search(queries, k)


def answer(messages: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, Any]:
    """Searches as often as the task's number says, then answers."""
    number = int(messages[1]["content"].split()[-1])
    with (FOLDER.parent / "called.txt").open("a") as calls:
        calls.write(f"{number}\n")
    if (done := sum(message["role"] == "tool" for message in messages)) <= number % 4:
        return scripted.calls(("search", {"query": f"harbour {number} {done}"}), reasoning=f"Search {done}.")
    return scripted.says(f"Exact Answer: {number}", "Enough.")


if __name__ == "__main__":
    scripted.provide(answer)
    tasks = [Task(id=f"t{number}", question=f"Question {number}") for number in range(TASKS)]
    print("started", flush=True)
    rollout(tasks, AgentSettings(model="scripted/x"), Slow(), FOLDER, concurrency=CONCURRENCY)
    print("finished", flush=True)
