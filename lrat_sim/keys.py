"""Keys: those in use are kept out of whatever is recorded, printed or exported, and settings may not hold any.

A key is known once :func:`read_key` or :func:`read_environment` has seen it.  Known keys are replaced where text enters
from outside and again where bytes leave, also as JSON, a URL, HTML or base64 write them, and where a message cut one in
two.  A value of fewer than eight characters (``none``, ``EMPTY``) is no key: replacing it would garble ordinary text.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise, takewhile
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError

MARK = "[key]"  # what stands in a key's place

_SHORTEST = 8
_known: set[str] = set()
_written: tuple[tuple[str, str, str], ...] = ()
"""The known keys in every way in which they may be written, and the halves of it, either of which gives it away."""


def read_key(variable: str) -> str | None:
    """The key in an environment variable, which is a known one from now on; None where it is not set."""
    value = os.environ.get(variable)
    _learn(value or "")
    return value or None


def read_environment() -> None:
    """Learns every key in the environment: litellm and others take theirs from there without asking."""
    for name, value in os.environ.items():
        # a path to a key is none, and a plain word (`disabled`, `postgres`) may stand in any document
        if _names_secret(name) and not value.startswith(("/", "~")) and not value.isalpha():
            _learn(value)


def _learn(value: str) -> None:
    global _written
    value = value.strip()
    if len(value) >= _SHORTEST and value not in _known:
        _known.add(value)
        ways = dict.fromkeys(way for way in _ways(value) if len(way) >= _SHORTEST)
        added = ((way, way[:half], way[-half:]) for way in ways for half in [max(_SHORTEST, -(-len(way) // 2))])
        # the longest first: a way with escapes in it holds parts of those without
        _written = tuple(sorted((*_written, *added), key=lambda way: -len(way[0])))


def _ways(value: str) -> Iterator[str]:
    quoted = json.dumps(value)[1:-1]
    yield from (value, quoted, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(quoted)[1:-1], repr(value)[1:-1])
    yield html.escape(value)
    for way in (*(quote(value, safe, errors="replace") for safe in ("/", "")), quote_plus(value, errors="replace")):
        yield from (way, re.sub("%..", lambda code: code[0].lower(), way))
    for before in range(3):  # bytes before it in its group of three, as of the name in `Basic base64(name:key)`
        size = before + len(value.encode(errors="replace"))
        coded = base64.b64encode(bytes(before) + value.encode(errors="replace")).decode()
        core = coded[-(-before * 8 // 6) : size * 8 // 6]  # characters that depend on the key alone
        yield from (core, core.replace("+", "-").replace("/", "_"))


def redact(text: str) -> str:
    """A text with every known key replaced, whole or cut: at least half of it, from either end."""
    for way, head, _ in _written:
        if head in text:
            text = text.replace(way, MARK)
    for way, head, tail in _written:
        if head in text and not head.isalpha():  # half of a key may be a plain word
            text = _without(text, way, head, MARK)
        if tail in text and not tail.isalpha():
            text = _without(text[::-1], way[::-1], tail[::-1], MARK[::-1])[::-1]
    return text


def _without(text: str, way: str, head: str, mark: str) -> str:
    while (start := text.find(head)) >= 0:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(text[start : start + len(way)], way, strict=False))
        text = text[:start] + mark + text[start + sum(1 for _ in same) :]
    return text


def mask(text: str) -> str:
    """A message without keys, known ones and what looks like one: it may repeat what was given in the wrong place."""
    return _LOOKS_SECRET.sub(MARK, redact(text))


def redact_all(value: Any) -> Any:
    """Plain data with every known key replaced in its texts."""
    if not _written:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    if isinstance(value, dict):
        return {redact_all(key): redact_all(item) for key, item in value.items()}
    return value


def redact_json(encoded: bytes) -> bytes:
    """JSON with every known key replaced in its texts; most hold none, and are given back as they are."""
    for _, head, tail in _written:
        if head.encode(errors="replace") in encoded or tail.encode(errors="replace") in encoded:
            # in the texts alone: a replacement across an escape or a number would end the JSON
            return msgspec.json.encode(redact_all(from_json(encoded)))
    return encoded


def refuse_secrets(where: str, settings: Any, instead: str = "key_env") -> None:
    """Refuses settings that hold a key, a password or a token, since they would be recorded with every run.

    Checked are names of fields at any depth, addresses (``user:password@``, ``?token=``), and values that are known
    keys or look like one.  The message names the field, never the value, and ``instead``, the option for an environment
    variable.
    """
    for field, problem in _secrets(settings, ""):
        said = f"`{field}` {problem}" if field else f"it {problem}"
        raise InputError(
            f"{where}: {said}, and settings are recorded; put the secret into an environment variable and name that "
            f"by `{instead}`."
        )


def _secrets(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            below = f"{field}.{name}" if field else str(name)
            yield from _secrets(item, below)
            if _names_secret(str(name)):
                yield below, "may hold a secret"
            elif _words(str(name))[-1:] == ["env"] and isinstance(item, str) and not _VARIABLE.fullmatch(item):
                yield below, "is not the name of an environment variable"
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _secrets(item, f"{field}.{number}")
    elif isinstance(value, str):
        with suppress(ValueError, RecursionError):  # JSON in a text: what a server reads of it is looked at
            if value.lstrip().startswith(("{", "[")):
                yield from _secrets(json.loads(value), field)
        if _PASSWORD.search(value):
            yield field, "holds a user name or password in an address"
        for name in _OPTION.findall(value):
            if _names_secret(name):
                yield field, f"may hold a secret in `{name}=`"
        if _LOOKS_SECRET.search(value) or redact(value) != value:
            yield field, "holds a key"


_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_PASSWORD = re.compile(r"://[^/?#\s]*@")
_OPTION = re.compile(r"(?:^|[?&#;:,+])\s*([A-Za-z_][\w.-]*)=(?=\S)")
_LOOKS_SECRET = re.compile(
    r"\b(?:sk-[\w-]{20,}|hf_\w{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30,})|\b(?:Bearer|Basic)\s+[\w.~+/=-]{8,}"
)
_SECRET = {
    "apikey", "accesskey", "authkey", "privatekey", "authtoken", "accesstoken", "password", "passwd", "pwd",
    "passphrase", "secret", "secrets", "credential", "credentials", "authorization", "bearer", "cookie", "cookies",
    "jwt", "header", "headers",
}  # fmt: skip
_SECRET_AT_THE_END = {"key", "keys", "auth", "sig", "signature"}
_KEY_OF = {"api", "access", "secret", "private", "subscription", "account"}
_NO_SECRET_KEY = {"cache", "sort", "group", "public", "primary", "partition", "foreign"}
_OF_TEXT = {
    "eos", "bos", "pad", "stop", "start", "end", "begin", "special", "mask", "sep", "unk", "cls", "think", "image",
    "first", "last", "per", "max", "min", "tool",
}  # fmt: skip
"""Words by which a ``token`` is one of text."""


def _names_secret(name: str) -> bool:
    """Whether a field, option, header or variable of this name holds a secret: ``api_key`` and ``X-Api-Key``, but not
    ``max_tokens``, ``tokenizer``, ``keyword``, ``prompt_cache_key`` or ``key_env``."""
    words = [word for word in _words(name) if not word.isdigit()]
    if not words or words[-1] in ("env", "file", "path"):
        return False
    if _SECRET.intersection(words) or any(word in _KEY_OF and after == "key" for word, after in pairwise(words)):
        return True
    if words[-1] == "token":
        return not _OF_TEXT.intersection(words)
    return words[-1] in _SECRET_AT_THE_END and not _NO_SECRET_KEY.intersection(words)


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
