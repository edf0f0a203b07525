"""Retrieval: one interface, :class:`Retriever`, and the retrievers behind it, found by name.

Importing this package loads no engine; :func:`open_retriever` loads the one that is asked for.
"""

from lrat_sim.retrieval.base import Retriever
from lrat_sim.retrieval.registry import known_retrievers, open_retriever

__all__ = ["Retriever", "known_retrievers", "open_retriever"]
