"""The layout of BEIR: corpus.jsonl, queries.jsonl and one qrels/SPLIT.tsv a split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReadTask
from lrat_sim.corpus.formats.generic import ANSWERS, QUESTION, TASK_ID, read_documents
from lrat_sim.corpus.formats.lines import as_text, json_lines, pick, trec_qrels
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task


class BeirReader(Reader):
    """A BEIR folder; a query is a task of every split whose judgements name it, first split first."""

    def configure(self, options: Struct) -> None:
        """Finds the three parts of the layout."""
        self._corpus, self._queries = self._one("corpus.jsonl"), self._one("queries.jsonl")
        self._qrels = sorted((self.source / "qrels").glob("*.tsv"))
        if not self._qrels:
            raise InputError(f"{self.source} has no qrels/*.tsv; put the judgements of a split there, as BEIR does.")

    def _one(self, name: str) -> Path:
        for suffix in ("", ".gz", ".xz"):
            path = self.source / f"{name}{suffix}"
            if path.is_file():
                return path
        raise InputError(f"{self.source} has no {name} (or {name}.gz); give the folder of a BEIR data set as source.")

    def files(self) -> list[Path]:
        """Corpus, queries and judgements."""
        return [self._corpus, self._queries, *self._qrels]

    def documents(self) -> Iterator[Document]:
        """The lines of corpus.jsonl."""
        yield from read_documents(self._corpus, at=self._at)

    def _at(self, path: Path, line: int) -> None:
        self.file, self.line = path, line

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """One task a judged query, its relevant documents as evidence."""
        judged = [(path.stem, trec_qrels(path)) for path in self._qrels]
        for line, record in json_lines(self._queries):
            query = as_text(record, TASK_ID, "id", self._queries, line)
            question = as_text(record, QUESTION, "text", self._queries, line)
            answers = pick(record, ANSWERS) or []
            for split, relevant in judged:
                if query in relevant:
                    present, missing = self.evidence(corpus, relevant[query])
                    task = Task(
                        id=query,
                        question=question,
                        answers=[answers] if isinstance(answers, str) else [str(answer) for answer in answers],
                        evidence=present,
                    )
                    yield ReadTask(task, split, f"{self._queries}, line {line}", missing)
                    break
