"""Pairs as Parquet for sentence-transformers and the Hugging Face hub, with a data set card.

sentence-transformers goes by the order of columns: ``anchor``, ``positive``, ``negative_1`` and so on; a column named
``label`` is the label, here the pair's weight.  Where each row came from is in a table of its own, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.formats.card import column_kinds, column_meanings, column_table, write_card
from lrat_sim.formats.columns import schema_of, write_shards
from lrat_sim.formats.registry import About
from lrat_sim.records import Document, Pair

ROW_GROUP, SHARD = 1_000, 100_000
"""Rows of a row group, and of a file: they are shorter than trajectories."""


class PairTexts:
    """The texts behind the document ids of pairs.

    Args:
        corpus: that the agents searched; None where no text is asked for.
    """

    def __init__(self, corpus: Corpus | None):
        self._corpus = corpus

    def document(self, docid: str) -> Document:
        """A document.

        Raises:
            InputError: there is none of that id.
        """
        try:
            if self._corpus is not None:
                return self._corpus.document(docid)
        except UnknownDocument:
            pass
        raise InputError(
            f"the document {docid!r} of a pair is not in the corpus; give the one that the agents searched."
        )

    def text(self, docid: str) -> str:
        """A document's text with its title, as it was indexed."""
        return passage_text(self.document(docid))


def write(pairs: Iterable[Pair], path: Path, texts: PairTexts, about: About, negatives: int) -> int:
    """Writes the folder, streaming; returns the number of rows.

    Args:
        pairs: each with at least one negative.
        path: the folder.
        texts: the documents.
        about: for the card.
        negatives: columns of them; a pair with fewer repeats its own in order.
    """
    columns = ["anchor", "positive", *(f"negative_{number}" for number in range(1, negatives + 1))]
    schema = schema_of({**dict.fromkeys(columns, "text"), "label": "decimal"})
    repeated = 0
    tasks: set[str] = set()
    canaries: set[str] = set()

    def counted() -> Iterator[Pair]:
        nonlocal repeated
        for pair in pairs:
            repeated += len(pair.negatives) < negatives
            tasks.add(pair.provenance.task)
            if pair.provenance.canary is not None:
                canaries.add(pair.provenance.canary)
            yield pair

    def row(pair: Pair) -> dict[str, Any]:
        own = [texts.text(negative.docid) for negative in pair.negatives[:negatives]]
        filled = {f"negative_{number + 1}": own[number % len(own)] for number in range(negatives)}
        return {"anchor": pair.query, "positive": texts.text(pair.positive), **filled, "label": pair.weight}

    tables = {"pairs": (schema, row), "origin": (schema_of(column_kinds("origin")), _origin)}
    count = write_shards(path / "data", counted(), tables, row_group=ROW_GROUP, shard=SHARD)
    meanings = {
        "anchor": "the query",
        "positive": "the document that the agent opened and did not reject",
        f"negative_1` to `negative_{negatives}": f"documents of its result lists; {repeated:,} pairs have fewer of "
        "their own and repeat them in order",
        "label": "the pair's weight, which a loss may use or ignore",
    }
    write_card(
        path,
        "pairs",
        about,
        rows=count,
        tables=["pairs", "origin"],
        categories=["text-retrieval", "sentence-similarity"],
        tags=["sentence-transformers"],
        canaries=canaries,
        questions=len(tasks),
        columns=column_table("pairs", meanings),
        origin=column_table("origin", column_meanings("origin")),
    )
    return count


def _origin(pair: Pair) -> dict[str, Any]:
    where = pair.provenance
    return {
        "question_id": where.task,
        "trajectory_id": where.trajectory,
        "turn": where.turn,
        "rank": where.rank,
        "rule": where.rule,
        "positive_id": pair.positive,
        "negative_ids": [negative.docid for negative in pair.negatives],
        "negative_weights": [negative.weight for negative in pair.negatives],
        "length": pair.length,
        "weight": pair.weight,
        "canary": where.canary,
    }
