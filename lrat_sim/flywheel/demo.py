"""The whole loop on a small generated world."""

from __future__ import annotations

from pathlib import Path

from lrat_sim.corpus.dataset import prepare
from lrat_sim.flywheel.loop import FlywheelResult, flywheel
from lrat_sim.flywheel.settings import FlywheelSettings
from lrat_sim.progress import bar

DEMO_WORLD = {"documents": 2000, "train_tasks": 200, "dev_tasks": 10, "test_tasks": 150, "ood_tasks": 10}
DEMO = FlywheelSettings(training_options={"max_document_length": 96})
"""Smaller than the defaults in the world, the tasks and the texts, so that it ends in minutes on two cores."""


def demo(folder: Path) -> FlywheelResult:
    """The whole loop once on a small generated world: minutes on two cores, no key, no network.

    Args:
        folder: gets the world and the flywheel; a second call says what it reuses.
    """
    with bar("generate the world") as progress:
        dataset = prepare("world", folder / "world", options=DEMO_WORLD, progress=progress)
    return flywheel(dataset, folder / "flywheel", DEMO)
