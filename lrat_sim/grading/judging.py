"""What both judges share: a language model whose votes decide, and a judge that runs over a stream of trajectories."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Meta, Struct, field

from lrat_sim import catalog
from lrat_sim.artifact import Store, fingerprint
from lrat_sim.cluster import Workers, current
from lrat_sim.errors import BoundaryError, InputError
from lrat_sim.grading.replies import fill, reply_text
from lrat_sim.keys import refuse_secrets
from lrat_sim.models.call import Completion, Request, Retries
from lrat_sim.models.client import Client, close_connections
from lrat_sim.models.limiter import AdaptiveLimiter
from lrat_sim.models.litellm_model import require_key
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Failure, Record, Trajectory, Usage
from lrat_sim.settings import Positive, Settings
from lrat_sim.work import bounded_map

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=str)
T = TypeVar("T")

RULE = "rule"
"""The name of the offline judges."""

_CEILING = 1024  # calls in flight; the number of items that are judged at once is the tighter bound


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


def named_model(name: str, votes: int = 1, options: Mapping[str, Any] | None = None) -> JudgeModel | None:
    """The model behind a judge's name; None for ``rule``, the offline judge, which takes neither votes nor options.

    ``options`` are fields of :class:`JudgeModel`; dots reach into nested ones (``sampling.temperature``), and strings
    are read as YAML scalars.
    """
    options = dict(options or {})
    if name == RULE:
        if votes != 1 or options:
            raise InputError("the offline judge takes neither votes nor options; name a model, or leave them out.")
        return None
    if "model" in options:
        raise InputError("the judge's model is given by its name, not as an option; leave `model` out of the options.")
    model = catalog.checked({"model": name}, JudgeModel, options, "the judge")
    require_key(model.model, base_url=model.base_url, key_env=model.key_env)
    return model


class Opinion(Struct, Generic[S], frozen=True, kw_only=True):
    """What a judge says of one item, by each of its votes and in all.

    ``error`` is set only where asking again may help: of several votes, where a failed one could have decided.
    """

    state: S
    votes: list[S] = []
    reason: str | None = None
    error: Failure | None = None
    usage: Usage = Usage.zero()


class VotingJudge:
    """A language model as judge, asked several times and decided by the majority: the base of both model judges.

    A tie, or votes that cannot be read, decide nothing.  ``prompt`` is the name or path of a prompt with the judge's
    slots, by default its own; ``client`` is what several judges share, by default each has one.
    """

    default_prompt: ClassVar[str]
    slots: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        model: JudgeModel,
        *,
        votes: int = 1,
        prompt: str | None = None,
        client: Client | None = None,
    ):
        if votes < 1:
            raise InputError(f"votes is {votes}; a judge needs 1 or more.")
        self._model, self._votes = model, votes
        self._prompt = catalog.read_text("prompts", prompt or self.default_prompt)
        fill(self._prompt, **dict.fromkeys(self.slots, ""))
        self._client = client or Client(limiter=AdaptiveLimiter(_CEILING))
        # how a call is sent (timeout, key, retries) changes no reply, so it makes no other judge
        decisive = {"model": model.model, "sampling": model.sampling, "base_url": model.base_url}
        self.name = f"{model.model}:{fingerprint([decisive, votes, self._prompt])}"

    def __getstate__(self) -> dict[str, Any]:
        """Without the client, whose connections belong to this process."""
        return {**vars(self), "_client": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _client=Client(limiter=AdaptiveLimiter(_CEILING)))

    async def poll(self, read: Callable[[str], S | None], undecided: S, **slots: str) -> tuple[Opinion[S], list[str]]:
        """Asks for all votes at once; returns the majority's opinion, or ``undecided``, and the replies that share it.

        A state must lead by more than the votes that failed, so that no outage decides.  Unreadable replies are final.
        """
        prompt = fill(self._prompt, **slots)
        replies = await asyncio.gather(*(self._ask(prompt, vote) for vote in range(self._votes)))
        failures = [reply for reply in replies if isinstance(reply, Failure)]
        usage = sum((reply.usage for reply in replies if isinstance(reply, Completion)), start=Usage.zero())
        texts = [reply_text(reply) if isinstance(reply, Completion) else None for reply in replies]
        states = [None if text is None else read(text) for text in texts]
        votes = [state or undecided for state in states]
        ranked = Counter(state for state in states if state is not None).most_common(2)
        # a failed vote counts for whatever would change the outcome
        lead = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0) if ranked else 0
        if lead > len(failures):
            winner = ranked[0][0]
            winners = [text or "" for text, state in zip(texts, states, strict=True) if state == winner]
            return Opinion(state=winner, votes=votes, usage=usage), winners
        reason = "judge failed" if failures else "tie" if ranked else "unclear reply"
        error = next(iter(failures), None)
        return Opinion(state=undecided, votes=votes, reason=reason, error=error, usage=usage), []

    async def _ask(self, prompt: str, vote: int) -> Completion | Failure:
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
            return await self._client.complete(request)
        except BoundaryError as error:
            return Failure(boundary="judge", message=str(error))


def judge_all(
    worker: Callable[[Trajectory], Awaitable[list[R]]],
    trajectories: Iterable[Trajectory],
    *,
    store: Store[R] | None,
    concurrency: int,
    progress: ProgressCallback | None,
    what: str,
) -> Iterator[R]:
    """Applies a judge's worker to trajectories, lazily, and yields its records, each after it was written to the store.

    It runs an event loop of its own, so that plain code can iterate; ``what`` names the work for ``progress``.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise InputError("a judge was called inside a running event loop; call it in a thread (asyncio.to_thread).")
    cluster, stack = current(), ExitStack()
    judging: Callable[[Trajectory], Awaitable[list[R]]] = worker
    if cluster is not None:
        at_once = -(-concurrency // cluster.count())
        pool: Workers[Trajectory, list[R]] = stack.enter_context(cluster.workers(lambda: worker, at_once=at_once))
        judging = pool.call
    stream = bounded_map(judging, trajectories, concurrency)

    async def following() -> tuple[Trajectory, list[R]] | None:
        return await anext(stream, None)

    async def close() -> None:
        await stream.aclose()  # cancels what is under way where the consumer stopped early
        await close_connections()

    done = 0
    with stack, asyncio.Runner() as runner:
        try:
            while (result := _run(runner.get_loop(), following())) is not None:
                for record in result[1]:
                    if store is not None:
                        store.append(record)
                    yield record
                done += 1
                if progress is not None:
                    progress(done, None, what)
        finally:
            runner.run(close())


def _run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """As ``Runner.run``, which sets and resets a signal handler each time: too slow for once a trajectory."""
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():  # Ctrl-C: the stream can only be closed when nobody is in it
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        raise
