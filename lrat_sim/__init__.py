"""lrat-sim: learning to retrieve from agent trajectories.

Run search agents against any retriever, record every step, mine which documents helped, train a retriever on
that, and run the agents again::

    import lrat_sim as ls

    data = ls.prepare("world")
    run = ls.rollout(data, agent="simulated", retriever="bm25", split="train")
    pairs = ls.mine(run)
    model = ls.train(pairs)
    print(ls.compare({"base": "dense", "trained": model}, data, agent="simulated").answer)

Importing this package loads nothing else; a name is imported when it is first used.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# OpenMP reads this once, when torch loads it: threads that spin while they wait make training and encoding several
# times slower as soon as anything else runs on the same cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from lrat_sim.agent.profile import AgentSettings
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.errors import InputError, LratSimError, NothingCame
    from lrat_sim.grading.answers import AnswerJudge
    from lrat_sim.grading.relevance import RelevanceJudge
    from lrat_sim.mining.recipe import MiningRecipe
    from lrat_sim.records import Call, Document, Grade, Hit, Hop, Pair, Plan, Task, Trajectory, Turn, Verdict
    from lrat_sim.retrieval.base import Retriever
    from lrat_sim.study import (
        AblationSettings,
        CallOptions,
        CompareSettings,
        ControlsSettings,
        FlywheelResult,
        FlywheelSettings,
        ProbeSettings,
        StudyResult,
        SweepSettings,
    )
    from lrat_sim.training.settings import TrainingSettings
    from lrat_sim.verbs import (
        Evaluation,
        Model,
        Pairs,
        Run,
        SearchResult,
        TaskSet,
        TaskSets,
        ablate,
        behaviour,
        check,
        compare,
        controls,
        convert,
        demo,
        evaluate,
        explain,
        export_pairs,
        flywheel,
        grade,
        index,
        merge,
        mine,
        prepare,
        probe,
        report,
        rollout,
        search,
        serve,
        split,
        sweep,
        train,
        view,
    )

_HOMES = {
    "lrat_sim.agent.profile": "AgentSettings",
    "lrat_sim.corpus.dataset": "Dataset",
    "lrat_sim.errors": "InputError LratSimError NothingCame",
    "lrat_sim.grading.answers": "AnswerJudge",
    "lrat_sim.grading.relevance": "RelevanceJudge",
    "lrat_sim.mining.recipe": "MiningRecipe",
    "lrat_sim.records": "Call Document Grade Hit Hop Pair Plan Task Trajectory Turn Verdict",
    "lrat_sim.retrieval.base": "Retriever",
    "lrat_sim.study": "AblationSettings CallOptions CompareSettings ControlsSettings FlywheelResult FlywheelSettings "
    "ProbeSettings StudyResult SweepSettings",
    "lrat_sim.training.settings": "TrainingSettings",
    "lrat_sim.verbs": "Evaluation Model Pairs Run SearchResult TaskSet TaskSets ablate behaviour check compare controls convert demo evaluate explain "
    "export_pairs flywheel grade index merge mine prepare probe report rollout search serve split sweep train view",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME)


class _Face(ModuleType):
    """The package as users see it.

    A verb goes before the room of the same name (``rollout``, ``report``), which Python would put in its place as soon
    as anything imports that room.
    """

    def __getattribute__(self, name: str) -> Any:
        home = _HOME.get(name)
        return super().__getattribute__(name) if home is None else getattr(import_module(home), name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *__all__]


sys.modules[__name__].__class__ = _Face
