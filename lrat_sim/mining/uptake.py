"""Which opened documents a run made use of, by what it did next.

The judge of section 5.1 asks whether the agent clearly rejected a document, and most that are of no use are not
rejected in words.  What the run does next says more:

- ``used``: it **took up** a name.  The reasoning right after the browse holds a name or a number that neither the
  question nor anything written before held, and a later query or the answer holds it, too.
- ``used``: its **search ended** with it, as a user's does with the last click.  It was the last document opened from
  its list, the reasoning right after it holds a new name or number, and the run never looked for the same thing again.
  Where nothing but the answer followed, which may have been forced, the search was no rewording itself.
- ``unused``: the run looked for the same thing again later, or gave up.
- ``unclear``: the rest.

What is the same thing, :class:`lrat_sim.mining.names.Names` tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lrat_sim.grading.relevance import Browse
from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.names import names_of, subject_of
from lrat_sim.mining.runs import Run
from lrat_sim.records import VerdictState

Use = Literal["used", "unclear", "unused"]


def where_used(run: Run, verdict: Callable[[Browse], VerdictState | None]) -> Callable[[Browse], VerdictState | None]:
    """The verdicts on a run's browses, where a relevant document that the run did not use is irrelevant, and one of
    which that is unclear is unjudged."""
    found = uses(run)
    state: dict[Use, VerdictState] = {"used": "relevant", "unclear": "unjudged", "unused": "irrelevant"}

    def said(browse: Browse) -> VerdictState | None:
        judged = verdict(browse)
        return state[found[browse.turn, browse.call]] if judged == "relevant" else judged

    return said


def uses(run: Run) -> dict[tuple[int, int], Use]:
    """What a run made of every document that it opened, by the turn of the browse and its place among the calls."""
    names = names_of(run)
    parts = [(episode, subject_of(episode.searches)) for episode in episodes(run)]
    found: dict[tuple[int, int], Use] = {}
    for number, (episode, subject) in enumerate(parts):
        later = [other for _, other in parts[number + 1 :]]
        again = any(names.relation(subject, other) == "rewording" for other in later)
        anew = later or all(names.relation(other, subject) != "rewording" for _, other in parts[:number])
        for opened in episode.chain:
            browse = opened.browse
            use: Use = "unclear"
            if names.taken_up(browse.turn + 1):
                use = "used"
            elif again or not (later or run.status == "answered"):
                use = "unused"
            elif opened is episode.chain[-1] and anew and names.noted(browse.turn + 1):
                use = "used"
            found[browse.turn, browse.call] = use
    return found
