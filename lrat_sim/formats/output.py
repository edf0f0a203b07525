"""Outputs that appear whole or not at all, never in place of something else, and the files that they are made of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import jsonlines
import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, fingerprint, fingerprint_file, write_json, writing
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON

CONVERSION = "conversion.json"  # beside an output of a conversion: where it came from and what it holds
_LONGEST_NAME = 150
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(10))}


WITHHELD = "withheld, since their benchmark asks not to be republished in plain text (--include-canaried writes them)"


class Summary(Struct, kw_only=True):
    """What a command did: ``told`` has its fields in a sentence; of ``counts`` those are added that are not 0."""

    told: ClassVar[str]
    counts: ClassVar[Mapping[str, str]] = {}

    def sentence(self) -> str:
        """The summary for people."""
        numbers = ((getattr(self, field), words) for field, words in self.counts.items())
        counted = "".join(f"; {number:,} {words}" for number, words in numbers if number)
        return self.told.format_map(msgspec.structs.asdict(self)) + counted


class _Mark(Struct, frozen=True, kw_only=True):
    """What an output says of itself: how it was made, and its files with the fingerprints of their content."""

    lrat_sim: str
    made: dict[str, Any]
    files: dict[str, str]


@contextmanager
def new_output(target: Path, made: dict[str, Any]) -> Iterator[Path]:
    """Gives a path beside ``target`` to write to, a file or a folder, and moves it there when that went well.

    conversion.json beside or in it says how it was ``made``.  An earlier output is replaced if it is as it was left.
    """
    _check_target(target)
    ensure_folder(target.parent)
    part, old, lock = (target.with_name(f".{target.name}.{kind}") for kind in ("part", "old", "lock"))
    try:
        with FileLock(lock, blocking=False), writing(target):
            try:
                _check_target(target)  # again: another process may have written it since
                _remove(part)
                yield part
                mark = _Mark(lrat_sim=__version__, made=made, files=_files(part))
                if part.is_dir():
                    write_json(part / CONVERSION, mark)
                if target.exists():
                    _remove(old)
                    target.rename(old)
                if part.is_file():
                    mark.files[target.name] = mark.files.pop(part.name)
                    write_json(_mark_of(target), mark)
                part.rename(target)
            finally:
                _remove(part)
                if old.exists() and not target.exists():
                    old.rename(target)
                _remove(old)
                lock.unlink(missing_ok=True)  # while it is held; who waits with the old file open starts anew
    except Timeout as error:
        raise InputError(f"{target} is being written by another process; wait for it or choose another.") from error


def _check_target(target: Path) -> None:
    """Refuses a target that exists and is not an earlier output, as it was left."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        mark = from_json(_mark_of(target).read_bytes(), _Mark)
    except (OSError, *NOT_JSON):
        raise InputError(f"{target} is there and no output of a conversion; choose another, or delete it.") from None
    if mark.files != _files(target):
        raise InputError(f"{target} was changed since it was written; choose another target, or delete it.")


def _mark_of(target: Path) -> Path:
    return target / CONVERSION if target.is_dir() else target.with_name(f"{target.name}.{CONVERSION}")


def _files(path: Path) -> dict[str, str]:
    if path.is_file():
        return {path.name: fingerprint_file(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != path / CONVERSION)
    return {file.relative_to(path).as_posix(): fingerprint_file(file) for file in files}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_lines(path: Path, records: Iterable[Any]) -> int:
    """Writes a file of one record a line, streaming; returns how many."""
    count = 0
    with path.open("wb") as stream, jsonlines.Writer(stream, dumps=msgspec.json.encode) as lines:
        for record in records:
            lines.write(record)
            count += 1
    return count


def write_files(folder: Path, records: Iterable[tuple[str, Any]]) -> int:
    """Writes a folder of one readable JSON file a record, each with a name for its file; returns how many."""
    ensure_folder(folder)
    taken: set[str] = set()
    for name, record in records:
        content = json.dumps(record, ensure_ascii=False, indent=2)
        (folder / f"{file_name(name, taken)}.json").write_text(content, encoding="utf-8")
    return len(taken)


def file_name(name: str, taken: set[str]) -> str:
    """A file name, for any file system, that stands for ``name``: the same where that is plain, different for each.

    ``taken`` holds the names given before, in small letters, since some file systems do not tell capitals from them.
    """
    plain = quote(name, safe=" +,=@()[]")
    if plain.startswith(".") or plain.split(".")[0].rstrip().lower() in _RESERVED:
        plain = f"%{ord(plain[0]):02X}{plain[1:]}"
    plain = plain or "%"
    plain = plain if len(plain) <= _LONGEST_NAME else f"{plain[:_LONGEST_NAME]}~{fingerprint(name)}"
    made, number = plain, 1
    while made.lower() in taken:
        number += 1
        made = f"{plain}~{number}"
    taken.add(made.lower())
    return made
