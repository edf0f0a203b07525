"""Trajectories in a browser: ``lrat-sim view FOLDER``.

``library`` finds what a folder holds, ``listing`` searches and sorts its table, ``story`` tells one trajectory,
``versus`` sets two beside each other, ``pages`` answers with HTML.  Nothing is written, and nothing but loopback is
listened on.
"""

from lrat_sim.viewer.app import view, viewer_app

__all__ = ["view", "viewer_app"]
