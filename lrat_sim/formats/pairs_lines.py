"""Pairs as lines of JSON, as LRAT, FlagEmbedding and Tevatron have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.passage import passage_text
from lrat_sim.errors import InputError, RecordError, UnknownDocument
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import Found
from lrat_sim.formats.formats import About
from lrat_sim.records import Document, Negative, Pair, Provenance


class Texts:
    """The texts behind ids.

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


def write_ours(pairs: Iterable[Pair], path: Path, texts: Texts, about: About, negatives: int) -> int:
    """lrat-sim's own lines."""
    return _write(path, pairs)


def write_lrat(pairs: Iterable[Pair], path: Path, texts: Texts, about: About, negatives: int) -> int:
    """LRAT's lines; rejected rows too, with ``satisfied: false``."""

    def line(pair: Pair) -> dict[str, Any]:
        ids = [negative.docid for negative in pair.negatives]
        return {
            "query": pair.query,
            "pos": [texts.text(pair.positive)],
            "neg": [texts.text(docid) for docid in ids],
            "pos_id": [pair.positive],
            "neg_id": ids,
            "reasoning_len": pair.length,
            "satisfied": pair.satisfied,
            "reweight_rate": pair.weight,
        }

    return _write(path, map(line, pairs))


def write_flagembedding(pairs: Iterable[Pair], path: Path, texts: Texts, about: About, negatives: int) -> int:
    """FlagEmbedding's lines.

    Where a pair or a negative weighs other than 1, ``pos_scores`` and ``neg_scores`` hold those weights.  They are no
    scores to distil from.
    """

    def line(pair: Pair) -> dict[str, Any]:
        weights = [negative.weight for negative in pair.negatives]
        scores = {"pos_scores": [pair.weight], "neg_scores": weights}
        return {
            "query": pair.query,
            "pos": [texts.text(pair.positive)],
            "neg": [texts.text(negative.docid) for negative in pair.negatives],
            **(scores if any(weight != 1 for weight in (pair.weight, *weights)) else {}),
        }

    return _write(path, map(line, pairs))


def write_tevatron(pairs: Iterable[Pair], path: Path, texts: Texts, about: About, negatives: int) -> int:
    """Tevatron's lines; the query's id says where the pair came from."""

    def passage(docid: str) -> dict[str, str]:
        document = texts.document(docid)
        return {"docid": docid, "title": document.title, "text": document.text}

    def line(number: int, pair: Pair) -> dict[str, Any]:
        where = pair.provenance
        return {
            "query_id": f"{where.trajectory or where.task}:{where.turn}:{number}",
            "query": pair.query,
            "positive_passages": [passage(pair.positive)],
            "negative_passages": [passage(negative.docid) for negative in pair.negatives],
        }

    return _write(path, (line(number, pair) for number, pair in enumerate(pairs, start=1)))


def _write(path: Path, records: Iterable[Any]) -> int:
    count = 0
    with path.open("wb") as stream:
        for record in records:
            stream.write(msgspec.json.encode(record) + b"\n")
            count += 1
    return count


def lrat_pairs(path: Path) -> Iterator[tuple[Pair, list[Document]]]:
    """LRAT's or FlagEmbedding's lines as pairs, each with the documents that it holds; a line's positives are one each.

    Raises:
        RecordError: a line holds no pair, or one that nobody can train on; names line and field.
    """
    for found in records(path):

        def wrong(problem: str, found: Found = found) -> RecordError:
            return RecordError(found.path, found.line, problem, "correct or delete that line")

        record = found.value()
        if not isinstance(record, dict):
            raise wrong(f"a pair is a JSON object, not {type(record).__name__}")
        query = record.get("query")
        if not isinstance(query, str):
            raise wrong("the field `query` should be a text")
        positives, negatives = _documents(record, "pos", wrong), _documents(record, "neg", wrong)
        if not positives:
            raise wrong("`pos` is empty, so the pair has no positive")
        weight = _number(record, "reweight_rate", 1.0, wrong)
        satisfied = record.get("satisfied", True)
        if not isinstance(satisfied, bool):
            raise wrong("the field `satisfied` should be true or false")
        for positive in positives:
            if any(negative.id == positive.id for negative in negatives):
                raise wrong(f"{positive.id!r} is positive and negative at once")
            pair = Pair(
                query=query,
                positive=positive.id,
                negatives=[Negative(docid=negative.id) for negative in negatives],
                weight=weight,
                raw_weight=weight,
                length=int(_number(record, "reasoning_len", 0, wrong)),
                provenance=Provenance(
                    task=f"query-{fingerprint(query)}", trajectory="", turn=0, rank=0, rule="imported"
                ),
                satisfied=satisfied,
            )
            yield pair, [*positives, *negatives]


def _documents(record: dict[str, Any], field: str, wrong: Callable[[str], RecordError]) -> list[Document]:
    texts, ids = record.get(field, []), record.get(f"{field}_id")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise wrong(f"the field `{field}` should be a list of texts")
    if ids is None:  # FlagEmbedding's lines have none
        ids = [f"text-{fingerprint(text)}" for text in texts]
    if not isinstance(ids, list) or len(ids) != len(texts) or not all(isinstance(each, str | int) for each in ids):
        raise wrong(f"the field `{field}_id` should be a list of ids, one for each text of `{field}`")
    return [Document(id=str(docid), text=text) for docid, text in zip(ids, texts, strict=True)]


def _number(record: dict[str, Any], field: str, otherwise: float, wrong: Callable[[str], RecordError]) -> float:
    value = record.get(field)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise wrong(f"the field `{field}` is {value!r}; it must be a number, 0 or more")
    return value
