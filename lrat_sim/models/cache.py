"""Answers of models and of search engines on disk, so that none is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import msgspec
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from lrat_sim.artifact import ensure_folder
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.models.call import Completion, Request

_MARK = (0x4C524154, 1)  # what tells a file of ours: "LRAT" as its application id, and a version
_SECONDS_FOR_A_LOCK = 30.0
R = TypeVar("R", bound=msgspec.Struct)

_PIECE = 2047  # bytes that hashlib takes without giving other threads the interpreter, which is slow to come back


def call_key(request: Request) -> bytes:
    """A digest of all that changes the answer, so not of how a call is sent (key, timeout, retries, session)."""
    tool_choice = request.tool_choice if request.tools else None
    decisive: list[Any] = [request.model, request.messages, request.tools, tool_choice]
    decisive += [request.sampling, request.extra, request.base_url, request.sample]
    decisive += [] if request.api == "chat" else [request.api]
    decisive += [] if request.empty_content == "auto" else [request.empty_content]
    encoded, key = memoryview(msgspec.json.encode(decisive, order="sorted")), hashlib.sha256()
    for start in range(0, len(encoded), _PIECE):
        key.update(encoded[start : start + _PIECE])
    return key.digest()


class RecordCache(Generic[R]):
    """One SQLite file of records, made if missing, which several processes may share and a kill leaves whole.

    A file that is damaged, no cache, or cannot be written to is an :class:`InputError`.
    """

    def __init__(self, path: Path | str, kind: type[R]):
        self.path, self._kind = Path(path), kind
        ensure_folder(self.path.parent)
        with self._file_errors(), contextlib.ExitStack() as opening:
            # a rollout that a notebook calls runs in a thread of its own
            connection = sqlite3.connect(
                self.path, timeout=_SECONDS_FOR_A_LOCK, isolation_level=None, check_same_thread=False
            )
            opening.callback(connection.close)
            self._check(connection)  # before anything of a file that is not ours is changed
            # of several that switch a new file at once, SQLite refuses all but one, however long they would wait
            switching = Retrying(
                retry=retry_if_exception(_is_held),
                stop=stop_after_delay(_SECONDS_FOR_A_LOCK),
                wait=wait_random(0.01, 0.1),
                reraise=True,
            )
            switching(connection.execute, "PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # with WAL, only a power cut loses the last answers
            connection.execute("BEGIN IMMEDIATE")  # two processes may make it at once
            if self._check(connection):
                connection.execute("CREATE TABLE calls (key BLOB PRIMARY KEY, completion BLOB)")
                connection.execute(f"PRAGMA application_id={_MARK[0]}")
                connection.execute(f"PRAGMA user_version={_MARK[1]}")
            connection.execute("COMMIT")
            self._connection = connection
            opening.pop_all()

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is new; refuses one that is neither new nor ours."""
        # first, since another process sets both marks in the transaction in which it makes the table
        tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        mark = tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        new = (mark[0], tables) == (0, 0)
        if not new and mark != _MARK:
            raise InputError(f"{self.path} is no cache of calls that this lrat-sim reads; give another file.")
        return new

    def get(self, key: bytes) -> R | None:
        """The record under a key; None where there is none."""
        with self._file_errors():
            row = self._connection.execute("SELECT completion FROM calls WHERE key = ?", (key,)).fetchone()
            return None if row is None else from_json(zlib.decompress(row[0]), self._kind)

    def put(self, key: bytes, record: R) -> None:
        """Keeps a record, whole, before it returns; where there is one already, that stays."""
        packed = zlib.compress(msgspec.json.encode(record), 1)
        with self._file_errors():
            self._connection.execute("INSERT OR IGNORE INTO calls VALUES (?, ?)", (key, packed))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _file_errors(self) -> Iterator[None]:
        """Turns errors of the file into one sentence."""
        try:
            yield
        except sqlite3.ProgrammingError:  # it was closed: a defect of the caller, not of the file
            raise
        except (sqlite3.Error, zlib.error, *NOT_JSON) as error:
            unusable = isinstance(error, sqlite3.OperationalError)  # locked, full, read-only, no file
            problem = f"cannot be used ({error}); make room" if unusable else f"is damaged ({error}); delete it"
            raise InputError(f"the cache of calls {self.path} {problem} or give another file.") from error


class CallCache(RecordCache[Completion]):
    """Completions under keys of :func:`call_key`; what is given back is marked as cached.  Failures are never kept."""

    def __init__(self, path: Path | str):
        super().__init__(path, Completion)

    def put(self, key: bytes, record: Completion) -> None:
        """See :meth:`RecordCache.put`."""
        super().put(key, msgspec.structs.replace(record, attempts=[], cached=True))


def _is_held(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith("SQLITE_BUSY")
