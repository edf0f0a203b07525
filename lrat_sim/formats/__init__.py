"""Import and export of the field's formats.

:func:`convert` goes from any format that can be read to any that can be written; :func:`read_any` streams the entries
of a source; :func:`merge_runs` and :func:`split_run` make one data set of several run folders, and several of one.
"""

from lrat_sim.formats.convert import ConvertSummary, convert
from lrat_sim.formats.formats import FORMATS, About, Entry, Format, Notes, format_named
from lrat_sim.formats.merge import MergeSummary, merge_runs
from lrat_sim.formats.sources import read_any, recognise
from lrat_sim.formats.split import split_run

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
