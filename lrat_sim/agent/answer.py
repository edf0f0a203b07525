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
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|(?=<answer>)|\Z)", re.DOTALL | re.IGNORECASE)
_END = re.compile(r"(?:(?:<\|\w+\|>|<｜[^<>｜]+｜>|</s>|<end_of_turn>)\s*)+\Z")
"""A chat template's end of a turn, which some servers leave in the text."""


def states_answer(text: str | None) -> bool:
    """Whether a text states its answer as it was asked to, after ``Exact Answer:``; else the text is the answer."""
    return bool(_EXACT.search(text or ""))


def read_answer(text: str | None) -> str | None:
    """The text after the last ``Exact Answer:`` to the end of its line, else the whole text.

    Of a text with ``<answer>`` tags only what the last ones hold.

    Returns:
        None where the model gives up: no text, nothing after ``Exact Answer:``, that it does not know, or, without
        an exact answer, that it could not find one.
    """
    text = _END.sub("", text or "")
    if tagged := [each for each in _TAGGED.findall(text) if each.strip()]:
        text = tagged[-1]
    stated = _EXACT.findall(text)
    if not stated and _GIVES_UP.search(text):
        return None
    answer = str(stated[-1] if stated else text).strip().strip("*").strip()
    return None if not answer or normalise(answer) in _NONE else answer
