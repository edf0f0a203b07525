"""BrowseComp-Plus: questions, answers and documents are published encrypted, so that no crawl picks them up.

They are decrypted in memory.  Laying them down as a data set would put them on disk in the clear, which the
benchmark asks not to do; that happens only when the option ``plaintext`` says so.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from lrat_sim.corpus.documents import Corpus
from lrat_sim.corpus.formats.base import DOCUMENTS, Reader, ReaderOptions, ReadTask, document_of
from lrat_sim.corpus.formats.lines import trec_qrels
from lrat_sim.corpus.formats.rows import Columns, Row, kind_of
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Task

UNKNOWN_CANARY = "BrowseComp-Plus (its canary string was not given)"
"""Marks the questions of a copy that was decrypted before, so that exports withhold them too."""

_QUESTIONS = Columns((), ("query_id",), ("query",))
_DOCUMENTS = ("gold_docs", "evidence_docs", "negative_docs")


class BrowseCompOptions(ReaderOptions, frozen=True, kw_only=True):
    """How to read the encrypted files."""

    canary: Annotated[
        str | None, Meta(description="Canary string published with the benchmark; none for a decrypted copy.")
    ] = None
    plaintext: Annotated[bool, Meta(description="Allow questions and texts to be written to disk in the clear.")] = (
        False
    )
    corpus: Annotated[
        str | None, Meta(description="File of all documents, not encrypted; by default those named with the questions.")
    ] = None
    evidence: Annotated[
        str | None, Meta(description="File of TREC judgements in the source; by default the questions' own evidence.")
    ] = None


def encrypt(text: str, canary: str) -> str:
    """The published form of a text: base64 of its bytes XORed with the canary's SHA-256 digest, repeated."""
    return base64.b64encode(_xor(text.encode(), canary)).decode()


def decrypt(text: str, canary: str) -> str:
    """The clear text of a published one.

    Raises:
        ValueError: the text is not base64, or the canary does not fit.
    """
    try:
        return _xor(base64.b64decode(text, validate=True), canary).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("cannot be decrypted with the canary given") from error


def _xor(data: bytes, canary: str) -> bytes:
    return bytes(byte ^ key for byte, key in zip(data, cycle(hashlib.sha256(canary.encode()).digest()), strict=False))


class BrowseCompReader(Reader):
    """BrowseComp-Plus as jsonl, JSON or Parquet.

    Fields: ``query_id``, ``query``, ``answer``, and ``gold_docs``, ``evidence_docs``, ``negative_docs`` as lists of
    ``docid`` and ``text``.
    """

    options_type = BrowseCompOptions

    def configure(self, options: Struct) -> None:
        """Refuses to go on unless plain text on disk is allowed, then finds the files."""
        assert isinstance(options, BrowseCompOptions)
        self._options = options
        if not options.plaintext:
            raise InputError(
                "BrowseComp-Plus asks that its questions are not stored in plain text, and preparing it writes them to "
                "disk; set the option plaintext to true for a folder that is not published."
            )
        found = [self.source] if self.source.is_file() else sorted(self.source.glob("*"))
        self._corpus = self._named(options.corpus)
        self._questions = [p for p in found if kind_of(p) in ("json", "arrow") and p != self._corpus]
        self._qrels = self._named(options.evidence)
        if not self._questions:
            raise InputError(
                f"{self.source} has no .jsonl or .parquet file of questions; export them there as published by "
                "BrowseComp-Plus."
            )

    def _named(self, name: str | None) -> Path | None:
        path = self.source / name if name else None
        if path is not None and not path.is_file():
            raise InputError(f"{path} does not exist; correct the options `corpus` and `evidence`.")
        return path

    def files(self) -> list[Path]:
        """Questions, and documents and judgements where they are files of their own."""
        return [*self._questions, *(path for path in (self._corpus, self._qrels) if path)]

    def _clear(self, row: Row, field: str) -> str:
        text = row.text((field,), field)
        if self._options.canary is None:
            return text
        try:
            return decrypt(text, self._options.canary)
        except ValueError as error:
            raise row.fault(f"the field `{field}` {error}", "correct the option canary") from error

    def _docid(self, item: Row) -> str:
        docid = item.text(("docid",), "docid")
        # ids are numbers; some exports encrypt them with the rest
        return docid if docid.isdigit() else self._clear(item, "docid")

    def _listed(self, row: Row, field: str) -> list[Row]:
        items = row.fields.get(field) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise row.fault(f"the field `{field}` should be a list of documents")
        return [row._replace(fields=item) for item in items]

    def documents(self) -> Iterator[Document]:
        """The corpus file, or each document named with a question, once."""
        if self._corpus:
            yield from map(document_of, self.rows(self._corpus, DOCUMENTS))
            return
        seen: set[str] = set()
        for path in self._questions:
            for row in self.rows(path, _QUESTIONS):
                for item in (item for field in _DOCUMENTS for item in self._listed(row, field)):
                    docid = self._docid(item)
                    if docid not in seen:
                        seen.add(docid)
                        yield Document(id=docid, text=self._clear(item, "text") if item.body(("text",), "text") else "")

    def tasks(self, corpus: Corpus | None) -> Iterator[ReadTask]:
        """One task a question, all in the split test."""
        judged = trec_qrels(self._qrels) if self._qrels else None
        for path in self._questions:
            for row in self.rows(path, _QUESTIONS):
                name = row.text(("query_id",), "query_id")
                own = [self._docid(item) for item in self._listed(row, "evidence_docs")]
                present, missing = self.evidence(corpus, own if judged is None else judged.get(name, []))
                self.without_plan["BrowseComp-Plus annotates no facts"] += 1
                task = Task(
                    id=name,
                    question=self._clear(row, "query"),
                    answers=[self._clear(row, "answer")],
                    evidence=present,
                    canary=self._options.canary or UNKNOWN_CANARY,
                )
                yield ReadTask(task, "test", row.place, missing)
