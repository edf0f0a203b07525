"""Lexical search by BM25, and the words by which it indexes a text.

The score of each word in each document is computed when the index is built, as ``bm25s`` does, and memory-mapped when
it is searched: a query adds up the lists of its words.  The corpus is counted in shards, of which one must fit in
memory.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from msgspec import Meta

from lrat_sim.corpus.documents import Corpus, passage_text
from lrat_sim.decoding import from_json
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Hit
from lrat_sim.retrieval.base import LocalRetriever
from lrat_sim.retrieval.index import ensure_index, reading_index
from lrat_sim.retrieval.registry import takes_settings
from lrat_sim.settings import NotNegative, Settings, Share

SHARD_ROWS = 1 << 16

_COLUMNS = 128  # parts of the corpus whose best scores give the bound below which no document is among the best

# for the words of a query one score a document, shape (documents,), 0 where none occurs; good until the thread's next
Scores = Callable[[Sequence[str]], npt.NDArray[Any]]


class Bm25Settings(Settings, frozen=True, kw_only=True):
    """Settings of ``bm25``."""

    # rank-bm25 holds all in memory, and so is for small corpora
    engine: Annotated[Literal["bm25s", "rank-bm25"], Meta(description="Formula: Lucene's or Okapi's.")] = "bm25s"
    k1: Annotated[NotNegative, Meta(description="How slowly repetitions of a word stop counting.")] = 0.9
    b: Annotated[Share, Meta(description="How much long documents are held back, from 0 to 1.")] = 0.4


class Bm25Retriever(LocalRetriever):
    """BM25 over title and text, opened by :func:`open_bm25`.  A document that holds no word of the query is no hit."""

    def __init__(self, corpus: Corpus, scores: Scores, description: dict[str, Any]):
        super().__init__(corpus, description)
        self._scores = scores

    def rank(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :meth:`LocalRetriever.rank`."""
        results = []
        for query in queries:
            scores = self._scores(tokenize(query))
            rows = _candidates(scores, k)
            results.append(self.best(rows, scores[rows], k))
        return results

    def scores(self, query: str, rows: Sequence[int]) -> list[float]:
        """The scores of some documents, by row, for a query."""
        scores: list[float] = self._scores(tokenize(query))[list(rows)].tolist()
        return scores


@takes_settings("bm25", Bm25Settings)
def open_bm25(
    corpus: Corpus, indexes: Path, settings: Bm25Settings, progress: ProgressCallback | None
) -> Bm25Retriever:
    """Opens ``bm25``."""
    identity = {
        "kind": "bm25",
        **msgspec.to_builtins(settings),
        "words": WORD_RULES,
        settings.engine: version(settings.engine),
        "corpus": corpus.fingerprint,
    }
    if settings.engine == "rank-bm25":
        return Bm25Retriever(corpus, _rank_bm25(corpus, settings, progress), identity)
    folder = indexes / "bm25"
    ensure_index(folder, identity, lambda folder: _build(folder, corpus, settings, progress))
    return Bm25Retriever(corpus, _memory_mapped(folder, len(corpus)), identity)


def _candidates(scores: npt.NDArray[Any], k: int) -> npt.NDArray[np.int64]:
    """The rows of a score above 0 that may be among the best ``k``, ties included: at most a few more than those."""
    width = len(scores) // _COLUMNS
    if width < k:
        return np.flatnonzero(scores > 0)
    columns = scores[: width * _COLUMNS].reshape(_COLUMNS, width)
    best = columns.max(axis=0)
    # k of these maxima, each of other documents, reach this floor, so no document below it is among the best k
    floor = np.partition(best, width - k)[width - k]
    if floor == 0:
        return np.flatnonzero(scores > 0)
    high = np.flatnonzero(best >= floor)
    part, column = np.nonzero(columns[:, high] >= floor)
    rest = np.flatnonzero(scores[width * _COLUMNS :] >= floor) + width * _COLUMNS
    return np.concatenate([part * width + high[column], rest])


def _memory_mapped(folder: Path, documents: int) -> Scores:
    with reading_index(folder):
        vocabulary = from_json((folder / "vocabulary.json").read_bytes(), dict[str, int])
        # mapped, but seen as plain arrays: each slice of a memmap would cost as much as a short list of documents
        rows, values, starts = (np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in _FILES)

    local = threading.local()

    def scores(query: Sequence[str]) -> npt.NDArray[Any]:
        if not hasattr(local, "total"):
            local.total = np.empty(documents, np.float32)  # a new one for each query would cost as much as its words
        total: npt.NDArray[np.float32] = local.total
        total.fill(0)
        for number in (vocabulary[word] for word in query if word in vocabulary):
            start, stop = starts[number : number + 2].tolist()
            np.add.at(total, rows[start:stop], values[start:stop])  # without the copies of total[rows] += values
        return total

    return scores


def _rank_bm25(corpus: Corpus, settings: Bm25Settings, progress: ProgressCallback | None) -> Scores:
    from rank_bm25 import BM25Okapi

    texts = []
    for document in corpus:
        texts.append(tokenize(passage_text(document)))
        if progress and len(texts) % 1000 == 0:
            progress(len(texts), len(corpus), "documents")
    if not any(texts):
        texts[0] = [""]  # it divides by the number of words there are
    okapi = BM25Okapi(texts, k1=settings.k1, b=settings.b)
    return lambda query: okapi.get_scores(list(query))


_FILES = ("rows", "values", "starts")
"""By word, one after the other: the documents that hold it and their scores; and where each word's begin."""


def _build(folder: Path, corpus: Corpus, settings: Bm25Settings, progress: ProgressCallback | None) -> None:
    """Counts words shard by shard, then writes the scores of each shard to their places."""
    vocabulary: dict[str, int] = {}
    lengths: list[npt.NDArray[np.int32]] = []
    holding: list[npt.NDArray[np.int64]] = []  # documents of each shard that hold a word, by word
    starts = range(0, len(corpus), SHARD_ROWS)
    for shard, start in enumerate(starts):
        postings, counts, length = _count(corpus, start, vocabulary, progress)
        holding.append(np.bincount(postings >> 32, minlength=len(vocabulary)))
        lengths.append(length)
        np.save(folder / f"postings-{shard:05}.npy", postings)
        np.save(folder / f"counts-{shard:05}.npy", counts)
    (folder / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))
    held = np.zeros(len(vocabulary), np.int64)
    for part in holding:
        held[: len(part)] += part
    rarity = np.log1p((len(corpus) - held + 0.5) / (held + 0.5))
    mean_length = max(1.0, sum(int(length.sum()) for length in lengths) / len(corpus))
    ends = np.concatenate([[0], np.cumsum(held)])
    np.save(folder / "starts.npy", ends)
    size = max(1, int(ends[-1]))  # an empty file cannot be mapped
    for name, dtype in (("rows", np.int64), ("values", np.float32)):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (size,)).flush()
    place = ends[:-1].copy()  # where the next document of each word goes
    for shard, start in enumerate(starts):
        parts = [folder / f"{name}-{shard:05}.npy" for name in ("postings", "counts")]
        postings, counts = (np.load(part) for part in parts)
        word, row = postings >> 32, postings & 0xFFFFFFFF
        damping = settings.k1 * (1 - settings.b + settings.b * lengths[shard][row] / mean_length)
        own = np.pad(holding[shard], (0, len(place) - len(holding[shard])))
        there = np.repeat(place - np.cumsum(own) + own, own) + np.arange(len(word))
        # mapped anew, since pages that were written count as memory of this process as long as they are mapped
        rows, values = (np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("rows", "values"))
        rows[there], values[there] = row + start, rarity[word] * counts / (counts + damping)
        place += own
        for path in parts:
            path.unlink()


def _count(
    corpus: Corpus, start: int, vocabulary: dict[str, int], progress: ProgressCallback | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """One shard's postings (word in the upper, row in the shard in the lower half; sorted), counts and lengths."""
    words, lengths = array("i"), array("i")
    stop = min(start + SHARD_ROWS, len(corpus))
    corpus = Corpus.open(corpus.folder)  # mapped anew, as what is written is
    for row, document in enumerate(corpus.slice(start, stop), start=start + 1):
        numbers = [vocabulary.setdefault(word, len(vocabulary)) for word in tokenize(passage_text(document))]
        words.extend(numbers)
        lengths.append(len(numbers))
        if progress and (row % 1000 == 0 or row == stop):
            progress(row, len(corpus), "documents")
    length = np.frombuffer(lengths, np.int32)
    rows = np.repeat(np.arange(len(length), dtype=np.int64), length)
    postings, counts = np.unique(np.frombuffer(words, np.int32).astype(np.int64) << 32 | rows, return_counts=True)
    return postings, counts, length


# --- the words by which a text is indexed ----------------------------------------------------------------------------

WORD_RULES = "english/1"  # the name of the rules of `tokenize`; part of every fingerprint that depends on them

_STOP_WORDS = frozenset(STOPWORDS_EN)
_ACCENTS = re.compile("[\u0300-\u036f]")
_MARKS = "".join(chr(code) for code in range(0x0370, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?:(?![{_UNSPACED}])(?:[^\W_]|[{re.escape(_MARKS)}]))+")

_ASCII_WORD = re.compile(r"[^\W_]+", re.ASCII)

_local = threading.local()


def tokenize(text: str) -> list[str]:
    """The words of a text in order, repeats kept, English stop words left out and the others stemmed.

    Text is case-folded and loses the accents of Latin, Greek and Cyrillic letters.  Scripts written without spaces
    (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into overlapping pairs of characters, so that a name is found
    inside a sentence.
    """
    text = text.casefold()
    if text.isascii():
        return [stem for word in _ASCII_WORD.findall(text) if (stem := _stem(word))]
    text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text)))
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if match.lastgroup == "unspaced":
            words += [first + second for first, second in pairwise(word)] or [word]
        elif stem := _stem(word):
            words.append(stem)
    return words


@lru_cache(maxsize=1 << 17)
def _stem(word: str) -> str:
    """The stem of a word, empty for a stop word."""
    if word in _STOP_WORDS:
        return ""
    if not hasattr(_local, "stemmer"):
        _local.stemmer = Stemmer.Stemmer("english")  # one a thread: it keeps state while it works
    stem: str = _local.stemmer.stemWord(word)
    return stem
