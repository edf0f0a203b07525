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


class Slow(scripted.Tiny):
    """Searches take a while, so that there is something to interrupt."""

    pause = 0.0

    def search(self, queries: Any, k: int) -> Any:
        time.sleep(self.pause)
        return super().search(queries, k)


def main(folder: Path, tasks: int, concurrency: int, pause: float) -> None:
    """Searches as often as a task's number says, then answers; notes each call of the model beside the folder."""

    def answer(messages: list[dict[str, Any]], _: dict[str, Any]) -> dict[str, Any]:
        number = int(messages[1]["content"].split()[-1])
        with (folder.parent / "called.txt").open("a") as calls:
            calls.write(f"{number}\n")
        if (done := sum(message["role"] == "tool" for message in messages)) <= number % 4:
            return scripted.calls(("search", {"query": f"harbour {number} {done}"}), reasoning=f"Search {done}.")
        return scripted.says(f"Exact Answer: {number}", "Enough.")

    scripted.provide(answer)
    questions = [Task(id=f"t{number}", question=f"Question {number}") for number in range(tasks)]
    retriever = Slow()
    retriever.pause = pause
    rollout(questions, AgentSettings(model="scripted/x"), retriever, folder, concurrency=concurrency)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
