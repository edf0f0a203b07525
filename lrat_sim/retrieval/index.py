"""An index on disk: a folder of files with a card, ``index.json``, that says what they were built from.

The card is written before the first file and again, with the seal of each file, after the last: so an unfinished index
is known, and what it belongs to, and a file that has changed or is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock
from msgspec import Struct

from lrat_sim.artifact import check_fingerprint, ensure_folder, write_json, writing
from lrat_sim.corpus.documents import Seal, broken, seal
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError, LratSimError
from lrat_sim.foreign import reading
from lrat_sim.work import Shard

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
            return from_json((folder / _CARD).read_bytes(), IndexCard)
        except (FileNotFoundError, NotADirectoryError):
            return None


_shard: ContextVar[Shard | None] = ContextVar("index_shard", default=None)


class ShardBuilt(LratSimError):
    """A shard of an index is written, and the index is not yet to be had."""


@contextmanager
def building_shard(shard: Shard | None) -> Iterator[None]:
    """A context in which only a shard of an unfinished index is built, of those that can be built in shards; where its
    files are there, a :class:`ShardBuilt` says so."""
    token = _shard.set(shard)
    try:
        yield
    finally:
        _shard.reset(token)


def shard_of_index() -> Shard | None:
    """The shard that is to be built; None for the whole index."""
    return _shard.get()


def ensure_index(
    folder: Path, identity: dict[str, Any], build: Callable[[Path], None], *, in_shards: bool = False
) -> None:
    """Makes sure that ``folder``, which is this index's alone, holds a finished index of this identity; else refuses.

    ``build`` writes the files; it may find those of an earlier call that was killed, and take them up.  Where it can
    build :func:`shard_of_index` alone (``in_shards``), several processes may do so at once.
    """
    card = read_card(folder)
    if card is None or card.files is None:
        ensure_folder(folder)
        if in_shards and shard_of_index() is not None:
            with FileLock(folder / _LOCK), writing(folder):
                if (card := read_card(folder)) is None:
                    write_json(folder / _CARD, IndexCard(identity))
            if card is not None:
                _check(folder, card, identity)
            if card is None or card.files is None:
                with writing(folder):
                    build(folder)
                raise ShardBuilt(
                    f"shard {'/'.join(map(str, shard_of_index() or ()))} of the index in {folder} is built"
                )
        with FileLock(folder / _LOCK), writing(folder):
            card = read_card(folder)  # another process may have finished it while this one waited
            if card is not None:
                _check(folder, card, identity)
            if card is None or card.files is None:
                write_json(folder / _CARD, IndexCard(identity))
                build(folder)
                for left in folder.rglob("*.part"):  # by a process that was killed
                    left.unlink(missing_ok=True)
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
    current = from_json(msgspec.json.encode(identity))
    remedy = "delete that folder or choose another one for indexes"
    check_fingerprint(f"the {what} at {folder}", card.identity, current, remedy)


def damaged(folder: Path, problem: object) -> InputError:
    """The error for an index whose files cannot be used."""
    return InputError(f"the index at {folder} is damaged ({problem}); {_REMEDY}.")


def reading_index(folder: Path) -> AbstractContextManager[None]:
    """A context in which files of an index are opened: whatever goes wrong is raised as :func:`damaged`."""
    return reading(f"the index at {folder} is damaged", _REMEDY)
