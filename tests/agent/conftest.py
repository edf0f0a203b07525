import asyncio

import msgspec
import pytest

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.models.call import Completion, Request
from lrat_sim.models.client import Client
from lrat_sim.models.message import read_message
from lrat_sim.records import Task, Usage

TASK = Task(id="q1", question="Where was the designer of Brindle Lighthouse born?", answers=["Thornmouth"])


@pytest.fixture
def voice(scripted):
    """Runs a task against what a model says, message by message, without any provider between.

    Returns the trajectory and the requests.  A message may be an error, which is raised; the last one is said for
    ever.  ``counts`` gives the provider's count of a request's prompt; a message may hold its own ``finish_reason``
    and ``usage``.
    """

    def go(*messages, task=TASK, retriever=None, counts=lambda request: 0, sample=0, **settings):
        requests = []

        class Voice(Client):
            async def complete(self, request, *, priority=0, deadline=None):
                said = messages[min(len(requests), len(messages) - 1)]
                requests.append(msgspec.convert(msgspec.to_builtins(request), Request))
                if isinstance(said, BaseException):
                    raise said
                usage = Usage(prompt_tokens=counts(request), completion_tokens=5, cost=0.0)
                said = dict(said)
                ended, usage = said.pop("finish_reason", "stop"), said.pop("usage", usage)
                return Completion(message=read_message(said), usage=usage, finish_reason=ended, attempts=[])

        limits = Limits(**{"k": 2, "turns": 6, **settings.pop("limits", {})})
        prompt = settings.pop("prompt", "Find it.\n{tools}\n")
        agent = AgentSettings(**{"model": "voice/x", "limits": limits, "prompt": prompt, **settings})
        return asyncio.run(run_task(task, agent, retriever or scripted.Tiny(), sample=sample, client=Voice())), requests

    return go
