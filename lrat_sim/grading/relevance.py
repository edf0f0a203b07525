"""Was a document that the agent opened of use to it?

The verdict on a browse comes from the reasoning written right after it (LRAT, section 5.1): the reasoning of the
next turn.  Browses made in parallel in one turn share it.  Where there is none, the browse is unjudged; so it is
where a judge fails or answers what cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec
from msgspec import Struct

from lrat_sim.artifact import Store
from lrat_sim.grading.judge_model import Ask, JudgeModel, Poll, VotingModel
from lrat_sim.grading.judging import judge_all
from lrat_sim.grading.replies import one_of, polarity, stated
from lrat_sim.grading.rules import judge_by_rules, rules_fingerprint
from lrat_sim.models.client import Client
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Failure, Trajectory, Usage, Verdict, VerdictState


class Browse(Struct, frozen=True, kw_only=True):
    """One document that an agent opened: where (turn and call index, from 0), and what it wrote right after.

    ``reasoning`` is None where no turn follows or the next one has none; ``length`` is its tokens.
    """

    turn: int
    call: int
    docid: str
    reasoning: str | None
    length: int


class Opinion(Struct, frozen=True, kw_only=True):
    """What a judge says of one piece of reasoning."""

    state: VerdictState
    votes: list[VerdictState] = []
    reason: str | None = None
    error: Failure | None = None
    usage: Usage = Usage.zero()


class RelevanceJudge(Protocol):
    """Reads the reasoning after a browse; never raises for what a model or a network does."""

    @property
    def name(self) -> str:
        """The judge's identity, recorded with each verdict."""

    async def opinion(self, reasoning: str) -> Opinion:
        """The opinion on one piece of reasoning, which is not blank."""


def browses(trajectory: Trajectory) -> Iterator[Browse]:
    """The documents a run opened, in order, with the reasoning right after each; failed calls are no browses."""
    for turn, position, call in trajectory.browses():
        after = trajectory.turn_after(turn)
        yield Browse(
            turn=turn,
            call=position,
            docid=call.docid or "",
            reasoning=after.reasoning if after else None,
            length=after.reasoning_tokens if after and after.reasoning and after.reasoning.strip() else 0,
        )


class RuleJudge:
    """The offline judge: the rules of :mod:`lrat_sim.grading.rules`."""

    def __init__(self) -> None:
        self.name = f"rules:{rules_fingerprint()}"

    async def opinion(self, reasoning: str) -> Opinion:
        """The rules' verdict."""
        verdict = judge_by_rules(reasoning)
        return Opinion(state=verdict.state, reason=verdict.reason)


class ModelJudge:
    """A language model as judge: lenient by its prompt, asked ``votes`` times, decided by the majority.

    Args:
        model: the model and how it is called.
        votes: opinions asked for; a tie, or none that can be read, leaves the browse unjudged.
        prompt: name or path of the prompt; it has the slot ``{reasoning}``.
        client: what the calls share; see :class:`lrat_sim.grading.judge_model.VotingModel`.
        ask: sends the prompts, in place of the language-model client.

    Raises:
        InputError: the prompt has no such slot, or ``votes`` is below 1.
    """

    def __init__(
        self,
        model: JudgeModel,
        *,
        votes: int = 1,
        prompt: str = "judge-relevance",
        client: Client | None = None,
        ask: Ask | None = None,
    ):
        self._model = VotingModel(model, votes, prompt, ("reasoning",), client, ask)
        self.name = self._model.name

    async def opinion(self, reasoning: str) -> Opinion:
        """The majority of the votes that could be read."""
        found: Poll[VerdictState] = await self._model.poll(_readable, reasoning=reasoning)
        return Opinion(
            state=found.state or "unjudged",
            votes=[vote or "unjudged" for vote in found.votes],
            reason=found.reason,
            error=found.error,
            usage=found.usage,
        )


def _readable(reply: str) -> VerdictState | None:
    state = read_verdict(reply)
    return None if state == "unjudged" else state


_RELEVANT = {"yes": r"\brelevant\b", "no": r"\birrelevant\b"}


def read_verdict(reply: str) -> VerdictState:
    """The verdict of a reply, as :func:`lrat_sim.grading.replies.plain` gives it.

    It is that of the line or JSON field ``Verdict: ...`` (or ``Relevant: yes``), else of a sentence that names one
    verdict only.  Two different verdicts are none.
    """
    if values := stated(reply, "verdict|judge?ment"):
        relevant = one_of([polarity(value, **_RELEVANT) for value in values])
    elif values := stated(reply, "(?:is[_ ])?relevant"):
        relevant = one_of([{"yes": True, "true": True, "no": False, "false": False}.get(v.lower()) for v in values])
    else:
        relevant = polarity(reply, **_RELEVANT)
    return "unjudged" if relevant is None else "relevant" if relevant else "irrelevant"


def judge_browses(
    trajectories: Iterable[Trajectory],
    judge: RelevanceJudge,
    *,
    store: Store[Verdict] | None = None,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> Iterator[Verdict]:
    """Judges every browse of some runs, many at once, and yields the new verdicts as they are ready.

    Args:
        trajectories: drawn lazily, one at a time; those that broke are passed over, since they are run again.
        judge: whose opinion it is.
        store: an open store; verdicts of this judge that it holds are not asked for again, unless the judge had
            failed, and each new one is written to it before it is yielded.
        concurrency: runs under way at once.
        progress: told the runs done.
    """
    done: dict[str, set[tuple[int, int]]] = {}
    for verdict in store or ():
        if verdict.judge == judge.name and verdict.error is None:
            done.setdefault(verdict.trajectory_id, set()).add((verdict.turn, verdict.call))

    async def worker(trajectory: Trajectory) -> list[Verdict]:
        return await _judge_run(trajectory, judge, done.get(trajectory.id, set()))

    whole = (trajectory for trajectory in trajectories if trajectory.status != "error")
    yield from judge_all(worker, whole, store=store, concurrency=concurrency, progress=progress, what="judging")


async def _judge_run(trajectory: Trajectory, judge: RelevanceJudge, known: set[tuple[int, int]]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    shared: dict[int, Opinion] = {}
    for browse in browses(trajectory):
        if (browse.turn, browse.call) in known:
            continue
        opinion = shared.get(browse.turn)
        if opinion is None:
            if browse.reasoning is None or not browse.reasoning.strip():
                opinion = Opinion(state="unjudged", reason="no reasoning")
            else:
                opinion = await judge.opinion(browse.reasoning)
            # asked once for the turn, so paid once
            shared[browse.turn] = msgspec.structs.replace(opinion, usage=Usage.zero())
        verdicts.append(
            Verdict(
                trajectory_id=trajectory.id,
                turn=browse.turn,
                call=browse.call,
                judge=judge.name,
                **msgspec.structs.asdict(opinion),
            )
        )
    return verdicts


VerdictTable = dict[tuple[str, int, int], VerdictState]
"""(trajectory id, turn, call) to the state of the latest verdict."""


def verdict_table(verdicts: Iterable[Verdict], judge: str | None = None) -> VerdictTable:
    """The latest verdict on each browse.

    Args:
        verdicts: in the order they were written.
        judge: the name of the judge to take; by default the latest of any.
    """
    return {(v.trajectory_id, v.turn, v.call): v.state for v in verdicts if judge is None or v.judge == judge}
