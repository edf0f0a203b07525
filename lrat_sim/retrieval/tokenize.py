"""The words by which lexical search indexes a text: English stemmed, other scripts cut as their readers would.

Text is case-folded and loses the accents of Latin, Greek and Cyrillic letters.  A word is a run of letters and
digits with the marks that belong to them (vowel signs of Indic scripts).  Scripts written without spaces (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) are cut into overlapping pairs of characters, so that a name is found inside a
sentence.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache
from itertools import pairwise

import Stemmer
from bm25s.stopwords import STOPWORDS_EN

RULES = "english/1"
"""The name of these rules; part of every fingerprint that depends on them."""

_STOP_WORDS = frozenset(STOPWORDS_EN)
_ACCENTS = re.compile("[\u0300-\u036f]")
_MARKS = "".join(chr(code) for code in range(0x0370, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005\u3040-\u30ff\u31f0-\u31ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?:(?![{_UNSPACED}])(?:[^\W_]|[{re.escape(_MARKS)}]))+")

_local = threading.local()


def tokenize(text: str) -> list[str]:
    """The words of a text in order, repeats kept, stop words left out."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text)))
    words: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if match.lastgroup == "unspaced":
            words += [first + second for first, second in pairwise(word)] or [word]
        elif word not in _STOP_WORDS:
            words.append(_stem(word))
    return words


@lru_cache(maxsize=1 << 17)
def _stem(word: str) -> str:
    if not hasattr(_local, "stemmer"):
        _local.stemmer = Stemmer.Stemmer("english")  # one a thread: it keeps state while it works
    stem: str = _local.stemmer.stemWord(word)
    return stem
