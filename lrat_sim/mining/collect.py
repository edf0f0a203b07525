"""The first pass: runs to rows, which are pairs that lack what depends on the other pairs.

Rows are written as they come and only some numbers of each stay in memory.  Runs are independent here, so that they
can be shared out among processes; :meth:`Collected.extend` puts the parts together.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Container
from typing import NamedTuple

import msgspec
from msgspec import Struct

from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.parts import FLAGGED, LENGTHS, NEGATIVES, POSITIVES, QUERIES, SEARCHES
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.runs import Run
from lrat_sim.mining.uptake import where_used
from lrat_sim.mining.walks import WALKS, Candidates, Verdict, is_silent
from lrat_sim.records import GradeState, VerdictState


class Judged(NamedTuple):
    """A verdict, and the share of the judge's readable votes that said relevant (1 where there were no votes)."""

    state: VerdictState
    share: float = 1.0


JudgedRun = dict[tuple[int, int], Judged]
"""(turn, call) of a run to what a judge said of that browse."""


class Row(Struct, frozen=True, array_like=True, gc=False):
    """A pair before guards, limits and weights; ``negatives`` holds a list for each rule of the recipe."""

    query: str
    positive: str
    negatives: list[list[str]]
    length: int
    task: str
    trajectory: str
    turn: int
    call: int
    rank: int
    browse_turn: int
    browse_call: int
    agent: str
    canary: str | None
    satisfied: bool


OUTCOMES: tuple[GradeState, ...] = ("correct", "incorrect", "ungraded")


class Collected:
    """What the first pass found in some runs.

    Attributes:
        rows: encoded, a line each.
        lengths, agents, outcomes, shares: one number a row; agents are numbers into ``agent_names``.
        runs: how many were read; ``left_out`` says how many of them were not mined, by reason.
        browses: what became of each; ``flagged`` among them are rows that are no positives.
        unlabelled: listed documents that are no negatives, by reason, counted for each row.
    """

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.lengths, self.agents, self.outcomes, self.shares = array("q"), array("q"), array("q"), array("d")
        self.agent_names: dict[str, int] = {}
        self.runs = self.searches = self.searches_with_pairs = 0
        self.left_out: Counter[str] = Counter()
        self.browses: Counter[str] = Counter()
        self.unlabelled: Counter[str] = Counter()

    def extend(self, other: Collected) -> None:
        """Adds the numbers of another part; its rows are the caller's."""
        number = [self.agent_names.setdefault(name, len(self.agent_names)) for name in other.agent_names]
        self.agents.extend(number[agent] for agent in other.agents)
        self.lengths.extend(other.lengths)
        self.outcomes.extend(other.outcomes)
        self.shares.extend(other.shares)
        self.runs += other.runs
        self.searches += other.searches
        self.searches_with_pairs += other.searches_with_pairs
        for mine, theirs in (
            (self.left_out, other.left_out),
            (self.browses, other.browses),
            (self.unlabelled, other.unlabelled),
        ):
            mine.update(theirs)


class Collector:
    """Labels the browses and lists of runs by a recipe.

    Args:
        recipe: how.
        corpus: the ids that count; documents outside are neither positives nor negatives. None for all.
    """

    def __init__(self, recipe: MiningRecipe, corpus: Container[str] | None = None):
        self.recipe, self.corpus = recipe, corpus
        self.found = Collected()
        self._walk = WALKS[recipe.walk]
        self._positive = POSITIVES[recipe.positives]
        self._taken = [NEGATIVES[source.rule] for source in recipe.negatives]
        self._query, self._length = QUERIES[recipe.query], LENGTHS[recipe.length]
        self._counts = SEARCHES[recipe.searches]

    def add(self, run: Run, judged: JudgedRun, grade: GradeState | None) -> None:
        """Adds the rows of one run.

        Args:
            run: the run.
            judged: the verdicts on its browses.
            grade: how its answer was graded; None where it was not.
        """
        self.found.runs += 1
        why = self._left_out(run, grade or "ungraded")
        if why is not None:
            self.found.left_out[why] += 1
            return

        def said(browse: Browse) -> VerdictState | None:
            found = judged.get((browse.turn, browse.call))
            return None if found is None else found.state

        verdict: Verdict = said
        if self.recipe.useful == "used":
            verdict = where_used(run, said)
        count: Counter[str] = Counter()
        for each in self._walk.candidates(run, verdict, self.recipe.parallel, count):
            self._mine(run, each, judged, verdict, OUTCOMES.index(grade or "ungraded"))
        self.found.searches += count.pop("searches", 0)
        self.found.browses.update(count)

    def _left_out(self, run: Run, grade: GradeState) -> str | None:
        if run.status == "error":
            return "error"
        if run.status != "answered":
            return None if self.recipe.unanswered else "not_answered"
        if self.recipe.runs == "all":
            return None
        if grade == "ungraded":
            return "ungraded"
        return None if grade == self.recipe.runs else "other_outcome"

    def _mine(self, run: Run, each: Candidates, judged: JudgedRun, verdict: Verdict, outcome: int) -> None:
        if not each.opened:
            return
        browses = self.found.browses
        if not self._counts(run, each.search.turn):
            browses["search_left_out"] += sum(map(len, each.opened))
            return
        query = self._query(run, each.search)
        if not self._walk.blank_queries and not (each.search.query and query.strip()):
            browses["no_query"] += sum(map(len, each.opened))
            return
        rows: list[tuple[Browse, bool]] = []
        for opened in each.opened:
            browses["repeated"] += len(opened) - 1
            # a document opened twice is one pair, by the first browse that makes it a positive
            reasons = [self._unlabelled(browse, verdict) for browse in opened]
            why = None if None in reasons else reasons[0]
            browses[why or "kept"] += 1
            if why is None or why == FLAGGED:
                rows.append((opened[reasons.index(why)], why is None))
        if rows:
            self.found.searches_with_pairs += 1
            negatives, unlabelled = self._negatives(each)
            standing = dict(each.listed)
            for browse, satisfied in rows:
                self._keep(run, each, browse, query, negatives, satisfied, judged, outcome)
                self.found.unlabelled.update(unlabelled)
                own = standing.get(browse.docid)
                if own is not None and own in unlabelled:  # it is the positive
                    self.found.unlabelled[own] -= 1

    def _unlabelled(self, browse: Browse, verdict: Verdict) -> str | None:
        """Why the document of a browse is no positive; None where it is one."""
        if self.corpus is not None and browse.docid not in self.corpus:
            return "not_in_corpus"
        return self._positive(verdict(browse), is_silent(browse))

    def _negatives(self, each: Candidates) -> tuple[list[list[str]], Counter[str]]:
        """The documents that each rule takes, and how many listed ones none does, by reason."""
        taken: list[list[str]] = [[] for _ in self._taken]
        unlabelled: Counter[str] = Counter()
        for docid, standing in each.listed:
            rules = [place for place, standings in enumerate(self._taken) if standing in standings]
            if not rules:
                unlabelled[standing] += 1
            elif self.recipe.guards.look_ahead and docid in each.later:
                unlabelled["opened_later"] += 1
            elif self.corpus is not None and docid not in self.corpus:
                unlabelled["not_in_corpus"] += 1
            else:
                for place in rules:
                    taken[place].append(docid)
        return taken, unlabelled

    def _keep(
        self,
        run: Run,
        each: Candidates,
        browse: Browse,
        query: str,
        negatives: list[list[str]],
        satisfied: bool,
        judged: JudgedRun,
        outcome: int,
    ) -> None:
        found = self.found
        length = self._length(browse.reasoning, browse.length)
        row = Row(
            query=query,
            positive=browse.docid,
            negatives=negatives,
            length=length,
            task=run.task_id,
            trajectory=run.id,
            turn=each.search.turn,
            call=each.search.call,
            rank=each.search.rank(browse.docid) or 0,
            browse_turn=browse.turn,
            browse_call=browse.call,
            agent=run.agent_name,
            canary=run.canary,
            satisfied=satisfied,
        )
        found.rows.append(_ENCODER.encode(row))
        found.lengths.append(length)
        found.agents.append(found.agent_names.setdefault(row.agent, len(found.agent_names)))
        found.outcomes.append(outcome)
        found.shares.append(judged.get((browse.turn, browse.call), _NO_VOTES).share)


_ENCODER = msgspec.json.Encoder()
_NO_VOTES = Judged("unjudged")
