"""A trajectory as it is told on a page: turn by turn, with evidence, verdicts and mined pairs at their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.mining.explain import Label, labels
from lrat_sim.mining.report import MiningReport
from lrat_sim.records import Attempt, Call, Task, Trajectory, Turn, Usage, Verdict
from lrat_sim.viewer.mined import Numbered
from lrat_sim.viewer.titles import Snippet, found_in, shown_hits


class ShownHit(Struct, frozen=True, kw_only=True):
    """A line of a result list.

    ``opened`` is the turn that opened it first, ``before`` the one that listed it first, ``labels`` what it is to the
    pairs of the search, each kind once, ``only_here`` whether the other run found it not, with the same search.
    """

    docid: str
    rank: int
    score: float
    title: str
    text: str
    evidence: bool
    opened: int | None
    before: int | None
    labels: list[Label]
    only_here: bool = False


class ShownPair(Struct, frozen=True, kw_only=True):
    """A pair that was mined from a search, with what each document is to it and how its weight came about."""

    at: Numbered
    labels: list[Label]
    unit: str
    beta: float | None
    mean_raw: float | None


class ShownCall(Struct, frozen=True, kw_only=True):
    """A call: ``said`` is the query or document asked for, ``asked`` the arguments where others ran."""

    place: int
    kind: Literal["search", "open", "failed"]
    tool: str
    said: str
    asked: str | None
    hits: list[ShownHit]
    docid: str | None
    title: str
    evidence: bool
    output: str
    verdict: Verdict | None
    pairs: list[ShownPair]
    error: str | None
    seconds: float


class ShownTurn(Struct, frozen=True, kw_only=True):
    """A turn; ``seconds`` of the model and of its calls together."""

    number: int
    reasoning: str | None
    reasoning_tokens: int
    text: str | None
    calls: list[ShownCall]
    usage: Usage
    attempts: list[Attempt]
    seconds: float

    @property
    def kind(self) -> str:
        """What it did first, in a word."""
        return self.calls[0].kind if self.calls else "answer" if self.text else "thought"

    @property
    def evidence(self) -> bool:
        """Whether it listed or opened evidence."""
        return any(call.evidence or any(hit.evidence for hit in call.hits) for call in self.calls)


def story(
    trajectory: Trajectory,
    task: Task | None,
    corpus: Corpus | None,
    verdicts: Sequence[Verdict] = (),
    pairs: Sequence[tuple[Numbered, MiningReport | None]] = (),
    other: Trajectory | None = None,
) -> list[ShownTurn]:
    """The turns of a run as they are shown.

    Args:
        trajectory: the run.
        task: its task, for the evidence.
        corpus: gives titles; without it they are those that the agent was shown.
        verdicts: on its browses, the latest last.
        pairs: mined from it, each with the report of the mining.
        other: the run beside it, whose lists are compared.
    """
    return _Story(trajectory, task, corpus, verdicts, pairs, other).turns()


def shown_pair(
    at: Numbered, trajectory: Trajectory, verdicts: Sequence[Verdict], report: MiningReport | None
) -> ShownPair:
    """A pair with its labels and weight; see :func:`lrat_sim.mining.explain.labels`."""
    return ShownPair(
        at=at,
        labels=labels(at.pair, trajectory, verdicts, report),
        unit=report.recipe.length if report is not None else "tokens",
        beta=report.beta if report is not None else None,
        mean_raw=report.mean_raw if report is not None else None,
    )


class _Story:
    """One call of :func:`story`."""

    def __init__(
        self,
        trajectory: Trajectory,
        task: Task | None,
        corpus: Corpus | None,
        verdicts: Sequence[Verdict],
        pairs: Sequence[tuple[Numbered, MiningReport | None]],
        other: Trajectory | None,
    ):
        self.trajectory, self.corpus, self.verdicts, self.other = trajectory, corpus, verdicts, other
        self.evidence = set(task.evidence) if task is not None else set()
        self.latest = {(each.turn, each.call): each for each in verdicts}
        self.pairs = pairs
        self.opened: dict[str, int] = {}
        self.listed: dict[str, int] = {}
        self.shown: dict[str, Snippet] = {}
        for number, turn in enumerate(trajectory.turns):
            for call in turn.calls:
                if call.docid is not None:
                    self.opened.setdefault(call.docid, number)
                for hit in call.hits or ():
                    self.listed.setdefault(hit.docid, number)
                # a title seen once is known wherever its document comes again
                for docid, snippet in shown_hits(call.output, [hit.docid for hit in call.hits or ()]).items():
                    self.shown.setdefault(docid, snippet)

    def turns(self) -> list[ShownTurn]:
        return [self._turn(number, turn) for number, turn in enumerate(self.trajectory.turns)]

    def _turn(self, number: int, turn: Turn) -> ShownTurn:
        return ShownTurn(
            number=number,
            reasoning=turn.reasoning,
            reasoning_tokens=turn.reasoning_tokens,
            text=turn.text,
            calls=[self._call(number, place, call) for place, call in enumerate(turn.calls)],
            usage=turn.usage,
            attempts=turn.attempts,
            seconds=sum(each.seconds for each in turn.attempts) + sum(each.seconds for each in turn.calls),
        )

    def _call(self, number: int, place: int, call: Call) -> ShownCall:
        pairs = [
            shown_pair(at, self.trajectory, self.verdicts, report)
            for at, report in self.pairs
            if at.pair.provenance.turn == number and _is_of(at, place, self.trajectory.turns[number])
        ]
        return ShownCall(
            place=place,
            kind="search" if call.hits is not None else "open" if call.docid is not None else "failed",
            tool=call.tool,
            said=_said(call),
            asked=_text(call.arguments) if call.executed is not None and call.executed != call.arguments else None,
            hits=self._hits(number, place, call, pairs),
            docid=call.docid,
            title=self._title(call.docid),
            evidence=call.docid in self.evidence,
            output=call.output,
            verdict=self.latest.get((number, place)),
            pairs=pairs,
            error=call.error,
            seconds=call.seconds,
        )

    def _hits(self, number: int, place: int, call: Call, pairs: Sequence[ShownPair]) -> list[ShownHit]:
        here = shown_hits(call.output, [hit.docid for hit in call.hits or ()])
        others = self._others(number, place, call)
        return [
            ShownHit(
                docid=hit.docid,
                rank=hit.rank,
                score=hit.score,
                title=self._title(hit.docid),
                text=here[hit.docid].text if hit.docid in here else "",
                evidence=hit.docid in self.evidence,
                opened=self.opened.get(hit.docid),
                before=before if (before := self.listed[hit.docid]) < number else None,
                labels=_labels(hit.docid, pairs),
                only_here=others is not None and hit.docid not in others,
            )
            for hit in call.hits or ()
        ]

    def _others(self, number: int, place: int, call: Call) -> set[str] | None:
        """The documents that the other run's same search found at this place, None where it has none."""
        if self.other is None or number >= len(self.other.turns):
            return None
        same = [each for each in self.other.turns[number].calls[place : place + 1] if each.executed == call.executed]
        hits = same[0].hits if same else None
        return None if hits is None else {hit.docid for hit in hits}

    def _title(self, docid: str | None) -> str:
        document = found_in(self.corpus, docid)
        if document is not None:
            return document.title
        return self.shown[docid].title if docid in self.shown else ""


def _labels(docid: str, pairs: Sequence[ShownPair]) -> list[Label]:
    labelled = [each for pair in pairs for each in pair.labels if each.docid == docid and each.state != "neither"]
    return list({(each.state, each.weight): each for each in labelled}.values())


def _is_of(at: Numbered, place: int, turn: Turn) -> bool:
    """Whether a pair is of a call; one that does not say which is of the turn's first search."""
    call = at.pair.provenance.call
    if call is None:
        call = next((number for number, each in enumerate(turn.calls) if each.hits is not None), 0)
    return call == place


def _said(call: Call) -> str:
    ran: Any = call.executed if call.executed is not None else call.arguments
    if isinstance(ran, dict) and len(ran) == 1:
        ran = next(iter(ran.values()))
    return _text(ran)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
