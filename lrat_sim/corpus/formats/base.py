"""What a reader of a public format is: documents as a stream, then tasks whose evidence is found among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from msgspec import Meta, Struct, structs

from lrat_sim.corpus.documents import Corpus, has_content
from lrat_sim.corpus.formats.rows import ID, OF_THE_COPY, TEXT, Columns, Row, rows
from lrat_sim.errors import InputError
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Document, Task
from lrat_sim.settings import Settings, Whole

_Remedy = Literal["refuse", "drop"]


class ReaderOptions(Settings, frozen=True, kw_only=True):
    """The options that every reader has."""

    test: Annotated[Whole | None, Meta(description="Tasks to hold out for testing; by default as the files do.")] = None
    dev: Annotated[int, Meta(ge=0, description="Tasks to hold out for development; only with test.")] = 0
    seed: Annotated[int, Meta(description="Random seed of the split.")] = 0
    missing_evidence: Annotated[_Remedy, Meta(description="For tasks whose evidence the corpus lacks.")] = "refuse"
    leak: Annotated[_Remedy, Meta(description="For training tasks whose question is also held out.")] = "refuse"


DOCUMENTS = Columns(("id", "text", "title"), ID, TEXT)  # what a file of documents holds

_NO_DATA = (".md", ".rst", ".py", ".sh", ".lock")
_SPLITS = {"train": ("train",), "dev": ("dev", "valid"), "test": ("test", "eval")}


class ReadTask(NamedTuple):
    """A task as read, its place for messages, and evidence that was not named by its id, and not found."""

    task: Task
    split: str
    place: str
    missing: tuple[str, ...] = ()


class Reader(ABC):
    """Reads one corpus or task set from a local copy.

    A reader sets ``files`` in its constructor and overrides :meth:`tasks`; documents that are the rows of files of
    their own need only ``corpus_files``.

    Args:
        source: the folder or file with the local copy; None for a reader that generates.
        options: of the class's ``options_type``.
    """

    options_type: ClassVar[type[Struct]] = ReaderOptions
    needs_source: ClassVar[bool] = True
    # of what reader and plans make of the same files, so that folders of an older one are not reused
    version: ClassVar[int] = 2
    no_facts: ClassVar[str | None] = None  # why no task of this format has a plan, if that is so
    has_documents: bool = True
    has_tasks: bool = True
    corpus_files: Sequence[Path] = ()
    processes: int = 1  # that a reader which generates may share its work out to

    def __init__(self, source: Path | None, options: Any):
        self.source = source or Path()
        self.files: list[Path] = []  # every file that decides what is read
        self.row: Row | None = None  # what is being read, for messages; None where the format has no rows
        self.notes: list[str] = []  # what the user should know of what was read, in sentences
        self.without_plan: Counter[str] = Counter()  # why tasks have no plan
        self.empty: set[str] = set()  # ids of documents that were left out, having neither text nor title
        self.evidence_empty = 0  # how often one of those was named as evidence

    @abstractmethod
    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """All tasks, with evidence as document ids of ``corpus``."""

    def documents(self) -> Iterator[Document]:
        """All documents, streaming where the format allows; each call starts anew and gives the same."""
        return map(document_of, self.rows(self.corpus_files, DOCUMENTS))

    def kept_documents(self) -> Iterator[Document]:
        """Those of :meth:`documents` that have a text or at least a title; the others are counted in ``empty``."""
        for document in self.documents():
            if has_content(document):
                yield document
            else:
                self.empty.add(document.id)

    def kept_tasks(self, corpus: Corpus | None, progress: ProgressCallback | None = None) -> Iterator[ReadTask]:
        """All of :meth:`tasks`, their evidence without repeats, empty documents and what the corpus does not hold."""
        places: dict[str, str] = {}
        for count, item in enumerate(self.tasks(corpus), start=1):
            before = places.setdefault(item.task.id, item.place)
            if before is not item.place:
                problem = f"{item.place}: the task id {item.task.id!r} was given before ({before})"
                raise InputError(f"{problem}; give every task its own id.")
            if progress and count % 1000 == 0:
                progress(count, None, "tasks")
            if self.no_facts is not None:
                self.without_plan[self.no_facts] += 1
            evidence = list(dict.fromkeys(item.task.evidence))
            missing = item.missing
            if corpus is not None:
                self.evidence_empty += sum(docid in self.empty for docid in evidence)
                missing += tuple(docid for docid in evidence if docid not in self.empty and docid not in corpus)
                evidence = [docid for docid in evidence if docid in corpus]
            yield item._replace(task=structs.replace(item.task, evidence=evidence), missing=missing)

    def rows(self, paths: Iterable[Path], columns: Columns) -> Iterator[Row]:
        """The rows of some files; the one under way is :attr:`row`."""
        for path in paths:
            for self.row in rows(path, columns):
                yield self.row

    def unread_files(self) -> list[str]:
        """The names of files of the source that are not read, though they may hold data."""
        if not self.needs_source or not self.source.is_dir():
            return []
        read = {path.resolve() for path in self.files}
        folders = {self.source, *(path.parent for path in self.files if path.is_relative_to(self.source))}
        return [
            path.name
            for path in sorted(path for folder in folders for path in folder.iterdir())
            if path.is_file()
            and path.resolve() not in read
            and not path.name.startswith((".", "README", "LICENSE"))
            and path.suffix not in _NO_DATA
            and path.name not in OF_THE_COPY
        ]


def document_of(row: Row) -> Document:
    """The document that a row holds, with its fields under any of the usual names."""
    return Document(id=row.text(ID, "id"), text=row.body(TEXT, "text"), title=row.title())


def split_of(path: Path) -> str:
    """The split that a file's name speaks of: train, dev or test, else test."""
    name = path.name.casefold()
    return next((split for split, words in _SPLITS.items() if any(word in name for word in words)), "test")
