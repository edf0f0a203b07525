"""Tool protocols, the turn loop, profiles, and the simulated agent."""

from lrat_sim.agent.loop import run_task
from lrat_sim.agent.profile import AgentSettings, load_agent

__all__ = ["AgentSettings", "load_agent", "run_task"]
