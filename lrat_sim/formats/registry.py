"""The formats that trajectories are exchanged in.

To add one, write a module with a ``FORMAT`` (:class:`Format`) and name it in :data:`FORMATS`.  A module is imported
only when its format is used.  Readers and writers stream: they hold one entry at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.errors import InputError, UnknownName
from lrat_sim.formats.entry import Entry
from lrat_sim.records import Task


class About(Struct, frozen=True, kw_only=True):
    """What a writer is told of the whole data set.

    Attributes:
        name: of the data set, for people.
        license: its identifier, such as ``cc-by-4.0``.
        language: of the questions, as a code.
        unrun: tasks that were asked and have no trajectory; success is measured against them too.
    """

    name: str = "trajectories"
    license: str = "unknown"
    language: str = "en"
    unrun: Iterable[Task] = ()


class Notes(Struct, kw_only=True):
    """What is noticed while a source is read, to be reported afterwards.

    Attributes:
        skip_unreadable: whether records that cannot be read are skipped and kept in ``unread``; otherwise the first
            of them ends the reading with its error.
        left_out: the files of a folder that hold no record of the format.
        unread: what was wrong with each skipped record.
        replaced: records that a later one with the same id replaces.
    """

    skip_unreadable: bool = False
    left_out: list[str] = []
    unread: list[str] = []
    replaced: int = 0

    def refuse(self, error: InputError) -> None:
        """Raises the error of a record, or keeps it where such records are skipped."""
        if not self.skip_unreadable:
            raise error
        self.unread.append(str(error).rstrip("."))

    def sentence(self) -> str:
        """What to add to a summary; empty where there is nothing."""
        replaced = f"; {self.replaced:,} were superseded by later records with the same id" if self.replaced else ""
        left_out = f"; left out, as no trajectories of this format: {shortened(self.left_out)}" if self.left_out else ""
        unread = f"; {len(self.unread):,} could not be read: {shortened(self.unread, 3)}" if self.unread else ""
        return replaced + left_out + unread


def shortened(names: list[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class Format(Struct, frozen=True, kw_only=True):
    """One format.

    Attributes:
        name: as on the command line.
        title: what it is, in a few words.
        recognise: whether a source is of this format; told its path alone (an empty record), then the first record of
            each of its files in turn.
        read: streams the entries of a file or folder and fills the notes; None where the format is only written.
            Raises RecordError with file, line or step, and field.  See :func:`lrat_sim.formats.sources.record_reader`.
        write: writes entries to a path that does not exist yet, a file or a folder, and returns how many it wrote;
            None where the format is only read.
        tasks: the tasks that a source was asked, with a trajectory or without, where the format knows them.
    """

    name: str
    title: str
    recognise: Callable[[Path, dict[str, Any]], bool]
    read: Callable[[Path, Notes], Iterator[Entry]] | None = None
    write: Callable[[Iterable[Entry], Path, About], int] | None = None
    tasks: Callable[[Path], Iterable[Task]] = lambda path: ()


FORMATS = {
    "run": "run_folder",
    "lrat": "lrat",
    "browsecomp-plus": "browsecomp",
    "parquet": "parquet",
    "openai": "openai",
    "atif": "atif",
    "inspect": "inspect_ai",
    "verifiers": "verifiers",
    "trec": "trec",
}
"""Every format by name, with its module in this room; a source is of the first that recognises it."""


def format_named(name: str) -> Format:
    """A format by its name."""
    if name not in FORMATS:
        raise UnknownName("format", name, sorted(FORMATS))
    module: Format = import_module(f"lrat_sim.formats.{FORMATS[name]}").FORMAT
    return module
