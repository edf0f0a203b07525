"""The report of a comparison, an experiment, a sweep or a flywheel: one page that opens offline, and its parts.

A report lies beside what it is about::

    FOLDER/report.html          answer, tables, plots, settings and fingerprints, the command that made them
    FOLDER/report/<plot>.svg    each plot by itself, with its numbers as <plot>.csv
    FOLDER/report/<table>.csv   each table with all digits, and as <table>.tex for a paper
"""

from lrat_sim.report.write import write_report

__all__ = ["write_report"]
