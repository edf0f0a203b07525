"""The nouns: what is read, run, recorded and mined.

A trajectory follows the LRAT paper (section 3): turns of (reasoning, action, observation).  Records that live in a run
folder carry ``schema_version``; :func:`decode` brings an older one up to date before it is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct, field
from msgspec.structs import astuple, replace

from lrat_sim.decoding import convert, from_json

SCHEMA_VERSION = 1

Status = Literal["answered", "unanswered", "error"]
EndReason = Literal[
    "answer", "turn_limit", "token_limit", "time_limit", "cost_limit", "length", "content_filter", "gave_up", "error"
]  # fmt: skip
VerdictState = Literal["relevant", "irrelevant", "unjudged"]
GradeState = Literal["correct", "incorrect", "ungraded"]
Operator = Literal["earlier", "later", "same", "longer", "shorter"]

N = TypeVar("N", int, float)


class Record(Struct, frozen=True):
    """Base of all records: immutable, keyword arguments only, unknown fields ignored when read."""


class Document(Record, frozen=True, kw_only=True):
    """One passage of a corpus."""

    id: str
    text: str
    title: str = ""


class Hop(Record, frozen=True, kw_only=True):
    """One step of a plan: the fact (subject, relation, object), and ``phrasings`` of the relation in a query.

    ``subject`` is a name or a stretch of words from the question, or ``#n``: the object found by hop n (from 1), as in
    MuSiQue.  In a phrasing ``{subject}`` stands for the subject and ``#n`` for what any earlier hop found; the agent
    asks for a hop once everything that it needs is known.
    """

    subject: str
    relation: str
    object: str
    phrasings: list[str] = field(default_factory=list)


class Plan(Record, frozen=True, kw_only=True):
    """A question's decomposition into hops, which replaces a language model's reasoning.

    Without ``operator`` the answer is the object of the last hop.  With one, the hops form branches (a hop whose
    subject is a name opens one) that the agent compares: ``earlier`` and ``later`` by date or number, ``longer`` and
    ``shorter`` by the span between two dates give the name that opened the winning branch; ``same`` gives yes or no.
    """

    hops: list[Hop]
    operator: Operator | None = None


class Task(Record, frozen=True, kw_only=True):
    """A question with its accepted answers, the ids of the documents that prove it, and its plan, if known.

    ``canary`` marks a benchmark that asks not to be republished in plain text: exports withhold such questions by
    default.
    """

    id: str
    question: str
    answers: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    plan: Plan | None = None
    canary: str | None = None


class Hit(Record, frozen=True, kw_only=True, gc=False):
    """One line of a result list; ``rank`` counts from 1."""

    docid: str
    score: float
    rank: int


class Usage(Record, frozen=True, kw_only=True, gc=False):
    """Tokens and money of one call or of many, None where unknown; ``cost`` in US dollars.

    ``cached_tokens`` are those of the prompt that were in the provider's cache.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cost: float | None = None

    @classmethod
    def zero(cls) -> Usage:
        """What nothing costs: the neutral element of the sum."""
        return cls(prompt_tokens=0, completion_tokens=0, reasoning_tokens=0, cached_tokens=0, cost=0.0)

    @property
    def tokens(self) -> int | None:
        """Prompt and completion."""
        return known_sum((self.prompt_tokens, self.completion_tokens))

    def __add__(self, other: Usage) -> Usage:
        """The sum, field by field; an unknown makes the sum unknown."""
        pairs = zip(self.__struct_fields__, astuple(self), astuple(other), strict=True)
        return Usage(**{name: known_sum((one, two)) for name, one, two in pairs})


def known_sum(values: Iterable[N | None]) -> N | None:
    """The sum, None where any value is unknown."""
    whole: Any = 0
    for value in values:
        if value is None:
            return None
        whole += value
    return cast(N, whole)


class Attempt(Record, frozen=True, kw_only=True, gc=False):
    """One try at a model call: its HTTP status where there was one, its error where it failed."""

    seconds: float
    status: int | None = None
    error: str | None = None


class Call(Record, frozen=True, kw_only=True):
    """One tool call: what the agent asked for (``arguments``) and what ran (``executed``).

    ``arguments`` is the text itself where the model's arguments could not be parsed.  ``output`` is the text that
    the agent was shown.  ``hits`` belongs to a search, ``docid`` to a browse.
    """

    id: str
    tool: str
    arguments: dict[str, Any] | str
    executed: dict[str, Any] | None = None
    output: str = ""
    hits: list[Hit] | None = None
    docid: str | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def is_search(self) -> bool:
        """Whether it ran and gave a result list."""
        return self.hits is not None

    @property
    def is_browse(self) -> bool:
        """Whether it ran and opened a document."""
        return self.docid is not None


class PlacedCall(NamedTuple):
    """A call with its turn and its position among that turn's calls, both from 0."""

    turn: int
    position: int
    call: Call


class Turn(Record, frozen=True, kw_only=True):
    """One answer of the model and the calls that ran for it.

    ``reasoning`` is None where the model gave none; an empty string is an empty one.  ``reasoning_tokens`` is
    counted once, at collection, with the tokenizer named in the agent's fingerprint.  ``finish_reason`` is why the
    provider says that the message ended (``stop``, ``tool_calls``, ``length``, ``content_filter``), None where it does
    not say.  ``raw`` is the provider's message as received, where it holds more than the fields above.
    """

    reasoning: str | None
    reasoning_tokens: int
    calls: list[Call] = field(default_factory=list)
    text: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    attempts: list[Attempt] = field(default_factory=list)
    raw: dict[str, Any] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the model gave no reasoning, or an empty one."""
        return not (self.reasoning or "").strip()


class Failure(Record, frozen=True, kw_only=True):
    """Why a run broke: the boundary it crossed and the message."""

    boundary: Literal["model", "retriever", "judge", "task"]
    message: str


class Trajectory(Record, frozen=True, kw_only=True):
    """One run of one agent with one retriever on one task.

    ``end_reason`` is ``length`` where a message was cut off at the provider's limit of tokens and no whole one
    followed (with an answer, where one was asked for and came), ``content_filter`` where the provider withheld one.
    ``started`` is when it began, in seconds since 1970, None where that is unknown; ``seconds`` is how long it took.
    ``agent`` and ``retriever`` are their resolved settings with a ``fingerprint`` key: enough to rebuild them.
    ``extra`` keeps what an import brought that has no place here.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    task_id: str
    question: str
    sample: int
    agent: dict[str, Any]
    retriever: dict[str, Any]
    seed: int
    status: Status
    end_reason: EndReason
    answer: str | None
    turns: list[Turn]
    usage: Usage = Usage()
    error: Failure | None = None
    started: float | None = None
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_forced(self) -> bool:
        """Whether the answer was given at a limit, where the agent is told to answer now."""
        return is_forced(self.status, self.end_reason)

    def calls(self) -> Iterator[Call]:
        """Every call, in order."""
        return (call for turn in self.turns for call in turn.calls)

    def placed_calls(self) -> Iterator[PlacedCall]:
        """Every call with its turn and its position there, in order."""
        for number, turn in enumerate(self.turns):
            for position, call in enumerate(turn.calls):
                yield PlacedCall(number, position, call)

    def searches(self) -> Iterator[PlacedCall]:
        """The calls that gave a result list, in order."""
        return (placed for placed in self.placed_calls() if placed.call.is_search)

    def browses(self) -> Iterator[PlacedCall]:
        """The calls that opened a document, in order."""
        return (placed for placed in self.placed_calls() if placed.call.is_browse)

    def turn_after(self, number: int) -> Turn | None:
        """The turn that follows turn ``number`` (from 0), where the agent reacts to what that one showed."""
        return self.turns[number + 1] if number + 1 < len(self.turns) else None


def is_forced(status: str, end_reason: str) -> bool:
    """Whether a run that ended so gave its answer at a limit, and not of its own accord."""
    return status == "answered" and end_reason != "answer"


class Verdict(Record, frozen=True, kw_only=True):
    """Whether the document of one browse (turn and call index, from 0) was useful; ``votes`` are a model's single
    opinions.

    Where the judge failed, ``error`` is set: the browse is unjudged, and judged again on resume.
    """

    schema_version: int = SCHEMA_VERSION
    trajectory_id: str
    turn: int
    call: int
    state: VerdictState
    judge: str
    votes: list[VerdictState] = field(default_factory=list)
    reason: str | None = None
    error: Failure | None = None
    usage: Usage = Usage()


class Grade(Record, frozen=True, kw_only=True):
    """Whether the answer of one trajectory is right; ``confidence`` is the agent's own, 0 to 100, if it stated one.

    Where the judge failed, ``error`` is set: the answer is ungraded, and graded again on resume.
    """

    schema_version: int = SCHEMA_VERSION
    trajectory_id: str
    state: GradeState
    judge: str
    votes: list[GradeState] = field(default_factory=list)
    extracted: str | None = None
    confidence: float | None = None
    rationale: str | None = None
    error: Failure | None = None
    usage: Usage = Usage()


class Negative(Record, frozen=True, kw_only=True, gc=False):
    """A negative of a pair; ``weight`` multiplies its term in the denominator of the loss."""

    docid: str
    weight: float = 1.0
    tier: str = "unbrowsed"


class Provenance(Record, frozen=True, kw_only=True, gc=False):
    """Where a pair came from: the search's turn (from 0), the positive's rank there, the rule that made it.

    ``task`` is the question's id.  ``rank`` is 0 where the positive stands in an older list only.  ``call`` is the
    search's place among its turn's calls, ``browse_turn`` and ``browse_call`` say the same of the browse; None in
    pairs that do not say.  ``canary`` is that of a benchmark which asks not to be republished in plain text.
    """

    task: str
    trajectory: str
    turn: int
    rank: int
    rule: str
    call: int | None = None
    browse_turn: int | None = None
    browse_call: int | None = None
    agent: str | None = None
    canary: str | None = None


class Pair(Record, frozen=True, kw_only=True):
    """A query, a positive and its negatives, with the weight of LRAT's section 5.1.

    ``length`` is l, the token length of the reasoning written right after the browse; ``raw_weight`` is
    1 - exp(-ln 2 * l / beta); ``weight`` is that divided by its mean over the set.  Where ``satisfied`` is false the
    agent rejected the document that stands as ``positive``: such a row is kept for the record and never trained on.

    ``query_text`` names what ``query`` is: the query of the search, or a text with more of the run
    (:data:`lrat_sim.retrieval.query_text.QUERY_TEXTS`), beside which ``search`` is the query that ran.
    """

    schema_version: int = SCHEMA_VERSION
    query: str
    positive: str
    negatives: list[Negative]
    weight: float
    raw_weight: float
    length: int
    provenance: Provenance
    satisfied: bool = True
    query_text: str = "query"
    search: str | None = None


NOUNS: dict[str, type[Record]] = {
    noun.__name__.lower(): noun for noun in (Document, Task, Trajectory, Verdict, Grade, Pair)
}

R = TypeVar("R", bound=Record)

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}  # from a version to the next one


def decode(line: bytes | str, kind: type[R]) -> R:
    """Reads one record from a JSON object, bringing an older version up to date first; errors are msgspec's."""
    # a long record gets no second look where it begins as we write it
    if "schema_version" not in kind.__struct_fields__ or line[: len(_CURRENT)] in (_CURRENT, _CURRENT.encode()):
        return from_json(line, kind)
    version = from_json(line, _Versioned).schema_version
    if version == SCHEMA_VERSION:
        return from_json(line, kind)
    if version > SCHEMA_VERSION:
        raise msgspec.ValidationError(
            f"`schema_version` is {version}, newer than the {SCHEMA_VERSION} this lrat-sim reads - upgrade lrat-sim"
        )
    if version not in MIGRATIONS:
        raise msgspec.ValidationError(f"`schema_version` is {version}, which no lrat-sim ever wrote")
    old = from_json(line)
    for step in range(version, SCHEMA_VERSION):
        old = MIGRATIONS[step](old)
    return convert({**old, "schema_version": SCHEMA_VERSION}, kind)


_CURRENT = f'{{"schema_version":{SCHEMA_VERSION},'


class _Versioned(Struct):
    schema_version: int = SCHEMA_VERSION  # lines written by others have none


def encode(record: Struct) -> bytes:
    """One record as one line of JSON, without the line break; NaN and infinities become null."""
    return msgspec.json.encode(record)


def canonical(trajectory: Trajectory) -> bytes:
    """The canonical form by which trajectories are equal: everything but times and the count of tries."""
    turns = [
        replace(turn, attempts=[], calls=[replace(call, seconds=0.0) for call in turn.calls])
        for turn in trajectory.turns
    ]
    return msgspec.json.encode(replace(trajectory, turns=turns, started=None, seconds=0.0), order="sorted")
