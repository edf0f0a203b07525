"""Outputs that appear whole or not at all, and never in place of something else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder, fingerprint_file, write_json, writing
from lrat_sim.errors import InputError
from lrat_sim.foreign import NOT_JSON
from lrat_sim.formats.formats import CONVERSION


class _Mark(Struct, frozen=True, kw_only=True):
    """What an output says of itself: how it was made, and its files with the fingerprints of their content."""

    lrat_sim: str
    made: dict[str, Any]
    files: dict[str, str]


@contextmanager
def new_output(target: Path, made: dict[str, Any]) -> Iterator[Path]:
    """Gives a path beside ``target`` to write to, a file or a folder, and moves it there when that went well.

    Beside a file, or in a folder, conversion.json says how it was made.  An earlier output is replaced if it is as
    it was left; anything else is refused.

    Args:
        target: where the output goes.
        made: how it came to be; filled until the end of the with statement.

    Raises:
        InputError: ``target`` is something else, was changed since, is being written by another process, or cannot be
            written to.
    """
    check_target(target)
    ensure_folder(target.parent)
    part, old, lock = (target.with_name(f".{target.name}.{kind}") for kind in ("part", "old", "lock"))
    try:
        with FileLock(lock, blocking=False), writing(target):
            try:
                check_target(target)  # again: another process may have written it since
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
                    write_json(target.with_name(f"{target.name}.{CONVERSION}"), mark)
                part.rename(target)
            finally:
                _remove(part)
                if old.exists() and not target.exists():
                    old.rename(target)
                _remove(old)
                lock.unlink(missing_ok=True)  # while it is held; who waits with the old file open starts anew
    except Timeout as error:
        raise InputError(f"{target} is being written by another process; wait for it or choose another.") from error


def check_target(target: Path) -> None:
    """Refuses a target that is there and is not an earlier output, as it was left.

    Raises:
        InputError: it is something else, or was changed.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        mark = msgspec.json.decode(mark_of(target).read_bytes(), type=_Mark)
    except (OSError, *NOT_JSON):
        raise InputError(f"{target} is there and no output of a conversion; choose another, or delete it.") from None
    if mark.files != _files(target):
        raise InputError(f"{target} was changed since it was written; choose another target, or delete it.")


def mark_of(target: Path) -> Path:
    """Where an output says how it was made."""
    return target / CONVERSION if target.is_dir() else target.with_name(f"{target.name}.{CONVERSION}")


def _files(path: Path) -> dict[str, str]:
    if path.is_file():
        return {path.name: fingerprint_file(path)}
    found = sorted(file for file in path.rglob("*") if file.is_file() and file != path / CONVERSION)
    return {file.relative_to(path).as_posix(): fingerprint_file(file) for file in found}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
