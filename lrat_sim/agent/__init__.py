"""The agent: its settings, its tools, the turn loop, the check of an endpoint, and the simulated agent."""
