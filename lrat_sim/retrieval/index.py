"""An index on disk: a folder of files with a card, ``index.json``, that says what they were built from.

The card is written before the first file and again, with the seal of each file, after the last: so an unfinished index
is known, and what it belongs to, and a file that has changed or is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock
from msgspec import Struct

from lrat_sim.artifact import check_fingerprint, ensure_folder, write_json, writing
from lrat_sim.corpus.documents import Seal, broken, seal
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading

_CARD, _LOCK = "index.json", ".lock"
_REMEDY = "delete that folder and it is built again"


class IndexCard(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``index.json`` records: the identity of the index and, once it is finished, its files as written."""

    identity: dict[str, Any]
    files: dict[str, Seal] | None = None


def read_card(folder: Path) -> IndexCard | None:
    """The card of an index, None where there is no index yet."""
    with reading_index(folder):
        try:
            return msgspec.json.decode((folder / _CARD).read_bytes(), type=IndexCard)
        except (FileNotFoundError, NotADirectoryError):
            return None


def ensure_index(folder: Path, identity: dict[str, Any], build: Callable[[Path], None]) -> None:
    """Makes sure that ``folder``, which is this index's alone, holds a finished index of this identity; else refuses.

    ``build`` writes the files; it may find those of an earlier call that was killed, and take them up.
    """
    card = read_card(folder)
    if card is None or card.files is None:
        ensure_folder(folder)
        with FileLock(folder / _LOCK), writing(folder):
            card = read_card(folder)  # another process may have finished it while this one waited
            if card is not None:
                _check(folder, card, identity)
            if card is None or card.files is None:
                write_json(folder / _CARD, IndexCard(identity))
                build(folder)
                paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
                names = [path.relative_to(folder).as_posix() for path in paths if path.name not in (_CARD, _LOCK)]
                card = IndexCard(identity, seal(folder, names))
                write_json(folder / _CARD, card)
    _check(folder, card, identity)
    with reading_index(folder):
        fault = broken(folder, card.files or {})
    if fault:
        raise damaged(folder, fault)


def _check(folder: Path, card: IndexCard, identity: dict[str, Any]) -> None:
    what = "index" if card.files is not None else "unfinished index"
    # compared as JSON gives it back, where a tuple is a list
    current = msgspec.json.decode(msgspec.json.encode(identity))
    remedy = "delete that folder or choose another one for indexes"
    check_fingerprint(f"the {what} at {folder}", card.identity, current, remedy)


def damaged(folder: Path, problem: object) -> InputError:
    """The error for an index whose files cannot be used."""
    return InputError(f"the index at {folder} is damaged ({problem}); {_REMEDY}.")


def reading_index(folder: Path) -> AbstractContextManager[None]:
    """A context in which files of an index are opened: whatever goes wrong is raised as :func:`damaged`."""
    return reading(f"the index at {folder} is damaged", _REMEDY)
