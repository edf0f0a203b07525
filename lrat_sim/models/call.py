"""The nouns of a language-model call: what is asked, what came back, and why it did not."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from lrat_sim.errors import ModelError
from lrat_sim.models.message import Message
from lrat_sim.records import Attempt, Usage
from lrat_sim.settings import NotNegative


class Retries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a call is tried: at most ``attempts`` times, and not beyond ``seconds`` in all.

    Waiting for a place among the calls in flight does not count.
    """

    attempts: Annotated[int, Meta(ge=1, le=1_000_000)] = 6
    seconds: NotNegative = 300.0


class Request(Struct, frozen=True, kw_only=True):
    """One call: what is sent, and where.

    ``sampling`` and ``extra`` are sent as they stand; ``extra`` holds parameters of one provider.  ``tool_choice``
    is sent with ``tools`` alone.  ``key_env`` names the environment variable with the key; without it litellm finds
    the provider's usual one.  ``timeout`` is in seconds, for one attempt.  ``sample`` is not sent: it tells several
    answers to one question apart in a cache.
    """

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | None = None
    sampling: dict[str, Any] = {}
    base_url: str | None = None
    key_env: str | None = None
    timeout: float = 300.0
    retries: Retries = Retries()
    extra: dict[str, Any] = {}
    sample: int = 0


_CUT_OFF = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
_WITHHELD = ("content_filter", "safety", "prohibited_content", "blocklist", "spii", "recitation", "sensitive")
"""Why a message ended, as providers word it; litellm translates for some of them."""


class Completion(Struct, frozen=True, kw_only=True):
    """A model's answer: the message, what it used, why it ended, and the attempts that it took.

    Where it is ``cached``, its usage is what was paid when it was new, and there are no attempts.
    """

    message: Message
    usage: Usage
    finish_reason: str | None
    attempts: list[Attempt]
    cached: bool = False

    @property
    def cut_off(self) -> bool:
        """Whether the message ended at a limit of tokens, before the model was done."""
        return (self.finish_reason or "").casefold() in _CUT_OFF

    @property
    def withheld(self) -> bool:
        """Whether a filter of the provider withheld the message, or its end."""
        return (self.finish_reason or "").casefold() in _WITHHELD


class CallFailed(ModelError):
    """The call was given up; ``attempts`` are those made."""

    def __init__(self, message: str, attempts: list[Attempt]):
        self.attempts = attempts
        super().__init__(message)


class CallRefused(CallFailed):
    """The provider would refuse the same call for ever: a wrong key, a parameter it does not take."""


class ContextOverflow(CallFailed):
    """The prompt is longer than the model's context window."""


class DeadlinePassed(CallFailed):
    """There was no answer by the deadline that the caller gave."""
