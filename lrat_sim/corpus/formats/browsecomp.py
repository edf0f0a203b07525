"""BrowseComp-Plus: questions, answers and documents are published encrypted, so that no crawl picks them up.

Preparing a data set would put them on disk in the clear, so the option ``plaintext`` has to allow it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask
from lrat_sim.corpus.formats.beir import qrels
from lrat_sim.corpus.formats.rows import Columns, Row, table_files
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task

UNKNOWN_CANARY = "BrowseComp-Plus (its canary string was not given)"
"""Marks the questions of a copy that was decrypted before, so that exports withhold them too."""

_QUESTIONS = Columns((), ("query_id",), ("query",))
_DOCUMENTS = ("gold_docs", "evidence_docs", "negative_docs")


class BrowseCompOptions(ReaderOptions, frozen=True, kw_only=True):
    """How to read the encrypted files."""

    canary: Annotated[str | None, Meta(description="Canary published with the benchmark; none if decrypted.")] = None
    plaintext: Annotated[bool, Meta(description="Allow questions and texts to be on disk in the clear.")] = False
    corpus: Annotated[str | None, Meta(description="File of all documents; by default the questions' own.")] = None
    evidence: Annotated[str | None, Meta(description="File of judgements; by default the questions' own.")] = None


def decrypt(text: str, canary: str) -> str:
    """The clear text of base64 of bytes XORed with the canary's SHA-256 digest, repeated; ValueError if it is none."""
    key = cycle(hashlib.sha256(canary.encode()).digest())
    return bytes(byte ^ mask for byte, mask in zip(base64.b64decode(text, validate=True), key, strict=False)).decode()


class BrowseCompReader(Reader):
    """Rows of ``query_id``, ``query``, ``answer`` and three lists of documents (``docid``, ``text``)."""

    options_type = BrowseCompOptions
    no_facts = "BrowseComp-Plus annotates no facts"

    def __init__(self, source: Path | None, options: BrowseCompOptions):
        super().__init__(source, options)
        if not options.plaintext:
            raise InputError(
                "BrowseComp-Plus asks that its questions are not stored in plain text, and preparing it writes them to "
                "disk; set the option plaintext to true for a folder that is not published."
            )
        self._canary = options.canary
        self.corpus_files, self._qrels = self._named(options.corpus), self._named(options.evidence)
        remedy = "export the questions there as published by BrowseComp-Plus"
        tables = table_files(self.source, ["*"], remedy, kinds=("json", "arrow"))
        self._questions = [path for path in tables if path not in self.corpus_files]
        self.files = [*self._questions, *self.corpus_files, *self._qrels]

    def _named(self, name: str | None) -> list[Path]:
        paths = [self.source / name] if name else []
        if not all(path.is_file() for path in paths):
            raise InputError(f"{paths[0]} does not exist; correct the options `corpus` and `evidence`.")
        return paths

    def _clear(self, row: Row, field: str) -> str:
        text = row.text((field,), field)
        try:
            return text if self._canary is None else decrypt(text, self._canary)
        except ValueError as error:
            problem = f"the field `{field}` cannot be decrypted with the canary given"
            raise row.fault(problem, "correct the option canary") from error

    def _docid(self, document: Row) -> str:
        docid = document.text(("docid",), "docid")
        # ids are numbers; some exports encrypt them with the rest
        return docid if docid.isdigit() else self._clear(document, "docid")

    def _listed(self, row: Row, field: str) -> list[Row]:
        documents = row.data.get(field) or []
        if not isinstance(documents, list) or not all(isinstance(document, dict) for document in documents):
            raise row.fault(f"the field `{field}` should be a list of documents")
        return [row.holding(document) for document in documents]

    def documents(self) -> Iterator[Document]:
        """The corpus file, or each document named with a question, once."""
        if self.corpus_files:
            yield from super().documents()
            return
        seen: set[str] = set()
        for row in self.rows(self._questions, _QUESTIONS):
            for document in (document for field in _DOCUMENTS for document in self._listed(row, field)):
                docid = self._docid(document)
                if docid not in seen:
                    seen.add(docid)
                    text = self._clear(document, "text") if document.body(("text",), "text") else ""
                    yield Document(id=docid, text=text)

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """One task a question, all in the split test."""
        judged = qrels(self._qrels[0]) if self._qrels else None
        for row in self.rows(self._questions, _QUESTIONS):
            name = row.text(("query_id",), "query_id")
            own = [self._docid(document) for document in self._listed(row, "evidence_docs")]
            task = Task(
                id=name,
                question=self._clear(row, "query"),
                answers=[self._clear(row, "answer")],
                evidence=own if judged is None else judged.get(name, []),
                canary=self._canary or UNKNOWN_CANARY,
            )
            yield ReadTask(task, "test", row.place)
