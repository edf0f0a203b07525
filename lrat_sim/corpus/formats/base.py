"""What a reader of a public format is: documents as a stream, then tasks whose evidence is found among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus, has_content
from lrat_sim.corpus.formats.rows import ID, OF_THE_COPY, READ, TEXT, Columns, Row, kind_of, rows
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task
from lrat_sim.settings import Settings, Whole


class ReaderOptions(Settings, frozen=True, kw_only=True):
    """What every reader can be told."""

    test: Annotated[
        Whole | None,
        Meta(description="Tasks to hold out for testing, by question and entity; by default the files' own splits."),
    ] = None
    dev: Annotated[int, Meta(ge=0, description="Tasks to hold out for development; only with test.")] = 0
    seed: Annotated[int, Meta(description="Random seed of the split.")] = 0
    missing_evidence: Annotated[
        Literal["refuse", "drop"], Meta(description="What to do with tasks whose evidence the corpus does not hold.")
    ] = "refuse"
    leak: Annotated[
        Literal["refuse", "drop"],
        Meta(description="What to do with training tasks whose question is held out, too."),
    ] = "refuse"


DOCUMENTS = Columns(("id", "text", "title"), ID, TEXT)
"""What a file of documents holds."""

_TELLS_NOTHING = (".md", ".rst", ".py", ".sh", ".lock")


class ReadTask(NamedTuple):
    """A task as read: its split, where it stands, and the evidence that could not be found in the corpus."""

    task: Task
    split: str
    place: str
    missing: tuple[str, ...] = ()


class Reader(ABC):
    """Reads one corpus or task set from a local copy.

    Args:
        source: the folder or file with the local copy; None for a reader that generates.
        options: of the class's ``options_type``.

    Attributes:
        row: what is being read, for messages; None where the format has no rows.
        notes: what the user should know of what was read, in sentences.
        without_plan: why tasks have no plan, counted.
        empty: ids of documents that were left out, since they have neither text nor title.
        evidence_empty: how often one of those was named as evidence.
    """

    options_type: ClassVar[type[Struct]] = ReaderOptions
    needs_source: ClassVar[bool] = True
    has_documents: bool = True
    has_tasks: bool = True

    def __init__(self, source: Path | None, options: Struct):
        if self.needs_source and (source is None or not source.exists()):
            raise InputError(f"{source} does not exist; give the folder of the local copy as source.")
        self._source = source
        self.row: Row | None = None
        self.notes: list[str] = []
        self.without_plan: Counter[str] = Counter()
        self.empty: set[str] = set()
        self.evidence_empty = 0
        self.configure(options)

    def configure(self, options: Struct) -> None:  # noqa: B027 - most readers have nothing to prepare
        """Takes over the options; raises InputError for what cannot be done with them."""

    @property
    def source(self) -> Path:
        """The local copy."""
        if self._source is None:
            raise InputError("this reader needs a local copy; give its folder as source.")
        return self._source

    @abstractmethod
    def files(self) -> list[Path]:
        """Every file that decides what is read."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents, streaming where the format allows; each call starts anew and gives the same."""

    @abstractmethod
    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """All tasks, with evidence as document ids of ``corpus``."""

    def kept_documents(self) -> Iterator[Document]:
        """Those of :meth:`documents` that have a text or at least a title; the others are counted in ``empty``."""
        for document in self.documents():
            if has_content(document):
                yield document
            else:
                self.empty.add(document.id)

    def rows(self, path: Path, columns: Columns) -> Iterator[Row]:
        """The rows of a file; the one under way is :attr:`row`."""
        for self.row in rows(path, columns):
            yield self.row

    def left_out(self) -> list[Path]:
        """Files of the source that are not read, though they may hold data."""
        if self._source is None or not self._source.is_dir():
            return []
        taken = {path.resolve() for path in self.files()}
        folders = {self._source, *(path.parent for path in self.files() if path.is_relative_to(self._source))}
        return [
            path
            for path in sorted(path for folder in folders for path in folder.iterdir())
            if path.is_file()
            and path.resolve() not in taken
            and not path.name.startswith((".", "README", "LICENSE"))
            and path.suffix not in _TELLS_NOTHING
            and path.name not in OF_THE_COPY
        ]

    def evidence(self, corpus: Corpus | None, ids: list[str]) -> tuple[list[str], tuple[str, ...]]:
        """Splits evidence ids into those that the corpus holds and those it does not; repeats are dropped.

        Documents that were left out as empty are neither.
        """
        unique = list(dict.fromkeys(ids))
        if corpus is None:
            return unique, ()
        self.evidence_empty += sum(docid in self.empty for docid in unique)
        wanted = [docid for docid in unique if docid not in self.empty]
        return [i for i in wanted if i in corpus], tuple(i for i in wanted if i not in corpus)


def document_of(row: Row) -> Document:
    """The document that a row holds, with its fields under any of the usual names.

    Raises:
        RecordError: it has no id, or no field for a text.
    """
    return Document(id=row.text(ID, "id"), text=row.body(TEXT, "text"), title=row.title())


def not_there(source: Path, name: str, remedy: str) -> InputError:
    """The error for a file that a reader needs and cannot find, or that is in no format it can read."""
    if source.is_file():
        return InputError(f"{source} is a file, and {name} is looked for in a folder; {remedy}.")
    there = [path.name for path in sorted(source.glob(name)) if kind_of(path) is None]
    found = f"and {', '.join(there[:3])} cannot be read: " if there else ""
    return InputError(f"{source} has no {name} of a known format ({found}{READ}); {remedy}.")


def split_of(path: Path) -> str:
    """The split that a file's name speaks of: train, dev or test, else test."""
    name = path.name.casefold()
    for split, words in {"train": ("train",), "dev": ("dev", "valid"), "test": ("test", "eval")}.items():
        if any(word in name for word in words):
            return split
    return "test"
