"""What HotpotQA and 2WikiMultihopQA share: questions whose contexts are the corpus, and gold titles as evidence.

The corpus is the union of all passages in the files.  Its ids are running numbers, in the order in which the
passages are first met (files by name): short, safe to copy for a language model, and saying nothing of the title,
so that no agent can open a document whose name it guesses.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.lines import as_text, is_jsonl, json_file, json_lines
from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Document, Plan, Task

_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")


class TitledOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files and questions to take.

    Attributes:
        files: names or patterns inside the source.
        questions: a file of question ids, one a line, to which the tasks are limited; ``auto`` takes
            gold_complete_ids.txt where the source has it and every question otherwise, ``all`` takes every one.
    """

    files: tuple[str, ...] = ("*.json", "*.json.gz", "*.jsonl", "*.jsonl.gz")
    questions: str = "auto"


class TitledReader(Reader):
    """Base of the two readers; they say how sentences are joined and where a plan comes from."""

    options_type = TitledOptions
    join: ClassVar[str]

    def configure(self, options: Struct) -> None:
        """Finds the files, and the list of question ids if there is one."""
        assert isinstance(options, TitledOptions)
        if self.source.is_file():
            self._files = [self.source]
        else:
            found = {path for pattern in options.files for path in self.source.glob(pattern)}
            self._files = sorted(path for path in found if path.name.endswith(_SUFFIXES))
        if not self._files:
            raise InputError(
                f"{self.source} has no file {' or '.join(options.files)}; name them in the option `files`."
            )
        ids = self.source / ("gold_complete_ids.txt" if options.questions == "auto" else options.questions)
        self._ids: Path | None = ids
        if options.questions == "all" or (options.questions == "auto" and not ids.is_file()):
            self._ids = None
        elif not ids.is_file():
            raise InputError(f"{ids} does not exist; name a file of question ids in `questions`, or give all.")

    def files(self) -> list[Path]:
        """Questions and passages, and the list of question ids if there is one."""
        return [*self._files, *([self._ids] if self._ids else [])]

    @abstractmethod
    def plan(self, record: dict[str, Any], gold: list[Document], task: Task) -> Plan | None:
        """The plan of one question, or None; the reason is counted in ``without_plan``."""

    def documents(self) -> Iterator[Document]:
        """Each passage once; copies that differ in white space only are one."""
        seen: set[bytes] = set()
        for title, text in self._passages():
            key = _key(title, text)
            if key not in seen:
                seen.add(key)
                yield Document(id=str(len(seen) - 1), title=title, text=text)

    def _passages(self) -> Iterator[tuple[str, str]]:
        for record in self._records():
            if "question" not in record:
                yield self._passage(record.get("title"), record.get("text"))
            for passage in record.get("context") or []:
                if not isinstance(passage, list) or len(passage) != 2:
                    raise self._fault("the field `context` should be a list of [title, sentences]")
                yield self._passage(*passage)

    def _passage(self, title: Any, text: Any) -> tuple[str, str]:
        if isinstance(text, list) and all(isinstance(sentence, str) for sentence in text):
            text = self.join.join(text)
        if not isinstance(title, str) or not isinstance(text, str) or not text.strip():
            raise self._fault("a passage needs a title and a text that is not empty")
        return title, text.strip()

    def _fault(self, problem: str) -> RecordError:
        assert self.file is not None
        return RecordError(self.file, self.line, problem, "correct that record")

    def _records(self) -> Iterator[dict[str, Any]]:
        """Questions and passages of every file, whatever its layout: a list, an object a line, columns, a mapping."""
        for path in self._files:
            self.file, self.line = path, 0
            if is_jsonl(path):
                for self.line, record in json_lines(path):
                    yield record
                continue
            content = json_file(path)
            if isinstance(content, dict):
                content = _rows(content) if "question" in content else _titles(content)
            if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
                raise RecordError(path, 0, "should hold a list of questions or passages", "name others in `files`")
            for self.line, record in enumerate(content, start=1):
                yield record

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The questions asked for, the passages of their gold titles as evidence."""
        if corpus is None:
            raise InputError("tasks whose evidence is given by title need their corpus; prepare it with them.")
        wanted = set(self._ids.read_text(encoding="utf-8").split()) if self._ids else None
        rows: dict[str, list[int]] = {}
        for row, document in enumerate(corpus):
            rows.setdefault(document.title, []).append(row)
        seen: set[str] = set()
        repeated = 0
        for record in self._records():
            if "question" not in record:
                continue
            assert self.file is not None
            # a sampler's column-oriented copy has the official id in `_1`, its own row number in `id`
            name = as_text(record, ("_id", "_1", "id"), "id", self.file, self.line)
            if name in seen:
                repeated += 1
            elif wanted is None or name in wanted:
                seen.add(name)
                yield self._task(name, record, corpus, rows)
        if wanted is not None and (absent := len(wanted - seen)):
            self.notes.append(f"{absent} of the {len(wanted)} questions named in {self._ids} are in none of the files.")
        if repeated:
            self.notes.append(f"{repeated} repeats of a question id were passed over; the first of each counts.")

    def _task(self, name: str, record: dict[str, Any], corpus: Corpus, rows: dict[str, list[int]]) -> ReadTask:
        assert self.file is not None
        facts = record.get("supporting_facts") or []
        if not all(isinstance(fact, list) and fact and isinstance(fact[0], str) for fact in facts):
            raise self._fault("the field `supporting_facts` should be a list of [title, sentence]")
        titles = list(dict.fromkeys(fact[0] for fact in facts))
        own = {_key(*self._passage(*p)) for p in record.get("context") or [] if isinstance(p, list) and len(p) == 2}
        gold: list[Document] = []
        for title in titles:
            found = [corpus[row] for row in rows.get(title, [])]
            # where a title has two texts, the question means the one in its own context
            gold += [d for d in found if _key(d.title, d.text) in own][:1] or found[:1]
        missing = tuple(title for title in titles if title not in rows)
        task = Task(
            id=name,
            question=as_text(record, ("question",), "question", self.file, self.line),
            answers=[as_text(record, ("answer",), "answer", self.file, self.line)],
            evidence=[document.id for document in gold],
        )
        task = msgspec.structs.replace(task, plan=self.plan(record, gold, task))
        return ReadTask(task, split_of(self.file), f"{self.file}, record {self.line}", missing)


def _key(title: str, text: str) -> bytes:
    # copies of a passage differ in spaces and line breaks; bytes are split at those of ASCII alone
    return hashlib.blake2b(b" ".join(f"{title}\n{text}".encode().split()), digest_size=16).digest()


def _rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: values[key] for name, values in columns.items() if isinstance(values, dict) and key in values}
        for key in columns["question"]
    ]


def _titles(passages: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"title": title, "text": sentences} for title, sentences in passages.items()]
