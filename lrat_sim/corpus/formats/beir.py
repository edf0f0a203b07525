"""The layout of BEIR: corpus.jsonl, queries.jsonl and one qrels/SPLIT.tsv a split."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask
from lrat_sim.corpus.formats.generic import ANSWERS, TASKS, texts_of
from lrat_sim.corpus.formats.rows import QUESTION, TASK_ID, Columns, Row, decoded, kind_of, named_table, not_there, rows
from lrat_sim.errors import InputError
from lrat_sim.foreign.files import lines
from lrat_sim.records import Task

_QUERY, _DOCUMENT, _GRADE = ("query-id", "query_id", "qid"), ("corpus-id", "corpus_id", "docid"), ("score", "relevance")
_COLUMNS = Columns(("query-id", "corpus-id", "score"), ("query-id",), ("corpus-id",))

_SHARD = re.compile(r"-\d+-of-\d+$")


class BeirReader(Reader):
    """A BEIR folder; a query is a task of the first split whose judgements find a document relevant to it."""

    def __init__(self, source: Path | None, options: ReaderOptions):
        super().__init__(source, options)
        self.corpus_files, self._queries = self._table("corpus"), self._table("queries")
        self._qrels = sorted(path for path in (self.source / "qrels").glob("*") if kind_of(path))
        if not self._qrels:
            raise InputError(f"{self.source} has no qrels/*.tsv; put the judgements of a split there, as BEIR does.")
        self.files = [*self.corpus_files, *self._queries, *self._qrels]

    def _table(self, name: str) -> list[Path]:
        files = named_table(self.source, name)
        if not files:
            raise not_there(self.source, f"{name}.jsonl", "give the folder of a BEIR data set as source")
        # one form of each is enough: a copy often holds the same file packed and unpacked
        shards = files[0].name.startswith(f"{name}-") or files[0].parent != self.source
        return files if shards else files[:1]

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """One task a judged query, its relevant documents as evidence."""
        judged: dict[str, dict[str, list[str]]] = {}
        for path in self._qrels:
            of_split = judged.setdefault(_SHARD.sub("", path.name.split(".")[0]), {})
            for query, relevant in qrels(path).items():
                of_split.setdefault(query, []).extend(relevant)
        queries: set[str] = set()
        for row in self.rows(self._queries, TASKS):
            query = row.text(TASK_ID, "id")
            queries.add(query)
            split = next((split for split, relevant in judged.items() if relevant.get(query)), None)
            if split is not None:
                task = Task(
                    id=query,
                    question=row.text(QUESTION, "text"),
                    answers=texts_of(row, ANSWERS, "answers"),
                    evidence=judged[split][query],
                )
                yield ReadTask(task, split, row.place)
        splits = Counter(query for of_split in judged.values() for query, relevant in of_split.items() if relevant)
        irrelevant = {query for of_split in judged.values() for query in of_split} - splits.keys()
        counts = {
            "Judged queries left out, since no document is relevant to them": len(irrelevant),
            "Judged queries left out, since no query has their id": len(splits.keys() - queries),
            "Queries judged in several splits, of which the first counts": sum(n > 1 for n in splits.values()),
        }
        self.notes += [f"{sentence}: {count:,}." for sentence, count in counts.items() if count]


def qrels(path: Path) -> dict[str, list[str]]:
    """The ids of relevant documents (grade 1 or more) by query, from TREC's judgements, BEIR's tsv or a table."""
    judgements: dict[str, list[str]] = {}
    in_lines = kind_of(path) is None or ".tsv" in path.name
    for row in _judged_lines(path) if in_lines else rows(path, _COLUMNS):
        relevant = judgements.setdefault(row.text(_QUERY, "query"), [])
        document, grade = row.text(_DOCUMENT, "document"), row.pick(_GRADE)
        if not _is_number(grade):
            raise row.fault(f"the grade {grade!r} is not a number")
        if float(grade) >= 1:
            relevant.append(document)
    return judgements


def _judged_lines(path: Path) -> Iterator[Row]:
    """The judgements of a file of lines, without its header."""
    filled = ((number, decoded(line, path, number)) for number, line in lines(path) if line.strip())
    for place, (number, line) in enumerate(filled):
        # a line with a tab is split at tabs alone, so that its ids may hold spaces
        columns = line.rstrip().split("\t") if "\t" in line else line.split()
        if len(columns) not in (3, 4):
            raise Row({}, path, number).fault(f"a judgement has 3 or 4 columns, not {len(columns)}")
        if place or _is_number(columns[-1]):
            yield Row({"query-id": columns[0], "corpus-id": columns[-2], "score": columns[-1]}, path, number)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
