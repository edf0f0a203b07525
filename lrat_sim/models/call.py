"""The nouns of a language-model call: what is asked, who answers, what came back, and why nothing did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from lrat_sim.errors import ModelError
from lrat_sim.models.message import Message
from lrat_sim.records import Attempt, Usage
from lrat_sim.settings import NotNegative, Settings


class Retries(Settings, frozen=True, kw_only=True):
    """How long a failed call is tried again."""

    attempts: Annotated[int, Meta(ge=1, le=1_000_000, description="Attempts at one call, the first one included.")] = 6
    # waiting for a free slot does not count
    seconds: Annotated[NotNegative, Meta(description="Seconds after which no further attempt begins.")] = 300.0


Api = Literal["chat", "responses"]  # chat completions, or OpenAI's Responses API
# what is sent for a content of None: litellm's choice for hosted models and "" for one's own server, always "", or null
EmptyContent = Literal["auto", "empty", "none"]


class Request(Struct, frozen=True, kw_only=True):
    """One call: what is sent, and where."""

    model: str  # litellm's name
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | None = None  # only sent with tools
    sampling: dict[str, Any] = {}
    base_url: str | None = None
    key_env: str | None = None  # the environment variable with the key; else litellm uses the provider's usual one
    timeout: float = 300.0  # seconds of one attempt
    retries: Retries = Retries()
    extra: dict[str, Any] = {}  # parameters of one provider, sent like `sampling` as they are
    api: Api = "chat"
    sample: int = 0  # not sent: distinguishes several answers to one question in a cache
    empty_content: EmptyContent = "auto"
    session: str | None = None  # the same in all calls of a conversation, so that they reach the same server's cache
    session_header: str | None = None  # the header that says it; None says it nowhere

    @property
    def provider(self) -> str:
        """The prefix of the model's name."""
        return self.model.partition("/")[0]

    def parameters(self) -> dict[str, Any]:
        """What is sent beside model and messages."""
        parameters = {**self.sampling, **self.extra}
        if self.tools:
            parameters["tools"] = self.tools
            if self.tool_choice is not None:
                parameters["tool_choice"] = self.tool_choice
        if self.session is not None and self.session_header is not None:
            own = parameters.get("extra_headers") or {}
            parameters["extra_headers"] = {self.session_header: self.session, **own}
        return parameters


class Answer(Struct, frozen=True, kw_only=True):
    """A model's answer as it arrived: an OpenAI-shaped message or its items, its usage, and why it ended."""

    message: dict[str, Any]
    usage: Usage
    finish_reason: str | None


class Model(Protocol):
    """Answers requests, each by one attempt; it may raise any exception.

    :func:`lrat_sim.models.retry.failure` decides what an exception means, and
    :class:`lrat_sim.models.client.Client` enforces the timeout and tries again.
    """

    async def answer(self, request: Request) -> Answer:
        """The answer to a request."""


OWN_MODELS: dict[str, Callable[[], Model]] = {}
"""Models of our own: the prefix of their names, and what makes one.  They run in this process and cost nothing."""


def is_own(model: str) -> bool:
    """Whether a model of our own answers to this name."""
    return model.partition("/")[0] in OWN_MODELS


class NoAnswer(Exception):
    """A reply arrived that holds no answer; another attempt may bring one."""

    status_code = 200


# each provider has its own words for these two, and litellm translates only some of them
_CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
_WITHHELD = ("content_filter", "safety", "prohibited_content", "blocklist", "spii", "recitation", "sensitive")


class Completion(Struct, frozen=True, kw_only=True):
    """A model's answer, read: the message, its usage, why it ended, and the attempts that it took."""

    message: Message
    usage: Usage
    finish_reason: str | None
    attempts: list[Attempt]
    cached: bool = False  # then it has the usage that was paid when it was new, and no attempts

    @property
    def cut_off(self) -> bool:
        """Whether the message ended at a token limit, before the model was done."""
        return (self.finish_reason or "").casefold() in _CUT_OFF

    @property
    def withheld(self) -> bool:
        """Whether the provider's content filter withheld the message or its end."""
        return (self.finish_reason or "").casefold() in _WITHHELD


class CallFailed(ModelError):
    """The call was given up; ``attempts`` are those made."""

    def __init__(self, message: str, attempts: list[Attempt]):
        self.attempts = attempts
        super().__init__(message)


class CallRefused(CallFailed):
    """The provider would refuse the same call again: a wrong key, a parameter that it does not accept."""


class ContextOverflow(CallFailed):
    """The prompt is longer than the model's context window."""


class DeadlinePassed(CallFailed):
    """No answer arrived by the caller's deadline."""
