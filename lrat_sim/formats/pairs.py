"""Training pairs in the formats that trainers read: ours, LRAT's, FlagEmbedding, Tevatron, sentence-transformers.

Pairs hold document ids; the other formats hold texts, which come from the corpus that the agents searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from msgspec import Struct

from lrat_sim.artifact import ensure_folder, fingerprint
from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.decoding import convert
from lrat_sim.errors import InputError, UnknownDocument, UnknownName, said_plainly
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import mapping
from lrat_sim.formats.hub import schema_of, write_card, write_shards
from lrat_sim.formats.output import WITHHELD, Summary, new_output, write_lines
from lrat_sim.formats.registry import About
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Negative, Pair, Provenance
from lrat_sim.settings import NotNegative

NEGATIVES = 9  # columns of negatives in sentence-transformers' format: the paper's group of ten
ROW_GROUP, SHARD = 1_000, 100_000  # rows of a row group and of a file of Parquet: they are shorter than trajectories
Lookup = Callable[[str], Document]  # of an id


# --- formats: what each writes


def _lrat_line(pair: Pair, document: Lookup, number: int) -> dict[str, Any]:
    ids = [negative.docid for negative in pair.negatives]
    return {
        "query": pair.query,
        "pos": [passage_text(document(pair.positive))],
        "neg": [passage_text(document(docid)) for docid in ids],
        "pos_id": [pair.positive],
        "neg_id": ids,
        "reasoning_len": pair.length,
        "satisfied": pair.satisfied,
        "reweight_rate": pair.weight,
    }


def _flagembedding_line(pair: Pair, document: Lookup, number: int) -> dict[str, Any]:
    weights = [negative.weight for negative in pair.negatives]
    # weights where FlagEmbedding has scores; they are none to distil from, so they are left out where all are 1
    scores = {"pos_scores": [pair.weight], "neg_scores": weights}
    line = {key: value for key, value in _lrat_line(pair, document, number).items() if key in ("query", "pos", "neg")}
    return line | (scores if any(weight != 1 for weight in (pair.weight, *weights)) else {})


def _tevatron_line(pair: Pair, document: Lookup, number: int) -> dict[str, Any]:
    positive, *negatives = (
        {"docid": docid, "title": document(docid).title, "text": document(docid).text}
        for docid in (pair.positive, *(negative.docid for negative in pair.negatives))
    )
    return {
        "query_id": _query_id(pair, number),
        "query": pair.query,
        "positive_passages": [positive],
        "negative_passages": negatives,
    }


def _query_id(pair: Pair, number: int) -> str:
    return f"{pair.provenance.trajectory or pair.provenance.task}:{pair.provenance.turn}:{number}"


def _write_tevatron(pairs: Iterable[Pair], path: Path, document: Lookup, about: About, negatives: int) -> int:
    """Writes Tevatron's current format: train.jsonl names documents, whose texts are in corpus.jsonl, each once.

    Its training reads a document's ``text`` alone, so that the title is in it.
    """
    named: dict[str, None] = {}

    def line(number: int, pair: Pair) -> dict[str, Any]:
        ids = [pair.positive, *(negative.docid for negative in pair.negatives)]
        for docid in ids:
            document(docid)  # one that is not there is refused here, with the pair
        named.update(dict.fromkeys(ids))
        return {
            "query_id": _query_id(pair, number),
            "query_text": pair.query,
            "positive_document_ids": ids[:1],
            "negative_document_ids": ids[1:],
        }

    ensure_folder(path)
    count = write_lines(path / "train.jsonl", (line(number, pair) for number, pair in enumerate(pairs, start=1)))
    texts = ({"docid": docid, "text": passage_text(document(docid))} for docid in named)
    write_lines(path / "corpus.jsonl", texts)
    return count


def _write_table(pairs: Iterable[Pair], path: Path, document: Lookup, about: About, negatives: int) -> int:
    """Writes Parquet with a card, and a table of where each row came from; returns the number of rows.

    sentence-transformers goes by the order of columns; a column named ``label`` is the label, here the pair's weight.
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
        own = [passage_text(document(negative.docid)) for negative in pair.negatives[:negatives]]
        filled = {f"negative_{number + 1}": own[number % len(own)] for number in range(negatives)}
        positive = passage_text(document(pair.positive))
        return {"anchor": pair.query, "positive": positive, **filled, "label": pair.weight}

    tables = {"pairs": (schema, row), "origin": (schema_of("origin"), _origin)}
    count = write_shards(path / "data", counted(), tables, row_group=ROW_GROUP, shard=SHARD)
    values = {"questions": len(tasks), "negatives": negatives, "repeated": repeated}
    write_card(path, "pairs", about, rows=count, canaries=canaries, **values)
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


class PairFormat(NamedTuple):
    """One format: how a pair with a number is its line, or how a whole folder is written, and whether it flags rejected
    rows; a folder has no pairs without negatives."""

    title: str
    line: Callable[[Pair, Lookup, int], Any] | None = None
    flag: bool = False
    folder: Callable[[Iterable[Pair], Path, Lookup, About, int], int] = _write_table


PAIR_FORMATS: Mapping[str, PairFormat] = {
    "pairs": PairFormat("lrat-sim's pairs.jsonl", lambda pair, document, number: pair, flag=True),
    "lrat": PairFormat("LRAT's training pairs, jsonl", _lrat_line, flag=True),
    "flagembedding": PairFormat("FlagEmbedding's jsonl", _flagembedding_line),
    "tevatron": PairFormat("Tevatron's older jsonl, passages in each line", _tevatron_line),
    "tevatron-corpus": PairFormat("Tevatron's train.jsonl of ids and corpus.jsonl of texts", folder=_write_tevatron),
    "sentence-transformers": PairFormat(
        "Parquet of anchor, positive and negatives with a card, for sentence-transformers and the Hugging Face hub",
    ),
}
"""Every format of pairs by name."""


# --- export


class PairsSummary(Summary, kw_only=True):
    """What an export did."""

    told: ClassVar[str] = "{written:,} pairs as {format}: {target}"
    counts: ClassVar[Mapping[str, str]] = {
        "rejected": "of rejected documents left out, which the format cannot flag",
        "without_negatives": "without a negative left out",
        "withheld": WITHHELD,
    }
    target: Path
    format: str
    written: int = 0
    withheld: int = 0
    rejected: int = 0
    without_negatives: int = 0


def export_pairs(
    pairs: Path | Iterable[Pair],
    target: Path,
    *,
    to: str,
    corpus: Corpus | None = None,
    negatives: int = NEGATIVES,
    include_canaried: bool = False,
    name: str | None = None,
    license: str = "unknown",
    language: str = "en",
    progress: ProgressCallback | None = None,
) -> PairsSummary:
    """Writes pairs in another format, streaming; the target appears whole or not at all.

    Only the format ``pairs`` does without the corpus.  A pair with fewer negatives than a table has columns for them
    repeats its own in order, as trainers do that sample a group; one with none is left out.
    """
    if to not in PAIR_FORMATS:
        raise UnknownName("format of pairs", to, sorted(PAIR_FORMATS))
    if corpus is None and to != "pairs":
        raise InputError(f"the format {to} holds texts, so it needs the corpus; give the one that the agents searched.")
    wanted, done = PAIR_FORMATS[to], PairsSummary(target=target, format=to)

    def selected() -> Iterator[Pair]:
        for number, pair in enumerate(read_pairs(pairs) if isinstance(pairs, Path) else pairs, start=1):
            if progress is not None:
                progress(number, None, "pairs")
            if pair.provenance.canary is not None and not include_canaried:
                done.withheld += 1
            elif not pair.satisfied and not wanted.flag:
                done.rejected += 1
            elif wanted.line is None and not pair.negatives:
                done.without_negatives += 1
            else:
                yield pair

    def document(docid: str) -> Document:
        try:
            if corpus is not None:
                return corpus.document(docid)
        except UnknownDocument:
            pass
        raise InputError(
            f"the document {docid!r} of a pair is not in the corpus; give the one that the agents searched."
        )

    made: dict[str, object] = {"format": to}
    with new_output(target, made) as part:
        if wanted.line is not None:
            line = wanted.line
            done.written = write_lines(part, (line(pair, document, n) for n, pair in enumerate(selected(), start=1)))
        else:
            about = About(name=name or target.name, license=license, language=language)
            done.written = wanted.folder(selected(), part, document, about, negatives)
        made["written"] = done.written
        made |= {what: getattr(done, what) for what in done.counts if getattr(done, what)}
    return done


# --- reading


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file, or of a folder's pairs.jsonl: ours, or LRAT's and FlagEmbedding's jsonl, by the first line.

    They are checked, and streamed.  LRAT's say neither question nor trajectory: pairs of one query then count as of
    one task, and the raw weight is the weight.  Their texts are given by :func:`pair_documents`.
    """
    return (pair for pair, _ in _pairs_in(path))


def pair_documents(path: Path) -> Iterator[Document]:
    """The documents whose texts a file of LRAT's pairs holds, each id once: enough to build a corpus of."""
    seen: dict[str, int] = {}  # hashes, since the texts of millions of documents would not fit into memory
    for _, documents in _pairs_in(path):
        if not documents:
            raise InputError(
                f"{path} holds no texts, only ids; its documents are in the corpus that the agents searched."
            )
        for document in documents:
            if document.id not in seen:
                seen[document.id] = hash(document.text)
                yield document
            elif seen[document.id] != hash(document.text):
                raise InputError(f"{path} has two texts for the document {document.id!r}; give each text its own id.")


def _pairs_in(path: Path) -> Iterator[tuple[Pair, list[Document]]]:
    """The pairs of a file, each with the documents whose texts its line holds; those of ours hold none."""
    path = path / "pairs.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} does not exist; mine pairs first, or give a file of them.")
    of_lrat: bool | None = None
    for source in records(path):
        if of_lrat is None:
            of_lrat = "pos" in mapping(source.value())
        try:
            pairs, documents = _of_lrat(source.value()) if of_lrat else ([source.decoded(Pair)], [])
            for pair in pairs:
                _check(pair)
        except ValueError as error:
            raise source.fault(f"not a pair: {said_plainly(error)}") from error
        yield from ((pair, documents) for pair in pairs)


def _check(pair: Pair) -> None:
    """Raises ValueError for a pair that cannot be trained on."""
    if not pair.positive.strip():
        raise ValueError("it has no positive")
    if any(negative.docid == pair.positive for negative in pair.negatives):
        raise ValueError(f"{pair.positive!r} is positive and negative at once")
    weights = [("weight", pair.weight), *(("weight of a negative", negative.weight) for negative in pair.negatives)]
    for what, weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"the {what} is {weight}, and must be 0 or more")


class _LratPair(Struct, frozen=True):
    """A line of LRAT's or FlagEmbedding's; the latter has no ids."""

    query: str
    pos: list[str]
    neg: list[str] = []
    pos_id: list[str | int] | None = None
    neg_id: list[str | int] | None = None
    reasoning_len: NotNegative | None = None
    reweight_rate: NotNegative | None = None
    satisfied: bool = True


def _of_lrat(record: Any) -> tuple[list[Pair], list[Document]]:
    """A line of LRAT's or FlagEmbedding's as pairs, one for each positive, with the documents that it holds."""
    line = convert(record, _LratPair)
    positives, negatives = _documents("pos", line.pos, line.pos_id), _documents("neg", line.neg, line.neg_id)
    if not positives:
        raise ValueError("`pos` is empty, so it has no positive")
    weight = 1.0 if line.reweight_rate is None else line.reweight_rate
    pairs = [
        Pair(
            query=line.query,
            positive=positive.id,
            negatives=[Negative(docid=negative.id) for negative in negatives],
            weight=weight,
            raw_weight=weight,
            length=int(line.reasoning_len or 0),
            provenance=Provenance(
                task=f"query-{fingerprint(line.query)}", trajectory="", turn=0, rank=0, rule="imported"
            ),
            satisfied=line.satisfied,
        )
        for positive in positives
    ]
    return pairs, [*positives, *negatives]


def _documents(field: str, texts: list[str], ids: list[str | int] | None) -> list[Document]:
    if ids is None:
        ids = [f"text-{fingerprint(text)}" for text in texts]
    if len(ids) != len(texts):
        raise ValueError(f"the field `{field}_id` should be a list of ids, one for each text of `{field}`")
    return [Document(id=str(docid), text=text) for docid, text in zip(ids, texts, strict=True)]
