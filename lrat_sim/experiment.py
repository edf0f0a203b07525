"""Retrievers opened by name over a task set, for scripts that search without an agent."""

from lrat_sim.study import opened

__all__ = ["opened"]
