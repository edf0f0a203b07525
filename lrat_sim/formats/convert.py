"""Conversion: any format that can be read into any that can be written, streaming."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import msgspec

from lrat_sim.artifact import cleaned, fingerprint
from lrat_sim.errors import InputError
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.output import WITHHELD, Summary, new_output
from lrat_sim.formats.registry import About, Notes, format_named, read_any, recognise
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Task

Only = Literal["all", "answered", "correct"]
Canaried = TypeVar("Canaried", Entry, Task)


class ConvertSummary(Summary, kw_only=True):
    """What a conversion did; ``withheld`` counts tasks that were never run, too."""

    told: ClassVar[str] = "{written:,} trajectories from {source_format} to {format}: {target}"
    counts: ClassVar[Mapping[str, str]] = {
        "left_out": "left out by --only",
        "withheld": WITHHELD,
        "repeated": "came twice and were kept once",
    }
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
        """The summary for people, with what was noticed while the source was read."""
        return super().sentence() + self.notes.sentence()


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
    """Converts a file or folder of trajectories; the arguments are those of the verb :func:`lrat_sim.convert`.

    The target appears whole or not at all; an earlier conversion there is replaced if nobody changed it.
    """
    source, target = Path(source), Path(target)
    wanted = format_named(to)
    if wanted.write is None:
        raise InputError(f"the format {to} is read only; convert to another.")
    given = recognise(source) if source_format is None else format_named(source_format)
    paths = source.resolve(), target.resolve()
    if paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0]):
        raise InputError(f"{target} and {source} lie in one another; choose a target of its own.")
    done = ConvertSummary(
        target=target, source_format=given.name, format=to, notes=Notes(skip_unreadable=skip_unreadable)
    )

    run: set[str] = set()

    def publishable(records: Iterable[Canaried]) -> Iterator[Canaried]:
        for record in records:
            if record.canary is None or include_canaried:
                yield record
            else:
                done.withheld += 1

    def read() -> Iterator[Entry]:
        """Each trajectory once; only the fingerprints of those before are in memory."""
        seen: dict[str, str] = {}
        for entry in read_any(source, given.name, done.notes):
            name, content = entry.trajectory.id, fingerprint(entry.trajectory)
            if name in seen:
                if seen[name] != content:
                    raise InputError(f"two different trajectories have the id {name!r}; leave one of them out.")
                done.repeated += 1
                continue
            seen[name] = content
            run.add(entry.trajectory.task_id)
            done.read += 1
            done.graded += entry.grade is not None
            if progress is not None:
                progress(done.read, None, "trajectories")
            yield entry

    def selected() -> Iterator[Entry]:
        for entry in publishable(read()):
            answered = only == "all" or entry.trajectory.status == "answered"
            if not answered or (only == "correct" and (entry.grade is None or entry.grade.state != "correct")):
                done.left_out += 1
                continue
            if entry.canary is not None:  # on the trajectory, which every format keeps
                entry = entry.changed(extra={**entry.trajectory.extra, "canary": entry.canary})
            yield msgspec.structs.replace(entry, trajectory=cleaned(entry.trajectory))

    unrun = publishable(task for task in given.tasks(source) if task.id not in run)  # read after the trajectories
    about = About(name=name or source.resolve().name, license=license, language=language, unrun=unrun)
    made: dict[str, object] = {"from": source.name, "from_format": given.name, "format": to, "only": only}
    with new_output(target, made) as part:
        done.written = wanted.write(selected(), part, about)
        deque(unrun, maxlen=0)  # counted also where the format has no place for them
        if not done.read:
            raise InputError(f"{source} holds no trajectory that can be converted{done.notes.sentence()}.")
        if only == "correct" and not done.graded:
            raise InputError(f"{source} has no grades, which --only correct needs; grade it first (lrat-sim grade).")
        made |= {"written": done.written, "withheld": done.withheld, "left_out": done.left_out}
    return done
