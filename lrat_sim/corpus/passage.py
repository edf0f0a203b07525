"""The one text of a document: what an encoder is trained on is what the index was built from."""

from __future__ import annotations

from lrat_sim.records import Document


def passage_text(document: Document) -> str:
    """The text by which a document is indexed, encoded and trained on: its title, a line break, its text.

    A title that the text already opens with is still put before it, so that the same rule holds for every document.
    A document without text is its title.
    """
    return "\n".join(part for part in (document.title, document.text) if part)
