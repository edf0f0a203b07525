"""HotpotQA, 2WikiMultihopQA and MuSiQue: questions that bring their passages, which together are the corpus.

Document ids are running numbers, in the order in which passages are first met: they say nothing of the title, so that
no agent can open a document whose name it guesses.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta, structs

from lrat_sim.corpus.annotations import NoPlan, SubQuestion, plan_from_subquestions, plan_from_triples
from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask, split_of
from lrat_sim.corpus.formats.rows import TEXT, Columns, Row, pick, table_files
from lrat_sim.corpus.plans import Passage
from lrat_sim.corpus.supporting_facts import plan_from_supporting_facts
from lrat_sim.errors import InputError
from lrat_sim.foreign.files import lines
from lrat_sim.records import Document, Plan, Task

# a sampler's column-oriented copy has the official id in `_1`, its own row number in `id`
_ID = ("_id", "_1", "id")
_COLUMNS = Columns((), _ID, ("question", "text"))
_MUSIQUE = Columns((), ("id",), ("question",))


class PassageOptions(ReaderOptions, frozen=True, kw_only=True):
    """Which files to take."""

    files: Annotated[tuple[str, ...], Meta(description="Files to read, names or patterns in the source.")] = ("*",)


class PassageReader(Reader):
    """Base of the three: each passage of the corpus is there once, whatever number of questions bring it."""

    options_type = PassageOptions
    to_the_letter: ClassVar[bool] = False  # whether passages that differ only in spaces and line breaks are two

    def __init__(self, source: Path | None, options: PassageOptions):
        super().__init__(source, options)
        remedy = "name them in the option `files`"
        self.files = self.tables = table_files(self.source, options.files, remedy, kinds=("json", "arrow"))

    @abstractmethod
    def passages(self) -> Iterator[Passage]:
        """The passages of every file, with repeats."""

    def key(self, passage: Passage) -> bytes:
        """What equal passages have in common; bytes are split at the spaces of ASCII alone."""
        content = f"{passage.title}\n{passage.text}".encode()
        return hashlib.blake2b(content if self.to_the_letter else b" ".join(content.split()), digest_size=16).digest()

    def documents(self) -> Iterator[Document]:
        """Each passage once."""
        seen: set[bytes] = set()
        for passage in self.passages():
            key = self.key(passage)
            if key not in seen:
                seen.add(key)
                yield Document(id=str(len(seen) - 1), title=passage.title, text=passage.text)

    def planned(self, make: Callable[..., Plan], *annotations: Any) -> Plan | None:
        """The plan that is made of a question's annotations, or None; the reason is counted."""
        try:
            return make(*annotations)
        except NoPlan as reason:
            self.without_plan[str(reason)] += 1
            return None


class TitledOptions(PassageOptions, frozen=True, kw_only=True):
    """Which files and questions to take."""

    questions: Annotated[str, Meta(description="File of ids to take, or all; auto: gold_complete_ids.txt.")] = "auto"


class TitledReader(PassageReader):
    """Base of those two whose evidence is given by title; files hold questions, passages, or titles with sentences."""

    options_type = TitledOptions
    join: ClassVar[str]

    def __init__(self, source: Path | None, options: TitledOptions):
        super().__init__(source, options)
        ids = self.source / ("gold_complete_ids.txt" if options.questions == "auto" else options.questions)
        self._wanted: set[str] | None = None
        if options.questions == "all" or (options.questions == "auto" and not ids.is_file()):
            return
        if not ids.is_file():
            raise InputError(f"{ids} does not exist; name a file of question ids in `questions`, or give all.")
        self._ids = ids
        self.files = [*self.tables, ids]
        self._wanted = {name for _, line in lines(ids) if (name := line.decode("utf-8", "replace").strip())}

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """The plan of a question, from its annotations and its gold passages."""
        return None

    def passages(self) -> Iterator[Passage]:
        """Those of files of passages, and those of each question."""
        for row in self._records():
            if "question" not in row.data:
                yield self._passage(row, row.data.get("title"), row.data.get("text"))
            yield from self._context(row)

    def _records(self) -> Iterator[Row]:
        for row in self.rows(self.tables, _COLUMNS):
            if {"question", "title", "text"} & row.data.keys():
                yield row
                continue
            for title, sentences in row.data.items():
                yield row.holding({"title": title, "text": sentences})

    def _context(self, row: Row) -> Iterator[Passage]:
        passages = _tuples(row.data.get("context"), ("title",), ("sentences", "content"))
        if not all(isinstance(passage, list) and len(passage) == 2 for passage in passages):
            raise row.fault("the field `context` should be a list of [title, sentences]")
        return (self._passage(row, *passage) for passage in passages)

    def _passage(self, row: Row, title: Any, text: Any) -> Passage:
        if isinstance(text, list) and all(isinstance(sentence, str) for sentence in text):
            text = self.join.join(text)
        if not isinstance(title, str) or not isinstance(text, str | None):
            raise row.fault("a passage needs a title and a text")
        return Passage(title, (text or "").strip())

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The questions asked for, the passages of their gold titles as evidence."""
        assert corpus is not None  # a format that brings its documents is never read without
        titled: dict[str, list[int]] = {}
        for place, document in enumerate(corpus):
            titled.setdefault(document.title, []).append(place)
        seen: set[str] = set()
        unwanted: set[str] = set()
        repeated = 0
        for row in self._records():
            if "question" not in row.data:
                continue
            name = row.text(_ID, "id")
            if name in seen:
                repeated += 1
            elif self._wanted is None or name in self._wanted:
                seen.add(name)
                yield self._task(name, row, corpus, titled)
            else:
                unwanted.add(name)
        if self._wanted is not None and (absent := len(self._wanted - seen)):
            named = f"{absent} of the {len(self._wanted)} questions named in {self._ids}"
            self.notes.append(f"{named} are in none of the files.")
        if unwanted:
            self.notes.append(f"Questions left out, since {self._ids} does not name them: {len(unwanted):,}.")
        if repeated:
            self.notes.append(f"{repeated} repeats of a question id were passed over; the first of each counts.")

    def _task(self, name: str, row: Row, corpus: Corpus, titled: dict[str, list[int]]) -> ReadTask:
        facts = _tuples(row.data.get("supporting_facts"), ("title",), ("sent_id",))
        if not all(isinstance(fact, list) and fact and isinstance(fact[0], str) for fact in facts):
            raise row.fault("the field `supporting_facts` should be a list of [title, sentence]")
        titles = list(dict.fromkeys(fact[0] for fact in facts))
        own = {self.key(passage) for passage in self._context(row)}
        gold: list[Document] = []
        for title in titles:
            documents = [corpus[place] for place in titled.get(title, [])]
            # where a title has two texts, the question means the one in its own context
            gold += [d for d in documents if self.key(Passage(d.title, d.text)) in own][:1] or documents[:1]
        task = Task(
            id=name,
            question=row.text(("question",), "question"),
            answers=[row.text(("answer",), "answer")],
            evidence=[document.id for document in gold],
        )
        task = structs.replace(task, plan=self.plan(row, gold, task))
        return ReadTask(task, split_of(row.file), row.place, tuple(title for title in titles if title not in titled))


class HotpotReader(TitledReader):
    """HotpotQA in its official layout, as jsonl, by columns, or as a mapping of titles to sentences."""

    join = ""
    version = 3

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """The plan that can be read out of the two gold passages and the question."""
        passages = [Passage(document.title, document.text) for document in gold]
        comparison = row.data.get("type") == "comparison"
        return self.planned(plan_from_supporting_facts, task.question, task.answers[0], passages, comparison)


class TwoWikiReader(TitledReader):
    """2WikiMultihopQA in its official layout or by columns, with passages from contexts and passage files."""

    join = " "

    def plan(self, row: Row, gold: list[Document], task: Task) -> Plan | None:
        """The triples as a plan, if they can be laid on the gold passages."""
        triples = _tuples(row.data.get("evidences"), ("fact",), ("relation",), ("entity",))
        if not all(isinstance(t, list) and len(t) == 3 and all(isinstance(part, str) for part in t) for t in triples):
            raise row.fault("the field `evidences` should be a list of [subject, relation, object]")
        passages = [Passage(document.title, document.text) for document in gold]
        comparison = "comparison" in str(row.data.get("type"))
        return self.planned(plan_from_triples, task.question, task.answers[0], triples, passages, comparison)


class MusiqueReader(PassageReader):
    """MuSiQue as jsonl, JSON or Parquet: decompositions are the plans, and a passage is (title, text), since titles
    repeat; questions marked as unanswerable give no task."""

    to_the_letter = True
    version = 3

    def passages(self) -> Iterator[Passage]:
        """The paragraphs of every question."""
        return (_paragraph(paragraph) for _, paragraphs in self._records() for paragraph in paragraphs)

    def _records(self) -> Iterator[tuple[Row, list[Row]]]:
        for row in self.rows(self.tables, _MUSIQUE):
            paragraphs = row.data.get("paragraphs")
            if not isinstance(paragraphs, list) or not all(isinstance(p, dict) for p in paragraphs):
                raise row.fault("the field `paragraphs` should be a list of passages")
            yield row, [row.holding(paragraph) for paragraph in paragraphs]

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """The answerable questions, supporting paragraphs as evidence."""
        assert corpus is not None  # a format that brings its documents is never read without
        ids = {self.key(Passage(document.title, document.text)): document.id for document in corpus}
        unanswerable = 0
        for row, paragraphs in self._records():
            if row.data.get("answerable") is False:
                unanswerable += 1
                continue
            supporting = [_paragraph(paragraph) for paragraph in paragraphs if paragraph.data.get("is_supporting")]
            gold = [passage for passage in supporting if passage != Passage("", "")]
            self.evidence_empty += len(supporting) - len(gold)
            answer = row.text(("answer",), "answer")
            aliases = [alias for alias in row.data.get("answer_aliases") or [] if isinstance(alias, str) and alias]
            task = Task(
                id=row.text(("id",), "id"),
                question=row.text(("question",), "question"),
                answers=list(dict.fromkeys([answer, *aliases])),
                evidence=[ids[key] for passage in gold if (key := self.key(passage)) in ids],
            )
            task = structs.replace(task, plan=self.planned(_decomposed, row, paragraphs, answer))
            missing = tuple(passage.title for passage in gold if self.key(passage) not in ids)
            yield ReadTask(task, split_of(row.file), row.place, missing)
        if unanswerable:
            self.notes.append(f"{unanswerable} unanswerable questions were left out.")


def _decomposed(row: Row, paragraphs: list[Row], answer: str) -> Plan:
    steps = []
    for step in row.data.get("question_decomposition") or []:
        place = step.get("paragraph_support_idx") if isinstance(step, dict) else None
        support = next((p for p in paragraphs if place is not None and p.data.get("idx") == place), None)
        if support is None:
            raise NoPlan("a sub-question names no supporting passage")
        part = row.holding(step)
        text, reply = (part.text((name,), f"{name} of a sub-question") for name in ("question", "answer"))
        steps.append(SubQuestion(text, reply, _paragraph(support)))
    return plan_from_subquestions(steps, answer)


def _paragraph(row: Row) -> Passage:
    return Passage(row.title(), row.body(TEXT, "text of a passage"))


def _tuples(value: Any, *names: tuple[str, ...]) -> list[Any]:
    """A list of lists, also where a table keeps it as an object with a list for each place in them."""
    if isinstance(value, dict):
        value = [list(items) for items in zip(*(pick(value, of_place) or [] for of_place in names), strict=False)]
    return value if isinstance(value, list) else [value] if value else []
