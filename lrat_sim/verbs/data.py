"""Task sets: prepared by name or from a folder, and found again by what was made with them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from lrat_sim import catalog
from lrat_sim.artifact import fingerprint, read_json, write_json
from lrat_sim.errors import InputError
from lrat_sim.progress import bar, console
from lrat_sim.settings import Seed, Share, Whole
from lrat_sim.verbs import arguments as arg
from lrat_sim.verbs.arguments import DATA, AnyPath, Given, TaskSet, TaskSets, folder_of, several
from lrat_sim.verbs.verb import verb

if TYPE_CHECKING:
    from lrat_sim.corpus.dataset import Dataset

RECORD = "task-set.json"


class UsedTaskSet(Struct, frozen=True):
    """``task-set.json``, beside what was made with a task set: its name, and its folder as seen from there."""

    name: str
    folder: str
    schema_version: int = 1


@verb
def prepare(
    name: Annotated[AnyPath, Given(str), Meta(description="A task set by name, or a folder of your own files.")],
    out: arg.Out = None,
    *,
    source: Annotated[AnyPath | None, Given(str), Meta(description="Its copy; default: below $LRAT_SIM_DATA.")] = None,
    **task_options: Annotated[Any, Meta(description="An option of the task set, such as documents=20000.")],
) -> Dataset:
    """Prepare a corpus with its tasks: read it, or generate a world, and store it in a folder.

    Names are the files in ``corpora/``; a folder that holds corpus.jsonl and task files, or a data set in BEIR's
    layout, is read as it is.  The data set is kept in runs/data, below its name, where no folder is given.
    """
    return _prepared(str(name), source, task_options, DATA, out)


@verb
def world(
    out: arg.Out = None,
    *,
    documents: Annotated[Whole, Meta(description="Documents, from 1,000 to 1,000,000 and more.")] = 3000,
    difficulty: Annotated[Share, Meta(description="From 0, easy, to 1, hard.")] = 0.35,
    seed: Seed = 0,
    processes: Annotated[Whole, Meta(description="Processes to write the documents with.")] = 1,
    **task_options: Annotated[Any, Meta(description="A further option of the world, such as test_tasks=400.")],
) -> Dataset:
    """Generate a world: an encyclopedia of invented entities with multi-hop tasks."""
    options = {"documents": documents, "difficulty": difficulty, "seed": seed, **task_options}
    return _prepared("world", None, options, DATA, out, processes)


def _prepared(
    name: str,
    source: AnyPath | None,
    options: Mapping[str, Any],
    data: Path,
    out: AnyPath | None = None,
    processes: int = 1,
) -> Dataset:
    from lrat_sim.corpus.dataset import open_dataset
    from lrat_sim.corpus.dataset import prepare as prepare_dataset

    if (Path(name) / "dataset.json").is_file() and not options:
        return open_dataset(name)
    path = Path(name)
    reader, copy, called = name, source, None
    if source is None and name not in catalog.names("corpora") and path.exists() and path.suffix != ".yaml":
        # files of one's own are the copy that a general reader reads
        reader, copy = "beir" if (path / "qrels").is_dir() else "jsonl", path
        called = path.resolve().name if path.is_dir() else path.name.partition(".")[0]
        if path.is_dir() and not any(path.glob("corpus*")):
            raise InputError(f"{path} holds no corpus (corpus.jsonl or another format); give a folder that does.")
    if out is None:
        key = [options, str(copy or "")]
        out = data / f"{path.stem}{f'-{fingerprint(key)[:8]}' if options or copy else ''}"
    with bar(f"prepare {name}") as progress:
        dataset = prepare_dataset(
            reader, out, source=copy, options=dict(options), called=called, processes=processes, progress=progress
        )
    if not dataset.reused:
        splits = ", ".join(f"{split} {len(tasks):,}" for split, tasks in dataset.splits.items()) or "none"
        documents = f"{len(dataset.corpus):,}" if dataset.card.corpus else "no"
        console.print(f"{dataset.name}: {documents} documents; tasks: {splits}; in {dataset.folder}", soft_wrap=True)
        for sentence in dataset.card.account():
            console.print(f"  {sentence}", soft_wrap=True)
    return dataset


def task_set(data: arg.Data, *made: Any) -> Dataset:
    """The task set that is given, or the one that the first of several results was made with; one must be known."""
    dataset, gone = recorded_task_set(data, *made)
    if dataset is not None:
        return dataset
    where = ", ".join(str(folder_of(result)) for result in made)
    none = f"no task set is given{f', and none is recorded in {where}' if where else ''}"
    raise InputError(
        gone
        or f"{none}; name one with --task-set, such as world (generated in minutes) or a folder with corpus.jsonl and "
        "task files."
    )


def recorded_task_set(data: arg.Data, *made: Any) -> tuple[Dataset | None, str | None]:
    """Likewise, but None where none is known; with a sentence where what a result was made with is gone."""
    from lrat_sim.corpus.dataset import Dataset, open_dataset

    if isinstance(data, Dataset):
        return data, None
    if isinstance(data, TaskSet) and data.task_set is not None:
        return _prepared(data.task_set, data.source, data.task_options, Path(data.data)), None
    if data is not None and not isinstance(data, TaskSet):
        return prepare(data), None
    for folder in map(folder_of, made):
        for parent in (folder, *folder.absolute().parents[:4]):
            if (parent / "dataset.json").is_file():
                return open_dataset(parent), None
            if (path := parent / RECORD).is_file():
                used = read_json(path, UsedTaskSet, "the record of a task set", "delete it")
                where = parent / used.folder
                if (where / "dataset.json").is_file():
                    return open_dataset(Path(os.path.normpath(where))), None
                gone = f"{path} names the task set {used.name} in {where}, which is gone; give it with --task-set."
                return None, gone
    return None, None


@contextmanager
def made_with(dataset: Dataset, folder: AnyPath) -> Iterator[None]:
    """Records the task set of a result beside it, unless the file there belongs to something else."""
    refused = False
    try:
        yield
    except InputError:
        refused = True
        raise
    finally:  # work that was stopped is resumed, and looked at
        if not refused and Path(folder).is_dir():
            record_task_set(dataset, Path(folder))


def record_task_set(dataset: Dataset, folder: Path) -> None:
    """Records the task set of a result beside it."""
    try:
        relative = Path(os.path.relpath(dataset.folder, folder)).as_posix()
    except ValueError:  # on another drive
        relative = str(dataset.folder.absolute())
    used = UsedTaskSet(dataset.name, relative)
    path = folder / RECORD
    if not path.is_file() or read_json(path, UsedTaskSet, "the record of a task set", "delete it") != used:
        write_json(path, used)


def task_sets(data: Any, *made: Any) -> dict[str, Dataset]:
    """One or several task sets by name, as :func:`task_set` finds each."""
    if isinstance(data, TaskSets):
        if len(data.task_set) > 1 and (data.source or data.task_options):
            raise InputError(
                "--source and --task-option are for one task set; prepare the others first and give their folders."
            )
        own: dict[str, Any] = {"source": data.source, "task_options": data.task_options, "data": data.data}
        data = [TaskSet(task_set=name, **own) for name in data.task_set or (None,)]
    sets: dict[str, Dataset] = {}
    for source in several(data):
        dataset = task_set(source, *made)
        label = dataset.name if dataset.name not in sets else dataset.folder.name
        if label in sets:
            raise InputError(f"two task sets are called {label!r}; give folders of different names.")
        sets[label] = dataset
    return sets
