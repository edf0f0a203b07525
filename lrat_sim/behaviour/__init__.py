"""What agents do, for any trajectories: LRAT's Table 1 and Figure 4, and how far that is from a real agent."""

from lrat_sim.behaviour.report import Behaviour, behaviour
from lrat_sim.behaviour.resample import MeasureEstimate
from lrat_sim.behaviour.targets import Targets, load_targets

__all__ = ["Behaviour", "MeasureEstimate", "Targets", "behaviour", "load_targets"]
