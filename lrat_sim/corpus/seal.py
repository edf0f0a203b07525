"""Files that must not change once they are written: whether they still hold the bytes that they were written with.

They are too large to hash whenever they are opened: size and time of change are compared, and the bytes are hashed only
where these differ.  A change that keeps the size and sets the time back goes unnoticed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from lrat_sim.artifact import fingerprint_file


class Seal(Struct, frozen=True):
    """A file as it was written: its bytes, the time of its last change in ns, and the fingerprint of its content."""

    bytes: int
    changed: int
    fingerprint: str


def seal(folder: Path, names: Iterable[str]) -> dict[str, Seal]:
    """The seals of files of a folder, by name."""
    seals = {}
    for name in names:
        state = (folder / name).stat()
        seals[name] = Seal(state.st_size, state.st_mtime_ns, fingerprint_file(folder / name))
    return seals


def broken(folder: Path, seals: Mapping[str, Seal]) -> str | None:
    """What is wrong with the first file that is no longer as it was sealed, None where all are."""
    for name, known in seals.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        state = path.stat()
        if state.st_size != known.bytes:
            return f"{name} has {state.st_size} bytes instead of {known.bytes}"
        if state.st_mtime_ns != known.changed:
            if fingerprint_file(path) != known.fingerprint:
                return f"{name} holds other bytes than were written"
            with suppress(OSError):  # of a copy; with its time set back it is not hashed again
                os.utime(path, ns=(known.changed, known.changed))
    return None
