"""The one text of a document: what an encoder is trained on is what the index was built from."""

from __future__ import annotations

from lrat_sim.records import Document


def passage_text(document: Document) -> str:
    """Title, line break, text: what a document is indexed, encoded and trained on by.

    A title that the text opens with is still put before it, so that one rule holds for every document.
    """
    return "\n".join(part for part in (document.title, document.text) if part)
