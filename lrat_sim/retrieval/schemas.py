"""What the search server and its clients say to each other: the bodies of requests and answers, and their limits."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.keys import read_key
from lrat_sim.retrieval.query_text import Asked, EarlierSearch
from lrat_sim.retrieval.result_format import LONGEST_NAME, LONGEST_QUERY
from lrat_sim.settings import Positive, Settings, Whole

FINGERPRINT_HEADER = "x-lrat-sim-fingerprint"  # by which a client notices when something else is served

S = TypeVar("S", bound=Struct)


# a later server may have more of these fields
class ServerLimits(Settings, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What one request may ask for."""

    body: Annotated[Whole, Meta(description="Bytes of a request's body.")] = 8 << 20
    queries: Annotated[Whole, Meta(description="Queries per request.")] = 4096
    k: Annotated[Whole, Meta(description="Hits per query.")] = 1000
    hits: Annotated[Whole, Meta(description="Queries times k.")] = 50_000
    query_characters: Annotated[Whole, Meta(description="Characters of a query.")] = LONGEST_QUERY
    waiting: Annotated[Whole, Meta(description="Queries that may wait; beyond, the answer is 503.")] = 16_384
    seconds: Annotated[Positive, Meta(description="Seconds for the head of a request, and then for its body.")] = 30.0


class AskedBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A query with the run that it comes from (:class:`~lrat_sim.retrieval.query_text.Asked`), for a retriever that
    reads more than the query."""

    query: str
    question: str
    reasoning: str | None = None
    earlier: list[EarlierSearch] = []
    after_failure: bool = False

    @classmethod
    def of(cls, query: str) -> AskedBody | str:
        """A query as it is sent: a text where it comes from no run."""
        if not isinstance(query, Asked):
            return query
        return cls(
            query=str(query), question=query.question, reasoning=query.reasoning, earlier=list(query.earlier),
            after_failure=query.after_failure,
        )  # fmt: skip

    def asked(self) -> Asked:
        """The query as a retriever is handed it."""
        return Asked(
            self.query, question=self.question, reasoning=self.reasoning, earlier=self.earlier,
            after_failure=self.after_failure,
        )  # fmt: skip


class SearchBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /search``: one ``query`` or a list of ``queries``, each a text or an :class:`AskedBody`;
    ``snippet_tokens`` adds to each hit its title and so
    many first tokens of its text, ``text`` title and whole text."""

    query: str | AskedBody | None = None
    queries: list[str | AskedBody] | None = None
    k: Annotated[int, Meta(ge=1)] = 10
    snippet_tokens: Annotated[int, Meta(ge=1, le=8192)] | None = None
    text: bool = False


class SearchHit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hit of an answer; ``title``, ``snippet`` and ``text`` are there if asked for."""

    docid: Annotated[str, Meta(max_length=LONGEST_NAME)]
    score: float
    rank: int
    title: str | None = None
    snippet: str | None = None
    text: str | None = None


class SearchAnswer(Struct, frozen=True):
    """The answer to ``POST /search``: one list of hits a query, in the order of the queries."""

    results: list[list[SearchHit]]


class RetrieveBody(Struct, frozen=True, kw_only=True):
    """``POST /retrieve`` of Search-R1; as in that project's server, unknown fields are ignored."""

    queries: list[str]
    topk: Annotated[int, Meta(ge=0)] | None = None
    return_scores: bool = False


class ServerCard(Struct, frozen=True, kw_only=True):
    """``GET /describe``: what is served."""

    name: str
    version: str
    fingerprint: str
    retriever: dict[str, Any]  # what its describe() says
    documents: int | None = None  # the size of its corpus, where that is known
    limits: ServerLimits = ServerLimits()


class Refused(Exception):
    """A request that is answered with a status and one sentence instead of a result."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None):
        self.status, self.sentence, self.headers = status, sentence, headers or {}
        super().__init__(sentence)


def read_body(body: bytes, kind: type[S]) -> S:
    """A request's body as a record; refused with 422, with what is wrong and where."""
    try:
        content = json.loads(body)  # not msgspec: a query may hold half a surrogate pair, as models do write
    except (ValueError, RecursionError) as error:
        raise Refused(422, f"the body is not JSON ({error}); send one JSON object.") from error
    try:
        return convert(content, kind)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise Refused(422, f"the body is not as it should be: {said_plainly(error)}; correct that field.") from error


def encode_answer(answer: Any) -> bytes:
    """An answer as JSON; a text that UTF-8 cannot hold is escaped."""
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(answer)).encode()


def read_token(variable: str | None) -> str | None:
    """The token or key in an environment variable, None where no variable is named; it must be set (InputError)."""
    token = read_key(variable) if variable is not None else None
    if variable is not None and not token:
        raise InputError(f"the environment variable {variable} is not set; put the token there.")
    return token
