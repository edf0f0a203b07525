"""InfoSeek-Eval: questions with short answers over a Wikipedia passage collection that is a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import DOCUMENTS, Reader, ReaderOptions, ReadTask, document_of, split_of
from lrat_sim.corpus.formats.rows import Columns, kind_of
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task
from lrat_sim.text import normalise

_COLUMNS = Columns(("id", "question", "answer"), ("id",), ("question",))


class InfoSeekOptions(ReaderOptions, frozen=True, kw_only=True):
    """Where the documents are."""

    corpus: Annotated[
        str | None, Meta(description="File of documents (jsonl, TSV or Parquet); none for the questions alone.")
    ] = None


class InfoSeekReader(Reader):
    """Rows ``id, question, answer`` without a header; of a question that is asked twice the first row counts."""

    options_type = InfoSeekOptions

    def configure(self, options: Struct) -> None:
        """Finds the questions, and the documents if they are given."""
        assert isinstance(options, InfoSeekOptions)
        tables = [path for path in sorted(self.source.glob("*.tsv*")) if kind_of(path)]
        self._files = [self.source] if self.source.is_file() else tables
        if not self._files:
            raise InputError(f"{self.source} has no .tsv file; give the folder of InfoSeek-Eval.tsv as source.")
        self._corpus = Path(options.corpus) if options.corpus else None
        if self._corpus and not self._corpus.is_file():
            raise InputError(f"{self._corpus} does not exist; give an existing file of documents as `corpus`.")
        self.has_documents = self._corpus is not None

    def files(self) -> list[Path]:
        """The questions, and the documents if they are given."""
        return [*self._files, *([self._corpus] if self._corpus else [])]

    def documents(self) -> Iterator[Document]:
        """The rows of the file given as `corpus`."""
        if self._corpus:
            yield from map(document_of, self.rows(self._corpus, DOCUMENTS))

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The questions, without evidence and plan."""
        first: dict[str, str] = {}
        repeats: list[str] = []
        for path in self._files:
            for row in self.rows(path, _COLUMNS):
                name, question, answer = (str(row.fields.get(field, "")) for field in _COLUMNS.names)
                if not (name.strip() and question.strip() and answer.strip()):
                    raise row.fault("should have three columns: id, question and answer")
                if (asked := normalise(question)) in first:
                    repeats.append(f"{name} = {first[asked]}")
                    continue
                first[asked] = name
                self.without_plan["InfoSeek-Eval annotates no facts"] += 1
                yield ReadTask(Task(id=name, question=question, answers=[answer]), split_of(path), row.place)
        if repeats:
            self.notes.append(
                f"{len(repeats)} repeated questions were left out, the first of each counts: {', '.join(repeats)}."
            )
