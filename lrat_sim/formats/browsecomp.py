"""BrowseComp-Plus' run JSON: one file ``run_*.json`` a question, as its evaluation scripts read it.

It is LRAT's trajectory JSON without question and gold answer: both are looked up by ``query_id`` there.  A run counts
as completed only with the status ``completed`` and a text as its last step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lrat_sim.formats.formats import About, Entry, Format, Head, Notes
from lrat_sim.formats.lrat import read_runs, write_files


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The runs of a file or folder; without their questions, which the format does not hold.

    Raises:
        InputError: there are none.
        RecordError: a record is no run; names file, step and field.
    """
    return read_runs(path, notes, "browsecomp-plus", asked=False)


def write(entries: Iterable[Entry], path: Path, about: About) -> int:
    """Writes a folder with one file a run."""
    return write_files(entries, path, "run_", asked=False)


def _recognise(head: Head) -> bool:
    return head.has("query_id", "result", "retrieved_docids") and not head.has("query")


FORMAT = Format(
    name="browsecomp-plus",
    title="BrowseComp-Plus' run JSON, for its evaluation scripts",
    recognise=_recognise,
    read=read,
    write=write,
    folder=True,
)
