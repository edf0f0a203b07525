"""A rollout against the loopback provider, to be run in a process of its own and stopped there.

python rollout_process.py FOLDER BASE_URL TASKS CONCURRENCY
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import provider
import scripted

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models.call import Retries
from lrat_sim.records import Task
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.run import rollout


def main(folder: Path, base_url: str, tasks: int, concurrency: int) -> None:
    """Runs the provider's first tasks; the same call resumes where it was stopped."""
    agent = AgentSettings(model="openai/glm-4", base_url=base_url, retries=Retries(attempts=4, seconds=30.0))
    questions = [Task(id=f"t{number}", question=provider.question(number)) for number in range(tasks)]
    rollout(questions, agent, scripted.Tiny(), folder, calls=CallOptions(concurrency=concurrency))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
