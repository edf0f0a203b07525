"""lrat-sim: learning to retrieve from agent trajectories.

Run search agents against any retriever, record every step, mine which documents helped, train a retriever on
that, and run the agents again.  The stations are subpackages, in the order in which data walks through them:
``corpus``, ``retrieval``, ``agent``, ``rollout``, ``grading``, ``mining``, ``training``, ``comparison``; and
``flywheel`` closes the loop.

Importing this package loads none of torch, faiss, litellm, transformers.
"""

import os

__version__ = "0.1.0"

# OpenMP reads this once, when torch loads it: threads that spin while they wait make training and encoding several
# times slower as soon as anything else runs on the same cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
