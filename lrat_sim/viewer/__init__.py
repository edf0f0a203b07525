"""Trajectories in a browser: ``lrat-sim view FOLDER``; nothing is written, and only loopback is listened on.

``library`` finds what a folder holds, ``listing`` searches and sorts its table, ``arms`` compares, ``transcript``
prepares one trajectory, and ``pages`` answers with HTML.
"""

from lrat_sim.viewer.app import view, viewer_app

__all__ = ["view", "viewer_app"]
