"""HotpotQA and 2WikiMultihopQA: questions whose contexts are the corpus, and gold titles as evidence.

The corpus is the union of all passages in the files.  Its ids are running numbers, in the order in which the
passages are first met (files by name): short, safe to copy for a language model, and saying nothing of the title,
so that no agent can open a document whose name it guesses.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta, Struct

from lrat_sim.corpus.annotations import plan_from_triples
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.rows import Columns, Row, kind_of, pick
from lrat_sim.corpus.plans import NoPlan, Passage
from lrat_sim.errors import InputError
from lrat_sim.foreign.files import lines
from lrat_sim.records import Document, Plan, Task

# a sampler's column-oriented copy has the official id in `_1`, its own row number in `id`
_ID = ("_id", "_1", "id")
_COLUMNS = Columns((), _ID, ("question", "text"))


class TitledOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files and questions to take."""

    files: Annotated[tuple[str, ...], Meta(description="Files to read, names or patterns in the source.")] = ("*",)
    questions: Annotated[
        str,
        Meta(description="File of the question ids to take, or all; auto is gold_complete_ids.txt where there is one."),
    ] = "auto"


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
            self._files = sorted(path for path in found if kind_of(path) in ("json", "arrow"))
        if not self._files:
            raise InputError(
                f"{self.source} has no json, jsonl or parquet file {' or '.join(options.files)}; "
                "name them in the option `files`."
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
    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
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
        for row in self._records():
            if "question" not in row.fields:
                yield self._passage(row, row.fields.get("title"), row.fields.get("text"))
            yield from self._context(row)

    def _context(self, row: Row) -> Iterator[tuple[str, str]]:
        passages = pairs_of(row.fields.get("context"), ("title",), ("sentences", "content"))
        if not all(isinstance(passage, list) and len(passage) == 2 for passage in passages):
            raise row.fault("the field `context` should be a list of [title, sentences]")
        return (self._passage(row, *passage) for passage in passages)

    def _passage(self, row: Row, title: Any, text: Any) -> tuple[str, str]:
        if isinstance(text, list) and all(isinstance(sentence, str) for sentence in text):
            text = self.join.join(text)
        if not isinstance(title, str) or not isinstance(text, str | None):
            raise row.fault("a passage needs a title and a text")
        return title, (text or "").strip()

    def _records(self) -> Iterator[Row]:
        """Questions and passages of every file; a mapping of titles to sentences is a passage a title."""
        for path in self._files:
            for row in self.rows(path, _COLUMNS):
                if {"question", "title", "text"} & row.fields.keys():
                    yield row
                    continue
                for title, sentences in row.fields.items():
                    yield row._replace(fields={"title": title, "text": sentences})

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The questions asked for, the passages of their gold titles as evidence."""
        if corpus is None:
            raise InputError("tasks whose evidence is given by title need their corpus; prepare it with them.")
        named = (line.decode("utf-8", "replace").strip() for _, line in lines(self._ids)) if self._ids else None
        wanted = None if named is None else set(filter(None, named))
        titled: dict[str, list[int]] = {}
        for place, document in enumerate(corpus):
            titled.setdefault(document.title, []).append(place)
        seen: set[str] = set()
        repeated, others = 0, set()
        for row in self._records():
            if "question" not in row.fields:
                continue
            name = row.text(_ID, "id")
            if name in seen:
                repeated += 1
            elif wanted is None or name in wanted:
                seen.add(name)
                yield self._task(name, row, corpus, titled)
            else:
                others.add(name)
        if wanted is not None and (absent := len(wanted - seen)):
            self.notes.append(f"{absent} of the {len(wanted)} questions named in {self._ids} are in none of the files.")
        if others:
            self.notes.append(f"Questions left out, since {self._ids} does not name them: {len(others):,}.")
        if repeated:
            self.notes.append(f"{repeated} repeats of a question id were passed over; the first of each counts.")

    def _task(self, name: str, row: Row, corpus: Corpus, titled: dict[str, list[int]]) -> ReadTask:
        facts = pairs_of(row.fields.get("supporting_facts"), ("title",), ("sent_id",))
        if not all(isinstance(fact, list) and fact and isinstance(fact[0], str) for fact in facts):
            raise row.fault("the field `supporting_facts` should be a list of [title, sentence]")
        titles = list(dict.fromkeys(fact[0] for fact in facts))
        own = {_key(*passage) for passage in self._context(row)}
        gold: list[Document] = []
        for title in titles:
            found = [corpus[place] for place in titled.get(title, [])]
            # where a title has two texts, the question means the one in its own context
            gold += [d for d in found if _key(d.title, d.text) in own][:1] or found[:1]
        missing = tuple(title for title in titles if title not in titled)
        task = Task(
            id=name,
            question=row.text(("question",), "question"),
            answers=[row.text(("answer",), "answer")],
            evidence=[document.id for document in gold],
        )
        task = msgspec.structs.replace(task, plan=self.plan(row, gold, task))
        return ReadTask(task, split_of(row.path), row.place, missing)


class HotpotReader(TitledReader):
    """HotpotQA in its official layout, as jsonl, by columns, or as a mapping of titles to sentences.

    Sentences carry their own leading space; HTML entities in titles are left as they are, since the supporting
    facts spell them so.
    """

    join = ""

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """None."""
        self.without_plan["HotpotQA annotates no facts"] += 1
        return None


class TwoWikiReader(TitledReader):
    """2WikiMultihopQA in its official layout or by columns, with passages from contexts and passage files."""

    join = " "

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """The triples as a plan, if they can be laid on the gold passages."""
        triples = pairs_of(row.fields.get("evidences"), ("fact",), ("relation",), ("entity",))
        if not all(isinstance(t, list) and len(t) == 3 and all(isinstance(part, str) for part in t) for t in triples):
            raise row.fault("the field `evidences` should be a list of [subject, relation, object]")
        passages = [Passage(document.title, document.text) for document in gold]
        comparison = "comparison" in str(row.fields.get("type"))
        try:
            return plan_from_triples(task.question, task.answers[0], triples, passages, comparison)
        except NoPlan as reason:
            self.without_plan[str(reason)] += 1
            return None


def pairs_of(value: Any, *names: tuple[str, ...]) -> list[Any]:
    """A list of lists, also where a table keeps it as an object with a list for each place in them."""
    if isinstance(value, dict):
        value = [list(items) for items in zip(*(pick(value, of_place) or [] for of_place in names), strict=False)]
    return value if isinstance(value, list) else [value] if value else []


def _key(title: str, text: str) -> bytes:
    # copies of a passage differ in spaces and line breaks; bytes are split at those of ASCII alone
    return hashlib.blake2b(b" ".join(f"{title}\n{text}".encode().split()), digest_size=16).digest()
