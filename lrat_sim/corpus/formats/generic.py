"""Corpora and task sets of one's own, with their fields under any of the usual names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import DOCUMENTS, Reader, ReaderOptions, ReadTask, document_of, not_there, split_of
from lrat_sim.corpus.formats.rows import ID, QUESTION, TASK_ID, Columns, Row, kind_of, pick, table_files
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.values import without_nulls
from lrat_sim.records import Document, Plan, Task

ANSWERS = ("answers", "answer", "golden_answers", "gold_answers", "answer-text")
EVIDENCE = ("evidence", "evidence_ids", "evidence_docs", "gold_docs", "positive_ids", "pos_id", "docids")
TASKS = Columns(("id", "question", "answer"), TASK_ID, QUESTION)
"""What a file of tasks holds."""

_REMEDY = "name it with the options `corpus` and `tasks`"


def task_of(row: Row, corpus: Corpus | None) -> Task:
    """The task that a row holds; ``plan`` is read where it has the form of our records.

    Several answers or evidence ids are a list, where a text has to stand for one a JSON list.  A text that is no
    document's id stands for the ids between its spaces.

    Raises:
        RecordError: it has no question, or a field of the wrong kind.
    """
    try:
        plan = msgspec.convert(without_nulls(row.fields["plan"]), type=Plan) if row.fields.get("plan") else None
    except msgspec.ValidationError as error:
        raise row.fault(f"the field `plan` is not a plan: {error}") from error
    evidence = texts_of(row, EVIDENCE, "evidence")
    if len(evidence) == 1 and isinstance(row.pick(EVIDENCE), str) and not (corpus and evidence[0] in corpus):
        words = evidence[0].split()
        evidence = words if corpus is None or any(word in corpus for word in words) else evidence
    return Task(
        id=row.text(TASK_ID, "id") if row.pick(TASK_ID) is not None else str(row.number),
        question=row.text(QUESTION, "question"),
        answers=texts_of(row, ANSWERS, "answers"),
        evidence=evidence,
        plan=plan,
    )


def texts_of(row: Row, names: tuple[str, ...], field: str) -> list[str]:
    """A field that is a list of texts, a text, a JSON list, or missing.

    Raises:
        RecordError: it is something else.
    """
    value = row.pick(names)
    if isinstance(value, str) and value.startswith("["):
        with suppress(*NOT_JSON):  # an answer may merely begin with a bracket
            value = msgspec.json.decode(value)
    if value is None or value == "":
        return []
    items = value if isinstance(value, list) else [value]
    texts = [pick(item, ID) if isinstance(item, dict) else item for item in items]
    if not all(isinstance(text, str | int | float) for text in texts):
        raise row.fault(f"the field `{field}` should be a list of texts")
    return [str(text) for text in texts]


class GenericOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files hold what; names or patterns inside the source."""

    corpus: Annotated[str | None, Meta(description="Files of documents; by default corpus.*.")] = None
    tasks: Annotated[
        dict[str, str] | None,
        Meta(description="Split to file; by default train.*, dev.*, test.* and tasks.* as they are there."),
    ] = None


class GenericReader(Reader):
    """A folder with documents and tasks, or one file of documents."""

    options_type = GenericOptions

    def configure(self, options: Struct) -> None:
        """Finds the files by the options or by their usual names."""
        assert isinstance(options, GenericOptions)
        folder = self.source
        if folder.is_file():
            self._documents, self._tasks, self.has_tasks = [folder], [], False
            return
        self._documents = self._named(options.corpus) if options.corpus else table_files(folder, "corpus")
        if not self._documents:
            raise not_there(folder, "corpus.*", _REMEDY)
        if options.tasks is None:
            given = {split: table_files(folder, split) for split in ("train", "dev", "test", "tasks")}
        else:
            given = {split: self._named(name) for split, name in options.tasks.items()}
        self._tasks = [
            (split_of(path) if split == "tasks" else split, path) for split, paths in given.items() for path in paths
        ]
        self.has_tasks = bool(self._tasks)

    def _named(self, pattern: str) -> list[Path]:
        found = [path for path in sorted(self.source.glob(pattern)) if kind_of(path)]
        if not found:
            raise not_there(self.source, pattern, _REMEDY)
        return found

    def files(self) -> list[Path]:
        """Files of documents, then of tasks."""
        return [*self._documents, *(path for _, path in self._tasks)]

    def documents(self) -> Iterator[Document]:
        """The rows of every file of documents."""
        for path in self._documents:
            yield from map(document_of, self.rows(path, DOCUMENTS))

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The rows of every file of tasks."""
        for split, path in self._tasks:
            for row in self.rows(path, TASKS):
                task = task_of(row, corpus)
                present, missing = self.evidence(corpus, task.evidence)
                yield ReadTask(msgspec.structs.replace(task, evidence=present), split, row.place, missing)
