"""Decoding by msgspec that is safe in several threads.

msgspec looks up the fields of a struct when it first decodes one, and stores what it finds on the struct as it goes.  A
second thread that decodes the same struct in the meantime uses an unfinished description, and the process crashes
(msgspec 0.22).  Here one thread at a time does that, once for each type.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_LOCK = threading.Lock()
_prepared: set[Any] = set()


def prepared(kind: T) -> T:
    """The same type, once msgspec has looked up all that it needs to decode it; raises as :func:`msgspec.convert`."""
    if kind not in _prepared:
        with _LOCK:
            msgspec.json.Decoder(kind)
        _prepared.add(kind)
    return kind


@overload
def convert(
    value: Any, kind: type[T], *, strict: bool = True, dec_hook: Callable[[type, Any], Any] | None = None
) -> T: ...
@overload
def convert(
    value: Any, kind: Any, *, strict: bool = True, dec_hook: Callable[[type, Any], Any] | None = None
) -> Any: ...
def convert(value: Any, kind: Any, *, strict: bool = True, dec_hook: Callable[[type, Any], Any] | None = None) -> Any:
    """As :func:`msgspec.convert`."""
    return msgspec.convert(value, prepared(kind), strict=strict, dec_hook=dec_hook)


@overload
def from_json(data: bytes | str, kind: type[T]) -> T: ...
@overload
def from_json(data: bytes | str, kind: Any = Any) -> Any: ...
def from_json(data: bytes | str, kind: Any = Any) -> Any:
    """As :func:`msgspec.json.decode`."""
    return msgspec.json.decode(data, type=prepared(kind))
