"""From runs to pairs (LRAT, section 5.1), in two passes over a stream.

:func:`label` labels what each run browsed, by itself, so that runs can be shared out among processes; unfinished pairs
go to a temporary file.  :class:`PairAssembler` fills in what depends on all of them: guards that look over several
runs, limits, weights.  Some numbers of each pair are all that stays in memory.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, structs

from lrat_sim.corpus.documents import Corpus
from lrat_sim.decoding import prepared
from lrat_sim.grading.relevance import Browse
from lrat_sim.mining import guards
from lrat_sim.mining.episodes import ExecutedSearch, States, is_silent
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MEANING, UNLABELLED, MiningReport, histogram, quantiles, weight_shares
from lrat_sim.mining.rules import (
    FLAGGED,
    LENGTHS,
    NEGATIVES,
    POSITIVES,
    SEARCHES,
    WALKS,
    Candidates,
    Counts,
    ListedDocument,
    query_text,
)
from lrat_sim.mining.usefulness import BY_READING, USEFULNESS, AnalysedRun
from lrat_sim.mining.weights import WEIGHTS, PairNumbers
from lrat_sim.records import GradeState, Negative, Pair, Provenance, Trajectory, VerdictState, decode, encode
from lrat_sim.retrieval.query_text import PLAIN, QUERY_TEXTS, texts_read

if TYPE_CHECKING:
    from lrat_sim.retrieval.vectors import Encoder

OUTCOMES: tuple[GradeState, ...] = ("correct", "incorrect", "ungraded")

_IN_MEMORY = 1 << 26
"""Bytes of unfinished pairs that are kept in memory before they go to a file."""
_TOGETHER = 32
"""Pairs whose documents are encoded together."""


class BrowseVerdict(NamedTuple):
    """A verdict, and the share of the judge's readable votes that said relevant, 1 where there were no votes."""

    state: VerdictState
    share: float = 1.0


RunVerdicts = dict[tuple[int, int], BrowseVerdict]
"""The verdicts on the browses of one run, by turn and position."""


class WeighedPair(Struct, frozen=True, array_like=True, gc=False):
    """What decides the weight of a pair: the part of an unfinished pair that the first pass over all runs reads."""

    pair: Pair
    outcome: GradeState
    share: float  # of the votes


class UnfinishedPair(WeighedPair, frozen=True, array_like=True, gc=False):
    """A pair before guards, limits and weights."""

    candidates: list[list[str]]  # the documents that each negative rule of the recipe takes


_WEIGHED, _ROWS = msgspec.json.Decoder(prepared(WeighedPair)), msgspec.json.Decoder(prepared(UnfinishedPair))


# --- one run ---


def label(
    run: Trajectory,
    verdicts: RunVerdicts,
    grade: GradeState | None,
    recipe: MiningRecipe,
    corpus: Container[str] | None = None,
    answers: Sequence[str] = (),
) -> tuple[list[bytes], Counts]:
    """The unfinished pairs of one run, encoded, and the counts of what became of everything else.

    Documents outside ``corpus``, where one is given, are neither positives nor negatives.  ``answers`` are the task's
    accepted ones.
    """
    counts, outcome = Counts({("runs", "read"): 1}), grade or "ungraded"
    counts.update(("asked_with", name) for name in texts_read(run.retriever) or [PLAIN])
    left_out: str | None = None
    if run.status == "error":
        left_out = "error"
    elif run.status != "answered":
        left_out = None if recipe.unanswered and recipe.runs == "all" else "not_answered"
    elif recipe.runs not in ("all", outcome):
        left_out = "ungraded" if outcome == "ungraded" else "other_outcome"
    if left_out is not None:
        counts["left_out", left_out] += 1
        return [], counts
    rows: list[bytes] = []
    for candidates, states in candidates_of(run, verdicts, recipe, counts, answers):
        positives = _positives(run, candidates, states, recipe, corpus, counts)
        if not positives:
            continue
        counts["searches", "with_pairs"] += 1
        taken: list[list[str]] = [[] for _ in recipe.negatives]
        unlabelled: dict[str, set[str]] = defaultdict(set)
        for document in candidates.listed:
            taken_by = takers(document, recipe)
            if (reason := why_no_negative(document, taken_by, recipe, corpus)) is not None:
                unlabelled[reason].add(document.docid)
                continue
            for place in taken_by:
                taken[place].append(document.docid)
        for browse, satisfied in positives:
            # counted for each pair, of which the positive itself is no unlabelled document
            for reason, docids in unlabelled.items():
                counts["unlabelled", reason] += len(docids - {browse.docid})
            share = verdicts.get((browse.turn, browse.call), BrowseVerdict("unjudged")).share
            pair = _pair(run, candidates.search, browse, satisfied, recipe, corpus)
            rows.append(msgspec.json.encode(UnfinishedPair(pair, outcome, share, taken)))
    return rows, counts


def candidates_of(
    run: Trajectory,
    verdicts: Mapping[tuple[int, int], Any],
    recipe: MiningRecipe,
    counts: Counts,
    answers: Sequence[str] = (),
) -> Iterator[tuple[Candidates, States]]:
    """What the searches of a run could make pairs of, with the verdicts that count; ``verdicts`` have a ``state``."""
    by_reading = recipe.useful in BY_READING
    analysed = AnalysedRun(run, answers, drop_silent=recipe.silent == "drop", by_reading=by_reading)
    states = USEFULNESS[recipe.useful](analysed, {place: verdict.state for place, verdict in verdicts.items()})
    return ((candidates, states) for candidates in WALKS[recipe.walk](analysed, states, recipe.parallel, counts))


def takers(document: ListedDocument, recipe: MiningRecipe) -> list[int]:
    """The places among a recipe's negatives of the rules that take a listed document."""
    return [place for place, source in enumerate(recipe.negatives) if NEGATIVES[source.rule](document)]


def why_no_negative(
    document: ListedDocument, taken_by: Sequence[int], recipe: MiningRecipe, corpus: Container[str] | None = None
) -> str | None:
    """Why a listed document is no negative, one of UNLABELLED; None where it is one by the rules that take it."""
    if not taken_by:
        return document.state
    if recipe.guards.look_ahead and document.opened_later:
        return "opened_later"
    return "not_in_corpus" if corpus is not None and document.docid not in corpus else None


def _positives(
    run: Trajectory,
    candidates: Candidates,
    states: States,
    recipe: MiningRecipe,
    corpus: Container[str] | None,
    counts: Counts,
) -> list[tuple[Browse, bool]]:
    """The browses that make pairs, and whether their document is a positive or one that is only flagged."""
    search, left_out = candidates.search, None
    if not SEARCHES[recipe.searches](run, search.turn):
        left_out = "search_left_out"
    elif not candidates.blank_query and not search.query:
        left_out = "no_query"
    if left_out is not None:
        counts["browses", left_out] += sum(map(len, candidates.opened))
        return []
    positives: list[tuple[Browse, bool]] = []
    for browses in candidates.opened:
        if corpus is not None and browses[0].docid not in corpus:
            reasons: list[str | None] = ["not_in_corpus"]
        else:
            rule = POSITIVES[recipe.positives]
            drop = recipe.silent == "drop"
            reasons = [rule(states.get((browse.turn, browse.call)), drop and is_silent(browse)) for browse in browses]
        # a document opened twice is one pair, by the first browse that makes it a positive
        reason = None if None in reasons else reasons[0]
        counts["browses", "repeated"] += len(browses) - 1
        counts["browses", reason or "kept"] += 1
        if reason in (None, FLAGGED):
            positives.append((browses[reasons.index(reason)], reason is None))
    return positives


def _pair(
    run: Trajectory,
    search: ExecutedSearch,
    browse: Browse,
    satisfied: bool,
    recipe: MiningRecipe,
    corpus: Container[str] | None,
) -> Pair:
    """The pair, as far as the run alone tells."""

    def title(docid: str) -> str:
        return corpus.document(docid).title if isinstance(corpus, Corpus) and docid in corpus else ""

    canary = run.extra.get("canary")
    provenance = Provenance(
        task=run.task_id,
        trajectory=run.id,
        turn=search.turn,
        rank=search.rank(browse.docid) or 0,
        rule=recipe.positives if recipe.shuffle is None else f"{recipe.positives}, shuffled",
        call=search.call,
        browse_turn=browse.turn,
        browse_call=browse.call,
        agent=str(run.agent.get("name") or run.agent.get("model") or "unknown"),
        canary=canary if isinstance(canary, str) else None,
    )
    return Pair(
        query=query_text(recipe.query_text, run, search, title if recipe.needs_titles else None),
        query_text=recipe.query_text,
        search=None if recipe.query_text == PLAIN else search.query,
        positive=browse.docid,
        negatives=[],
        weight=1.0,
        raw_weight=1.0,
        length=LENGTHS[recipe.length](browse),
        provenance=provenance,
        satisfied=satisfied,
    )


# --- all runs together ---


def _spool() -> IO[bytes]:
    """A file for lines that are written once and read as often as needed, in memory while they are few."""
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)


def _lines(spool: IO[bytes]) -> Iterator[bytes]:
    spool.seek(0)
    yield from spool


_NUMBERS = [
    *((name, np.float64) for name in ("length", "share")),
    *((name, np.int64) for name in ("outcome", "agent")),
    *((name, np.uint64) for name in ("content", "document", "origin")),  # hashes, for the guards that need them, else 0
]
"""What is kept in memory of each unfinished pair."""


class PairAssembler:
    """Makes the pairs of a mining from the unfinished ones of all its runs.

    :meth:`add` takes the runs, :meth:`pairs` is then read once and to its end, :meth:`report` accounts for both.  The
    guard ``near_positive`` needs corpus and encoder.
    """

    def __init__(self, recipe: MiningRecipe, *, corpus: Container[str] | None = None, encoder: Encoder | None = None):
        self.recipe, self.counts, self._rows = recipe, Counts(), _spool()
        near = recipe.guards.near_positive
        self._near = None if near is None else guards.NearPositives(near, encoder, corpus)
        self._own_positives: dict[str, set[str]] = defaultdict(set)  # of each task, for the guard question_positives

    def add(self, rows: Iterable[bytes], counts: Counts) -> None:
        """Adds what :func:`label` found in a run, or in several."""
        self._rows.writelines(row + b"\n" for row in rows)
        self.counts.update(counts)

    def pairs(self) -> Iterator[Pair]:
        """The pairs, in the order of the runs and their browses."""
        self._weigh()
        numbers = zip(self._weighting.raw.tolist(), self._weights.tolist(), self._exchanged(), strict=True)
        pairs: Iterable[Pair] = (self._finished(row, *own) for row, own in zip(self._guarded(), numbers, strict=True))
        if self.recipe.guards.negatives_per_document is not None:
            pairs = self._capped(pairs, self.recipe.guards.negatives_per_document)
        for pair in pairs:
            for negative in pair.negatives:
                self.counts["negatives", negative.tier] += 1
            self.counts["pairs", "without_negatives"] += not pair.negatives
            self.counts["pairs", "flagged"] += not pair.satisfied
            yield pair

    def _weigh(self) -> None:
        """The pass that decides which rows become pairs and what each weighs."""
        limits, agents = self.recipe.guards, dict[str, int]()
        hashed = limits.deduplicate or limits.pairs_per_document is not None

        def numbers(line: bytes) -> tuple[float, ...]:
            row = _WEIGHED.decode(line)
            pair = row.pair
            if limits.question_positives and pair.satisfied:
                self._own_positives[pair.provenance.task].add(pair.positive)
            agent = agents.setdefault(str(pair.provenance.agent), len(agents))
            hashes = 0, 0, 0
            if hashed:
                content = guards.key(pair.query, pair.positive, pair.satisfied)
                hashes = content, guards.key(pair.positive), guards.key(*guards.place(pair))
            return (pair.length, row.share, OUTCOMES.index(row.outcome), agent, *hashes)

        table = np.fromiter(map(numbers, _lines(self._rows)), np.dtype(_NUMBERS))
        kept = np.ones(len(table), np.bool_)
        if limits.deduplicate:
            kept = guards.first_of_each(table["content"], table["length"], table["origin"])
            self.counts["dropped", "duplicate"] = len(kept) - int(kept.sum())
        if limits.pairs_per_document is not None:
            left = np.flatnonzero(kept)
            documents, origins = table["document"][left], table["origin"][left]
            kept[left] = guards.at_most(limits.pairs_per_document, documents, origins)
            self.counts["dropped", "pairs_per_document"] = len(left) - int(kept.sum())
        self._kept: guards.Mask = kept
        self._lengths, share, outcome, agent = (table[name][kept] for name in ("length", "share", "outcome", "agent"))
        self._agents, self._outcomes = (list(agents), agent), (OUTCOMES, outcome)
        self._weighting = WEIGHTS[self.recipe.weight](PairNumbers(self._lengths, agent, share))
        if self.recipe.outcome_weights:
            factors = np.array([self.recipe.outcome_weights.get(outcome, 1.0) for outcome in OUTCOMES])
            self._weighting = self._weighting._replace(raw=self._weighting.raw * factors[outcome])
        self._weights = self._weighting.weights

    def _kept_rows(self) -> Iterator[UnfinishedPair]:
        return (_ROWS.decode(line) for line, kept in zip(_lines(self._rows), self._kept, strict=True) if kept)

    def _exchanged(self) -> Iterable[str | None]:
        """The exchanged positive of each pair; None where positives stay."""
        shuffle = self.recipe.shuffle
        if shuffle is None or shuffle.within != "pairs" or not len(self._weights):
            return [None] * len(self._weights)
        own, tasks = zip(*((row.pair.positive, row.pair.provenance.task) for row in self._kept_rows()), strict=True)
        return guards.exchange(own, tasks, shuffle.seed)

    def _guarded(self) -> Iterator[UnfinishedPair]:
        """The kept rows without the candidates that guards take out."""
        rows = self._kept_rows()
        while batch := list(islice(rows, _TOGETHER)):
            if self._own_positives:
                own = [self._own_positives[row.pair.provenance.task] for row in batch]
                batch = list(map(self._without, batch, own, ["question_positive"] * len(batch)))
            if self._near is not None:
                near = self._near.find([(row.pair, set[str]().union(*row.candidates)) for row in batch])
                batch = list(map(self._without, batch, near, ["near_positive"] * len(batch)))
            yield from batch

    def _without(self, row: UnfinishedPair, docids: set[str], reason: str) -> UnfinishedPair:
        """A row without some candidates, which are counted; its own positive is none of its negatives anyway."""
        leave = {docid for taken in row.candidates for docid in taken if docid in docids} - {row.pair.positive}
        self.counts["unlabelled", reason] += len(leave)
        rest = [[docid for docid in taken if docid not in leave] for taken in row.candidates]
        return structs.replace(row, candidates=rest)

    def _finished(self, row: UnfinishedPair, raw: float, weight: float, exchanged: str | None) -> Pair:
        pair, shuffle = row.pair, self.recipe.shuffle
        positive, negatives = pair.positive, self._negatives(row)
        if exchanged is not None:
            positive = exchanged
            negatives = [negative for negative in negatives if negative.docid != positive]
        elif shuffle is not None and shuffle.within == "list":
            place = guards.place(pair)
            positive, negatives = guards.drawn_from_list(positive, negatives, shuffle.seed, *place)
        return structs.replace(pair, positive=positive, negatives=negatives, weight=weight, raw_weight=raw)

    def _negatives(self, row: UnfinishedPair) -> list[Negative]:
        """By rule, each document once, within the rules' limits."""
        picked: dict[str, Negative] = {}
        left_out: set[str] = set()
        for source, taken in zip(self.recipe.negatives, row.candidates, strict=True):
            fresh = [docid for docid in dict.fromkeys(taken) if docid not in picked and docid != row.pair.positive]
            room = len(fresh) if source.limit is None else source.limit
            if source.up_to is not None:
                room = min(room, max(0, source.up_to - len(picked)))
            for docid in fresh[:room]:
                picked[docid] = Negative(docid=docid, weight=source.weight, tier=source.rule)
            left_out.update(fresh[room:])
        self.counts["unlabelled", "over_limit"] += len(left_out - picked.keys())
        return list(picked.values())

    def _capped(self, pairs: Iterable[Pair], count: int) -> Iterator[Pair]:
        """The pairs with each document among the negatives of ``count`` at most."""
        spool, uses = _spool(), array("Q")
        for pair in pairs:
            origin = guards.key(*guards.place(pair))
            for negative in pair.negatives:
                uses.extend((guards.key(negative.docid), origin))
            spool.write(encode(pair) + b"\n")
        kept = guards.at_most(count, np.array(uses[::2]), np.array(uses[1::2]))
        self.counts["unlabelled", "negatives_per_document"] += len(kept) - int(kept.sum())
        stays = iter(kept)
        for line in _lines(spool):
            pair = decode(line, Pair)
            yield structs.replace(pair, negatives=[negative for negative in pair.negatives if next(stays)])

    def report(self, *, runs: Iterable[str] = (), judge: str | None = None) -> MiningReport:
        """The account of the mining, with where the runs were read and whose verdicts counted."""
        counts, recipe, weights, lengths = self.counts, self.recipe, self._weights, self._lengths
        reasons: dict[str, Iterable[str]] = {
            "left_out": MEANING,
            "browses": MEANING,
            "dropped": MEANING,
            "unlabelled": UNLABELLED,
            "negatives": dict.fromkeys(source.rule for source in recipe.negatives),
        }
        # the counts above 0, in the order in which their reasons are explained
        sections = {
            section: {reason: counts[section, reason] for reason in names if counts[section, reason]}
            for section, names in reasons.items()
        }
        return MiningReport(
            **sections,
            recipe=recipe,
            recipe_fingerprint=recipe.fingerprint,
            asked_with={name: counts["asked_with", name] for name in QUERY_TEXTS if counts["asked_with", name]},
            runs=list(runs),
            judge=judge,
            trajectories=counts["runs", "read"],
            mined=counts["runs", "read"] - sum(sections["left_out"].values()),
            searches=counts["searches", "ran"],
            searches_with_pairs=counts["searches", "with_pairs"],
            pairs=len(weights),
            flagged=counts["pairs", "flagged"],
            pairs_without_reasoning=int((lengths == 0).sum()),
            pairs_without_negatives=counts["pairs", "without_negatives"],
            beta=self._weighting.beta,
            mean_raw=self._weighting.mean,
            lengths=quantiles(lengths),
            weights=quantiles(weights),
            weight_histogram=histogram(weights),
            length_histogram=histogram(lengths),
            by_agent=weight_shares(*self._agents, lengths, weights),
            by_outcome=weight_shares(*self._outcomes, lengths, weights),
        )
