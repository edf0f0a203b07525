"""Whether one retriever serves an agent better than another: statistics paired by task, and how they are shown.

:func:`compare` turns per-task tables of metrics into a :class:`Comparison`; :mod:`lrat_sim.comparison.table` shows
it and saves it.
"""

from lrat_sim.comparison.arms import Comparison, compare
from lrat_sim.comparison.paired import Estimate, Paired

__all__ = ["Comparison", "Estimate", "Paired", "compare"]
