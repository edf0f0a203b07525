"""A data set on disk: one corpus and its tasks by split, prepared once from a local copy or a generator.

::

    FOLDER/corpus/              see lrat_sim.corpus.documents
    FOLDER/tasks/SPLIT.jsonl    one Task a line
    FOLDER/dataset.json         what made it and what was found on the way; written last
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock
from msgspec import Struct

from lrat_sim.artifact import (
    check_fingerprint,
    ensure_folder,
    fingerprint_file,
    read_records,
    write_json,
    write_records,
    writing,
)
from lrat_sim.corpus.description import describe, local_copy
from lrat_sim.corpus.documents import Corpus, DuplicateId, Progress
from lrat_sim.corpus.formats import reader_class
from lrat_sim.corpus.formats.base import Reader, ReaderOptions, ReadTask
from lrat_sim.corpus.formats.rows import Row
from lrat_sim.corpus.split import check_leak, split_tasks, without_leak
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading
from lrat_sim.records import Task

_LOCK = ".lock"
_VERSION = 2
"""Of what readers and plans make of the same files; raised when that changes, so that old folders are not reused."""


_MOST_NAMES = 5
"""Files that are named in a note."""


class SplitCard(Struct, frozen=True):
    """One split: tasks, those of them with a plan, and the entities that it shares with the training split."""

    tasks: int
    with_plan: int
    shared_entities: int = 0


class DatasetCard(Struct, frozen=True):
    """What ``dataset.json`` records: ``made_from`` is the identity, the rest is what was found."""

    name: str
    made_from: dict[str, Any]
    corpus: str | None
    splits: dict[str, SplitCard]
    without_plan: dict[str, int] = {}
    dropped: int = 0
    notes: list[str] = []

    def account(self) -> list[str]:
        """What became of the tasks and documents, a sentence each."""
        said = []
        if self.splits:
            tasks, planned = (sum(getattr(s, of) for s in self.splits.values()) for of in ("tasks", "with_plan"))
            by_split = ", ".join(f"{name} {split.with_plan:,}" for name, split in self.splits.items())
            said.append(f"Tasks with a plan: {planned:,} of {tasks:,} ({by_split}).")
        if self.without_plan:
            reasons = "; ".join(f"{reason} ({count:,})" for reason, count in self.without_plan.items())
            said.append(f"Without a plan, of all that were read: {reasons}.")
        if self.dropped:
            said.append(f"Tasks left out, since the corpus lacks some of their evidence: {self.dropped:,}.")
        return said + self.notes


@dataclass(frozen=True)
class Dataset:
    """A prepared corpus and its tasks.

    Attributes:
        name: of its description.
        folder: where it lies.
        splits: tasks by split: train, dev, test, ood as far as there are any.
        card: what is known of it, for people.
        reused: whether it was there already.
    """

    name: str
    folder: Path
    splits: dict[str, list[Task]]
    card: DatasetCard
    reused: bool = False
    _corpus: Corpus | None = field(default=None, repr=False)

    @property
    def corpus(self) -> Corpus:
        """The documents.

        Raises:
            InputError: the task set came without documents.
        """
        if self._corpus is None:
            raise InputError(
                f"the task set {self.name} at {self.folder} has no documents; prepare it in another folder with the "
                "option `corpus` naming a file of them."
            )
        return self._corpus

    def tasks(self, split: str) -> list[Task]:
        """The tasks of one split.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            remedy = f"it has {known}: name one of these with --split" if known else "it has no tasks at all"
            raise InputError(f"{self.name} has no split {split!r}; {remedy}.")
        return self.splits[split]


def prepare(
    name: str,
    folder: Path | str,
    *,
    source: Path | str | None = None,
    options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Reads a corpus or task set by name and lays it down in a folder; what fits is reused.

    Args:
        name: of a file in ``corpora/``, or a path to one.
        folder: where the data set goes.
        source: the local copy; by default the description's folder below ``$LRAT_SIM_DATA``.
        options: of the reader, over those of the description; texts are read as YAML.
        progress: told of documents and tasks.

    Raises:
        InputError: the local copy is missing or wrong, with file, line and field.
        FingerprintMismatch: the folder holds a data set that was made in another way.
    """
    folder = Path(folder)
    description = describe(name, options)
    kind = reader_class(description.reader)
    try:
        settings = msgspec.convert(description.options, type=kind.options_type)
    except msgspec.ValidationError as error:
        raise InputError(f"the options of {description.name} are wrong: {error}; correct that option.") from error
    made_from = {"name": description.name, "reader": description.reader, "version": _VERSION}
    made_from |= {f"option {key}": value for key, value in msgspec.json.decode(msgspec.json.encode(settings)).items()}
    copy = Path(source) if source else local_copy(description)
    done = (folder / "dataset.json").exists()
    if done and kind.needs_source and (copy is None or not copy.exists()):
        made_from |= {key: value for key, value in _card(folder).made_from.items() if key.startswith("file ")}
        return _reuse(folder, made_from, progress)
    if kind.needs_source and copy is None:
        raise InputError(
            f"{description.name} needs a local copy: {description.get.strip().rstrip('.')}; then give its folder as "
            f"source, or set LRAT_SIM_DATA to the folder that holds {description.folder or 'it'}."
        )
    reader = kind(copy, settings)
    for path in reader.files():
        with reading(f"{path} cannot be read", "give an existing file that you may read"):
            made_from[f"file {_named(path, copy)}"] = fingerprint_file(path)
    if done:
        return _reuse(folder, made_from, progress)
    if not (folder / _LOCK).exists():  # else one that was begun before
        for name in ("corpus", "tasks"):
            if (folder / name).exists():
                raise InputError(f"{folder} holds {name} but no dataset.json; give another folder for the data set.")
    ensure_folder(folder)
    with FileLock(str(folder / _LOCK)), writing(folder):
        if (folder / "dataset.json").exists():  # another process was faster
            return _reuse(folder, made_from, progress)
        common = settings if isinstance(settings, ReaderOptions) else ReaderOptions()
        return _lay_down(description.name, folder, reader, common, made_from, progress)


def _named(path: Path, source: Path | None) -> str:
    inside = source is not None and source.is_dir() and path.is_relative_to(source)
    return path.relative_to(source).as_posix() if source is not None and inside else path.name


def open_dataset(folder: Path | str) -> Dataset:
    """A data set that was prepared before.

    Raises:
        InputError: there is none, or it is damaged.
    """
    folder = Path(folder)
    card = _card(folder)
    corpus = None
    if card.corpus is not None:
        corpus = Corpus.open(folder / "corpus")
        check_fingerprint(
            f"the corpus at {folder / 'corpus'}",
            {"fingerprint": card.corpus},
            {"fingerprint": corpus.fingerprint},
            "prepare the data set again in an empty folder",
        )
    splits = {}
    for split, known in card.splits.items():
        path = folder / "tasks" / f"{split}.jsonl"
        splits[split] = list(read_records(path, Task))
        if len(splits[split]) != known.tasks:
            raise InputError(
                f"{path} holds {len(splits[split])} tasks instead of {known.tasks}; "
                "prepare the data set again in an empty folder."
            )
    return Dataset(card.name, folder, splits, card, _corpus=corpus)


def dataset_name(corpus: Corpus) -> str:
    """The name of the data set that a corpus belongs to; of its folder where it belongs to none."""
    folder = corpus.folder.resolve()
    return _card(folder.parent).name if (folder.parent / "dataset.json").is_file() else folder.name


def _card(folder: Path) -> DatasetCard:
    path = folder / "dataset.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{folder} holds no prepared data set (no dataset.json); prepare it first.") from error
    with reading(f"{path} is damaged", "prepare the data set again in an empty folder"):
        return msgspec.json.decode(content, type=DatasetCard)


def _reuse(folder: Path, made_from: dict[str, Any], progress: Progress | None) -> Dataset:
    remedy = "give another folder, or delete this one"
    check_fingerprint(f"the data set at {folder}", _card(folder).made_from, made_from, remedy)
    found = open_dataset(folder)
    if progress:
        count = sum(len(tasks) for tasks in found.splits.values())
        progress(count, count, f"tasks, reused from {folder}")
    return Dataset(found.name, folder, found.splits, found.card, reused=True, _corpus=found._corpus)


def _lay_down(
    name: str,
    folder: Path,
    reader: Reader,
    options: ReaderOptions,
    made_from: dict[str, Any],
    progress: Progress | None,
) -> Dataset:
    corpus = None
    if reader.has_documents:
        try:
            corpus = Corpus.build(folder / "corpus", reader.kept_documents(), progress=progress)
        except DuplicateId as error:
            raise _placed(reader, error) from error
    read = list(_checked(reader.tasks(corpus), progress))
    dropped = [item for item in read if item.missing]
    if dropped and options.missing_evidence == "refuse":
        first = dropped[0]
        raise InputError(
            f"{first.place}: task {first.task.id!r} has the evidence {first.missing[0]!r}, which the corpus does not "
            f"hold, and so do {len(dropped)} of {len(read)} tasks; correct them, or leave such tasks out with the "
            "option missing_evidence: drop."
        )
    splits: dict[str, list[Task]] = {}
    for item in read:
        if not item.missing:
            splits.setdefault(item.split, []).append(item.task)
    if reader.has_tasks and not splits:
        why = f"the corpus lacks evidence of all {len(read):,}" if read else "its files hold none"
        raise InputError(f"{name} has no tasks: {why}; give one that has, or its other files.")
    if options.test is not None:
        everything = [task for tasks in splits.values() for task in tasks]
        splits = split_tasks(everything, options.test, options.dev, options.seed)
        if "train" not in splits:
            reader.notes.append(
                f"All {len(everything):,} tasks are held out, fewer than the {options.test:,} asked for."
            )
    if options.leak == "drop":
        splits, leaked = without_leak(splits)
        if leaked:
            reader.notes.append(f"{leaked} training tasks were left out, since their question is held out too.")
    _note(reader)
    card = DatasetCard(
        name=name,
        made_from=made_from,
        corpus=corpus.fingerprint if corpus else None,
        splits={split: _split_card(split, splits) for split in splits},
        without_plan=dict(reader.without_plan.most_common()),
        dropped=len(dropped),
        notes=reader.notes,
    )
    for split, tasks in splits.items():
        write_records(folder / "tasks" / f"{split}.jsonl", tasks)
    write_json(folder / "dataset.json", card)
    return Dataset(name, folder, splits, card, _corpus=corpus)


def _note(reader: Reader) -> None:
    if reader.empty:
        named = f" (named as evidence {reader.evidence_empty:,} times)" if reader.evidence_empty else ""
        reader.notes.append(f"Documents left out, having neither text nor title: {len(reader.empty):,}{named}.")
    if left := [path.name for path in reader.left_out()]:
        more = f" and {len(left) - _MOST_NAMES:,} more" if len(left) > _MOST_NAMES else ""
        reader.notes.append(f"Files that are not read: {', '.join(left[:_MOST_NAMES])}{more}.")


def _split_card(split: str, splits: dict[str, list[Task]]) -> SplitCard:
    tasks = splits[split]
    shared = 0 if split == "train" else check_leak(splits.get("train", []), tasks)
    return SplitCard(len(tasks), sum(task.plan is not None for task in tasks), shared)


def _checked(tasks: Iterable[ReadTask], progress: Progress | None) -> Iterable[ReadTask]:
    places: dict[str, str] = {}
    for count, item in enumerate(tasks, start=1):
        before = places.setdefault(item.task.id, item.place)
        if before is not item.place:
            raise InputError(
                f"{item.place}: the task id {item.task.id!r} was given before ({before}); give every task its own id."
            )
        if progress and count % 1000 == 0:
            progress(count, None, "tasks")
        yield item


def _placed(reader: Reader, error: DuplicateId) -> InputError:
    """The same error, placed in the reader's file: documents are numbered only, until one is asked for."""
    places: dict[int, Row | None] = {}
    for place, _ in enumerate(islice(reader.kept_documents(), error.rows[1] + 1)):
        if place in error.rows:
            places[place] = reader.row
    first, second = (places[place] for place in error.rows)
    if first is None or second is None:
        return error
    return second.fault(f"the field `id` is {error.docid!r}, as in {first.place}")
