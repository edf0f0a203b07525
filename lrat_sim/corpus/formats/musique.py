"""MuSiQue: decompositions are the plan; a passage is (title, text), since titles repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.corpus.annotations import draft_from_subquestion
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.lines import as_text, is_jsonl, json_lines
from lrat_sim.corpus.plans import NoPlan, Passage, lay
from lrat_sim.errors import InputError, RecordError
from lrat_sim.records import Document, Plan, Task


class MusiqueOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files to take: names or patterns inside the source."""

    files: tuple[str, ...] = ("*.jsonl", "*.jsonl.gz")


class MusiqueReader(Reader):
    """MuSiQue as jsonl; ids of passages are running numbers, questions marked as unanswerable give no task."""

    options_type = MusiqueOptions

    def configure(self, options: Struct) -> None:
        """Finds the files of questions."""
        assert isinstance(options, MusiqueOptions)
        found = {path for pattern in options.files for path in self.source.glob(pattern)}
        self._files = [self.source] if self.source.is_file() else sorted(path for path in found if is_jsonl(path))
        if not self._files:
            raise InputError(
                f"{self.source} has no file {' or '.join(options.files)}; name them in the option `files`."
            )

    def files(self) -> list[Path]:
        """The files of questions."""
        return self._files

    def _records(self) -> Iterator[tuple[Path, int, dict[str, Any]]]:
        for path in self._files:
            for line, record in json_lines(path):
                self.file, self.line = path, line
                paragraphs = record.get("paragraphs")
                if not isinstance(paragraphs, list) or not all(isinstance(p, dict) for p in paragraphs):
                    raise RecordError(path, line, "the field `paragraphs` should be a list of passages")
                yield path, line, record

    def documents(self) -> Iterator[Document]:
        """Each paragraph of each question, once."""
        seen: set[bytes] = set()
        for path, line, record in self._records():
            for paragraph in record["paragraphs"]:
                title, text = _passage(paragraph, path, line)
                if (key := _key(title, text)) not in seen:
                    seen.add(key)
                    yield Document(id=str(len(seen) - 1), title=title, text=text)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The answerable questions, supporting paragraphs as evidence."""
        if corpus is None:
            raise InputError("MuSiQue's evidence is given by passage; prepare the corpus with the tasks.")
        ids = {_key(document.title, document.text): document.id for document in corpus}
        unanswerable = 0
        for path, line, record in self._records():
            if record.get("answerable") is False:
                unanswerable += 1
                continue
            gold = [_passage(p, path, line) for p in record["paragraphs"] if p.get("is_supporting")]
            answer = as_text(record, ("answer",), "answer", path, line)
            aliases = [alias for alias in record.get("answer_aliases") or [] if isinstance(alias, str) and alias]
            task = Task(
                id=as_text(record, ("id",), "id", path, line),
                question=as_text(record, ("question",), "question", path, line),
                answers=list(dict.fromkeys([answer, *aliases])),
                evidence=list(dict.fromkeys(ids[key] for passage in gold if (key := _key(*passage)) in ids)),
                plan=self._plan(record, answer, path, line),
            )
            missing = tuple(title for title, text in gold if _key(title, text) not in ids)
            yield ReadTask(task, split_of(path), f"{path}, line {line}", missing)
        if unanswerable:
            self.notes.append(f"{unanswerable} unanswerable questions were left out.")

    def _plan(self, record: dict[str, Any], answer: str, path: Path, line: int) -> Plan | None:
        steps = record.get("question_decomposition") or []
        try:
            drafts = []
            for step in steps:
                place = step.get("paragraph_support_idx") if isinstance(step, dict) else None
                support = next((p for p in record["paragraphs"] if place is not None and p.get("idx") == place), None)
                if support is None:
                    raise NoPlan("a sub-question names no supporting passage")
                passage = Passage(*_passage(support, path, line))
                text = as_text(step, ("question",), "sub-question", path, line)
                found = as_text(step, ("answer",), "answer of a sub-question", path, line)
                draft = draft_from_subquestion(text, found, passage)
                drafts.append(draft)
            if not drafts:
                raise NoPlan("no sub-questions are annotated")
            return lay(drafts, answer)
        except NoPlan as reason:
            self.without_plan[str(reason)] += 1
            return None


def _passage(paragraph: dict[str, Any], path: Path, line: int) -> tuple[str, str]:
    text = as_text(paragraph, ("paragraph_text", "text"), "text of a passage", path, line)
    return str(paragraph.get("title") or ""), text


def _key(title: str, text: str) -> bytes:
    return hashlib.blake2b(f"{title}\n{text}".encode(), digest_size=16).digest()
