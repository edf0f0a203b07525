"""What both model judges share: filling a prompt, asking, and reading a reply that is dressed up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from lrat_sim.errors import BoundaryError, InputError
from lrat_sim.records import Failure, Usage

_SLOT = re.compile(r"\{(\w+)\}")
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_UNOPENED = re.compile(r"^.*</(?:think|thinking|reasoning)>", re.DOTALL | re.IGNORECASE)
_MARKUP = re.compile(r"[*_`#>]+|\\boxed\{|\\text\{|\}")


class JudgeModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language model behind a judge.

    ``model`` is a litellm string; ``sampling`` is sent as it stands; ``base_url`` and ``key_env`` (the environment
    variable with the key) are for endpoints that litellm does not know; ``timeout`` is in seconds a call.
    """

    model: str
    sampling: dict[str, Any] = {}
    base_url: str | None = None
    key_env: str | None = None
    timeout: float = 120.0


class Reply(Struct, frozen=True, kw_only=True):
    """What a model said, or why it did not; ``text`` is without thinking blocks and markup."""

    text: str = ""
    usage: Usage = Usage(cost=0.0)
    error: Failure | None = None


Ask = Callable[[str], Awaitable[Reply]]
"""Sends one prompt; never raises for what a model or a network does."""


def ask_model(settings: JudgeModel) -> Ask:
    """A function that sends a prompt to a judge's model through the language-model client.

    A call that was given up comes back as a reply with its error, at the judge's boundary.
    """

    async def ask(prompt: str) -> Reply:
        from lrat_sim.llm.client import Request, complete

        request = Request(
            model=settings.model,
            messages=[{"role": "user", "content": prompt}],
            sampling=settings.sampling,
            base_url=settings.base_url,
            key_env=settings.key_env,
            timeout=settings.timeout,
        )
        try:
            completion = await complete(request)
        except BoundaryError as error:
            return Reply(error=Failure(boundary="judge", message=str(error)))
        return Reply(text=plain(completion.message.text or ""), usage=completion.usage)

    return ask


def plain(reply: str) -> str:
    """A reply without its thinking blocks (closed ones, or all before a closing tag alone) and without markup."""
    return _MARKUP.sub("", _UNOPENED.sub("", _THINKING.sub("", reply))).strip()


def fill(prompt: str, **values: str) -> str:
    """A prompt with its ``{slots}`` filled in one pass, so that braces inside the values stay as they are.

    Raises:
        InputError: the prompt lacks one of the slots.
    """
    missing = [name for name in values if "{" + name + "}" not in prompt]
    if missing:
        raise InputError(f"the judge's prompt has no place for {{{missing[0]}}}; add it to the prompt file.")
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), prompt)


def field(reply: str, name: str) -> str | None:
    """The value of the last line ``name: value`` of a reply, without regard to case; None where there is none."""
    found = re.findall(rf"(?im)^\W*{name}\W*?[:=][ \t]*(.*?)[ \t.]*$", reply)
    return found[-1] if found else None
