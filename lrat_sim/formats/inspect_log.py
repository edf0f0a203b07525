"""inspect_ai's logs, read: one trajectory a sample and epoch.

A sample's target is the task's accepted answers; a scorer's ``C`` or ``I`` is a grade, any other score is not.  What a
trajectory has no place for stands in ``extra["inspect"]``: ``log`` names the evaluation, ``sample`` keeps the sample's
other fields, its events among them.  Results of the log as a whole are left out, since they follow from its samples.
A text that a sample keeps under ``attachments`` and that stands in a turn is not kept a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.files import begins_as_records
from lrat_sim.formats.formats import Entry, Format, Head, Notes
from lrat_sim.formats.inspect_files import REMEDY, is_log, open_log
from lrat_sim.formats.inspect_sample import entry_of
from lrat_sim.formats.sources import files_of


def read(path: Path, notes: Notes | None = None) -> Iterator[Entry]:
    """The samples of a log, or of all the logs below a folder in the order of their names.

    Raises:
        InputError: there are none, or a log cannot be read.
        RecordError: a sample is not one; names the sample and the field.
    """
    notes, found = notes or Notes(), False
    for log in files_of(path):
        try:
            opened = open_log(log) if log == path or log.suffix == ".eval" or begins_as_records(log) else None
            if opened is None and log == path:
                raise RecordError(path, 0, "no log of inspect_ai: the field `version` or `eval` is missing", REMEDY)
        except InputError as error:
            notes.refuse(error)
            continue
        if opened is None:
            notes.left_out.append(log.relative_to(path).as_posix())
            continue
        header, samples = opened
        while True:
            try:
                sample = next(samples, _END)
                if sample is _END:
                    break
                found = True
                yield entry_of(sample, header, log)
            except InputError as error:
                notes.refuse(error)
    if not found and not notes.unread:
        raise InputError(f"{path} holds no samples of inspect_ai; give a log that was written with its samples.")


_END = object()


def _recognise(head: Head) -> bool:
    return any(name.endswith(".eval") for name in (head.path.name, *head.names)) or is_log(head.record)


FORMAT = Format(
    name="inspect",
    title="inspect_ai's logs, .eval or .json (read only)",
    recognise=_recognise,
    read=read,
)
