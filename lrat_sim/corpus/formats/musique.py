"""MuSiQue: decompositions are the plan; a passage is (title, text), since titles repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from lrat_sim.corpus.annotations import draft_from_subquestion
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.rows import TEXT, Columns, Row, kind_of
from lrat_sim.corpus.plans import NoPlan, Passage, lay
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Plan, Task

_COLUMNS = Columns((), ("id",), ("question",))


class MusiqueOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files to take."""

    files: Annotated[tuple[str, ...], Meta(description="Files of questions, names or patterns in the source.")] = ("*",)


class MusiqueReader(Reader):
    """MuSiQue as jsonl, JSON or Parquet; ids are running numbers, questions marked as unanswerable give no task."""

    options_type = MusiqueOptions

    def configure(self, options: Struct) -> None:
        """Finds the files of questions."""
        assert isinstance(options, MusiqueOptions)
        found = {path for pattern in options.files for path in self.source.glob(pattern)}
        tables = sorted(path for path in found if kind_of(path) in ("json", "arrow"))
        self._files = [self.source] if self.source.is_file() else tables
        if not self._files:
            raise InputError(
                f"{self.source} has no jsonl, json or parquet file {' or '.join(options.files)}; "
                "name them in the option `files`."
            )

    def files(self) -> list[Path]:
        """The files of questions."""
        return self._files

    def _records(self) -> Iterator[tuple[Row, list[Row]]]:
        """Each question with its paragraphs."""
        for path in self._files:
            for row in self.rows(path, _COLUMNS):
                paragraphs = row.fields.get("paragraphs")
                if not isinstance(paragraphs, list) or not all(isinstance(p, dict) for p in paragraphs):
                    raise row.fault("the field `paragraphs` should be a list of passages")
                yield row, [row._replace(fields=paragraph) for paragraph in paragraphs]

    def documents(self) -> Iterator[Document]:
        """Each paragraph of each question, once."""
        seen: set[bytes] = set()
        for _, paragraphs in self._records():
            for paragraph in paragraphs:
                title, text = _passage(paragraph)
                if (key := _key(title, text)) not in seen:
                    seen.add(key)
                    yield Document(id=str(len(seen) - 1), title=title, text=text)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The answerable questions, supporting paragraphs as evidence."""
        if corpus is None:
            raise InputError("MuSiQue's evidence is given by passage; prepare the corpus with the tasks.")
        ids = {_key(document.title, document.text): document.id for document in corpus}
        unanswerable = 0
        for row, paragraphs in self._records():
            if row.fields.get("answerable") is False:
                unanswerable += 1
                continue
            gold = [_passage(paragraph) for paragraph in paragraphs if paragraph.fields.get("is_supporting")]
            self.evidence_empty += gold.count(("", ""))
            gold = [passage for passage in gold if passage != ("", "")]
            answer = row.text(("answer",), "answer")
            aliases = [alias for alias in row.fields.get("answer_aliases") or [] if isinstance(alias, str) and alias]
            task = Task(
                id=row.text(("id",), "id"),
                question=row.text(("question",), "question"),
                answers=list(dict.fromkeys([answer, *aliases])),
                evidence=list(dict.fromkeys(ids[key] for passage in gold if (key := _key(*passage)) in ids)),
                plan=self._plan(row, paragraphs, answer),
            )
            missing = tuple(title for title, text in gold if _key(title, text) not in ids)
            yield ReadTask(task, split_of(row.path), row.place, missing)
        if unanswerable:
            self.notes.append(f"{unanswerable} unanswerable questions were left out.")

    def _plan(self, row: Row, paragraphs: list[Row], answer: str) -> Plan | None:
        steps = row.fields.get("question_decomposition") or []
        try:
            drafts = []
            for step in steps:
                place = step.get("paragraph_support_idx") if isinstance(step, dict) else None
                support = next((p for p in paragraphs if place is not None and p.fields.get("idx") == place), None)
                if support is None:
                    raise NoPlan("a sub-question names no supporting passage")
                asked = row._replace(fields=step)
                text, found = (asked.text((field,), f"{field} of a sub-question") for field in ("question", "answer"))
                drafts.append(draft_from_subquestion(text, found, Passage(*_passage(support))))
            if not drafts:
                raise NoPlan("no sub-questions are annotated")
            return lay(drafts, answer)
        except NoPlan as reason:
            self.without_plan[str(reason)] += 1
            return None


def _passage(paragraph: Row) -> tuple[str, str]:
    return paragraph.title(), paragraph.body(TEXT, "text of a passage")


def _key(title: str, text: str) -> bytes:
    return hashlib.blake2b(f"{title}\n{text}".encode(), digest_size=16).digest()
