"""Whether one retriever serves an agent better than another: statistics paired by task, and how they are shown.

:func:`run_table` reads a graded run folder as per-task metrics, and :func:`compare` turns several of them into a
:class:`Comparison`; :mod:`lrat_sim.comparison.table` shows it, :func:`save` and :func:`load` keep it.
"""

from lrat_sim.comparison.arms import compare
from lrat_sim.comparison.paired import Estimate, Paired
from lrat_sim.comparison.record import Comparison, Pairing, Summary, load, save
from lrat_sim.comparison.runs import run_table

__all__ = ["Comparison", "Estimate", "Paired", "Pairing", "Summary", "compare", "load", "run_table", "save"]
