"""From runs to pairs (LRAT, section 5.1), in two passes over a stream.

The first labels what each run browsed, by itself, so that runs can be shared out among processes; unfinished pairs go
to a temporary file.  The second fills in what depends on all of them: guards that look over several runs, limits,
weights.  Some numbers of each pair are all that stays in memory.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import tee
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, structs

from lrat_sim.grading.relevance import Browse
from lrat_sim.mining import guards
from lrat_sim.mining.episodes import ExecutedSearch, Judgement, is_silent
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MEANING, UNLABELLED, MiningReport, histogram, quantiles, weight_shares
from lrat_sim.mining.rules import (
    FLAGGED,
    LENGTHS,
    NEGATIVES,
    POSITIVES,
    QUERIES,
    SEARCHES,
    WALKS,
    Candidates,
    ListedDocument,
)
from lrat_sim.mining.usefulness import USEFULNESS, AnalysedRun
from lrat_sim.mining.weights import WEIGHTS, PairNumbers
from lrat_sim.records import GradeState, Negative, Pair, Provenance, Trajectory, VerdictState, decode, encode

if TYPE_CHECKING:
    from lrat_sim.retrieval.vectors import Encoder

OUTCOMES: tuple[GradeState, ...] = ("correct", "incorrect", "ungraded")

_IN_MEMORY = 1 << 26
"""Bytes of unfinished pairs that are kept in memory before they go to a file."""

Counts = Counter[tuple[str, str]]
"""How many of what, by section of the report and reason."""


class BrowseVerdict(NamedTuple):
    """A verdict, and the share of the judge's readable votes that said relevant, 1 where there were no votes."""

    state: VerdictState
    share: float = 1.0


RunVerdicts = dict[tuple[int, int], BrowseVerdict]
"""The verdicts on the browses of one run, by turn and position."""


class UnfinishedPair(Struct, frozen=True, array_like=True, gc=False):
    """A pair before guards, limits and weights.

    ``candidates`` holds the documents that each negative rule of the recipe takes; ``share`` is that of the votes.
    """

    pair: Pair
    candidates: list[list[str]]
    outcome: GradeState
    share: float


_ROWS = msgspec.json.Decoder(UnfinishedPair)


def label(
    run: Trajectory,
    verdicts: RunVerdicts,
    grade: GradeState | None,
    recipe: MiningRecipe,
    corpus: Container[str] | None = None,
) -> tuple[list[bytes], Counts]:
    """Labels the browses and result lists of one run.

    Args:
        run: the run.
        verdicts: on its browses.
        grade: how its answer was graded; None where it was not.
        recipe: how.
        corpus: the ids that count; documents outside are neither positives nor negatives. None for all.

    Returns:
        Its unfinished pairs, encoded, and the counts of what became of everything else.
    """
    counts: Counts = Counter({("runs", "read"): 1})
    labeller = _Labeller(run, verdicts, grade or "ungraded", recipe, corpus, counts)
    return [msgspec.json.encode(row) for row in labeller.rows()], counts


class _Labeller(Struct, frozen=True):
    """One call of :func:`label`."""

    run: Trajectory
    verdicts: RunVerdicts
    outcome: GradeState
    recipe: MiningRecipe
    corpus: Container[str] | None
    counts: Counts

    def rows(self) -> Iterator[UnfinishedPair]:
        if (reason := self._left_out()) is not None:
            self.counts["left_out", reason] += 1
            return

        def recorded(browse: Browse) -> VerdictState | None:
            verdict = self.verdicts.get((browse.turn, browse.call))
            return None if verdict is None else verdict.state

        run, counted = AnalysedRun(self.run), Counter[str]()
        verdict = USEFULNESS[self.recipe.useful](run, recorded)
        for candidates in WALKS[self.recipe.walk](run, verdict, self.recipe.parallel, counted):
            yield from self._pairs(candidates, verdict)
        self.counts["searches", "ran"] = counted.pop("searches", 0)
        self._count("browses", counted)

    def _count(self, section: str, counted: Mapping[str, int]) -> None:
        self.counts.update({(section, reason): count for reason, count in counted.items()})

    def _left_out(self) -> str | None:
        """Why the run is not mined."""
        if self.run.status == "error":
            return "error"
        if self.run.status != "answered":
            return None if self.recipe.unanswered else "not_answered"
        if self.recipe.runs in ("all", self.outcome):
            return None
        return "ungraded" if self.outcome == "ungraded" else "other_outcome"

    def _pairs(self, candidates: Candidates, verdict: Judgement) -> Iterator[UnfinishedPair]:
        search = candidates.search
        query = QUERIES[self.recipe.query](self.run, search)
        left_out = None
        if not SEARCHES[self.recipe.searches](self.run, search.turn):
            left_out = "search_left_out"
        elif not candidates.blank_query and not (search.query and query.strip()):
            left_out = "no_query"
        if left_out is not None:
            self._count("browses", {left_out: sum(map(len, candidates.opened))})
            return
        positives: list[tuple[Browse, bool]] = []
        for browses in candidates.opened:
            # a document opened twice is one pair, by the first browse that makes it a positive
            reasons = [self._no_positive(browse, verdict) for browse in browses]
            reason = None if None in reasons else reasons[0]
            self._count("browses", {"repeated": len(browses) - 1, reason or "kept": 1})
            if reason in (None, FLAGGED):
                positives.append((browses[reasons.index(reason)], reason is None))
        if not positives:
            return
        self.counts["searches", "with_pairs"] += 1
        taken, unlabelled = self._negatives(candidates.listed)
        for browse, satisfied in positives:
            # counted for each pair, of which the positive itself is no unlabelled document
            self._count("unlabelled", {reason: len(docids - {browse.docid}) for reason, docids in unlabelled.items()})
            share = self.verdicts.get((browse.turn, browse.call), BrowseVerdict("unjudged")).share
            yield UnfinishedPair(self._pair(query, search, browse, satisfied), taken, self.outcome, share)

    def _no_positive(self, browse: Browse, verdict: Judgement) -> str | None:
        """Why the document of a browse is no positive; None where it is one."""
        if self.corpus is not None and browse.docid not in self.corpus:
            return "not_in_corpus"
        return POSITIVES[self.recipe.positives](verdict(browse), is_silent(browse))

    def _negatives(self, listed: Iterable[ListedDocument]) -> tuple[list[list[str]], dict[str, set[str]]]:
        """The documents that each negative rule takes, and those that none does, by reason."""
        rules = [NEGATIVES[source.rule] for source in self.recipe.negatives]
        taken: list[list[str]] = [[] for _ in rules]
        unlabelled: dict[str, set[str]] = defaultdict(set)
        for document in listed:
            takers = [own for own, takes in zip(taken, rules, strict=True) if takes(document)]
            if not takers:
                unlabelled[document.state].add(document.docid)
            elif self.recipe.guards.look_ahead and document.opened_later:
                unlabelled["opened_later"].add(document.docid)
            elif self.corpus is not None and document.docid not in self.corpus:
                unlabelled["not_in_corpus"].add(document.docid)
            else:
                for own in takers:
                    own.append(document.docid)
        return taken, unlabelled

    def _pair(self, query: str, search: ExecutedSearch, browse: Browse, satisfied: bool) -> Pair:
        """The pair, as far as the run alone tells."""
        run, rule, canary = self.run, self.recipe.positives, self.run.extra.get("canary")
        provenance = Provenance(
            task=run.task_id,
            trajectory=run.id,
            turn=search.turn,
            rank=search.rank(browse.docid) or 0,
            rule=rule if self.recipe.shuffle is None else f"{rule}, shuffled",
            call=search.call,
            browse_turn=browse.turn,
            browse_call=browse.call,
            agent=str(run.agent.get("name") or run.agent.get("model") or "unknown"),
            canary=canary if isinstance(canary, str) else None,
        )
        return Pair(
            query=query,
            positive=browse.docid,
            negatives=[],
            weight=1.0,
            raw_weight=1.0,
            length=LENGTHS[self.recipe.length](browse),
            provenance=provenance,
            satisfied=satisfied,
        )


class Spool:
    """Lines that are written once and read as often as needed, in memory while they are few."""

    def __init__(self) -> None:
        self._stream: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # it is this object

    def extend(self, lines: Iterable[bytes]) -> None:
        """Adds lines, which come without their ends."""
        self._stream.writelines(line + b"\n" for line in lines)

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(0)
        yield from self._stream


class PairAssembler:
    """Makes the pairs of a mining from the unfinished ones of all its runs.

    :meth:`add` takes the runs, :meth:`pairs` is then read once and to its end, :meth:`report` accounts for both.

    Args:
        recipe: how.
        corpus: the documents' texts, for the guard ``near_positive``.
        encoder: for the same.

    Raises:
        InputError: the recipe has that guard, and one of the two is missing.
    """

    def __init__(self, recipe: MiningRecipe, *, corpus: Container[str] | None = None, encoder: Encoder | None = None):
        self.recipe, self.counts, self._spool = recipe, Counts(), Spool()
        near = recipe.guards.near_positive
        self._near = None if near is None else guards.NearPositives(near, encoder, corpus)

    def add(self, rows: Iterable[bytes], counts: Counts) -> None:
        """Adds what :func:`label` found in a run, or in several."""
        self._spool.extend(rows)
        self.counts.update(counts)

    def pairs(self) -> Iterator[Pair]:
        """The pairs, in the order of the runs and their browses.

        Raises:
            InputError: the recipe asks for an exchange of positives that is not possible.
        """
        self._read_numbers()
        limits = self.recipe.guards
        pairs: Iterable[Pair] = map(self._finished, self._guarded(), range(len(self._lengths)), self._positives())
        if limits.negatives_per_document is not None:
            pairs = self._capped(pairs, limits.negatives_per_document)
        for pair in pairs:
            self.counts.update([("negatives", negative.tier) for negative in pair.negatives])
            self.counts["pairs", "without_negatives"] += not pair.negatives
            self.counts["pairs", "flagged"] += not pair.satisfied
            yield pair

    def _rows(self) -> Iterator[UnfinishedPair]:
        return map(_ROWS.decode, self._spool)

    def _kept_rows(self) -> Iterator[UnfinishedPair]:
        return (row for row, kept in zip(self._rows(), self._kept, strict=True) if kept)

    def _read_numbers(self) -> None:
        """The pass that decides which rows become pairs and what each weighs."""
        limits = self.recipe.guards
        drawn = limits.deduplicate or limits.pairs_per_document is not None
        lengths, outcomes, agents, shares = array("q"), array("q"), array("q"), array("d")
        keys, documents, origins = array("Q"), array("Q"), array("Q")
        numbers: dict[str, int] = {}
        self._own_positives: dict[str, set[str]] = defaultdict(set)
        for row in self._rows():
            pair = row.pair
            lengths.append(pair.length)
            outcomes.append(OUTCOMES.index(row.outcome))
            agents.append(numbers.setdefault(str(pair.provenance.agent), len(numbers)))
            shares.append(row.share)
            if limits.question_positives and pair.satisfied:
                self._own_positives[pair.provenance.task].add(pair.positive)
            if drawn:
                keys.append(guards.key(pair.query, pair.positive, pair.satisfied))
                documents.append(guards.key(pair.positive))
                origins.append(guards.origin(pair))
        kept = np.ones(len(lengths), np.bool_)
        if limits.deduplicate:
            kept = guards.first_of_each(*(np.array(each) for each in (keys, lengths, origins)))
            self.counts["dropped", "duplicate"] = len(kept) - int(kept.sum())
        if limits.pairs_per_document is not None:
            left = np.flatnonzero(kept)
            kept[left] = guards.at_most(limits.pairs_per_document, np.array(documents)[left], np.array(origins)[left])
            self.counts["dropped", "pairs_per_document"] = len(left) - int(kept.sum())
        self._kept: guards.Mask = kept
        self._agent_names = list(numbers)
        self._lengths = np.array(lengths, np.float64)[kept]
        self._agents, self._outcomes = np.array(agents)[kept], np.array(outcomes)[kept]
        weighing = PairNumbers(self._lengths, self._agents, np.array(shares)[kept])
        self._weighting = WEIGHTS[self.recipe.weight](weighing)
        if self.recipe.outcome_weights:
            factors = np.array([self.recipe.outcome_weights.get(outcome, 1.0) for outcome in OUTCOMES])
            self._weighting = self._weighting._replace(raw=self._weighting.raw * factors[self._outcomes])
        self._weights = self._weighting.weights

    def _guarded(self) -> Iterator[UnfinishedPair]:
        """The kept rows without the candidates that guards take out."""
        rows = self._kept_rows()
        if self._own_positives:
            rows = (
                self._without(row, self._own_positives[row.pair.provenance.task], "question_positive") for row in rows
            )
        if self._near is not None:
            rows, scored = tee(rows)
            near = self._near.find((row.pair, {docid for taken in row.candidates for docid in taken}) for row in scored)
            rows = (self._without(row, docids, "near_positive") for row, docids in zip(rows, near, strict=True))
        return rows

    def _without(self, row: UnfinishedPair, docids: set[str], reason: str) -> UnfinishedPair:
        """A row without some candidates, which are counted; its own positive is none of its negatives anyway."""
        leave = {docid for taken in row.candidates for docid in taken if docid in docids} - {row.pair.positive}
        if not leave:
            return row
        self.counts["unlabelled", reason] += len(leave)
        rest = [[docid for docid in taken if docid not in leave] for taken in row.candidates]
        return structs.replace(row, candidates=rest)

    def _finished(self, row: UnfinishedPair, number: int, exchanged: str | None) -> Pair:
        pair, shuffle = row.pair, self.recipe.shuffle
        positive, negatives = pair.positive, self._picked(row)
        if exchanged is not None:
            positive = exchanged
            negatives = [negative for negative in negatives if negative.docid != positive]
        elif shuffle is not None and shuffle.within == "list":
            where = pair.provenance
            browse = (where.trajectory, where.turn, where.call, where.browse_turn, where.browse_call)
            positive, negatives = guards.drawn_from_list(positive, negatives, shuffle.seed, *browse)
        return structs.replace(
            pair,
            positive=positive,
            negatives=negatives,
            weight=float(self._weights[number]),
            raw_weight=float(self._weighting.raw[number]),
        )

    def _picked(self, row: UnfinishedPair) -> list[Negative]:
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

    def _positives(self) -> Iterable[str | None]:
        """The exchanged positive of each pair; None where positives stay."""
        shuffle = self.recipe.shuffle
        if shuffle is None or shuffle.within != "pairs" or not self._kept.any():
            return [None] * len(self._lengths)
        own, tasks = zip(*((row.pair.positive, row.pair.provenance.task) for row in self._kept_rows()), strict=True)
        return guards.exchange(own, tasks, shuffle.seed)

    def _capped(self, pairs: Iterable[Pair], count: int) -> Iterator[Pair]:
        """The pairs with each document among the negatives of ``count`` at most."""
        spool, documents, origins = Spool(), array("Q"), array("Q")
        for pair in pairs:
            documents.extend(guards.key(negative.docid) for negative in pair.negatives)
            origins.extend([guards.origin(pair)] * len(pair.negatives))
            spool.extend([encode(pair)])
        kept = guards.at_most(count, np.array(documents), np.array(origins))
        self.counts["unlabelled", "negatives_per_document"] += len(kept) - int(kept.sum())
        start = 0
        for line in spool:
            pair = decode(line, Pair)
            own = kept[start : start + len(pair.negatives)]
            start += len(pair.negatives)
            rest = [negative for negative, stays in zip(pair.negatives, own, strict=True) if stays]
            yield structs.replace(pair, negatives=rest)

    def report(self, *, runs: Iterable[str] = (), judge: str | None = None) -> MiningReport:
        """The account of the mining.

        Args:
            runs: where the runs were read, to be found again.
            judge: whose verdicts counted.
        """
        counts, recipe, weights = self.counts, self.recipe, self._weights

        def section(name: str, reasons: Iterable[str]) -> dict[str, int]:
            """The counts above 0, in the order in which their reasons are explained."""
            return {reason: counts[name, reason] for reason in reasons if counts[name, reason]}

        left_out = section("left_out", MEANING)
        agents = [self._agent_names[agent] for agent in self._agents]
        outcomes = [OUTCOMES[outcome] for outcome in self._outcomes]
        return MiningReport(
            recipe=recipe,
            recipe_fingerprint=recipe.fingerprint,
            runs=list(runs),
            judge=judge,
            trajectories=counts["runs", "read"],
            mined=counts["runs", "read"] - sum(left_out.values()),
            left_out=left_out,
            searches=counts["searches", "ran"],
            searches_with_pairs=counts["searches", "with_pairs"],
            browses=section("browses", MEANING),
            dropped=section("dropped", MEANING),
            pairs=len(weights),
            flagged=counts["pairs", "flagged"],
            pairs_without_negatives=counts["pairs", "without_negatives"],
            negatives=section("negatives", dict.fromkeys(source.rule for source in recipe.negatives)),
            unlabelled=section("unlabelled", UNLABELLED),
            beta=self._weighting.beta,
            mean_raw=self._weighting.mean,
            lengths=quantiles(self._lengths),
            weights=quantiles(weights),
            weight_histogram=histogram(weights),
            length_histogram=histogram(self._lengths),
            by_agent=weight_shares(agents, self._lengths, weights),
            by_outcome=weight_shares(outcomes, self._lengths, weights),
        )
