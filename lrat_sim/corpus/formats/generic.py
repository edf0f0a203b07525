"""Corpora and task sets of one's own, with their fields under any of the usual names, and those of InfoSeek-Eval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.rows import ID, QUESTION, TASK_ID, Columns, Row, named_table, not_there, pick, table_files
from lrat_sim.decoding import convert, from_json
from lrat_sim.errors import InputError, said_plainly
from lrat_sim.foreign import NOT_JSON
from lrat_sim.foreign.values import without_nulls
from lrat_sim.records import Plan, Task
from lrat_sim.text import normalise

ANSWERS = ("answers", "answer", "golden_answers", "gold_answers", "answer-text")
EVIDENCE = ("evidence", "evidence_ids", "evidence_docs", "gold_docs", "positive_ids", "pos_id", "docids")
TASKS = Columns(("id", "question", "answer"), TASK_ID, QUESTION)  # what a file of tasks holds

_REMEDY = "name it with the options `corpus` and `tasks`"


def task_of(row: Row, corpus: Corpus | None) -> Task:
    """The task that a row holds; ``plan`` is read where it has the form of our records.

    Several answers or evidence ids are a list or a JSON list; a text that is no document's id is split at its spaces.
    """
    try:
        plan = convert(without_nulls(row.data["plan"]), Plan) if row.data.get("plan") else None
    except msgspec.ValidationError as error:
        raise row.fault(f"the field `plan` is not a plan: {said_plainly(error)}") from error
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
    """A field that is a list of texts, a text, a JSON list, or missing."""
    value = row.pick(names)
    if isinstance(value, str) and value.startswith("["):
        with suppress(*NOT_JSON):  # an answer may merely begin with a bracket
            value = from_json(value)
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

    def __init__(self, source: Path | None, options: GenericOptions):
        super().__init__(source, options)
        self._tasks: list[tuple[str, Path]] = []
        if self.source.is_file():
            self.corpus_files = [self.source]
        else:
            self.corpus_files = self._table("corpus", options.corpus or None)
            if not self.corpus_files:
                raise not_there(self.source, "corpus.*", _REMEDY)
            usual = dict.fromkeys(("train", "dev", "test", "tasks"))
            for split, pattern in (usual if options.tasks is None else options.tasks).items():
                for path in self._table(split, pattern):
                    self._tasks.append((split_of(path) if split == "tasks" else split, path))
        self.has_tasks = bool(self._tasks)
        self.files = [*self.corpus_files, *(path for _, path in self._tasks)]

    def _table(self, name: str, pattern: str | None) -> list[Path]:
        return named_table(self.source, name) if pattern is None else table_files(self.source, [pattern], _REMEDY)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The rows of every file of tasks."""
        for split, path in self._tasks:
            for row in self.rows([path], TASKS):
                yield ReadTask(task_of(row, corpus), split, row.place)


class InfoSeekOptions(ReaderOptions, frozen=True, kw_only=True):
    """Where the documents of InfoSeek-Eval are: a Wikipedia passage collection that is a file of its own."""

    corpus: Annotated[str | None, Meta(description="File of documents; none for the questions alone.")] = None


class InfoSeekReader(Reader):
    """Rows ``id, question, answer`` without a header; of a question that is asked twice the first row counts."""

    options_type = InfoSeekOptions
    no_facts = "InfoSeek-Eval annotates no facts"

    def __init__(self, source: Path | None, options: InfoSeekOptions):
        super().__init__(source, options)
        self._questions = table_files(self.source, ["*.tsv*"], "give the folder of InfoSeek-Eval.tsv as source")
        if options.corpus:
            self.corpus_files = [Path(options.corpus)]
            if not self.corpus_files[0].is_file():
                raise InputError(f"{options.corpus} does not exist; give an existing file of documents as `corpus`.")
        self.files = [*self._questions, *self.corpus_files]
        self.has_documents = bool(self.corpus_files)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The questions, without evidence and plan."""
        first: dict[str, str] = {}
        repeats: list[str] = []
        for row in self.rows(self._questions, TASKS):
            if not all(str(row.data.get(field, "")).strip() for field in TASKS.names):
                raise row.fault("should have three columns: id, question and answer")
            task = task_of(row, corpus)
            if (question := normalise(task.question)) in first:
                repeats.append(f"{task.id} = {first[question]}")
                continue
            first[question] = task.id
            yield ReadTask(task, split_of(row.file), row.place)
        if repeats:
            self.notes.append(
                f"{len(repeats)} repeated questions were left out, the first of each counts: {', '.join(repeats)}."
            )
