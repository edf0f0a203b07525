"""Search engines as retrievers: Elasticsearch, OpenSearch, Qdrant, Anserini's and Pyserini's service, the web.

An engine indexes the documents of a task set, or is asked for what it already holds.  :class:`EngineRetriever` is what
they share.
"""

from lrat_sim.retrieval.engines.base import EngineRetriever

__all__ = ["EngineRetriever"]
