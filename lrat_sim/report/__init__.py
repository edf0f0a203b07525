"""The report of a comparison, an experiment, a sweep or a flywheel: one page that opens offline, and its parts."""

from lrat_sim.report.write import write_report

__all__ = ["write_report"]
