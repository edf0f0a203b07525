"""Documents on disk, task sets, public formats, plans and splits; the generated world.

The two doors are :func:`lrat_sim.corpus.dataset.prepare`, which reads a corpus or task set by name and lays it
down in a folder, and :class:`lrat_sim.corpus.documents.Corpus`, the documents as every later station uses them.
"""
