"""The command line: one command a station.

Everything heavy is imported inside the command that needs it, so that ``lrat-sim --help`` answers at once.
"""

from lrat_sim.cli import stations, compare, flywheel, ablate, behaviour, report, view, data, tools  # noqa: F401, I001  # a command joins where it is imported; help keeps this order
from lrat_sim.cli.app import app, main

__all__ = ["app", "main"]
