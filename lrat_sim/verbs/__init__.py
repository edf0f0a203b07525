"""The verbs: what one does with lrat-sim, as functions; the commands are made from them.

A verb takes names, paths or objects, has the defaults of its command, does all that its command does, and returns an
object with ``folder`` and what one wants next.  Nothing heavy is imported before a verb is called.
"""

from lrat_sim.verbs.data import prepare
from lrat_sim.verbs.results import Evaluation, Model, Pairs, Run, SearchResult, Study
from lrat_sim.verbs.steps import evaluate, grade, index, mine, rollout, search, train
from lrat_sim.verbs.tools import behaviour, check, convert, explain, export_pairs, merge, report, serve, split, view
from lrat_sim.verbs.verb import TaskSet

__all__ = [
    "Evaluation",
    "Model",
    "Pairs",
    "Run",
    "SearchResult",
    "Study",
    "TaskSet",
    "behaviour",
    "check",
    "convert",
    "evaluate",
    "explain",
    "export_pairs",
    "grade",
    "index",
    "merge",
    "mine",
    "prepare",
    "report",
    "rollout",
    "search",
    "serve",
    "split",
    "train",
    "view",
]
