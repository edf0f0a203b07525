"""How long the next prompt is, known before it is sent."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from lrat_sim.agent.profile import AgentSettings
from lrat_sim.models.facts import model_facts
from lrat_sim.models.message import Message
from lrat_sim.records import Usage
from lrat_sim.text import count_tokens

_UNSEEN_RATIO = 1.3
"""The model's tokens to one of the named tokenizer, before the provider counted any prompt."""
_ANSWER_ROOM = 1024
_OVERHEAD = 16
"""Tokens that a chat template puts around a message, at most."""
_COUNTED = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "tool_calls")


class Context:
    """The room that a run has left: in the model's window and in the run's limit on tokens.

    The estimate of a prompt is its count by the named tokenizer times the ratio of the provider's count of the last
    prompt to ours.  So what was sent already counts as the provider says, and only what was added is estimated.
    With neither window nor limit nothing is counted.

    Args:
        agent: its window, or what is known of its model; its limit on tokens; the room for an answer is
            ``sampling.max_tokens``, else 1,024, and at most a quarter of the window.
        tools: what is sent beside the messages.
    """

    def __init__(self, agent: AgentSettings, tools: list[dict[str, Any]] | None):
        window = agent.window or _known_window(agent.model)
        room = min(agent.sampling.max_tokens or _ANSWER_ROOM, window // 4) if window else 0
        self.window = window - room if window else None
        self.limit = agent.limits.tokens
        self._tools = json.dumps(tools) if tools else ""
        self._counts: dict[str, int] = {}
        self._last: tuple[list[dict[str, Any]], int] | None = None
        self._ratio = _UNSEEN_RATIO

    def sent(self, messages: list[dict[str, Any]], prompt_tokens: int | None) -> None:
        """Takes note of a prompt and of the provider's count of it; 0 is none."""
        if prompt_tokens and (self.window is not None or self.limit is not None):
            self._last = (list(messages), prompt_tokens)

    def used(self, messages: list[dict[str, Any]], usage: Usage, written: Message) -> int:
        """The tokens that a call takes from the run's limit, as the provider says; estimated where it does not."""
        if self.limit is None:
            return 0
        texts = (written.reasoning, written.text, *(call.arguments for call in written.calls))
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        prompt = self.estimate(messages) if prompt is None else prompt
        return prompt + (sum(self._counted(text) for text in texts if text) if completion is None else completion)

    def fits_window(self, messages: list[dict[str, Any]]) -> bool:
        """Whether the prompt leaves room for an answer."""
        return self.window is None or self._within(messages, self.window)

    def fits_limit(self, messages: list[dict[str, Any]], used: int) -> bool:
        """Whether the prompt stays within the run's limit, of which ``used`` tokens are gone."""
        return self.limit is None or self._within(messages, self.limit - used)

    def estimate(self, messages: list[dict[str, Any]]) -> int:
        """The tokens of a prompt, as the model's own tokenizer is thought to count them."""
        if self._last is not None:
            sent, prompt_tokens = self._last
            self._ratio, self._last = prompt_tokens / max(1, self._count(sent)), None
        return round(self._ratio * self._count(messages))

    def _within(self, messages: list[dict[str, Any]], room: int) -> bool:
        # no tokenizer makes more tokens than there are bytes: while these fit, nothing needs counting
        texts = [self._tools, *(text for message in messages for text in _texts(message))]
        most = sum(len(text) if text.isascii() else 4 * len(text) for text in texts) + _OVERHEAD * len(messages)
        return most <= room or self.estimate(messages) <= room

    def _count(self, messages: list[dict[str, Any]]) -> int:
        total = self._counted(self._tools)
        for message in messages:
            total += sum(map(self._counted, _texts(message)))
        return total

    def _counted(self, text: str) -> int:
        if text not in self._counts:
            self._counts[text] = count_tokens(text)
        return self._counts[text]


def _texts(message: dict[str, Any]) -> list[str]:
    """What of a message is in the prompt."""
    texts = [message["content"]] if message.get("content") else []
    for field in _COUNTED:
        if given := message.get(field):
            texts.append(given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))
    return texts


@lru_cache(maxsize=256)
def _known_window(model: str) -> int | None:
    return model_facts(model).window
