"""How long the next prompt is, known before it is sent."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models.call import Completion
from lrat_sim.models.litellm_model import model_facts
from lrat_sim.text import count_tokens

_UNSEEN_RATIO = 1.3
"""The model's tokens to one of the named tokenizer, before the provider counted any prompt."""
_ANSWER_ROOM = 1024
_OVERHEAD = 16
"""Tokens that a chat template puts around a message, at most."""
_COUNTED = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "tool_calls")


def prompt_window(agent: AgentSettings) -> int | None:
    """The longest prompt in tokens: the agent's window, or what is known of its model, less the room for an answer.

    That is ``sampling.max_tokens``, else 1,024, and at most a quarter of the window.
    """
    window = agent.window or model_facts(agent.model).window
    return window - min(agent.sampling.max_tokens or _ANSWER_ROOM, window // 4) if window else None


class Context:
    """The room that a run has left: in the model's window and in the run's limit on tokens.

    The estimate of a prompt is its count by the named tokenizer times the ratio of the provider's count of the last
    prompt to ours.  So what was sent already counts as the provider says, and only what was added is estimated.
    With neither window nor limit nothing is counted.
    """

    def __init__(self, agent: AgentSettings):
        self.window, self.limit, self.used = prompt_window(agent), agent.limits.tokens, 0
        tools = agent.tool_protocol.tools
        self._tools = json.dumps(tools) if tools else ""
        self._tokens = lru_cache(maxsize=None)(count_tokens)  # of one run: most of a prompt is that of the last
        self._last: tuple[list[dict[str, Any]], int] | None = None
        self._ratio = _UNSEEN_RATIO

    def note(self, messages: list[dict[str, Any]], completion: Completion) -> None:
        """Takes note of a call: of what it used, as the provider says or as estimated, and of the prompt's count."""
        prompt, written = completion.usage.prompt_tokens, completion.usage.completion_tokens
        if self.limit is not None:
            message = completion.message
            texts = (message.reasoning, message.text, *(call.arguments for call in message.calls))
            self.used += self.estimate(messages) if prompt is None else prompt
            self.used += sum(self._tokens(text) for text in texts if text) if written is None else written
        if prompt and (self.window is not None or self.limit is not None):
            self._last = (list(messages), prompt)

    def fits(self, messages: list[dict[str, Any]]) -> bool:
        """Whether the prompt leaves room for an answer and stays within what is left of the run's limit."""
        return self.fits_window(messages) and (self.limit is None or self._within(messages, self.limit - self.used))

    def fits_window(self, messages: list[dict[str, Any]]) -> bool:
        """Whether the prompt leaves room for an answer."""
        return self.window is None or self._within(messages, self.window)

    def estimate(self, messages: list[dict[str, Any]]) -> int:
        """The tokens of a prompt, as the model's own tokenizer is thought to count them."""
        if self._last is not None:
            sent, prompt_tokens = self._last
            self._ratio, self._last = prompt_tokens / max(1, self._count(sent)), None
        return round(self._ratio * self._count(messages))

    def _within(self, messages: list[dict[str, Any]], room: int) -> bool:
        # no tokenizer makes more tokens than there are bytes: while these fit, nothing needs counting
        texts = self._texts(messages)
        most = sum(len(text) if text.isascii() else 4 * len(text) for text in texts) + _OVERHEAD * len(messages)
        return most <= room or self.estimate(messages) <= room

    def _count(self, messages: list[dict[str, Any]]) -> int:
        return sum(map(self._tokens, self._texts(messages)))

    def _texts(self, messages: list[dict[str, Any]]) -> list[str]:
        fields = [message[field] for message in messages for field in ("content", *_COUNTED) if message.get(field)]
        texts = (field if isinstance(field, str) else json.dumps(field, ensure_ascii=False) for field in fields)
        return [self._tools, *texts]
