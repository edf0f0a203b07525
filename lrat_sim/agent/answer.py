"""The answer that a final message states."""

from __future__ import annotations

import re

from lrat_sim.text import normalise

_EXACT = re.compile(r"exact answer\**:\**[ \t]*([^\n]*)", re.IGNORECASE)
_NONE = {"unknown", "i do not know", "i don t know"}
_GIVES_UP = re.compile(
    r"\b(?:could not|couldn't|cannot|can't|unable to|not able to)\s+(?:\w+\s+)?(?:find|determine|answer)",
    re.IGNORECASE,
)


def read_answer(text: str | None) -> str | None:
    """The text after the last ``Exact Answer:`` to the end of its line, else the whole text.

    Returns:
        None where the model gives up: no text, nothing after ``Exact Answer:``, that it does not know, or, without
        an exact answer, that it could not find one.
    """
    stated = _EXACT.findall(text or "")
    if not stated and _GIVES_UP.search(text or ""):
        return None
    answer = str(stated[-1] if stated else text or "").strip().strip("*").strip()
    return None if not answer or normalise(answer) in _NONE else answer
