"""What is said in one run, as it is recorded and as the model is sent it, and the room that is left for more."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, cast

import msgspec

from lrat_sim.agent.calls import is_mended
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.agent.protocols import ParsedMessage, PassReasoning
from lrat_sim.agent.tools import MOST_ANSWERED, refused
from lrat_sim.models.call import CallFailed, Completion
from lrat_sim.models.litellm_model import model_facts
from lrat_sim.models.message import ToolCall
from lrat_sim.records import Call, Turn, Usage
from lrat_sim.text import count_tokens

_LEFT_OUT = "(left out, since the context is full)"
_UNSEEN_RATIO = 1.3  # the model's tokens to one of the named tokenizer, before the provider counted any prompt
_ANSWER_ROOM = 1024
_OVERHEAD = 16  # tokens that a chat template puts around a message, at most
_COUNTED = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "tool_calls")


class Transcript:
    """The turns of a run, and the messages in which its protocol words them."""

    def __init__(self, agent: AgentSettings, question: str):
        self.turns: list[Turn] = []
        self.usage, self.spent = Usage.zero(), 0.0  # US dollars
        self.failed: list[dict[str, Any]] = []  # attempts at calls that were given up
        self.left_out: list[int] = []  # the turns whose outputs were taken out of the messages again
        self.messages: list[dict[str, Any]] = [
            {"role": "system", "content": agent.prompt},
            {"role": "user", "content": question},
        ]
        self._protocol, self._answer_prompt = agent.tool_protocol, agent.answer_prompt
        self._pass_reasoning = cast(PassReasoning, agent.pass_reasoning)
        self._drop_finished = agent.finished_reasoning == "drop"
        # of the turns whose outputs are still there: the turn's number, and the index of its first output
        self._shown: list[tuple[int, int]] = []
        self._dearest = 0.0

    def record(self, completion: Completion, parsed: ParsedMessage, calls: list[Call]) -> None:
        """Records a turn; the model is sent nothing of it."""
        cost = completion.usage.cost
        self.turns.append(
            Turn(
                reasoning=parsed.reasoning,
                reasoning_tokens=count_tokens(parsed.reasoning) if parsed.reasoning else 0,
                calls=calls,
                text=parsed.text,
                finish_reason=completion.finish_reason,
                usage=completion.usage,
                attempts=completion.attempts,
                raw=_raw(completion, parsed),
            )
        )
        self.usage = self.usage + completion.usage
        # a call whose cost is unknown counts as the most expensive so far, as in the budget of a rollout
        self._dearest = max(self._dearest, cost or 0.0)
        self.spent += self._dearest if cost is None else cost

    def record_refused(self, completion: Completion, parsed: ParsedMessage, problem: str) -> None:
        """Records a turn none of whose calls runs."""
        self.record(completion, parsed, [refused(call, problem) for call in self.numbered(parsed)])

    def add(self, completion: Completion, parsed: ParsedMessage, requested: list[ToolCall], calls: list[Call]) -> None:
        """Records a turn, and adds it to the messages with the calls that it requests and their outputs."""
        self.messages.append(self._protocol.turn(parsed, requested, self._pass_reasoning))
        self._shown.append((len(self.turns), len(self.messages)))
        self.messages += self._protocol.outputs(calls)
        self.record(completion, parsed, calls)

    def show(self, calls: list[Call]) -> None:
        """Records calls that no model asked for as a turn of their own; their outputs go below the question, into its
        message."""
        self.turns.append(Turn(reasoning=None, reasoning_tokens=0, calls=calls, usage=Usage.zero()))
        content = "\n\n".join([self.messages[-1]["content"], *(call.output for call in calls)])
        self.messages[-1] = {"role": "user", "content": content}

    def refuse(self, completion: Completion, parsed: ParsedMessage, problem: str) -> None:
        """Records a turn that called a tool where an answer was demanded, and tells the model that its calls did not
        run; the demand stays in the messages."""
        requested = self.numbered(parsed)
        self.messages = self.answer_request()
        self.add(completion, parsed, requested, [refused(call, problem) for call in requested])

    def remind(self, parsed: ParsedMessage, text: str) -> None:
        """Tells the model what is wrong with a message that is neither call nor answer; an empty one is left out."""
        message = self._protocol.turn(parsed, [], self._pass_reasoning)
        message.pop("tool_calls", None)  # endpoints refuse an empty list
        written = [message] if (message["content"] or "").strip() else []
        self.messages = self._protocol.ask(self._finished([*self.messages, *written]), text)

    def answer_request(self) -> list[dict[str, Any]]:
        """The messages with the demand for an answer at their end, unless they began with it."""
        if not self._answer_prompt:
            return self.messages
        return self._protocol.ask(self._finished(self.messages), self._answer_prompt)

    def _finished(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages before one of ours: without their reasoning where the profile says so."""
        return list(map(self._protocol.without_reasoning, messages)) if self._drop_finished else messages

    def make_room(self, count: int = 1) -> bool:
        """Leaves out the outputs of the last ``count`` turns that still have theirs; False where none has."""
        last = self._shown[-count:]
        for number, start in last:
            calls = [msgspec.structs.replace(call, output=_LEFT_OUT) for call in self.turns[number].calls]
            outputs = self._protocol.outputs(calls)
            self.messages[start : start + len(outputs)] = outputs
            self.left_out.append(number)
        del self._shown[-count:]
        return bool(last)

    def keep_attempts(self, error: CallFailed) -> None:
        """Records the attempts at a call that was given up."""
        self.failed += [{"status": attempt.status, "error": attempt.error} for attempt in error.attempts]

    def numbered(self, parsed: ParsedMessage) -> list[ToolCall]:
        """The calls of the next turn with ids that are there and differ, since outputs are matched to calls by them."""
        taken: set[str] = set()
        calls = []
        for index, call in enumerate(parsed.calls[:MOST_ANSWERED]):
            own = call.id if call.id and call.id not in taken else f"call_{len(self.turns)}_{index}"
            while own in taken:
                own += "_"
            taken.add(own)
            calls.append(msgspec.structs.replace(call, id=own))
        return calls


def _raw(completion: Completion, parsed: ParsedMessage) -> dict[str, Any] | None:
    """The message as received, where the turn does not hold it all: also where arguments were mended."""
    calls = completion.message.calls[:MOST_ANSWERED]
    if not any(is_mended(call.arguments) for call in calls) or (parsed.raw or {}).get("tool_calls"):
        return parsed.raw
    return with_calls(parsed.raw, calls)


def with_calls(raw: dict[str, Any] | None, calls: list[ToolCall]) -> dict[str, Any]:
    """A message as received with its calls as the model wrote them."""
    written = [{"id": call.id, "function": {"name": call.name, "arguments": call.arguments}} for call in calls]
    return {**(raw or {"role": "assistant"}), "tool_calls": written}


def prompt_window(agent: AgentSettings) -> int | None:
    """The longest prompt in tokens: the agent's window, or its model's, less the room for an answer."""
    window = agent.window or model_facts(agent.model).window
    return window - min(agent.sampling.max_tokens or _ANSWER_ROOM, window // 4) if window else None


class Context:
    """The room that a run has left: in the model's window and in the run's limit on tokens.

    A prompt is estimated as its count by the named tokenizer times the ratio of the provider's count of the last prompt
    to ours: what was sent already counts as the provider says, and only what was added is estimated.
    """

    def __init__(self, agent: AgentSettings):
        self.window, self.limit, self.used = prompt_window(agent), agent.limits.tokens, 0
        tools = agent.tool_protocol.tools
        self._tools = json.dumps(tools) if tools else ""
        self._tokens = lru_cache(maxsize=None)(count_tokens)  # of one run: most of a prompt is that of the last
        self._last: tuple[list[dict[str, Any]], int] | None = None
        self._ratio = _UNSEEN_RATIO

    def note(self, messages: list[dict[str, Any]], completion: Completion) -> None:
        """Takes note of what a call used, as the provider says or as estimated."""
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
