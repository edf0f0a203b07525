"""Verdicts as mining needs them: by run, and where the rules judge, made in the same pass over the runs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from lrat_sim.grading.rules import judge_by_rules
from lrat_sim.mining.collect import Judged, JudgedRun
from lrat_sim.mining.runs import Run, browse_at
from lrat_sim.mining.walks import is_silent
from lrat_sim.records import Usage, Verdict, VerdictState

_FREE = Usage.zero()


def judged_of(verdict: Verdict) -> Judged:
    """A verdict with the share of its readable votes for relevant."""
    readable = [vote for vote in verdict.votes if vote != "unjudged"]
    share = sum(vote == "relevant" for vote in readable) / len(readable) if readable else 1.0
    return _judged(verdict.state, share)


@lru_cache(maxsize=1 << 10)
def _judged(state: VerdictState, share: float) -> Judged:
    return Judged(state, share)  # few are different, and a table of verdicts holds one for every browse


def by_run(verdicts: Iterable[Verdict], judge: str | None = None) -> dict[str, JudgedRun]:
    """The latest verdict on each browse, by run.

    Args:
        verdicts: in the order they were written.
        judge: the name of the judge to take; by default the latest of any.
    """
    found: dict[str, JudgedRun] = {}
    for verdict in verdicts:
        if judge is None or verdict.judge == judge:
            found.setdefault(verdict.trajectory_id, {})[verdict.turn, verdict.call] = judged_of(verdict)
    return found


def judge_rest(run: Run, known: JudgedRun, judge: str) -> list[Verdict]:
    """The rules' verdicts on the browses of a run that have none, as the rule judge would give them.

    Args:
        run: the run; one that broke is not judged.
        known: its verdicts; the new ones are added.
        judge: the name that the rule judge records.
    """
    if run.status == "error":
        return []
    made: list[Verdict] = []
    for number, turn in enumerate(run.turns):
        verdict = None
        for index, call in enumerate(turn.calls):
            if call.docid is None or (number, index) in known:
                continue
            browse = browse_at(run, number, index, call.docid)
            verdict = verdict or judge_by_rules(None if is_silent(browse) else browse.reasoning)
            known[number, index] = _judged(verdict.state, 1.0)
            made.append(
                Verdict(
                    trajectory_id=run.id,
                    turn=number,
                    call=index,
                    state=verdict.state,
                    judge=judge,
                    reason=verdict.reason,
                    usage=_FREE,
                )
            )
    return made
