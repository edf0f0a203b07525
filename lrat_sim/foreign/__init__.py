"""What comes from elsewhere: whatever a decoder raises becomes one sentence, here and nowhere else.

Decoders raise far more than they document, so a list of their exceptions is never complete.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lrat_sim.errors import InputError, LratSimError

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What is raised for bytes that are no JSON, or JSON that is nested beyond any use."""

_LONGEST_CAUSE = 200


@contextmanager
def reading(problem: str, remedy: str) -> Iterator[None]:
    """Wraps a call into a foreign decoder, and nothing of ours, so that our own defects stay visible.

    Whatever the decoder raises becomes an InputError of ``problem`` ("corpus.parquet cannot be read"), the decoder's
    reason and ``remedy``.
    """
    try:
        yield
    except LratSimError:
        raise
    except Exception as error:
        raise InputError(f"{problem} ({cause(error)}); {remedy}.") from error


def cause(error: Exception) -> str:
    """An exception's message in one line, with its type where the message alone tells a reader nothing."""
    message = " ".join((error.strerror if isinstance(error, OSError) and error.strerror else str(error)).split())
    if not message or isinstance(error, LookupError):
        message = f"{type(error).__name__}: {message}"
    return message[:_LONGEST_CAUSE].rstrip(".;: ")


def shortened(names: list[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def without_mark(start: bytes, path: Path) -> bytes:
    """The start of a file without its byte order mark; InputError if the file is UTF-16 or UTF-32."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start[:4]:
        raise InputError(f"{path} is UTF-16 or UTF-32 (or no text at all); save it as UTF-8.")
    return start.removeprefix(codecs.BOM_UTF8)


def read_text(path: Path) -> str:
    """A whole UTF-8 text file, without its byte order mark and with ``\\n`` as its line ends."""
    with reading(f"{path} cannot be read", "give an existing file"):
        data = path.read_bytes()
    with reading(f"{path} is not UTF-8", "save it as UTF-8"):
        return without_mark(data, path).decode().replace("\r\n", "\n")
