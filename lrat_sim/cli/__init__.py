"""The command line: one command a verb, its options made from the verb's arguments and the settings that it takes."""

from lrat_sim.cli.app import build, main

__all__ = ["build", "main"]
