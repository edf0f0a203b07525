"""The verbs: what one does with lrat-sim, as functions; the commands are made from them.

A verb takes names, paths or objects, has the defaults of its command, does all that its command does, and returns an
object with ``folder`` and what one wants next.  Nothing heavy is imported before a verb is called.
"""

from lrat_sim.verbs.data import prepare
from lrat_sim.verbs.results import Evaluation, Model, Pairs, Run, SearchResult
from lrat_sim.verbs.steps import evaluate, grade, index, mine, rollout, search, train
from lrat_sim.verbs.studies import ablate, compare, controls, demo, flywheel, probe, sweep
from lrat_sim.verbs.tools import behaviour, check, convert, explain, export_pairs, merge, report, serve, split, view
from lrat_sim.verbs.verb import TaskSet, TaskSets

__all__ = [
    "Evaluation",
    "Model",
    "Pairs",
    "Run",
    "SearchResult",
    "TaskSet",
    "TaskSets",
    "ablate",
    "behaviour",
    "check",
    "compare",
    "controls",
    "convert",
    "demo",
    "evaluate",
    "explain",
    "export_pairs",
    "flywheel",
    "grade",
    "index",
    "merge",
    "mine",
    "prepare",
    "probe",
    "report",
    "rollout",
    "search",
    "serve",
    "split",
    "sweep",
    "train",
    "view",
]
