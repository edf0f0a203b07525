"""What ``compare``, ``sweep``, ``probe``, ``flywheel`` and ``controls`` have in common: run retrievers on tasks, grade,
and pair by task."""

from lrat_sim.experiment.allowance import Allowance, CallOptions
from lrat_sim.experiment.arms import ORACLE, alike, named_retriever, opened, runnable
from lrat_sim.experiment.cells import Cell, Experiment, run_experiment
from lrat_sim.experiment.run import compare_retrievers, graded_rollout, seed_folder
from lrat_sim.experiment.sweep import Sweep, nested_subsets, training_size_sweep

__all__ = [
    "ORACLE",
    "Allowance",
    "CallOptions",
    "Cell",
    "Experiment",
    "Sweep",
    "alike",
    "compare_retrievers",
    "graded_rollout",
    "named_retriever",
    "nested_subsets",
    "opened",
    "run_experiment",
    "runnable",
    "seed_folder",
    "training_size_sweep",
]
