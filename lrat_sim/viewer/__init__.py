"""Trajectories in a browser: ``lrat-sim view FOLDER``; nothing is written, and only loopback is listened on."""

from lrat_sim.viewer.app import view, viewer_app

__all__ = ["view", "viewer_app"]
