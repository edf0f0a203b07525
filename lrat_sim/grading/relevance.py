"""Was a document useful to the agent that opened it?

The verdict comes from the reasoning of the turn right after the browse (LRAT, section 5.1), which browses made in
parallel share.  Without reasoning, or where the judge fails or cannot be understood, the browse is unjudged.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from lrat_sim.artifact import Store
from lrat_sim.grading.judging import RULE, VotingJudge, judge_all, named_model
from lrat_sim.grading.judging import Opinion as Opinion
from lrat_sim.grading.replies import one_of, polarity, stated
from lrat_sim.grading.rules import judge_by_rules, rules_fingerprint
from lrat_sim.models.client import Client
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Trajectory, Usage, Verdict, VerdictState


class Browse(Struct, frozen=True, kw_only=True):
    """One document that an agent opened: where (turn and call, from 0), and the reasoning right after, if there is any.

    ``length`` is the tokens of that reasoning.
    """

    turn: int
    call: int
    docid: str
    reasoning: str | None
    length: int


class RelevanceJudge(Protocol):
    """Reads the reasoning after a browse; never raises for what a model or a network does."""

    @property
    def name(self) -> str:
        """The judge's identity, recorded with each verdict."""

    async def opinion(self, reasoning: str) -> Opinion[VerdictState]:
        """The opinion on one piece of reasoning, which is not blank."""


def browses(trajectory: Trajectory) -> Iterator[Browse]:
    """The documents a run opened, in order, with the reasoning right after each; failed calls are no browses."""
    for turn, position, call in trajectory.browses():
        after = trajectory.turn_after(turn)
        reasoning = after.reasoning if after else None
        length = after.reasoning_tokens if after and reasoning and reasoning.strip() else 0
        yield Browse(turn=turn, call=position, docid=call.docid or "", reasoning=reasoning, length=length)


class RuleJudge:
    """The offline judge: the rules of :mod:`lrat_sim.grading.rules`."""

    def __init__(self) -> None:
        self.name = f"rules:{rules_fingerprint()}"

    async def opinion(self, reasoning: str) -> Opinion[VerdictState]:
        """The rules' verdict."""
        return self._opinion(reasoning)

    def judge(self, trajectory: Trajectory, known: Container[tuple[int, int]] = ()) -> list[Verdict]:
        """The verdicts on the browses of a run, but those whose turn and position are known; without an event loop."""
        new = _unjudged(trajectory, known)
        return _verdicts(trajectory, new, {browse.turn: self._opinion(browse.reasoning) for browse in new}, self.name)

    def _opinion(self, reasoning: str | None) -> Opinion[VerdictState]:
        state, reason = judge_by_rules(reasoning)
        return Opinion(state=state, reason=reason)


class ModelJudge(VotingJudge):
    """A language model as judge of opened documents, lenient by its prompt, which has the slot ``{reasoning}``."""

    default_prompt = "judge-relevance"
    slots = ("reasoning",)

    async def opinion(self, reasoning: str) -> Opinion[VerdictState]:
        """The majority of the votes that could be read; unjudged where there is none."""
        undecided: VerdictState = "unjudged"
        opinion, _ = await self.poll(read_verdict, undecided, reasoning=reasoning)
        return opinion


def relevance_judge(
    name: str = RULE, *, votes: int = 1, options: Mapping[str, Any] | None = None, client: Client | None = None
) -> RelevanceJudge:
    """The judge of opened documents behind a name, as :func:`lrat_sim.grading.answers.answer_judge`."""
    model = named_model(name, votes, options)
    return RuleJudge() if model is None else ModelJudge(model, votes=votes, client=client)


_RELEVANT = {"yes": r"\brelevant\b", "no": r"\birrelevant\b"}
_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}


def read_verdict(reply: str) -> VerdictState | None:
    """The verdict of a judge's reply; None where it gives none, or two different ones.

    The line or JSON field ``Verdict: ...`` (or ``Relevant: yes``) counts, else a sentence that names one verdict only.
    """
    if values := stated(reply, "verdict|judge?ment"):
        relevant = one_of([polarity(value, **_RELEVANT) for value in values])
    elif values := stated(reply, "(?:is[_ ])?relevant"):
        relevant = one_of([_YES_OR_NO.get(value.lower()) for value in values])
    else:
        relevant = polarity(reply, **_RELEVANT)
    return None if relevant is None else "relevant" if relevant else "irrelevant"


def judge_browses(
    trajectories: Iterable[Trajectory],
    judge: RelevanceJudge,
    *,
    store: Store[Verdict] | None = None,
    concurrency: int = 16,
    progress: ProgressCallback | None = None,
) -> Iterator[Verdict]:
    """Judges the browses of the runs that did not break, ``concurrency`` runs at once, and yields the new verdicts.

    What this judge has judged in the store without failing is not judged again.
    """
    done: dict[str, set[tuple[int, int]]] = {}
    for verdict in store or ():
        if verdict.judge == judge.name and verdict.error is None:
            done.setdefault(verdict.trajectory_id, set()).add((verdict.turn, verdict.call))

    async def worker(trajectory: Trajectory) -> list[Verdict]:
        new = _unjudged(trajectory, done.get(trajectory.id, ()))
        opinions: dict[int, Opinion[VerdictState]] = {}
        for browse in new:
            if browse.turn not in opinions:
                silent = browse.reasoning is None or not browse.reasoning.strip()
                opinions[browse.turn] = _NO_REASONING if silent else await judge.opinion(browse.reasoning or "")
        return _verdicts(trajectory, new, opinions, judge.name)

    whole = (trajectory for trajectory in trajectories if trajectory.status != "error")
    yield from judge_all(worker, whole, store=store, concurrency=concurrency, progress=progress, what="judging")


_NO_REASONING = Opinion[VerdictState](state="unjudged", reason="no reasoning")


def _unjudged(trajectory: Trajectory, known: Container[tuple[int, int]]) -> list[Browse]:
    return [browse for browse in browses(trajectory) if (browse.turn, browse.call) not in known]


def _verdicts(
    trajectory: Trajectory, judged: Iterable[Browse], opinions: dict[int, Opinion[VerdictState]], judge: str
) -> list[Verdict]:
    """The verdicts on some browses, from the opinions by turn: browses made in parallel share the reasoning after."""
    verdicts: list[Verdict] = []
    for browse in judged:
        opinion = opinions[browse.turn]
        verdicts.append(
            Verdict(
                trajectory_id=trajectory.id,
                turn=browse.turn,
                call=browse.call,
                judge=judge,
                **msgspec.structs.asdict(opinion),
            )
        )
        # asked once for the turn, so paid once
        opinions[browse.turn] = msgspec.structs.replace(opinion, usage=Usage.zero())
    return verdicts
