"""Studies: compare, sweep, ablate, flywheel, controls and probe, and what they are made of.

A study does steps in a folder (:class:`Study`): it runs arms (:class:`Arm`) under a condition (:class:`Condition`),
mines and trains, and keeps a record of what it holds (:class:`StudyRecord`).  All of it is resumable.
"""

from lrat_sim.rollout.calls import CallOptions
from lrat_sim.study.ablate import ablate, load_arms
from lrat_sim.study.arms import BASE, ORACLE, TRAINED, Arm, alike, opened, runnable_tasks
from lrat_sim.study.compare import compare, nested_subsets, sweep
from lrat_sim.study.flywheel import DEMO, Flywheel, FlywheelResult, demo, flywheel
from lrat_sim.study.instrument import Control, Controls, Probe, controls, probe
from lrat_sim.study.record import StudyRecord, read_study
from lrat_sim.study.recorded import compare_recorded
from lrat_sim.study.settings import (
    AblationSettings,
    CompareSettings,
    ControlsSettings,
    FlywheelSettings,
    ProbeSettings,
    SweepSettings,
)
from lrat_sim.study.study import Condition, Study, StudyResult, graded_rollout

__all__ = [
    "BASE", "DEMO", "ORACLE", "TRAINED", "AblationSettings", "Arm", "CallOptions", "CompareSettings", "Condition",
    "Control", "Controls", "ControlsSettings", "Flywheel", "FlywheelResult", "FlywheelSettings", "Probe",
    "ProbeSettings", "Study", "StudyRecord", "StudyResult", "SweepSettings", "ablate", "alike", "compare",
    "compare_recorded", "controls",
    "demo", "flywheel", "graded_rollout", "load_arms", "nested_subsets", "opened", "probe",
    "read_study", "runnable_tasks", "sweep",
]  # fmt: skip
