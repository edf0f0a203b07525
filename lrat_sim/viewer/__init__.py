"""Trajectories in a browser: ``lrat-sim view FOLDER``.

``library`` finds what a folder holds, ``listing`` searches and sorts its table, ``transcript`` prepares one trajectory,
``versus`` sets two beside each other; ``pages``, ``compare_pages`` and ``pair_pages`` answer with HTML.  Nothing is
written, and only loopback is listened on.
"""

from lrat_sim.viewer.app import view, viewer_app

__all__ = ["view", "viewer_app"]
