"""The verbs of lrat-sim as functions; the commands are generated from them.

A verb takes names, paths or objects, has the defaults of its command, does all that its command does, and returns an
object with ``folder`` and what one wants next.  Nothing heavy is imported before a verb is called.
Users have them from the package itself (``ls.rollout``).
"""
