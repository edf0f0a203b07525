"""The loop over the stations, in rounds: collect, mine, train, index, gate; and at the end, evaluate.

A flywheel's folder::

    RUN/run.yaml                       the settings and what they were applied to
    RUN/rounds.json                    what became of every round: pairs, exposure, gate, what was forgotten
    RUN/round-1/collect/               the rollout on the training tasks, with its grades and verdicts
    RUN/round-1/collect-<name>/        that of the tasks that another retriever was given (``collect_with``)
    RUN/round-1/pairs.jsonl            what was mined from them; mining.json accounts for what was left out
    RUN/round-1/model/                 the encoder trained on the pairs of this and all earlier rounds
    RUN/round-1/indexes/               its index
    RUN/gate/<model>/                  the rollouts on the gate's tasks, of the base and of every round's model
    RUN/guard/                         the general data set and its vectors, where forgetting is measured
    RUN/evaluate/<split>-k<k>/<arm>/   the rollouts on held-out tasks, and comparison.json over them; the arms are
                                       base, round-1, round-2, ... (the last accepted is shown as ``trained``) and
                                       the baselines

Every stage finds, by fingerprint, what an earlier call finished, and goes on from there.
"""

from lrat_sim.flywheel.demo import DEMO, DEMO_WORLD, demo
from lrat_sim.flywheel.loop import Flywheel, FlywheelResult, flywheel
from lrat_sim.flywheel.settings import BASE, TRAINED, FlywheelSettings
from lrat_sim.flywheel.stages import open_base

__all__ = [
    "BASE",
    "DEMO",
    "DEMO_WORLD",
    "TRAINED",
    "Flywheel",
    "FlywheelResult",
    "FlywheelSettings",
    "demo",
    "flywheel",
    "open_base",
]
