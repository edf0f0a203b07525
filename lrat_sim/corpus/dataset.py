"""A data set on disk: one corpus and its tasks by split, prepared once from a local copy or a generator.

::

    FOLDER/corpus/              see lrat_sim.corpus.documents
    FOLDER/tasks/SPLIT.jsonl    one Task a line
    FOLDER/dataset.json         what made it and what was found on the way; written last
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock
from msgspec import Struct

from lrat_sim.artifact import (
    check_fingerprint,
    ensure_folder,
    fingerprint_file,
    read_json,
    read_records,
    write_json,
    write_records,
    writing,
)
from lrat_sim.catalog import checked, load
from lrat_sim.corpus.documents import Corpus, DuplicateId
from lrat_sim.corpus.formats import reader_class
from lrat_sim.corpus.formats.base import Reader, ReaderOptions
from lrat_sim.corpus.split import check_leak, split_tasks, without_leak
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.foreign import reading, shortened
from lrat_sim.progress import ProgressCallback
from lrat_sim.records import Task

_CARD, _LOCK = "dataset.json", ".lock"


class Description(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of ``corpora/``: what a corpus or task set is, its licence, how to get it and how to read it."""

    name: str
    title: str
    licence: str
    url: str
    get: str
    reader: str  # a name from lrat_sim.corpus.formats
    folder: str | None = None  # below $LRAT_SIM_DATA, where the local copy is looked for by default
    layout: list[str] = []  # the files of the local copy
    options: dict[str, Any] = {}  # of the reader, with their values for this set
    notes: list[str] = []


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
        sentences = []
        if self.splits:
            tasks, planned = (sum(getattr(s, of) for s in self.splits.values()) for of in ("tasks", "with_plan"))
            by_split = ", ".join(f"{name} {split.with_plan:,}" for name, split in self.splits.items())
            sentences.append(f"Tasks with a plan: {planned:,} of {tasks:,} ({by_split}).")
        if self.without_plan:
            reasons = "; ".join(f"{reason} ({count:,})" for reason, count in self.without_plan.items())
            sentences.append(f"Without a plan, of all that were read: {reasons}.")
        if self.dropped:
            sentences.append(f"Tasks left out, since the corpus lacks some of their evidence: {self.dropped:,}.")
        return sentences + self.notes


@dataclass(frozen=True, repr=False)
class Dataset:
    """A prepared corpus and its tasks by split: train, dev, test, ood as far as there are any."""

    folder: Path
    splits: dict[str, list[Task]]
    card: DatasetCard  # what is known of it, for people
    reused: bool = False  # whether it was there already
    _corpus: Corpus | None = None

    def __repr__(self) -> str:
        documents = "no documents" if self._corpus is None else f"{len(self._corpus):,} documents"
        tasks = ", ".join(f"{split} {len(tasks):,}" for split, tasks in self.splits.items()) or "no tasks"
        return f"Dataset({self.name}: {documents}; {tasks}; {self.folder})"

    @property
    def name(self) -> str:
        """The name of its description."""
        return self.card.name

    @property
    def corpus(self) -> Corpus:
        """The documents; raises InputError where the task set came without any."""
        if self._corpus is None:
            raise InputError(
                f"the task set {self.name} at {self.folder} has no documents; prepare it in another folder with the "
                "option `corpus` naming a file of them."
            )
        return self._corpus

    def tasks(self, split: str) -> list[Task]:
        """The tasks of one split; raises InputError where there is no such split."""
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
    called: str | None = None,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> Dataset:
    """Reads a corpus or task set by name and writes it to a folder; a folder that holds it already is reused.

    Args:
        name: of a file in ``corpora/``, or a path to one.
        folder: where the data set goes.
        source: the local copy; by default the description's folder below ``$LRAT_SIM_DATA``.
        options: of the reader, over those of the description; texts are read as YAML.
        called: the data set's name, by default that of the description.
        processes: that generate the documents of a world; the result is the same. What is read from files takes one.
        progress: told of documents and tasks.

    Raises:
        InputError: the local copy is missing or wrong, with file, line and field, or ``processes`` is below 1.
        FingerprintMismatch: the folder holds a data set that was made in another way.
    """
    folder = Path(folder)
    if processes < 1:
        raise InputError(f"processes is {processes}; give 1 or more.")
    overrides = {f"options.{key}": value for key, value in (options or {}).items()}
    description = load("corpora", name, Description, overrides)
    kind = reader_class(description.reader)
    settings = checked(description.options, kind.options_type, None, f"the options of {description.name}")
    made_from = {"name": description.name, "reader": description.reader, "version": kind.version}
    made_from |= {f"option {key}": value for key, value in from_json(msgspec.json.encode(settings)).items()}
    data = os.environ.get("LRAT_SIM_DATA")
    copy = Path(source) if source else Path(data) / description.folder if data and description.folder else None
    done = (folder / _CARD).exists()
    if kind.needs_source and (copy is None or not copy.exists()):
        if done:  # what is there can be used without the files that it was made from
            made_from |= {key: value for key, value in _card(folder).made_from.items() if key.startswith("file ")}
            return _reuse(folder, made_from, progress)
        raise InputError(
            f"{description.name} needs a local copy{f', and {copy} does not exist' if copy else ''}: "
            f"{description.get.strip().rstrip('.')}; then give the folder as source, or set LRAT_SIM_DATA to the "
            f"folder that holds {description.folder or 'it'}."
        )
    reader = kind(copy, settings)
    reader.processes = processes
    for path in reader.files:
        inside = copy and copy.is_dir() and path.is_relative_to(copy) and path.relative_to(copy).as_posix()
        with reading(f"{path} cannot be read", "give an existing file that you may read"):
            made_from[f"file {inside or path.name}"] = fingerprint_file(path)
    if done:
        return _reuse(folder, made_from, progress)
    if not (folder / _LOCK).exists():  # else it is one that was begun before
        for part in ("corpus", "tasks"):
            if (folder / part).exists():
                raise InputError(f"{folder} holds {part} but no {_CARD}; give another folder for the data set.")
    ensure_folder(folder)
    with FileLock(str(folder / _LOCK)), writing(folder):
        if (folder / _CARD).exists():  # another process was faster
            return _reuse(folder, made_from, progress)
        common = settings if isinstance(settings, ReaderOptions) else ReaderOptions()
        return _read(called or description.name, folder, reader, common, made_from, progress)


def open_dataset(folder: Path | str) -> Dataset:
    """A data set that was prepared before; InputError if there is none, or it is damaged."""
    folder = Path(folder)
    card, corpus, remedy = _card(folder), None, "prepare the data set again in an empty folder"
    if card.corpus is not None:
        corpus = Corpus.open(folder / "corpus")
        what, recorded, current = f"the corpus at {corpus.folder}", card.corpus, corpus.fingerprint
        check_fingerprint(what, {"fingerprint": recorded}, {"fingerprint": current}, remedy)
    splits = {}
    for split, known in card.splits.items():
        path = folder / "tasks" / f"{split}.jsonl"
        splits[split] = list(read_records(path, Task))
        if len(splits[split]) != known.tasks:
            raise InputError(f"{path} holds {len(splits[split])} tasks instead of {known.tasks}; {remedy}.")
    return Dataset(folder, splits, card, _corpus=corpus)


def dataset_name(corpus: Corpus) -> str:
    """The name of the data set that a corpus belongs to; of its folder where it belongs to none."""
    folder = corpus.folder.resolve()
    return _card(folder.parent).name if (folder.parent / _CARD).is_file() else folder.name


def _card(folder: Path) -> DatasetCard:
    what, remedy = "the card of a prepared data set", "prepare the data set in an empty folder"
    return read_json(folder / _CARD, DatasetCard, what, remedy)


def _reuse(folder: Path, made_from: dict[str, Any], progress: ProgressCallback | None) -> Dataset:
    remedy = "give another folder, or delete this one"
    check_fingerprint(f"the data set at {folder}", _card(folder).made_from, made_from, remedy)
    dataset = open_dataset(folder)
    if progress:
        count = sum(map(len, dataset.splits.values()))
        progress(count, count, f"tasks, reused from {folder}")
    return replace(dataset, reused=True)


def _read(
    name: str,
    folder: Path,
    reader: Reader,
    options: ReaderOptions,
    made_from: dict[str, Any],
    progress: ProgressCallback | None,
) -> Dataset:
    corpus = None
    if reader.has_documents:
        try:
            corpus = Corpus.build(folder / "corpus", reader.kept_documents(), progress=progress)
        except DuplicateId as error:
            raise _placed(reader, error) from error
    read = list(reader.kept_tasks(corpus, progress))
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
    splits = _divided(splits, options, reader.notes)
    if reader.empty:
        named = f" (named as evidence: {reader.evidence_empty:,})" if reader.evidence_empty else ""
        reader.notes.append(f"Documents left out, having neither text nor title: {len(reader.empty):,}{named}.")
    if unread := reader.unread_files():
        reader.notes.append(f"Files that are not read: {shortened(unread)}.")
    card = DatasetCard(
        name=name,
        made_from=made_from,
        corpus=corpus.fingerprint if corpus else None,
        splits={
            split: SplitCard(
                tasks=len(tasks),
                with_plan=sum(task.plan is not None for task in tasks),
                shared_entities=0 if split == "train" else check_leak(splits.get("train", []), tasks),
            )
            for split, tasks in splits.items()
        },
        without_plan=dict(reader.without_plan.most_common()),
        dropped=len(dropped),
        notes=reader.notes,
    )
    for split, tasks in splits.items():
        write_records(folder / "tasks" / f"{split}.jsonl", tasks)
    write_json(folder / _CARD, card)
    return Dataset(folder, splits, card, _corpus=corpus)


def _divided(splits: dict[str, list[Task]], options: ReaderOptions, notes: list[str]) -> dict[str, list[Task]]:
    if options.test is not None:
        everything = [task for tasks in splits.values() for task in tasks]
        splits = split_tasks(everything, options.test, options.dev, options.seed)
        if "train" not in splits:
            notes.append(f"All {len(everything):,} tasks are held out, fewer than the {options.test:,} asked for.")
    if options.leak == "drop":
        splits, leaked = without_leak(splits)
        if leaked:
            notes.append(f"{leaked} training tasks were left out, since their question is held out too.")
    return splits


def _placed(reader: Reader, error: DuplicateId) -> InputError:
    """The same error by file and line; these are not kept while documents are read, so they are read once more."""
    documents = zip(range(error.rows[1] + 1), reader.kept_documents(), strict=False)
    first, second = [reader.row for place, _ in documents if place in error.rows]
    if first is None or second is None:
        return error
    return second.fault(f"the field `id` is {error.docid!r}, as in {first.place}")
