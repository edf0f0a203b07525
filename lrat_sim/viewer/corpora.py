"""Titles and texts of documents: from the corpus that a run searched, else from what the agent was shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim.corpus.documents import Corpus, CorpusCard
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.records import Document
from lrat_sim.retrieval.base import corpora_of

_CARD = "corpus.json"
_ABOVE = 4
_TITLED = re.compile(r"\[(?P<title>[^\n]*)\]\n(?P<text>.*)", re.DOTALL)


class Corpora:
    """The corpora in and near a folder and in ``data``, by fingerprint; each is opened when a run first needs it.

    A corpus or prepared task set that is ``given`` is taken for every run that names no other.
    """

    def __init__(self, root: Path, given: Path | None = None, data: Path | None = None):
        self._folders: dict[str, Path] = {}
        self._open: dict[str, Corpus | None] = {}
        self._given: Corpus | None = None
        for card in _cards(root.resolve(), data):
            try:
                fingerprint = msgspec.json.decode(card.read_bytes(), type=CorpusCard).fingerprint
            except (OSError, *NOT_JSON):
                continue  # a corpus of something else, or unfinished
            self._folders.setdefault(fingerprint, card.parent)
        if given is not None:
            self._given = Corpus.open(given if (given / _CARD).is_file() else given / "corpus")
            self._folders[self._given.fingerprint] = self._given.folder

    def of(self, retriever: dict[str, Any]) -> Corpus | None:
        """The corpus that a retriever says it searches, None where it is not here."""
        name = next(corpora_of(retriever), None)
        if name is None:
            return self._given
        if name not in self._open:
            try:
                self._open[name] = Corpus.open(self._folders[name]) if name in self._folders else None
            except InputError:  # without its corpus a run is shown all the same
                self._open[name] = None
        return self._open[name]


def shown_hits(output: str, docids: Iterable[str]) -> dict[str, Document]:
    """Title and text of each hit in a result list of :func:`lrat_sim.retrieval.result_format.show_hits`.

    Hits that stand there in another form are left out.
    """
    starts: list[tuple[str, int, int]] = []
    at = 0
    for docid in docids:
        head = f"\nDocID:{docid}\n"
        place = output.find(head, at)
        if place >= 0:
            at = place + len(head) - 1
            starts.append((docid, place, at + 1))
    ends = [place for _, place, _ in starts[1:]] + [len(output)] * bool(starts)
    documents: dict[str, Document] = {}
    for (docid, _, start), end in zip(starts, ends, strict=True):
        text = output[start:end].strip()
        titled = _TITLED.match(text)
        documents[docid] = Document(id=docid, **titled.groupdict()) if titled else Document(id=docid, text=text)
    return documents


def _cards(root: Path, data: Path | None) -> Iterator[Path]:
    """The cards of corpora in a folder, in those beside it, and in those beside the folders above it."""
    above = [folder for folder in (root, *root.parents[:_ABOVE]) if folder != folder.parent]
    for folder in [*above, *([data] if data is not None else [])]:
        yield folder / "corpus" / _CARD
        yield from sorted(folder.glob(f"*/corpus/{_CARD}"))
