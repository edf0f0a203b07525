"""A language model as judge: how it is called, and a question put to it several times, decided by the majority."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, Struct, field

from lrat_sim import catalog
from lrat_sim.artifact import fingerprint
from lrat_sim.errors import BoundaryError, InputError
from lrat_sim.grading.replies import fill, reply_text
from lrat_sim.keys import refuse_secrets
from lrat_sim.models.call import Request, Retries
from lrat_sim.models.client import Client
from lrat_sim.models.limiter import AdaptiveLimiter
from lrat_sim.records import Failure, Usage
from lrat_sim.settings import Positive, Settings

S = TypeVar("S", bound=str)

_CEILING = 1024
"""Calls in flight at most; the number of items that are judged at once bounds them before."""


class JudgeModel(Settings, frozen=True):
    """The language model behind a judge."""

    model: Annotated[str, Meta(description="Model of the judge, by its name in litellm.")]
    sampling: Annotated[
        dict[str, Any], Meta(description="Sampling options, sent as they are; a seed grows with the vote's number.")
    ] = field(default_factory=dict)
    base_url: Annotated[str | None, Meta(description="Address of an endpoint that litellm does not know.")] = None
    key_env: Annotated[str | None, Meta(description="Environment variable that holds the API key.")] = None
    timeout: Annotated[Positive, Meta(description="Seconds that one attempt may take.")] = 120.0
    retries: Annotated[Retries, Meta(description="How failed calls are retried.")] = Retries()

    def __post_init__(self) -> None:
        names = ("model", "sampling", "base_url", "key_env")
        refuse_secrets("the judge", {name: getattr(self, name) for name in names})

    def decisive(self) -> dict[str, Any]:
        """What may change a reply, for the judge's name; how a call is sent is left out."""
        return {"model": self.model, "sampling": self.sampling, "base_url": self.base_url}


class JudgeReply(Struct, frozen=True, kw_only=True):
    """What a model said, or why it did not; ``text`` is without thinking blocks and code fences."""

    text: str = ""
    usage: Usage = Usage.zero()
    error: Failure | None = None


Ask = Callable[[str, int], Awaitable[JudgeReply]]
"""Sends one prompt for one vote (from 0); never raises for what a model or a network does."""


class Poll(Struct, Generic[S], frozen=True, kw_only=True):
    """What the votes come to.

    Attributes:
        state: what the majority says; None where there is none.
        votes: each vote; None where it failed or could not be read.
        winners: the replies of the majority.
        reason: why there is no majority: ``judge failed``, ``tie`` or ``unclear reply``.
        error: set only where a failed vote could have changed the outcome: asked again, it may.
        usage: of all votes.
    """

    state: S | None
    votes: list[S | None]
    winners: list[JudgeReply]
    reason: str | None = None
    error: Failure | None = None
    usage: Usage


class VotingModel:
    """A model that is asked ``votes`` times.

    Args:
        model: the model and how it is called.
        votes: how many.
        prompt: name or path of the prompt.
        slots: those that the prompt must have.
        client: what the calls share; by default one of this judge alone, which adapts how many calls are under way
            to what the provider allows.
        ask: sends the prompts, in place of the language-model client.

    Raises:
        InputError: the prompt lacks a slot, or ``votes`` is below 1.
    """

    def __init__(
        self,
        model: JudgeModel,
        votes: int,
        prompt: str,
        slots: tuple[str, ...],
        client: Client | None,
        ask: Ask | None,
    ):
        if votes < 1:
            raise InputError(f"votes is {votes}; a judge needs 1 or more.")
        self._model, self._votes = model, votes
        self._prompt = catalog.read_text("prompts", prompt)
        fill(self._prompt, **dict.fromkeys(slots, ""))
        self._client = client or Client(limiter=AdaptiveLimiter(_CEILING))
        self._ask = ask or self._ask_model
        self.name = f"{model.model}:{fingerprint([model.decisive(), votes, self._prompt])}"

    async def poll(self, read: Callable[[str], S | None], **slots: str) -> Poll[S]:
        """Asks all votes at once and counts the replies that can be read.

        A state wins that leads by more than the votes that failed, so that no outage decides anything.  Replies that
        cannot be read are votes for nothing: they are not asked for again.

        Args:
            read: the state that a reply names; None where it names none.
            slots: what the prompt is filled with.
        """
        prompt = fill(self._prompt, **slots)
        replies = await asyncio.gather(*(self._ask(prompt, vote) for vote in range(self._votes)))
        states = [None if reply.error else read(reply.text) for reply in replies]
        usage = sum((reply.usage for reply in replies[1:]), start=replies[0].usage)
        failed = [reply.error for reply in replies if reply.error]
        ranked = Counter(state for state in states if state is not None).most_common(2)
        # a failed vote counts for whatever would change the outcome
        lead = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0) if ranked else 0
        if lead > len(failed):
            winner = ranked[0][0]
            chosen = [reply for reply, state in zip(replies, states, strict=True) if state == winner]
            return Poll(state=winner, votes=states, winners=chosen, usage=usage)
        reason = "judge failed" if failed else "tie" if ranked else "unclear reply"
        error = failed[0] if failed else None
        return Poll(state=None, votes=states, winners=[], reason=reason, error=error, usage=usage)

    async def _ask_model(self, prompt: str, vote: int) -> JudgeReply:
        model, sampling = self._model, self._model.sampling
        if isinstance(sampling.get("seed"), int):
            sampling = {**sampling, "seed": sampling["seed"] + vote}  # else every vote would be the same
        request = Request(
            model=model.model,
            messages=[{"role": "user", "content": prompt}],
            sampling=sampling,
            base_url=model.base_url,
            key_env=model.key_env,
            timeout=model.timeout,
            retries=model.retries,
            sample=vote,
        )
        try:
            completion = await self._client.complete(request)
        except BoundaryError as error:
            return JudgeReply(error=Failure(boundary="judge", message=str(error)))
        return JudgeReply(text=reply_text(completion), usage=completion.usage)
