"""A trajectory as a page shows it: turn by turn, with evidence, verdicts and mined pairs where they belong.

Turns count from 1 here, as readers count; records count them from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.mining.explain import Label, labels
from lrat_sim.mining.report import MiningReport
from lrat_sim.records import Call, Hit, PlacedCall, Task, Trajectory, Turn, Verdict
from lrat_sim.viewer.mined import Numbered
from lrat_sim.viewer.titles import Snippet, found_in, shown_hits


class ShownHit(Struct, frozen=True, kw_only=True):
    """A line of a result list.

    ``opened`` is the turn that opened it first, ``before`` the one that listed it first, ``labels`` what it is to the
    pairs of the search, each kind once, ``only_here`` whether the other run did not find it by the same search.
    """

    hit: Hit
    title: str
    text: str
    evidence: bool
    opened: int | None
    before: int | None
    labels: list[Label]
    only_here: bool = False


class ShownPair(Struct, frozen=True, kw_only=True):
    """A pair that was mined from a search, with what each document is to it; the report says how it was weighted."""

    at: Numbered
    labels: list[Label]
    report: MiningReport | None


class ShownCall(Struct, frozen=True, kw_only=True):
    """A call: ``said`` is the query or document asked for, ``asked`` the arguments where others ran."""

    call: Call
    position: int
    said: str
    asked: str | None
    hits: list[ShownHit]
    title: str
    evidence: bool
    verdict: Verdict | None
    pairs: list[ShownPair]

    @property
    def kind(self) -> str:
        """What it did, in a word."""
        return "search" if self.call.is_search else "open" if self.call.is_browse else "failed"


class ShownTurn(Struct, frozen=True, kw_only=True):
    """A turn by its number, from 1."""

    number: int
    turn: Turn
    calls: list[ShownCall]

    @property
    def kind(self) -> str:
        """What it did first, in a word."""
        return self.calls[0].kind if self.calls else "answer" if self.turn.text else "thought"

    @property
    def evidence(self) -> bool:
        """Whether it listed or opened evidence."""
        return any(call.evidence or any(hit.evidence for hit in call.hits) for call in self.calls)

    @property
    def seconds(self) -> float:
        """Of the model and of its calls together."""
        return sum(each.seconds for each in self.turn.attempts) + sum(call.seconds for call in self.turn.calls)


class EvidenceDocument(Struct, frozen=True, kw_only=True):
    """A document that proves the answer: the turns in which it was first listed and first opened, None if never.

    ``readable`` says whether there is anything to show of it: the corpus has it, or the agent was shown it.
    """

    docid: str
    title: str
    listed: int | None
    opened: int | None
    readable: bool


class Transcript:
    """A run as it is shown.

    Args:
        trajectory: the run.
        task: its task, for the evidence.
        corpus: gives titles; without it they are those that the agent was shown.
        verdicts: on its browses, the latest last.
        pairs: mined from it, each with the report of the mining.
        other: the run beside it, whose lists are compared.

    Attributes:
        turns: in order.
        evidence: of the task, in its order.
        searches, browses, failed: how many calls of each kind.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        task: Task | None,
        corpus: Corpus | None,
        verdicts: Sequence[Verdict] = (),
        pairs: Sequence[tuple[Numbered, MiningReport | None]] = (),
        other: Trajectory | None = None,
    ):
        self._trajectory, self._corpus, self._verdicts, self._other = trajectory, corpus, verdicts, other
        self._proof = dict.fromkeys(task.evidence if task is not None else [])
        self.searches = sum(1 for _ in trajectory.searches())
        self.browses = sum(1 for _ in trajectory.browses())
        self.failed = sum(call.executed is None for call in trajectory.calls())
        self._latest = {(each.turn, each.call): each for each in verdicts}
        self._pairs = pairs
        self._opened: dict[str, int] = {}
        self._listed: dict[str, int] = {}
        self._snippets: dict[str, Snippet] = {}
        for number, _, call in trajectory.placed_calls():
            if call.docid is not None:
                self._opened.setdefault(call.docid, number + 1)
            for hit in call.hits or ():
                self._listed.setdefault(hit.docid, number + 1)
            # a title seen once is known wherever its document comes again
            for docid, snippet in shown_hits(call.output, [hit.docid for hit in call.hits or ()]).items():
                self._snippets.setdefault(docid, snippet)
        self.turns = [self._turn(number, turn) for number, turn in enumerate(trajectory.turns)]
        self.evidence = [self._evidence(docid) for docid in self._proof]

    def title(self, docid: str | None) -> str:
        """The title of a document, empty where it is not known."""
        document = found_in(self._corpus, docid)
        if document is not None:
            return document.title
        return self._snippets[docid].title if docid in self._snippets else ""

    def _evidence(self, docid: str) -> EvidenceDocument:
        listed, opened = self._listed.get(docid), self._opened.get(docid)
        readable = bool(listed or opened) or found_in(self._corpus, docid) is not None
        return EvidenceDocument(docid=docid, title=self.title(docid), listed=listed, opened=opened, readable=readable)

    def _turn(self, number: int, turn: Turn) -> ShownTurn:
        calls = [self._call(PlacedCall(number, position, call)) for position, call in enumerate(turn.calls)]
        return ShownTurn(number=number + 1, turn=turn, calls=calls)

    def _call(self, placed: PlacedCall) -> ShownCall:
        number, position, call = placed
        pairs = [
            ShownPair(at=at, labels=labels(at.pair, self._trajectory, self._verdicts, report), report=report)
            for at, report in self._pairs
            if at.pair.provenance.turn == number and self._searched(at) == position
        ]
        return ShownCall(
            call=call,
            position=position,
            said=_said(call),
            asked=_text(call.arguments) if call.executed is not None and call.executed != call.arguments else None,
            hits=self._hits(placed, pairs),
            title=self.title(call.docid),
            evidence=call.docid in self._proof,
            verdict=self._latest.get((number, position)),
            pairs=pairs,
        )

    def _searched(self, at: Numbered) -> int:
        """The position of the search of a pair in its turn; where the pair does not say, it is the first search."""
        calls = self._trajectory.turns[at.pair.provenance.turn].calls
        first = next((position for position, call in enumerate(calls) if call.is_search), 0)
        return first if at.pair.provenance.call is None else at.pair.provenance.call

    def _hits(self, placed: PlacedCall, pairs: Sequence[ShownPair]) -> list[ShownHit]:
        here = shown_hits(placed.call.output, [hit.docid for hit in placed.call.hits or ()])
        others = self._others(placed)
        return [
            ShownHit(
                hit=hit,
                title=self.title(hit.docid),
                text=here[hit.docid].text if hit.docid in here else "",
                evidence=hit.docid in self._proof,
                opened=self._opened.get(hit.docid),
                before=before if (before := self._listed[hit.docid]) <= placed.turn else None,
                labels=_labels(hit.docid, pairs),
                only_here=others is not None and hit.docid not in others,
            )
            for hit in placed.call.hits or ()
        ]

    def _others(self, placed: PlacedCall) -> set[str] | None:
        """The documents that the other run's same search found at this position, None where it has none."""
        if self._other is None or placed.turn >= len(self._other.turns):
            return None
        calls = self._other.turns[placed.turn].calls[placed.position : placed.position + 1]
        hits = calls[0].hits if calls and calls[0].executed == placed.call.executed else None
        return None if hits is None else {hit.docid for hit in hits}


def _labels(docid: str, pairs: Sequence[ShownPair]) -> list[Label]:
    labelled = [each for pair in pairs for each in pair.labels if each.docid == docid and each.state != "neither"]
    return list({(each.state, each.weight): each for each in labelled}.values())


def _said(call: Call) -> str:
    ran: Any = call.executed if call.executed is not None else call.arguments
    if isinstance(ran, dict) and len(ran) == 1:
        ran = next(iter(ran.values()))
    return _text(ran)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
