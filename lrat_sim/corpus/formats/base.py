"""What a reader of a public format is: documents as a stream, then tasks whose evidence is found among them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task


class ReaderOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every reader can be told.

    Attributes:
        test: tasks to hold out for testing; with it all tasks are split anew, by question and entity.  Without it
            the splits are those of the files.
        dev: tasks to hold out for development; only with ``test``.
        seed: of the split.
        missing_evidence: what to do with tasks whose evidence the corpus does not hold.
        leak: what to do with training tasks whose question is held out too; dropping them leaves the held-out
            tasks as published.
    """

    test: Annotated[int, Meta(ge=1)] | None = None
    dev: Annotated[int, Meta(ge=0)] = 0
    seed: int = 0
    missing_evidence: Literal["refuse", "drop"] = "refuse"
    leak: Literal["refuse", "drop"] = "refuse"


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
        file, line: what is being read (line 0 where the format has none), for messages.
        notes: what the user should know of what was read, in sentences.
        without_plan: why tasks have no plan, counted.
    """

    options_type: ClassVar[type[Struct]] = ReaderOptions
    needs_source: ClassVar[bool] = True
    has_documents: bool = True

    def __init__(self, source: Path | None, options: Struct):
        if self.needs_source and (source is None or not source.exists()):
            raise InputError(f"{source} does not exist; give the folder of the local copy as source.")
        self._source = source
        self.file: Path | None = source
        self.line = 0
        self.notes: list[str] = []
        self.without_plan: Counter[str] = Counter()
        self.configure(options)

    def configure(self, options: Struct) -> None:  # noqa: B027 - most readers have nothing to prepare
        """Takes over the options; raises InputError for what cannot be done with them."""

    @property
    def source(self) -> Path:
        """The local copy."""
        if self._source is None:
            raise InputError("this reader needs a local copy; give its folder as source.")
        return self._source

    @property
    def place(self) -> str:
        """Where the reader is now, for messages."""
        return f"{self.file}, line {self.line}" if self.line else str(self.file)

    @abstractmethod
    def files(self) -> list[Path]:
        """Every file that decides what is read."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents, streaming where the format allows; each call starts anew and gives the same."""

    @abstractmethod
    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """All tasks, with evidence as document ids of ``corpus``."""

    def evidence(self, corpus: Corpus | None, ids: list[str]) -> tuple[list[str], tuple[str, ...]]:
        """Splits evidence ids into those that the corpus holds and those it does not; repeats are dropped."""
        unique = list(dict.fromkeys(ids))
        if corpus is None:
            return unique, ()
        return [i for i in unique if i in corpus], tuple(i for i in unique if i not in corpus)


def split_of(path: Path) -> str:
    """The split that a file's name speaks of: train, dev or test, else test."""
    name = path.name.casefold()
    for split, words in {"train": ("train",), "dev": ("dev", "valid"), "test": ("test", "eval")}.items():
        if any(word in name for word in words):
            return split
    return "test"
