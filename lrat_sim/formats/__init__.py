"""Import and export of the field's formats; :mod:`lrat_sim.formats.registry` lists them and says how to add one."""

from lrat_sim.formats.convert import ConvertSummary, MergeSummary, convert, merge_runs, split_run
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.registry import FORMATS, About, Format, Notes, format_named, read_any, recognise

__all__ = [
    "FORMATS",
    "About",
    "ConvertSummary",
    "Entry",
    "Format",
    "MergeSummary",
    "Notes",
    "convert",
    "format_named",
    "merge_runs",
    "read_any",
    "recognise",
    "split_run",
]
