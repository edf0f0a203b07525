"""Runs to pairs (LRAT, section 5.1), streaming, in two passes.

The first pass cuts each run into episodes and labels what it browsed; unfinished pairs go to a temporary file and only
their lengths stay in memory.  The second fills in the weights, which depend on all lengths.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

import numpy as np
from msgspec import structs

from lrat_sim.errors import InputError
from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import Episode, Search, episodes
from lrat_sim.mining.parts import NEGATIVES, POSITIVES, QUERIES, SEARCHES, WEIGHTS, Numbers
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.report import MEANING, MiningReport, quantiles
from lrat_sim.mining.shuffle import exchange
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import GradeState, Negative, Pair, Provenance, Trajectory, VerdictState, decode, encode

Verdicts = Mapping[tuple[str, int, int], VerdictState]
"""(trajectory id, turn, call) to the state of its verdict."""

_IN_MEMORY = 1 << 26
"""Bytes of unfinished pairs that are kept in memory before they go to a file."""


def mine(
    trajectories: Iterable[Trajectory],
    verdicts: Verdicts,
    recipe: MiningRecipe,
    *,
    grades: Mapping[str, GradeState] | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[Iterator[Pair], MiningReport]:
    """Mines pairs from runs.

    Args:
        trajectories: read once, one at a time.
        verdicts: the judge's verdicts on their browses.
        recipe: how.
        grades: state by trajectory id; needed where the recipe asks for an outcome.
        progress: told the runs read.

    Returns:
        The pairs, in the order of the runs and their browses, to be read once; and the report.

    Raises:
        InputError: the recipe asks for an outcome and there are no grades, or for an exchange of positives that is
            not possible.
    """
    if recipe.runs != "all" and grades is None:
        raise InputError(f"the recipe mines {recipe.runs} runs only and there are no grades; grade the runs first.")
    miner = _Miner(recipe, verdicts, grades or {})
    for done, trajectory in enumerate(trajectories, start=1):
        miner.add(trajectory)
        if progress is not None and done % 100 == 0:
            progress(done, None, "mining")
    return miner.finish()


class _Miner:
    """The state of the first pass."""

    def __init__(self, recipe: MiningRecipe, verdicts: Verdicts, grades: Mapping[str, GradeState]):
        self.recipe, self.verdicts, self.grades = recipe, verdicts, grades
        self.spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # read after this method ends
        self.lengths = array("q")
        self.left_out: Counter[str] = Counter()
        self.browses: Counter[str] = Counter()
        self.trajectories = self.searches = self.searches_with_pairs = 0
        self.negatives: Counter[str] = Counter()
        self.without_negatives = 0
        self.own: list[tuple[str, str]] = []  # positive and task of each pair, where they are to be exchanged

    def add(self, trajectory: Trajectory) -> None:
        """Labels the browses of one run."""
        self.trajectories += 1
        why = self._left_out(trajectory)
        if why is not None:
            self.left_out[why] += 1
            return
        for episode in episodes(trajectory):
            self.searches += len(episode.searches)
            self.browses["failed"] += episode.failed_browses
            self.browses.update(opened.origin for opened in episode.chain if opened.search is None)
            for place, search in enumerate(episode.searches):
                chain = [opened.browse for opened in episode.chain if opened.search == place]
                self._mine_search(trajectory, episode, search, chain)

    def _left_out(self, trajectory: Trajectory) -> str | None:
        if trajectory.status == "error":
            return "error"
        if trajectory.status != "answered":
            return "not_answered"
        if self.recipe.runs == "all":
            return None
        grade = self.grades.get(trajectory.id, "ungraded")
        if grade == "ungraded":
            return "ungraded"
        return None if grade == self.recipe.runs else "other_outcome"

    def _mine_search(self, trajectory: Trajectory, episode: Episode, search: Search, chain: list[Browse]) -> None:
        query = QUERIES[self.recipe.query](trajectory, search)
        if not SEARCHES[self.recipe.searches](trajectory, search):
            self.browses["search_left_out"] += len(chain)
            return
        if not query.strip():
            self.browses["no_query"] += len(chain)
            return
        by_document: dict[str, list[Browse]] = {}
        for browse in chain:
            by_document.setdefault(browse.docid, []).append(browse)
        negatives = self._negatives(search, episode)
        kept = 0
        for opened in by_document.values():
            self.browses["repeated"] += len(opened) - 1
            # a document opened twice is one pair, by the first browse that makes it a positive
            reasons = [self._unlabelled(trajectory, browse) for browse in opened]
            why = None if None in reasons else reasons[0]
            self.browses[why or "kept"] += 1
            if why is None:
                kept += 1
                self._keep(trajectory, search, opened[reasons.index(None)], query, negatives)
        self.searches_with_pairs += kept > 0

    def _unlabelled(self, trajectory: Trajectory, browse: Browse) -> str | None:
        """Why the document of a browse is no positive; None where it is one."""
        state = self.verdicts.get((trajectory.id, browse.turn, browse.call))
        silent = browse.reasoning is None or not browse.reasoning.strip()
        why = POSITIVES[self.recipe.positives]("unjudged" if silent or state is None else state)
        if why == "unjudged" and silent:
            return "no_reasoning"
        return "no_verdict" if why == "unjudged" and state is None else why

    def _negatives(self, search: Search, episode: Episode) -> list[Negative]:
        picked: dict[str, Negative] = {}
        for source in self.recipe.negatives:
            found = [docid for docid in NEGATIVES[source.rule](search, episode) if docid not in picked]
            for docid in found[: source.limit]:
                picked[docid] = Negative(docid=docid, weight=source.weight, tier=source.rule)
        return list(picked.values())

    def _keep(
        self, trajectory: Trajectory, search: Search, browse: Browse, query: str, negatives: list[Negative]
    ) -> None:
        provenance = Provenance(
            task=trajectory.task_id,
            trajectory=trajectory.id,
            turn=search.turn,
            rank=search.rank(browse.docid) or 0,
            rule=self.recipe.positives,
        )
        pair = Pair(
            query=query,
            positive=browse.docid,
            negatives=negatives,
            weight=1.0,
            raw_weight=1.0,
            length=browse.length,
            provenance=provenance,
        )
        self.spool.write(encode(pair) + b"\n")
        self.lengths.append(browse.length)
        if self.recipe.shuffle_positives is None:
            self._count(pair)
        else:
            self.own.append((browse.docid, trajectory.task_id))

    def _count(self, pair: Pair) -> None:
        self.negatives.update(negative.tier for negative in pair.negatives)
        self.without_negatives += not pair.negatives

    def finish(self) -> tuple[Iterator[Pair], MiningReport]:
        """The weights and the report; the pairs are finished as they are read."""
        lengths = np.array(self.lengths, dtype=np.float64)
        raw, beta = WEIGHTS[self.recipe.weight](lengths)
        mean = float(raw.mean()) if raw.size else None
        # E[w] = 1; where every raw weight is 0 there is nothing to scale
        weights = raw / mean if mean else np.ones_like(raw)
        positives: list[str] | None = None
        if self.recipe.shuffle_positives is not None and self.own:
            own, tasks = zip(*self.own, strict=True)
            positives = exchange(own, tasks, self.recipe.shuffle_positives)
            for pair in self._pairs(raw, weights, positives):
                self._count(pair)
        return self._pairs(raw, weights, positives), self._report(lengths, weights, beta, mean)

    def _pairs(self, raw: Numbers, weights: Numbers, positives: list[str] | None) -> Iterator[Pair]:
        self.spool.seek(0)
        for place, line in enumerate(self.spool):
            pair = structs.replace(decode(line, Pair), raw_weight=float(raw[place]), weight=float(weights[place]))
            yield pair if positives is None else _with_positive(pair, positives[place])

    def _report(self, lengths: Numbers, weights: Numbers, beta: float | None, mean: float | None) -> MiningReport:
        return MiningReport(
            recipe=self.recipe,
            recipe_fingerprint=self.recipe.fingerprint,
            trajectories=self.trajectories,
            mined=self.trajectories - self.left_out.total(),
            left_out=_in_order(self.left_out),
            searches=self.searches,
            searches_with_pairs=self.searches_with_pairs,
            browses=_in_order(self.browses),
            pairs=len(self.lengths),
            pairs_without_negatives=self.without_negatives,
            negatives=dict(self.negatives),
            beta=beta,
            mean_raw=mean,
            lengths=quantiles(lengths),
            weights=quantiles(weights),
        )


def _with_positive(pair: Pair, positive: str) -> Pair:
    negatives = [negative for negative in pair.negatives if negative.docid != positive]
    provenance = structs.replace(pair.provenance, rule=f"{pair.provenance.rule}, shuffled")
    return structs.replace(pair, positive=positive, negatives=negatives, provenance=provenance)


def _in_order(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in MEANING if counts[name]}
