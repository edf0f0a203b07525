"""HotpotQA: two gold titles a question; no facts are annotated, so there are no plans."""

from __future__ import annotations

from lrat_sim.corpus.formats.rows import Row
from lrat_sim.corpus.formats.titled import TitledReader
from lrat_sim.records import Document, Plan, Task


class HotpotReader(TitledReader):
    """HotpotQA in its official layout, as jsonl, by columns, or as a mapping of titles to sentences.

    Sentences carry their own leading space; HTML entities in titles are left as they are, since the supporting
    facts spell them so.
    """

    join = ""

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """None."""
        self.without_plan["HotpotQA annotates no facts"] += 1
        return None
