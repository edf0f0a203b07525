"""The loop over the stations: collect, judge, mine, train, index, run again, compare.

A flywheel's folder::

    RUN/run.yaml                     everything resolved
    RUN/round-1/collect/             the rollout on the training tasks, with its grades and verdicts
    RUN/round-1/pairs.jsonl          what was mined from it, with mining.json, the account of what was left out
    RUN/round-1/model/               the retriever trained on the pairs of this and all earlier rounds
    RUN/evaluate/<split>-k<k>/<arm>/ the rollouts on the held-out tasks
    RUN/comparison-<split>-k<k>.json the paired comparison

Every stage finds what an earlier call finished, by fingerprint, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.comparison import Comparison, compare
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.run import grade_run, judge_run, run_tables
from lrat_sim.mining.run import load_recipe, mine_run
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.retrieval import open_retriever
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout import rollout
from lrat_sim.store import ensure_folder, read_records

Count = Annotated[int, Meta(ge=1)]
BASE, TRAINED, ORACLE = "base", "trained", "oracle"


class FlywheelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a flywheel does.

    Args:
        rounds: how often to collect, mine and train.
        agent: name or path of the agent's profile.
        agent_overrides: fields of the profile to set otherwise, for example ``limits.turns``.
        base: the retriever that the first round collects with, and that training starts from.
        collect_k: hits a search while collecting.
        evaluate_k: hits a search while evaluating; several give several comparisons.
        baselines: further retrievers to evaluate.
        evaluate_splits: the splits of held-out tasks.
        mining: name or path of the mining recipe.
        training: name or path of the training recipe.
        train_tasks: how many training tasks to collect on; None for all.
        test_tasks: how many held-out tasks of each split; None for all.
        seed: decides every run, and the training.
        concurrency: runs under way at once.
    """

    rounds: Count = 1
    agent: str = "simulated"
    agent_overrides: dict[str, Any] = {}
    base: str = "dense"
    collect_k: Count = 5
    evaluate_k: list[Count] = [5]
    baselines: list[str] = ["bm25", "oracle"]
    evaluate_splits: list[str] = ["test"]
    mining: str = "mine-paper"
    training: str = "train-small"
    train_tasks: Count | None = None
    test_tasks: Count | None = None
    seed: int = 0
    concurrency: Count = 8


class FlywheelResult(Struct, frozen=True):
    """Where the trained retriever lies, and the comparisons by (split, k)."""

    folder: Path
    model: Path
    comparisons: dict[tuple[str, int], Comparison]
