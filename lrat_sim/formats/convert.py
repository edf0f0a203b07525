"""Conversion: any format that can be read into any that can be written, streaming."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from lrat_sim.artifact import cleaned, fingerprint
from lrat_sim.errors import InputError
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import check_target, new_output
from lrat_sim.formats.registry import About, Notes, format_named
from lrat_sim.formats.sources import read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Task

Only = Literal["all", "answered", "correct"]


class ConvertSummary(Struct, kw_only=True):
    """What a conversion did.

    ``withheld`` were left out since their question is of a benchmark that asks not to be republished, tasks that
    were never run included; ``left_out`` since they are not what ``only`` asks for; ``repeated`` since the same
    trajectory had come before.  ``notes`` say what was noticed while the source was read.
    """

    target: Path
    source_format: str
    format: str
    notes: Notes
    read: int = 0
    graded: int = 0
    written: int = 0
    withheld: int = 0
    left_out: int = 0
    repeated: int = 0

    def sentence(self) -> str:
        """The summary for people."""
        said = f"{self.written:,} trajectories from {self.source_format} to {self.format}: {self.target}"
        if self.left_out:
            said += f"; {self.left_out:,} left out by --only"
        if self.withheld:
            said += (
                f"; {self.withheld:,} withheld, since their benchmark asks not to be republished in plain text "
                "(--include-canaried writes them)"
            )
        if self.repeated:
            said += f"; {self.repeated:,} came twice and were kept once"
        return said + self.notes.sentence()


def convert(
    source: Path | str,
    target: Path | str,
    *,
    to: str,
    source_format: str | None = None,
    only: Only = "all",
    include_canaried: bool = False,
    skip_unreadable: bool = False,
    name: str | None = None,
    license: str = "unknown",
    language: str = "en",
    progress: ProgressCallback | None = None,
) -> ConvertSummary:
    """Converts a file or folder of trajectories.

    The target appears whole or not at all.  An earlier conversion there is replaced if nobody changed it; anything
    else is refused.

    Args:
        source: what to read.
        target: the file or folder to write.
        to: the format to write, by name.
        source_format: the format of the source; by default it is recognised.
        only: ``answered`` or ``correct`` trajectories alone; correct are those whose latest grade says so.
        include_canaried: writes questions of benchmarks with a canary too, with the canary.
        skip_unreadable: skips records that cannot be read, and counts them; otherwise the first is an error.
        name: what a data set card calls it; by default the source's name.
        license: for the card, as the hub names it (``cc-by-4.0``).
        language: for the card, a code.
        progress: told the trajectories read.

    Raises:
        UnknownName: there is no such format.
        InputError: the source cannot be read, holds no trajectory or two different ones of one id, the target is
            something else, or grades are needed and missing.
        RecordError: a record of the source is not of its format.
    """
    source, target = Path(source), Path(target)
    if only not in get_args(Only):
        raise InputError(f"only is {only!r}; give one of {', '.join(get_args(Only))}.")
    wanted = format_named(to)
    if wanted.write is None:
        raise InputError(f"the format {to} is read only; convert to another.")
    given = recognise(source) if source_format is None else format_named(source_format)
    check_target(target)
    paths = source.resolve(), target.resolve()
    if paths[0] == paths[1] or paths[0] in paths[1].parents or paths[1] in paths[0].parents:
        raise InputError(f"{target} and {source} lie in one another; choose a target of its own.")
    done = ConvertSummary(
        target=target, source_format=given.name, format=to, notes=Notes(skip_unreadable=skip_unreadable)
    )

    def selected() -> Iterator[Entry]:
        for entry in _once(read_any(source, given.name, done.notes), done):
            done.read += 1
            done.graded += entry.grade is not None
            if progress is not None:
                progress(done.read, None, "trajectories")
            if entry.canary is not None and not include_canaried:
                done.withheld += 1
            elif not _is_wanted(entry, only):
                done.left_out += 1
            else:
                yield _marked(msgspec.structs.replace(entry, trajectory=cleaned(entry.trajectory)))

    def unrun() -> Iterator[Task]:
        for task in given.unrun(source) if given.unrun is not None else ():
            if task.canary is not None and not include_canaried:
                done.withheld += 1
            else:
                yield task

    left = unrun()
    about = About(name=name or source.resolve().name, license=license, language=language, unrun=left)
    made: dict[str, object] = {"from": source.name, "from_format": given.name, "format": to, "only": only}
    with new_output(target, made) as part:
        done.written = wanted.write(selected(), part, about)
        deque(left, maxlen=0)  # counted also where the format has no place for them
        if not done.read:
            raise InputError(f"{source} holds no trajectory that can be converted{done.notes.sentence()}.")
        if only == "correct" and not done.graded:
            raise InputError(f"{source} has no grades, which --only correct needs; grade it first (lrat-sim grade).")
        made |= {"written": done.written, "withheld": done.withheld, "left_out": done.left_out}
    return done


def _once(entries: Iterable[Entry], done: ConvertSummary) -> Iterator[Entry]:
    """Each trajectory once; only the fingerprints of those before are in memory."""
    seen: dict[str, str] = {}
    for entry in entries:
        name, content = entry.trajectory.id, fingerprint(entry.trajectory)
        if seen.setdefault(name, content) != content:
            raise InputError(f"two different trajectories have the id {name!r}; leave one of them out.")
        if seen[name] is content:
            yield entry
        else:
            done.repeated += 1


def _is_wanted(entry: Entry, only: Only) -> bool:
    if only == "all":
        return True
    answered = entry.trajectory.status == "answered"
    return answered and (only == "answered" or (entry.grade is not None and entry.grade.state == "correct"))


def _marked(entry: Entry) -> Entry:
    """With its canary on the trajectory, which every format keeps."""
    if entry.canary is None:
        return entry
    extra = {**entry.trajectory.extra, "canary": entry.canary}
    return msgspec.structs.replace(entry, trajectory=msgspec.structs.replace(entry.trajectory, extra=extra))
