"""Training pairs in the formats that trainers read: ours, LRAT's, FlagEmbedding, Tevatron, sentence-transformers.

Pairs hold document ids; the other formats hold texts, which come from the corpus that the agents searched.  Rows of
rejected documents (``satisfied: false``) go to the formats that have the flag, and to no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RecordError, UnknownName
from lrat_sim.foreign.files import records
from lrat_sim.formats import pairs_parquet
from lrat_sim.formats.output import check_target, new_output, write_lines
from lrat_sim.formats.pairs_parquet import PairTexts
from lrat_sim.formats.registry import About
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Negative, Pair, Provenance
from lrat_sim.settings import NotNegative

NEGATIVES = 9
"""Columns of negatives in sentence-transformers' format: the paper's group of ten."""


# --- formats: what each writes


def _lrat_line(pair: Pair, texts: PairTexts, number: int) -> dict[str, Any]:
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


def _flagembedding_line(pair: Pair, texts: PairTexts, number: int) -> dict[str, Any]:
    weights = [negative.weight for negative in pair.negatives]
    # weights where FlagEmbedding has scores; they are none to distil from, so they are left out where all are 1
    scores = {"pos_scores": [pair.weight], "neg_scores": weights}
    return {
        "query": pair.query,
        "pos": [texts.text(pair.positive)],
        "neg": [texts.text(negative.docid) for negative in pair.negatives],
        **(scores if any(weight != 1 for weight in (pair.weight, *weights)) else {}),
    }


def _tevatron_line(pair: Pair, texts: PairTexts, number: int) -> dict[str, Any]:
    def passage(docid: str) -> dict[str, str]:
        document = texts.document(docid)
        return {"docid": docid, "title": document.title, "text": document.text}

    where = pair.provenance
    return {
        "query_id": f"{where.trajectory or where.task}:{where.turn}:{number}",
        "query": pair.query,
        "positive_passages": [passage(pair.positive)],
        "negative_passages": [passage(negative.docid) for negative in pair.negatives],
    }


PairWriter = Callable[[Iterable[Pair], Path, PairTexts, About, int], int]
"""Writes pairs to a path with their documents; the number is that of the columns of negatives."""


def _lines(line: Callable[[Pair, PairTexts, int], Any]) -> PairWriter:
    def write(pairs: Iterable[Pair], path: Path, texts: PairTexts, about: About, negatives: int) -> int:
        return write_lines(path, (line(pair, texts, number) for number, pair in enumerate(pairs, start=1)))

    return write


class PairFormat(NamedTuple):
    """One format: what it is, how it is written, and whether it says of a row that it was rejected."""

    title: str
    write: PairWriter
    flag: bool = False


PAIR_FORMATS: Mapping[str, PairFormat] = {
    "pairs": PairFormat("lrat-sim's pairs.jsonl", _lines(lambda pair, texts, number: pair), flag=True),
    "lrat": PairFormat("LRAT's training pairs, jsonl", _lines(_lrat_line), flag=True),
    "flagembedding": PairFormat("FlagEmbedding's jsonl", _lines(_flagembedding_line)),
    "tevatron": PairFormat("Tevatron's jsonl", _lines(_tevatron_line)),
    "sentence-transformers": PairFormat(
        "Parquet of anchor, positive and negatives with a card, for sentence-transformers and the Hugging Face hub",
        pairs_parquet.write,
    ),
}
"""Every format of pairs by name."""


# --- export


class PairsSummary(Struct, kw_only=True):
    """What an export did.

    Pairs that are not in it: ``withheld``, of benchmarks that ask not to be republished; ``rejected``, which the
    format cannot flag; ``without_negatives``, where it needs some.
    """

    target: Path
    format: str
    written: int = 0
    withheld: int = 0
    rejected: int = 0
    without_negatives: int = 0

    def sentence(self) -> str:
        """The summary for people."""
        said = f"{self.written:,} pairs as {self.format}: {self.target}"
        if self.rejected:
            said += f"; {self.rejected:,} of rejected documents left out, which the format cannot flag"
        if self.without_negatives:
            said += f"; {self.without_negatives:,} without a negative left out"
        if self.withheld:
            said += f"; {self.withheld:,} withheld, since their benchmark asks not to be republished in plain text"
        return said


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

    Args:
        pairs: a file of pairs, the folder that holds one, or the pairs.
        target: the file to write, or the folder for ``sentence-transformers``.
        to: the format, one of :data:`PAIR_FORMATS`.
        corpus: that the agents searched, for the texts; only ``pairs`` does without.
        negatives: columns of negatives for ``sentence-transformers``.  A pair with fewer repeats its own in order, as
            trainers do that sample a group; one with none is left out.
        include_canaried: writes pairs of benchmarks with a canary too.
        name: what the data set card calls it; by default the target's name.
        license: for the card, as the hub names it (``cc-by-4.0``).
        language: for the card, a code.
        progress: told the pairs read.

    Raises:
        UnknownName: there is no such format.
        InputError: the corpus is missing or lacks a document, or the target is something else.
        RecordError: a line holds no pair, or one that cannot be trained on.
    """
    if to not in PAIR_FORMATS:
        raise UnknownName("format of pairs", to, sorted(PAIR_FORMATS))
    if negatives < 1:
        raise InputError(f"negatives is {negatives}; give 1 or more.")
    if corpus is None and to != "pairs":
        raise InputError(f"the format {to} holds texts, so it needs the corpus; give the one that the agents searched.")
    check_target(target)
    wanted, done = PAIR_FORMATS[to], PairsSummary(target=target, format=to)
    source = read_pairs(pairs) if isinstance(pairs, Path) else pairs

    def selected() -> Iterator[Pair]:
        for number, pair in enumerate(source, start=1):
            if progress is not None:
                progress(number, None, "pairs")
            if pair.provenance.canary is not None and not include_canaried:
                done.withheld += 1
            elif not pair.satisfied and not wanted.flag:
                done.rejected += 1
            elif to == "sentence-transformers" and not pair.negatives:
                done.without_negatives += 1
            else:
                yield pair

    about = About(name=name or target.name, license=license, language=language)
    made: dict[str, object] = {"format": to}
    with new_output(target, made) as part:
        done.written = wanted.write(selected(), part, PairTexts(corpus), about, negatives)
        counted = ("written", "withheld", "rejected", "without_negatives")
        made |= {what: getattr(done, what) for what in counted if getattr(done, what) or what == "written"}
    return done


# --- reading


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file: ours, or LRAT's and FlagEmbedding's jsonl, by its first line; checked, streaming.

    LRAT's say neither question nor trajectory: pairs of one query then count as of one task, and the raw weight is
    the weight.  Their texts are given by :func:`pair_documents`.

    Args:
        path: the file, or the folder that holds pairs.jsonl.

    Raises:
        InputError: there is no such file.
        RecordError: a line holds no pair, or one that cannot be trained on.
    """
    path = path / "pairs.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} does not exist; mine pairs first, or give a file of them.")
    if _is_lrat(path):
        yield from (pair for pair, _ in _lrat_pairs(path))
        return
    for found in records(path):
        pair = found.decoded(Pair)
        if (problem := _problem(pair)) is not None:
            raise RecordError(found.path, found.line, problem, "mine the pairs again, or delete that line")
        yield pair


def pair_documents(path: Path) -> Iterator[Document]:
    """The documents whose texts a file of LRAT's pairs holds, each id once: enough to build a corpus of.

    Raises:
        InputError: the file is none of LRAT's, or one id has two texts.
    """
    if not _is_lrat(path):
        raise InputError(f"{path} holds no texts, only ids; its documents are in the corpus that the agents searched.")
    seen: dict[str, int] = {}  # hashes, since the texts of millions of documents would not fit into memory
    for _, documents in _lrat_pairs(path):
        for document in documents:
            if document.id not in seen:
                seen[document.id] = hash(document.text)
                yield document
            elif seen[document.id] != hash(document.text):
                raise InputError(f"{path} has two texts for the document {document.id!r}; give each text its own id.")


def _is_lrat(path: Path) -> bool:
    first = next((found.value() for found in records(path)), None)
    return isinstance(first, dict) and "pos" in first


def _problem(pair: Pair) -> str | None:
    """Why a pair cannot be trained on; None where it can."""
    if not pair.positive.strip():
        return "the pair has no positive"
    if any(negative.docid == pair.positive for negative in pair.negatives):
        return f"{pair.positive!r} is positive and negative at once"
    weights = [("weight", pair.weight), *(("weight of a negative", negative.weight) for negative in pair.negatives)]
    for what, weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            return f"the {what} is {weight}, and must be 0 or more"
    return None


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


def _lrat_pairs(path: Path) -> Iterator[tuple[Pair, list[Document]]]:
    """LRAT's or FlagEmbedding's lines as pairs, one for each positive, with the documents that the line holds."""
    for found in records(path):
        try:
            line = msgspec.convert(found.value(), type=_LratPair)
            positives, negatives = _documents("pos", line.pos, line.pos_id), _documents("neg", line.neg, line.neg_id)
            if not positives:
                raise ValueError("`pos` is empty, so the pair has no positive")
            if both := {document.id for document in positives} & {document.id for document in negatives}:
                raise ValueError(f"{min(both)!r} is positive and negative at once")
        except ValueError as error:
            raise RecordError(found.path, found.line, f"not a pair: {error}", "correct or delete that line") from error
        weight = 1.0 if line.reweight_rate is None else line.reweight_rate
        for positive in positives:
            pair = Pair(
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
            yield pair, [*positives, *negatives]


def _documents(field: str, texts: list[str], ids: list[str | int] | None) -> list[Document]:
    if ids is None:
        ids = [f"text-{fingerprint(text)}" for text in texts]
    if len(ids) != len(texts):
        raise ValueError(f"the field `{field}_id` should be a list of ids, one for each text of `{field}`")
    return [Document(id=str(docid), text=text) for docid, text in zip(ids, texts, strict=True)]
