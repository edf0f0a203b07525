"""BrowseComp-Plus' run JSON: one file ``run_*.json`` a question, as its evaluation scripts read it.

It is LRAT's trajectory JSON (:mod:`lrat_sim.formats.lrat`) without question and gold answer, which those scripts look
up by ``query_id``.  A run counts as completed only with the status ``completed`` and a text as its last step.
"""

from __future__ import annotations

from functools import partial

from lrat_sim.formats.lrat import read_runs, write_runs
from lrat_sim.formats.registry import Format

FORMAT = Format(
    name="browsecomp-plus",
    title="BrowseComp-Plus' run JSON, for its evaluation scripts",
    recognise=lambda path, record: (
        record.keys() >= {"query_id", "result", "retrieved_docids"} and "query" not in record
    ),
    read=partial(read_runs, name="browsecomp-plus", asked=False),
    write=partial(write_runs, prefix="run_", asked=False),
)
