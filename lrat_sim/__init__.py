"""lrat-sim: learning to retrieve from agent trajectories.

Run search agents against any retriever, record every step, mine which documents helped, train a retriever on
that, and run the agents again.  The stations are subpackages, in the order in which data walks through them:
``corpus``, ``retrieval``, ``agent``, ``rollout``, ``grading``, ``mining``, ``training``, ``comparison``; and
``flywheel`` closes the loop.

Importing this package loads none of torch, faiss, litellm, transformers.
"""

__version__ = "0.1.0"
