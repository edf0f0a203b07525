"""The second pass: rows to pairs, with everything that depends on all of them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec
import numpy as np
from msgspec import structs

from lrat_sim.mining import guards
from lrat_sim.mining.collect import OUTCOMES, Collected, Row
from lrat_sim.mining.guards import Likeness, Mask
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MEANING, UNLABELLED, MiningReport, in_order, report
from lrat_sim.mining.shuffle import drawn_from_list, exchange
from lrat_sim.mining.weights import WEIGHTS, Measures
from lrat_sim.records import Negative, Pair, Provenance, decode, encode

_IN_MEMORY = 1 << 26
"""Bytes of unfinished rows that are kept in memory before they go to a file."""


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


class Finisher:
    """Makes the pairs of a mining from its rows.

    :meth:`pairs` is read once and to its end; :meth:`report` speaks of what it gave.

    Args:
        recipe: how.
        found: the numbers of the first pass.
        rows: its rows.
        likeness: scores negatives, where the recipe asks for it.

    Raises:
        InputError: the recipe asks for an exchange of positives that is not possible.
    """

    def __init__(self, recipe: MiningRecipe, found: Collected, rows: Spool, likeness: Likeness | None = None):
        self.recipe, self._found, self._rows, self._likeness = recipe, found, rows, likeness
        self._negatives: Counter[str] = Counter()
        self._unlabelled = Counter(found.unlabelled)
        self._without_negatives = self._flagged = 0
        self._own = guards.positives_by_question(self._read()) if recipe.guards.question_positives else {}
        self._dropped: Counter[str] = Counter()
        self._kept = self._chosen()
        self._weighting()
        self._positives = self._exchanged()

    def _read(self) -> Iterator[Row]:
        return map(_ROW.decode, self._rows)

    def _read_kept(self) -> Iterator[Row]:
        return (row for row, kept in zip(self._read(), self._kept, strict=True) if kept)

    def _chosen(self) -> Mask:
        """Which rows become pairs."""
        limits, rows = self.recipe.guards, len(self._found.lengths)
        kept = np.ones(rows, np.bool_)
        if not (limits.deduplicate or limits.pairs_per_document):
            return kept
        keys, documents, origins = (np.zeros(rows, np.uint64) for _ in range(3))
        for place, row in enumerate(self._read()):
            keys[place] = guards.key(row.query, row.positive, row.satisfied)
            documents[place] = guards.key(row.positive)
            origins[place] = guards.origin(row)
        if limits.deduplicate:
            kept = guards.first_of_each(keys, np.array(self._found.lengths, np.int64), origins)
            self._dropped["duplicate"] = rows - int(kept.sum())
        if limits.pairs_per_document:
            left = np.flatnonzero(kept)
            kept[left] = guards.at_most(limits.pairs_per_document, documents[left], origins[left])
            self._dropped["pairs_per_document"] = len(left) - int(kept.sum())
        return kept

    def _weighting(self) -> None:
        found = self._found
        self._lengths = np.array(found.lengths, np.float64)[self._kept]
        self._agents = np.array(found.agents, np.int64)[self._kept]
        self._outcomes = np.array(found.outcomes, np.int64)[self._kept]
        shares = np.array(found.shares, np.float64)[self._kept]
        weighting = WEIGHTS[self.recipe.weight](Measures(self._lengths, self._agents, shares))
        if self.recipe.outcome_weights:
            factors = np.array([self.recipe.outcome_weights.get(outcome, 1.0) for outcome in OUTCOMES])
            weighting = weighting.times(factors[self._outcomes])
        self._raw, self._weights = weighting.raw, weighting.weights
        self._beta, self._mean = weighting.beta, weighting.mean

    def _exchanged(self) -> list[str] | None:
        shuffle = self.recipe.shuffle
        if shuffle is None or shuffle.within != "pairs" or not self._kept.any():
            return None
        own, tasks = zip(*((row.positive, row.task) for row in self._read_kept()), strict=True)
        return exchange(own, tasks, shuffle.seed)

    def pairs(self) -> Iterator[Pair]:
        """The pairs, in the order of the runs and their browses."""
        made = self._made()
        if self.recipe.guards.negatives_per_document is not None:
            made = self._capped(made, self.recipe.guards.negatives_per_document)
        for pair in made:
            self._negatives.update([negative.tier for negative in pair.negatives])
            self._without_negatives += not pair.negatives
            self._flagged += not pair.satisfied
            yield pair

    def _made(self) -> Iterator[Pair]:
        rows: Iterable[Row] = self._read_kept()
        if self._own:
            rows = map(self._without_own, rows)
        if self._likeness is not None:
            with_all = ((row, {docid for taken in row.negatives for docid in taken}) for row in rows)
            rows = (self._less(row, near, "near_positive") for row, near in self._likeness.too_near(with_all))
        for place, row in enumerate(rows):
            yield self._pair(place, row)

    def _without_own(self, row: Row) -> Row:
        return self._less(row, self._own.get(row.task, set()) - {row.positive}, "question_positive")

    def _less(self, row: Row, docids: set[str], why: str) -> Row:
        """The row without some documents, which are counted."""
        leave = {docid for taken in row.negatives for docid in taken if docid in docids}
        if not leave:
            return row
        self._unlabelled[why] += len(leave)
        return structs.replace(
            row, negatives=[[each for each in taken if each not in leave] for taken in row.negatives]
        )

    def _pair(self, place: int, row: Row) -> Pair:
        positive = row.positive if self._positives is None else self._positives[place]
        negatives, shuffle = self._picked(row, positive), self.recipe.shuffle
        if shuffle is not None and shuffle.within == "list":
            browse = (row.trajectory, row.turn, row.call, row.browse_turn, row.browse_call)
            positive, negatives = drawn_from_list(positive, negatives, shuffle.seed, *browse)
        rule = self.recipe.positives
        return Pair(
            query=row.query,
            positive=positive,
            negatives=negatives,
            weight=float(self._weights[place]),
            raw_weight=float(self._raw[place]),
            length=row.length,
            provenance=Provenance(
                task=row.task,
                trajectory=row.trajectory,
                turn=row.turn,
                rank=row.rank,
                rule=rule if shuffle is None else f"{rule}, shuffled",
                call=row.call,
                browse_turn=row.browse_turn,
                browse_call=row.browse_call,
                agent=row.agent,
                canary=row.canary,
            ),
            satisfied=row.satisfied,
        )

    def _picked(self, row: Row, positive: str) -> list[Negative]:
        """By rule, each document once, within the rules' limits."""
        picked: dict[str, Negative] = {}
        left_out: set[str] = set()
        for source, taken in zip(self.recipe.negatives, row.negatives, strict=True):
            fresh = list(dict.fromkeys(docid for docid in taken if docid not in picked and docid != row.positive))
            room = len(fresh) if source.limit is None else source.limit
            if source.up_to is not None:
                room = min(room, max(0, source.up_to - len(picked)))
            for docid in fresh[:room]:
                picked[docid] = Negative(docid=docid, weight=source.weight, tier=source.rule)
            left_out.update(fresh[room:])
        left_out -= picked.keys()
        if left_out:
            self._unlabelled["over_limit"] += len(left_out)
        if self._positives is not None:  # an exchanged positive is none of the pair's negatives
            picked.pop(positive, None)
        return list(picked.values())

    def _capped(self, pairs: Iterable[Pair], count: int) -> Iterator[Pair]:
        """The pairs with each document among the negatives of ``count`` at most."""
        spool = Spool()
        documents: list[int] = []
        origins: list[int] = []
        for pair in pairs:
            where = pair.provenance
            origin = guards.key(where.trajectory, where.turn, where.call, where.browse_turn, where.browse_call)
            for negative in pair.negatives:
                documents.append(guards.key(negative.docid))
                origins.append(origin)
            spool.extend([encode(pair)])
        kept = guards.at_most(count, np.array(documents, np.uint64), np.array(origins, np.uint64))
        self._unlabelled["negatives_per_document"] += len(kept) - int(kept.sum())
        place = 0
        for line in spool:
            pair = decode(line, Pair)
            own = kept[place : place + len(pair.negatives)]
            place += len(pair.negatives)
            yield structs.replace(
                pair, negatives=[negative for negative, stays in zip(pair.negatives, own, strict=True) if stays]
            )

    def report(self, *, runs: Iterable[str] = (), judge: str | None = None) -> MiningReport:
        """The account of what :meth:`pairs` gave.

        Args:
            runs: where the runs were read, to be found again.
            judge: whose verdicts counted.
        """
        found = self._found
        names = list(found.agent_names)
        return report(
            recipe=self.recipe,
            runs=list(runs),
            judge=judge,
            trajectories=found.runs,
            left_out=in_order(found.left_out, MEANING),
            searches=found.searches,
            searches_with_pairs=found.searches_with_pairs,
            browses=in_order(found.browses, MEANING),
            dropped=in_order(self._dropped, MEANING),
            flagged=self._flagged,
            pairs_without_negatives=self._without_negatives,
            negatives={
                source.rule: self._negatives[source.rule]
                for source in self.recipe.negatives
                if self._negatives[source.rule]
            },
            unlabelled=in_order(self._unlabelled, UNLABELLED),
            beta=self._beta,
            mean_raw=self._mean,
            lengths=self._lengths,
            weights=self._weights,
            agents=[names[agent] for agent in self._agents],
            outcomes=[OUTCOMES[outcome] for outcome in self._outcomes],
        )


_ROW = msgspec.json.Decoder(Row)
