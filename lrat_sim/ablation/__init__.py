"""What each part of a recipe contributes: the same runs, mined and trained in several ways, and all tried by agents.

An ablation's folder::

    OUT/ablation.json                             the settings, the arms, and the figures of every task set and split
    OUT/<task set>/collect/                       the one rollout on the training tasks that all arms are mined from
    OUT/<task set>/arms/<arm>/pairs.jsonl         what the arm mined from it
    OUT/<task set>/arms/<arm>/seed-<seed>/model/  the model trained on that, one a seed, and its index beside it
    OUT/<task set>/<split>-k<k>/<arm>/            the rollouts on held-out tasks, one a seed
    OUT/<task set>/<split>-k<k>/comparison.json   every arm against every other, paired by task

Every stage finds what an earlier call finished, so that arms, seeds, splits and task sets can be added one by one.
"""

from lrat_sim.ablation.arms import ArmSettings, ArmTable, load_arms
from lrat_sim.ablation.result import ABLATION, Ablation, ArmFigures, Cell, read_ablation
from lrat_sim.ablation.run import ablate
from lrat_sim.ablation.settings import BASE, AblationSettings

__all__ = [
    "ABLATION",
    "BASE",
    "Ablation",
    "AblationSettings",
    "ArmFigures",
    "ArmSettings",
    "ArmTable",
    "Cell",
    "ablate",
    "load_arms",
    "read_ablation",
]
