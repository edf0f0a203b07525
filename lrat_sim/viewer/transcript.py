"""A trajectory as a page shows it, with evidence, verdicts and mined pairs; turns count from 1, unlike in records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.corpus.documents import Corpus
from lrat_sim.mining.explain import Label, labels
from lrat_sim.records import Call, Document, Grade, PlacedCall, Task, Trajectory, Turn, Verdict
from lrat_sim.viewer.files import MinedPair

_TITLED = re.compile(r"\[(?P<title>[^\n]*)\]\n(?P<text>.*)", re.DOTALL)


class ShownCall(Struct, frozen=True, kw_only=True):
    """A call: ``said`` is the query or document asked for, ``asked`` the arguments where others ran; ``others`` are the
    ids that the other run's same search found here, None where it has no such search."""

    call: Call
    position: int
    said: str
    asked: str | None
    documents: dict[str, Document]
    others: set[str] | None
    verdict: Verdict | None
    pairs: list[MinedPair]

    @property
    def kind(self) -> str:
        """What it did, in a word."""
        ran = "failed" if self.call.executed is None else "other"
        return "search" if self.call.is_search else "open" if self.call.is_browse else ran

    def labels(self, docid: str) -> list[Label]:
        """What a document is to the pairs of the search, each kind once."""
        of_it = [label for pair in self.pairs for label in pair.labels if label.docid == docid]
        return [*{(label.state, label.weight): label for label in of_it if label.state != "neither"}.values()]


class ShownTurn(Struct, frozen=True, kw_only=True):
    """A turn by its number, from 1; ``evidence`` says whether it listed or opened any."""

    number: int
    turn: Turn
    calls: list[ShownCall]
    evidence: bool

    @property
    def kind(self) -> str:
        """What it did first, in a word."""
        return self.calls[0].kind if self.calls else "answer" if self.turn.text else "thought"

    @property
    def seconds(self) -> float:
        """Of the model and of its calls together."""
        return sum(attempt.seconds for attempt in self.turn.attempts) + sum(call.seconds for call in self.turn.calls)


class Transcript:
    """A run as it is shown; without a corpus titles are those that the agent was shown.

    ``row`` is its row in the library's table; ``listed`` and ``opened`` give the turn that first did, by document id.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        task: Task | None = None,
        corpus: Corpus | None = None,
        *,
        verdicts: Sequence[Verdict] = (),
        pairs: Sequence[MinedPair] = (),
        other: Trajectory | None = None,
        grade: Grade | None = None,
        row: dict[str, Any] | None = None,
    ):
        self.trajectory, self.task, self.grade, self.row = trajectory, task, grade, row
        self._corpus, self._verdicts, self._pairs, self._other = corpus, verdicts, pairs, other
        self.evidence = list(dict.fromkeys(task.evidence if task is not None else []))
        self.searches = sum(1 for _ in trajectory.searches())
        self.browses = sum(1 for _ in trajectory.browses())
        self.failed = sum(call.executed is None for call in trajectory.calls())
        self.opened: dict[str, int] = {}
        self.listed: dict[str, int] = {}
        self._documents: dict[str, Document] = {}
        self.turns = [self._turn(number, turn) for number, turn in enumerate(trajectory.turns)]

    @property
    def first_evidence(self) -> int | None:
        """The turn that listed evidence first, None if none did."""
        return min((self.listed[docid] for docid in self.evidence if docid in self.listed), default=None)

    def document(self, docid: str) -> Document | None:
        """A document of the corpus that was searched, None where it is not here."""
        return self._corpus.document(docid) if self._corpus is not None and docid in self._corpus else None

    def title(self, docid: str) -> str:
        """The title of a document, from the corpus or as the agent was shown it; empty where neither is known."""
        document = self.document(docid) or self._documents.get(docid)
        return document.title if document is not None else ""

    def is_readable(self, docid: str) -> bool:
        """Whether there is anything to show of a document."""
        return docid in self.listed or docid in self.opened or self.document(docid) is not None

    def _turn(self, number: int, turn: Turn) -> ShownTurn:
        calls = [self._call(PlacedCall(number, position, call)) for position, call in enumerate(turn.calls)]
        for call in turn.calls:
            if call.docid is not None:
                self.opened.setdefault(call.docid, number + 1)
            for hit in call.hits or ():
                self.listed.setdefault(hit.docid, number + 1)
        met = {hit.docid for call in turn.calls for hit in call.hits or ()} | {call.docid for call in turn.calls}
        return ShownTurn(number=number + 1, turn=turn, calls=calls, evidence=not met.isdisjoint(self.evidence))

    def _call(self, placed: PlacedCall) -> ShownCall:
        number, position, call = placed
        ran: Any = call.executed if call.executed is not None else call.arguments
        said = next(iter(ran.values())) if isinstance(ran, dict) and len(ran) == 1 else ran
        documents = shown_hits(call.output, [hit.docid for hit in call.hits or ()])
        # a title seen once is known wherever its document comes again
        self._documents = documents | self._documents
        return ShownCall(
            call=call,
            position=position,
            said=_text(said),
            asked=_text(call.arguments) if call.executed is not None and call.executed != call.arguments else None,
            documents=documents,
            others=self._others(placed),
            verdict=next((v for v in reversed(self._verdicts) if (v.turn, v.call) == (number, position)), None),
            pairs=[
                replace(mined, labels=labels(mined.pair, self.trajectory, self._verdicts, mined.report, self.task))
                for mined in self._pairs
                if mined.pair.provenance.turn == number and self._searched(mined) == position
            ],
        )

    def _searched(self, mined: MinedPair) -> int:
        """The position of the search of a pair in its turn; where the pair does not say, it is the first search."""
        calls = self.trajectory.turns[mined.pair.provenance.turn].calls
        first = next((position for position, call in enumerate(calls) if call.is_search), 0)
        return first if mined.pair.provenance.call is None else mined.pair.provenance.call

    def _others(self, placed: PlacedCall) -> set[str] | None:
        if self._other is None or placed.turn >= len(self._other.turns):
            return None
        calls = self._other.turns[placed.turn].calls[placed.position : placed.position + 1]
        hits = calls[0].hits if calls and calls[0].executed == placed.call.executed else None
        return None if hits is None else {hit.docid for hit in hits}


def shown_hits(output: str, docids: Iterable[str]) -> dict[str, Document]:
    """Title and text of each hit in a result list of :func:`lrat_sim.retrieval.result_format.show_hits`, as far as it
    stands there in that form."""
    starts: list[tuple[str, int, int]] = []
    at = 0
    for docid in docids:
        head = f"\nDocID:{docid}\n"
        place = output.find(head, at)
        if place >= 0:
            at = place + len(head) - 1
            starts.append((docid, place, at + 1))
    ends = [place for _, place, _ in starts[1:]] + [len(output)] * bool(starts)
    documents: dict[str, Document] = {}
    for (docid, _, start), end in zip(starts, ends, strict=True):
        text = output[start:end].strip()
        titled = _TITLED.match(text)
        documents[docid] = Document(id=docid, **titled.groupdict()) if titled else Document(id=docid, text=text)
    return documents


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class Divergence(Struct, frozen=True):
    """Where two runs diverge: the first ``turn``, from 1, that differs in what was done or what came back, ``why`` it
    does, and the first turn with another ``action``; None where nothing differs."""

    turn: int | None
    action: int | None
    why: str


def divergence(a: Trajectory, b: Trajectory) -> Divergence:
    """Where two runs diverge: by their calls and answers, and by what came back; other reasoning alone is none."""
    first, why = None, "they do the same to the end"
    for number, (one, two) in enumerate(zip_longest(a.turns, b.turns), start=1):
        if one is None or two is None:
            return Divergence(first or number, number, why if first else f"{'A' if one is None else 'B'} has ended")
        if _actions(one) != _actions(two):
            tools = [turn.calls[0].tool if turn.calls else "an answer" for turn in (one, two)]
            differs = "different calls" if tools[0] == tools[1] else f"A makes {tools[0]}, B {tools[1]}"
            return Divergence(first or number, number, why if first else differs)
        if first is None and _results(one) != _results(two):
            first, why = number, "same call, different results"
    return Divergence(first, None, why)


def _actions(turn: Turn) -> list[Any]:
    # an answer is worded with the documents' ids; whether there is one is what is done
    return [(call.tool, call.executed if call.executed is not None else call.arguments) for call in turn.calls]


def _results(turn: Turn) -> list[Any]:
    return [
        [hit.docid for hit in call.hits] if call.hits is not None else (call.docid, call.error, call.output)
        for call in turn.calls
    ] or [turn.text]
