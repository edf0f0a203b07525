"""The documents of a corpus on disk: Arrow record batches that are memory-mapped, never loaded.

Beside ``documents.arrow`` a corpus' folder has the 64-bit hashes of the ids, sorted, and the row of each.  An id is
found by a binary search among them and compared with the id in its row, so that eleven million documents need 16 bytes
each of mapped memory, and a collision cannot return the wrong one.  ``corpus.json`` is written last: a folder without
it is unfinished.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from lrat_sim.artifact import ensure_folder, fingerprint_file, read_json, write_json
from lrat_sim.errors import InputError, UnknownDocument
from lrat_sim.foreign import reading
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document

_BATCH_ROWS, _BATCH_CHARACTERS = 8192, 1 << 25
CARD, _ARROW, _HASHES, _ROWS = "corpus.json", "documents.arrow", "id_hashes.npy", "id_rows.npy"
_SCHEMA = pa.schema([("id", pa.string()), ("title", pa.string()), ("text", pa.string())])


# --- files that must not change once they are written
#
# They are too large to hash whenever they are opened: size and time of change are compared, and the bytes are hashed
# only where these differ.  A change that keeps the size and sets the time back goes unnoticed.


class Seal(Struct, frozen=True):
    """A file as it was written: its bytes, the time of its last change in ns, and the fingerprint of its content."""

    bytes: int
    changed: int
    fingerprint: str


def seal(folder: Path, names: Iterable[str]) -> dict[str, Seal]:
    """The seals of files of a folder, by name."""
    seals = {}
    for name in names:
        state = (folder / name).stat()
        seals[name] = Seal(state.st_size, state.st_mtime_ns, fingerprint_file(folder / name))
    return seals


def broken(folder: Path, seals: Mapping[str, Seal]) -> str | None:
    """What is wrong with the first file that is no longer as it was sealed, None where all are."""
    for name, known in seals.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        state = path.stat()
        if state.st_size != known.bytes:
            return f"{name} has {state.st_size} bytes instead of {known.bytes}"
        if state.st_mtime_ns != known.changed:
            if fingerprint_file(path) != known.fingerprint:
                return f"{name} holds other bytes than were written"
            with suppress(OSError):  # of a copy; with its time set back it is not hashed again
                os.utime(path, ns=(known.changed, known.changed))
    return None


# --- the corpus


class CorpusCard(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``corpus.json`` records."""

    documents: int
    fingerprint: str
    files: dict[str, Seal]


class DuplicateId(InputError):
    """Two documents of a corpus have the same id; ``rows`` are their places in the order given."""

    def __init__(self, docid: str, rows: tuple[int, int], folder: Path):
        self.docid, self.rows = docid, rows
        super().__init__(
            f"documents {rows[0] + 1} and {rows[1] + 1} for {folder} have the same id {docid!r}; "
            "give every document an id of its own."
        )


class Ids(Sequence[str]):
    """The ids of a corpus by row, read from disk as they are asked for."""

    def __init__(self, column: Any):
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: Any) -> Any:
        return self._column[row].to_pylist() if isinstance(row, slice) else self._column[int(row)].as_py()

    def __iter__(self) -> Iterator[str]:
        for chunk in self._column.chunks:
            yield from chunk.to_pylist()


class Corpus:
    """An immutable, memory-mapped collection of documents, from :meth:`build` or :meth:`open`; several threads may read
    it.  Its ``fingerprint`` is the identity of ids, titles and texts in their order."""

    def __init__(self, folder: Path, card: CorpusCard, table: Any, hashes: npt.NDArray[Any], rows: npt.NDArray[Any]):
        self.folder, self.fingerprint = folder, card.fingerprint
        self._table, self._hashes, self._rows = table, hashes, rows
        self._id, self._title, self._text = (table.column(name) for name in ("id", "title", "text"))

    @classmethod
    def build(cls, folder: Path, documents: Iterable[Document], *, progress: ProgressCallback | None = None) -> Corpus:
        """Writes a corpus from a stream of documents and opens it; what the folder held before is replaced.

        A document's row is its place in the stream.  Takes the memory of one record batch, and 16 bytes a document.

        Raises:
            InputError: an id is empty, a document has neither text nor title, or there is no document.
            DuplicateId: an id occurs twice.
        """
        ensure_folder(folder)
        (folder / CARD).unlink(missing_ok=True)
        beside = folder / f"{_ARROW}.part"
        hashes: list[npt.NDArray[np.uint64]] = []
        digest, count = hashlib.sha256(), 0
        with pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            for batch in _batches(documents):
                for place, document in enumerate(batch, start=count + 1):
                    if not document.id.strip() or not has_content(document):
                        empty = "`text` and no title" if document.id.strip() else "`id`"
                        problem = f"document {place} ({document.id!r}) for {folder} has an empty {empty}"
                        raise InputError(f"{problem}; correct it or leave it out.")
                    digest.update(msgspec.json.encode((document.id, document.title, document.text)))
                columns = [[getattr(document, name) for document in batch] for name in _SCHEMA.names]
                writer.write_batch(pa.record_batch([pa.array(c, pa.string()) for c in columns], schema=_SCHEMA))
                hashes.append(np.fromiter((_hash(document.id) for document in batch), np.uint64, len(batch)))
                count += len(batch)
                if progress:
                    progress(count, None, "documents")
        if count == 0:
            beside.unlink()
            raise InputError(f"the corpus for {folder} is empty; give a source that holds documents.")
        unsorted = np.concatenate(hashes)
        rows = np.argsort(unsorted, kind="stable").astype(np.int64)
        np.save(folder / _HASHES, unsorted[rows])
        np.save(folder / _ROWS, rows)
        beside.replace(folder / _ARROW)
        card = CorpusCard(count, digest.hexdigest()[:16], seal(folder, (_ARROW, _HASHES, _ROWS)))
        corpus = cls._map(folder, card)
        for position in np.flatnonzero(corpus._hashes[1:] == corpus._hashes[:-1]):
            first, second = int(corpus._rows[position]), int(corpus._rows[position + 1])
            if corpus._id[first].as_py() == corpus._id[second].as_py():
                raise DuplicateId(corpus._id[first].as_py(), (first, second), folder)
        write_json(folder / CARD, card)
        return corpus

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Maps a corpus that was built before; InputError if there is none, or its files have changed."""
        problem, remedy = f"the corpus at {folder} is damaged", "build the corpus again"
        card = read_json(folder / CARD, CorpusCard, "the card of a finished corpus", remedy)
        with reading(problem, remedy):
            if fault := broken(folder, card.files):
                raise InputError(f"{problem} ({fault}); {remedy}.")
            return cls._map(folder, card)

    def __reduce__(self) -> tuple[Callable[[Path], Corpus], tuple[Path]]:
        """Another process maps it again."""
        return Corpus.open, (self.folder,)

    @classmethod
    def _map(cls, folder: Path, card: CorpusCard) -> Corpus:
        table = pa.ipc.open_file(pa.memory_map(str(folder / _ARROW))).read_all()
        hashes, rows = (np.load(folder / name, mmap_mode="r") for name in (_HASHES, _ROWS))
        return cls(folder, card, table, hashes, rows)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, row: int) -> Document:
        return Document(id=self._id[row].as_py(), title=self._title[row].as_py(), text=self._text[row].as_py())

    def __iter__(self) -> Iterator[Document]:
        return self.slice(0, len(self))

    def slice(self, start: int, stop: int) -> Iterator[Document]:
        """The documents of rows ``start`` to ``stop`` (exclusive), in order: a shard of the corpus."""
        for batch in self._table.slice(start, max(0, stop - start)).to_batches(max_chunksize=1024):
            for docid, title, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield Document(id=docid, title=title, text=text)

    def ids(self) -> Ids:
        """The ids by row; no text is touched."""
        return Ids(self._id)

    def __contains__(self, docid: object) -> bool:
        return isinstance(docid, str) and self._find(docid) is not None

    def row(self, docid: str) -> int:
        """The row of a document; raises UnknownDocument where there is no such id."""
        row = self._find(docid)
        if row is None:
            raise UnknownDocument(f"the corpus at {self.folder} has no document {docid!r}")
        return row

    def document(self, docid: str) -> Document:
        """One document by its id; raises UnknownDocument where there is no such id."""
        return self[self.row(docid)]

    def _find(self, docid: str) -> int | None:
        key = np.uint64(_hash(docid))
        for place in range(int(np.searchsorted(self._hashes, key)), len(self)):
            if self._hashes[place] != key:
                return None
            row = int(self._rows[place])
            if self._id[row].as_py() == docid:
                return row
        return None


def _hash(docid: str) -> int:
    return int.from_bytes(hashlib.blake2b(docid.encode(), digest_size=8).digest(), "little")


def has_content(document: Document) -> bool:
    """Whether there is anything to be found by: a text, or at least a title."""
    return bool(document.text.strip() or document.title.strip())


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    # bounded in characters too: one batch of books must not fill the memory that one of passages does not
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def passage_text(document: Document) -> str:
    """Title, line break, text: the one text by which a document is indexed, encoded and trained on.

    A title that the text opens with is still put before it, so that one rule holds for every document.
    """
    return "\n".join(part for part in (document.title, document.text) if part)
