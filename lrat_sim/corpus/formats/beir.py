"""The layout of BEIR: corpus.jsonl, queries.jsonl and one qrels/SPLIT.tsv a split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import DOCUMENTS, Reader, ReadTask, document_of, not_there
from lrat_sim.corpus.formats.generic import ANSWERS, TASKS, texts_of
from lrat_sim.corpus.formats.lines import is_grade, trec_qrels
from lrat_sim.corpus.formats.rows import QUESTION, TASK_ID, Columns, kind_of, table_files
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task

_JUDGEMENTS = Columns(("query-id", "corpus-id", "score"), ("query-id",), ("corpus-id",))

_SHARD = re.compile(r"-\d+-of-\d+$")


class BeirReader(Reader):
    """A BEIR folder; a query is a task of every split whose judgements name it, first split first."""

    def configure(self, options: Struct) -> None:
        """Finds the three parts of the layout."""
        self._corpus, self._queries = self._table("corpus"), self._table("queries")
        judged = self.source / "qrels"
        self._qrels = sorted(path for path in judged.glob("*") if kind_of(path)) if judged.is_dir() else []
        if not self._qrels:
            raise InputError(f"{self.source} has no qrels/*.tsv; put the judgements of a split there, as BEIR does.")

    def _table(self, name: str) -> list[Path]:
        # one form of each is enough: a copy often holds the same file packed and unpacked
        found = table_files(self.source, name)
        if not found:
            raise not_there(self.source, f"{name}.jsonl", "give the folder of a BEIR data set as source")
        return found if found[0].name.startswith(f"{name}-") or found[0].parent != self.source else found[:1]

    def files(self) -> list[Path]:
        """Corpus, queries and judgements."""
        return [*self._corpus, *self._queries, *self._qrels]

    def documents(self) -> Iterator[Document]:
        """The rows of corpus.jsonl."""
        for path in self._corpus:
            yield from map(document_of, self.rows(path, DOCUMENTS))

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """One task a judged query, its relevant documents as evidence."""
        judged = self._judged()
        asked: set[str] = set()
        for row in (row for path in self._queries for row in self.rows(path, TASKS)):
            query = row.text(TASK_ID, "id")
            asked.add(query)
            split = next((split for split, relevant in judged.items() if relevant.get(query)), None)
            if split is not None:
                present, missing = self.evidence(corpus, judged[split][query])
                task = Task(
                    id=query,
                    question=row.text(QUESTION, "text"),
                    answers=texts_of(row, ANSWERS, "answers"),
                    evidence=present,
                )
                yield ReadTask(task, split, row.place, missing)
        self._note(judged, asked)

    def _judged(self) -> dict[str, dict[str, list[str]]]:
        """Relevant documents by query, by split."""
        judged: dict[str, dict[str, list[str]]] = {}
        for path in self._qrels:
            of_split = judged.setdefault(_SHARD.sub("", path.name.split(".")[0]), {})
            for query, documents in (trec_qrels(path) if ".tsv" in path.name else self._table_qrels(path)).items():
                of_split.setdefault(query, []).extend(documents)
        return judged

    def _table_qrels(self, path: Path) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.rows(path, _JUDGEMENTS):
            relevant = found.setdefault(row.text(("query-id", "query_id", "qid"), "query"), [])
            document = row.text(("corpus-id", "corpus_id", "docid"), "document")
            grade = row.pick(("score", "relevance"))
            if not is_grade(grade):
                raise row.fault(f"the grade {grade!r} is not a number")
            if float(grade) >= 1:
                relevant.append(document)
        return found

    def _note(self, judged: dict[str, dict[str, list[str]]], asked: set[str]) -> None:
        splits = Counter(query for relevant in judged.values() for query, documents in relevant.items() if documents)
        none = {query for relevant in judged.values() for query in relevant} - splits.keys()
        for said, count in (
            ("Judged queries left out, since no document is relevant to them", len(none)),
            ("Judged queries left out, since no query has their id", len(splits.keys() - asked)),
            ("Queries judged in several splits, of which the first counts", sum(n > 1 for n in splits.values())),
        ):
            if count:
                self.notes.append(f"{said}: {count:,}.")
