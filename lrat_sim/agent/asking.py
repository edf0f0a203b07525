"""Asks the model on behalf of one run: what is sent beside the messages, and whether it still fits."""

from __future__ import annotations

import re
from typing import Any

import msgspec

import lrat_sim.agent.simulated  # noqa: F401  # enters the simulated model
from lrat_sim.agent.context import Context
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import fingerprint
from lrat_sim.models.call import CallRefused, Completion, Request
from lrat_sim.models.client import Client
from lrat_sim.records import Task

_TOOL_CHOICE = re.compile(r"tool[_ ]?choice", re.IGNORECASE)


class Asker:
    """The requests of one run; ``sampling`` and ``simulation`` are sent with each, ``context`` knows what fits.

    Args:
        task: what is asked; a simulated agent gets its plan as a parameter, never in a message.
        agent: resolved settings.
        sample: which of several runs of the task this is.
        seed: the run's seed.
        client: through which the requests go.
        priority: of the run's calls among those that wait for a slot.
    """

    def __init__(self, task: Task, agent: AgentSettings, sample: int, seed: int, client: Client, priority: int):
        self._agent, self._sample, self._client, self._priority = agent, sample, client, priority
        self._protocol = agent.talks
        self.context = Context(agent, self._protocol.tools)
        self._used = 0  # tokens, of the run's limit
        # whether the request for an answer says by a parameter that no tool is to be called
        self._sends_tool_choice = self._protocol.tool_choice is not None
        self.sampling = agent.sampling.sent(sample=sample, seed=seed, stop=self._protocol.stop)
        self.simulation: dict[str, Any] | None = None
        if agent.simulated and task.plan is not None:
            # of the run's seed, task and sample alone, so that runs with two retrievers are paired
            own_seed = int(fingerprint([seed, task.id, sample]), 16) >> 11  # 53 bits, which any JSON reader keeps
            plan = msgspec.to_builtins(task.plan)
            self.simulation = {"plan": plan, "persona": agent.simulation, "seed": own_seed}

    def fits(self, messages: list[dict[str, Any]]) -> bool:
        """Whether the window and the run's limit of tokens have room for the messages."""
        return self.context.fits_window(messages) and self.context.fits_limit(messages, self._used)

    async def ask(
        self, messages: list[dict[str, Any]], *, answer: bool = False, deadline: float | None = None
    ) -> Completion:
        """What the model says to the messages.

        Args:
            messages: the conversation.
            answer: whether it must answer, without calls.
            deadline: the ``time.monotonic()`` by which it must have answered.

        Raises:
            CallFailed: it did not answer.
        """
        agent, protocol = self._agent, self._protocol
        extra = dict(agent.provider)
        if answer:
            extra.pop("tool_choice", None)
        if self.simulation is not None:
            extra["simulation"] = self.simulation
        request = Request(
            model=agent.model,
            messages=messages,
            tools=protocol.tools,
            tool_choice=protocol.tool_choice if answer and self._sends_tool_choice else None,
            sampling=self.sampling,
            base_url=agent.base_url,
            key_env=agent.key_env,
            timeout=agent.timeout,
            retries=agent.retries,
            extra=extra,
            sample=self._sample,
        )
        completion = await self._client.complete(request, priority=self._priority, deadline=deadline)
        self._used += self.context.used(messages, completion.usage, completion.message)
        self.context.sent(messages, completion.usage.prompt_tokens)
        return completion

    def may_ask_again(self, error: CallRefused) -> bool:
        """Whether the refused request for an answer may succeed without the parameter ``tool_choice``, which some
        providers do not know; it is not sent any more then."""
        again = self._sends_tool_choice and _TOOL_CHOICE.search(str(error)) is not None
        self._sends_tool_choice = self._sends_tool_choice and not again
        return again
