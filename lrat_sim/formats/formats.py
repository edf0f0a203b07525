"""The formats that trajectories are exchanged in: what one is, how it is recognised, and which there are.

A format's module holds ``FORMAT``, a :class:`Format`; it is imported only when the format is used.  What travels is
an :class:`Entry`: a trajectory with what is known beside it.  Readers and writers stream: they hold one entry at a
time, whatever the size of the data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import Struct

from lrat_sim.errors import InputError, UnknownName
from lrat_sim.records import Grade, Task, Trajectory, Verdict

CONVERSION = "conversion.json"
"""What a conversion leaves beside its output: where it came from and what it holds."""


class Entry(Struct, frozen=True, kw_only=True):
    """A trajectory with its task, its grades and its verdicts, as far as the source has them (latest last)."""

    trajectory: Trajectory
    task: Task | None = None
    grades: list[Grade] = []
    verdicts: list[Verdict] = []

    @property
    def grade(self) -> Grade | None:
        """The latest grade."""
        return self.grades[-1] if self.grades else None

    @property
    def canary(self) -> str | None:
        """The canary of the benchmark that the question is of, where it asks not to be republished in plain text."""
        if self.task is not None and self.task.canary is not None:
            return self.task.canary
        named = self.trajectory.extra.get("canary")
        return named if isinstance(named, str) else None


class About(Struct, frozen=True, kw_only=True):
    """What a writer is told of the whole beside its entries.

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
    """What is noticed while a source is read, to be said when that is done.

    Attributes:
        skip_unreadable: whether records that cannot be read are passed over, and kept in ``unread``; else the first
            of them ends the reading with its error.
        left_out: the files of a folder that hold no record of the format.
        unread: what was wrong with each record that was passed over.
        replaced: records of a file that a later one of their id replaces.
    """

    skip_unreadable: bool = False
    left_out: list[str] = []
    unread: list[str] = []
    replaced: int = 0

    def refuse(self, error: InputError) -> None:
        """Raises the error of a record, or keeps it where such are passed over."""
        if not self.skip_unreadable:
            raise error
        self.unread.append(str(error))

    def sentence(self) -> str:
        """What to say of it, to follow a summary; empty where there is nothing."""
        said = ""
        if self.replaced:
            said += f"; {self.replaced:,} were superseded by later records with the same id"
        if self.left_out:
            said += f"; left out, as no trajectories of this format: {shortened(self.left_out)}"
        if self.unread:
            said += (
                f"; {len(self.unread):,} could not be read: {shortened([each.rstrip('.') for each in self.unread], 3)}"
            )
        return said


def shortened(names: list[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class Head(Struct, frozen=True, kw_only=True):
    """A first look at a source: its path, the names in it where it is a folder, and one record of it.

    ``record`` is the first one of the file, or of one of a folder's files; None where there is none.
    """

    path: Path
    names: tuple[str, ...] = ()
    record: dict[str, Any] | None = None

    def has(self, *fields: str) -> bool:
        """Whether the record has all these fields."""
        return self.record is not None and all(field in self.record for field in fields)


class Format(Struct, frozen=True, kw_only=True):
    """One format.

    Attributes:
        name: as on the command line.
        title: what it is, in a few words.
        recognise: whether a source is of this format, by a first look.
        read: streams the entries of a file or folder and fills the notes; None where the format is written only.
            Raises RecordError for what cannot be read, with file, line or step, and field.
        write: writes entries to a path that does not exist yet (a folder where ``folder``, else a file) and returns
            how many it wrote; None where the format is read only.
        unrun: the tasks of a source that were asked and have no trajectory, where the format knows of such.
        folder: whether it writes a folder.
    """

    name: str
    title: str
    recognise: Callable[[Head], bool]
    read: Callable[[Path, Notes], Iterator[Entry]] | None = None
    write: Callable[[Iterable[Entry], Path, About], int] | None = None
    unrun: Callable[[Path], Iterator[Task]] | None = None
    folder: bool = False


FORMATS = {
    "run": "run_folder",
    "lrat": "lrat",
    "browsecomp-plus": "browsecomp",
    "parquet": "parquet",
    "openai": "openai",
    "atif": "atif",
    "inspect": "inspect_log",
    "verifiers": "verifiers_traces",
    "trec": "trec",
}
"""Every format by name, with its module; a source is of the first that recognises it."""


def format_named(name: str) -> Format:
    """A format by its name.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in FORMATS:
        raise UnknownName("format", name, sorted(FORMATS))
    found: Format = import_module(f"lrat_sim.formats.{FORMATS[name]}").FORMAT
    return found
