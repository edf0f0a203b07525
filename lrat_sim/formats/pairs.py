"""Training pairs in the formats that trainers read: ours, LRAT's, FlagEmbedding, Tevatron, sentence-transformers.

Pairs hold document ids; the other formats hold texts, which come from the corpus that the agents searched.  Rows of
rejected documents (``satisfied: false``) go to the formats that have the flag, and to no other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError, RecordError, UnknownName
from lrat_sim.foreign.files import records
from lrat_sim.foreign.values import Found
from lrat_sim.formats import pairs_lines, pairs_parquet
from lrat_sim.formats.formats import About
from lrat_sim.formats.output import check_target, new_output
from lrat_sim.formats.pairs_lines import Texts, lrat_pairs
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Pair

NEGATIVES = 9
"""Columns of negatives in sentence-transformers' format: the paper's group of ten."""


class PairFormat(NamedTuple):
    """One format: what it is, how it is written, and whether it says of a row that it was rejected."""

    title: str
    write: Callable[[Iterable[Pair], Path, Texts, About, int], int]
    flag: bool = False


PAIR_FORMATS: Mapping[str, PairFormat] = {
    "pairs": PairFormat("lrat-sim's pairs.jsonl", pairs_lines.write_ours, flag=True),
    "lrat": PairFormat("LRAT's training pairs, jsonl", pairs_lines.write_lrat, flag=True),
    "flagembedding": PairFormat("FlagEmbedding's jsonl", pairs_lines.write_flagembedding),
    "tevatron": PairFormat("Tevatron's jsonl", pairs_lines.write_tevatron),
    "sentence-transformers": PairFormat(
        "Parquet of anchor, positive and negatives with a card, for sentence-transformers and the Hugging Face hub",
        pairs_parquet.write,
    ),
}
"""Every format of pairs by name."""


class PairsSummary(Struct, frozen=True, kw_only=True):
    """What an export did.

    Pairs that are not in it: ``withheld``, of benchmarks that ask not to be republished; ``rejected``, which the
    format cannot flag; ``without_negatives``, where it needs some.
    """

    target: Path
    format: str
    written: int
    withheld: int
    rejected: int
    without_negatives: int

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
        RecordError: a line holds no pair, or one that nobody can train on.
    """
    if to not in PAIR_FORMATS:
        raise UnknownName("format of pairs", to, sorted(PAIR_FORMATS))
    if negatives < 1:
        raise InputError(f"negatives is {negatives}; give 1 or more.")
    if corpus is None and to != "pairs":
        raise InputError(f"the format {to} holds texts, so it needs the corpus; give the one that the agents searched.")
    check_target(target)
    form, counts = PAIR_FORMATS[to], Counter[str]()
    source = read_pairs(pairs) if isinstance(pairs, Path) else pairs

    def selected() -> Iterator[Pair]:
        for number, pair in enumerate(source, start=1):
            if progress is not None:
                progress(number, None, "pairs")
            if pair.provenance.canary is not None and not include_canaried:
                counts["withheld"] += 1
            elif not pair.satisfied and not form.flag:
                counts["rejected"] += 1
            elif to == "sentence-transformers" and not pair.negatives:
                counts["without_negatives"] += 1
            else:
                yield pair

    about = About(name=name or target.name, license=license, language=language)
    made: dict[str, object] = {"format": to}
    with new_output(target, made) as part:
        written = form.write(selected(), part, Texts(corpus), about, negatives)
        made |= {"written": written, **counts}
    return PairsSummary(
        target=target,
        format=to,
        written=written,
        withheld=counts["withheld"],
        rejected=counts["rejected"],
        without_negatives=counts["without_negatives"],
    )


def read_pairs(path: Path) -> Iterator[Pair]:
    """The pairs of a file: ours, or LRAT's and FlagEmbedding's jsonl, by its first line; checked, streaming.

    LRAT's say neither question nor trajectory: pairs of one query then count as of one task, and the raw weight is
    the weight.  Their texts are given by :func:`pair_documents`.

    Args:
        path: the file, or the folder that holds pairs.jsonl.

    Raises:
        InputError: there is no such file.
        RecordError: a line holds no pair, or one that nobody can train on.
    """
    path = path / "pairs.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"{path} does not exist; mine pairs first, or give a file of them.")
    if _is_lrat(path):
        yield from (pair for pair, _ in lrat_pairs(path))
        return
    for found in records(path):
        pair = found.decoded(Pair)
        _check(pair, found)
        yield pair


def pair_documents(path: Path) -> Iterator[Document]:
    """The documents whose texts a file of LRAT's pairs holds, each id once: enough to build a corpus of.

    Raises:
        InputError: the file is none of LRAT's, or one id has two texts.
    """
    if not _is_lrat(path):
        raise InputError(f"{path} holds no texts, only ids; its documents are in the corpus that the agents searched.")
    seen: dict[str, int] = {}
    for _, documents in lrat_pairs(path):
        for document in documents:
            if document.id not in seen:
                seen[document.id] = hash(document.text)
                yield document
            elif seen[document.id] != hash(document.text):
                raise InputError(f"{path} has two texts for the document {document.id!r}; give each text its own id.")


def _is_lrat(path: Path) -> bool:
    first = next((found.value() for found in records(path)), None)
    return isinstance(first, dict) and "pos" in first


def _check(pair: Pair, found: Found) -> None:
    problem = None
    if not pair.positive.strip():
        problem = "the pair has no positive"
    elif any(negative.docid == pair.positive for negative in pair.negatives):
        problem = f"{pair.positive!r} is positive and negative at once"
    else:
        weights = [("weight", pair.weight), *(("weight of a negative", each.weight) for each in pair.negatives)]
        for what, weight in weights:
            if not (math.isfinite(weight) and weight >= 0):
                problem = f"the {what} is {weight}, and must be 0 or more"
    if problem is not None:
        raise RecordError(found.path, found.line, problem, "mine the pairs again, or delete that line")
