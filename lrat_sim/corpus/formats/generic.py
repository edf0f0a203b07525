"""Corpora and task sets as jsonl or TSV, with their fields under any of the usual names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.lines import as_text, is_jsonl, json_lines, pick, tsv_lines
from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Document, Plan, Task

ID = ("docid", "_id", "id", "doc_id", "pid", "passage_id")
TEXT = ("text", "contents", "content", "body", "passage", "passage_text", "paragraph_text")
TITLE = ("title", "wikipedia_title")
TASK_ID = ("query_id", "question_id", "task_id", "qid", "_id", "id")
QUESTION = ("question", "query", "text")
ANSWERS = ("answers", "answer", "golden_answers", "gold_answers", "answer-text")
EVIDENCE = ("evidence", "evidence_ids", "evidence_docs", "gold_docs", "positive_ids", "pos_id", "docids")
_SUFFIXES = tuple(f".{kind}{packed}" for kind in ("jsonl", "tsv") for packed in ("", ".gz", ".xz"))


def read_documents(path: Path, at: Any = None) -> Iterator[Document]:
    """The documents of one jsonl or TSV file, streaming.

    A TSV file has a header line with known names, or else the columns id, text and, where there is a third, title.

    Args:
        path: the file, ``.gz`` and ``.xz`` too.
        at: told each document's line, as ``at(path, line)``.

    Raises:
        RecordError: a line has no id or no text.
    """
    for line, record in _records(path, ("id", "text", "title"), ID, TEXT):
        if at is not None:
            at(path, line)
        title = pick(record, TITLE)
        yield Document(
            id=as_text(record, ID, "id", path, line),
            text=as_text(record, TEXT, "text", path, line),
            title=title if isinstance(title, str) else "",
        )


def read_tasks(path: Path) -> Iterator[tuple[int, Task]]:
    """The tasks of one jsonl or TSV file with their lines; ``plan`` is read where it has the form of our records.

    A TSV file has a header line, or else the columns id, question and answer.  Several answers or evidence ids are
    a list in jsonl, and in TSV a JSON list or, for ids, words.

    Raises:
        RecordError: a line has no question, or a field of the wrong kind.
    """
    for line, record in _records(path, ("id", "question", "answer"), TASK_ID, QUESTION):
        try:
            plan = msgspec.convert(record["plan"], type=Plan) if record.get("plan") else None
        except msgspec.ValidationError as error:
            raise RecordError(path, line, f"the field `plan` is not a plan: {error}") from error
        yield (
            line,
            Task(
                id=as_text(record, TASK_ID, "id", path, line) if pick(record, TASK_ID) is not None else str(line),
                question=as_text(record, QUESTION, "question", path, line),
                answers=_texts(pick(record, ANSWERS), split=False, where=(path, line, "answers")),
                evidence=_texts(pick(record, EVIDENCE), split=True, where=(path, line, "evidence")),
                plan=plan,
            ),
        )


def _records(
    path: Path, columns: tuple[str, ...], key: tuple[str, ...], body: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, Any]]]:
    if is_jsonl(path):
        yield from json_lines(path)
        return
    header: list[str] | None = None
    for line, fields in tsv_lines(path):
        if header is None:
            header = [field.strip() for field in fields]
            if {*header} & {*key} and {*header} & {*body}:
                continue
            header = list(columns)
        if len(fields) < 2 or len(fields) > len(header):
            raise RecordError(
                path, line, f"has {len(fields)} columns where {len(header)} are named ({', '.join(header)})"
            )
        yield line, dict(zip(header, fields, strict=False))


def _texts(value: Any, split: bool, where: tuple[Path, int, str]) -> list[str]:
    if isinstance(value, str) and value.startswith("["):
        with suppress(msgspec.DecodeError):  # an answer may merely begin with a bracket
            value = msgspec.json.decode(value)
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return value.split() if split else [value]
    items = value if isinstance(value, list) else [value]
    texts = [pick(item, ID) if isinstance(item, dict) else item for item in items]
    if not all(isinstance(text, str | int | float) for text in texts):
        path, line, field = where
        raise RecordError(path, line, f"the field `{field}` should be a list of texts")
    return [str(text) for text in texts]


class GenericOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files hold what; names or patterns inside the source, None for the usual names.

    Attributes:
        corpus: files of documents, by default ``corpus.*``.
        tasks: split to file, by default ``train.*``, ``dev.*``, ``test.*`` and ``tasks.*`` as they are there.
    """

    corpus: str | None = None
    tasks: dict[str, str] | None = None


class GenericReader(Reader):
    """A folder with documents and tasks as jsonl or TSV, or one file of documents."""

    options_type = GenericOptions

    def configure(self, options: Struct) -> None:
        """Finds the files by the options or by their usual names."""
        assert isinstance(options, GenericOptions)
        folder = self.source
        if folder.is_file():
            self._documents, self._tasks = [folder], []
            return
        self._documents = self._find(options.corpus or "corpus.*", required=True)
        names = options.tasks or {split: f"{split}.*" for split in ("train", "dev", "test", "tasks")}
        self._tasks = [
            (split_of(path) if split == "tasks" else split, path)
            for split, name in names.items()
            for path in self._find(name, required=options.tasks is not None)
        ]

    def _find(self, pattern: str, required: bool) -> list[Path]:
        found = [path for path in sorted(self.source.glob(pattern)) if path.name.endswith(_SUFFIXES)]
        if required and not found:
            raise InputError(
                f"{self.source} has no file {pattern} ending in .jsonl or .tsv (or .gz, .xz of these); "
                "name it with the options `corpus` and `tasks`."
            )
        return found

    def files(self) -> list[Path]:
        """Files of documents, then of tasks."""
        return [*self._documents, *(path for _, path in self._tasks)]

    def documents(self) -> Iterator[Document]:
        """The lines of every file of documents."""
        for path in self._documents:
            yield from read_documents(path, at=self._at)

    def _at(self, path: Path, line: int) -> None:
        self.file, self.line = path, line

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The lines of every file of tasks."""
        for split, path in self._tasks:
            for line, task in read_tasks(path):
                present, missing = self.evidence(corpus, task.evidence)
                yield ReadTask(msgspec.structs.replace(task, evidence=present), split, f"{path}, line {line}", missing)
