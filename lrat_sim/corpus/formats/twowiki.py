"""2WikiMultihopQA: the annotated triples are the plan."""

from __future__ import annotations

from lrat_sim.corpus.annotations import plan_from_triples
from lrat_sim.corpus.formats.rows import Row
from lrat_sim.corpus.formats.titled import TitledReader, pairs_of
from lrat_sim.corpus.plans import NoPlan, Passage
from lrat_sim.records import Document, Plan, Task


class TwoWikiReader(TitledReader):
    """2WikiMultihopQA in its official layout or by columns, with passages from contexts and passage files."""

    join = " "

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """The triples as a plan, if they can be laid on the gold passages."""
        triples = pairs_of(row.fields.get("evidences"), ("fact",), ("relation",), ("entity",))
        if not all(isinstance(t, list) and len(t) == 3 and all(isinstance(part, str) for part in t) for t in triples):
            raise row.fault("the field `evidences` should be a list of [subject, relation, object]")
        passages = [Passage(document.title, document.text) for document in gold]
        comparison = "comparison" in str(row.fields.get("type"))
        try:
            return plan_from_triples(task.question, task.answers[0], triples, passages, comparison)
        except NoPlan as reason:
            self.without_plan[str(reason)] += 1
            return None
