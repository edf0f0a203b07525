"""Data sets of trajectories: conversion, merging, splitting."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import DATA_SETS, app
from lrat_sim.cli.options import DATA, DataFolder, Seed, Source, TaskOptions, TaskSet, dataset_named
from lrat_sim.progress import say


class Only(StrEnum):
    """Which trajectories are written."""

    ALL = "all"
    ANSWERED = "answered"
    CORRECT = "correct"


class Conflict(StrEnum):
    """What happens to two trajectories of one id that differ."""

    REFUSE = "refuse"
    LATER = "later"


RunFolders = Annotated[list[Path], typer.Argument(help="Run folders.")]
NewFolder = Annotated[Path, typer.Option("--out", "-o", help="The folder to make.")]


@app.command(rich_help_panel=DATA_SETS)
def convert(
    source: Annotated[Path, typer.Argument(help="A file or folder of trajectories, of any known format.")],
    target: Annotated[Path, typer.Argument(help="The file or folder to write.")],
    to: Annotated[str, typer.Option(help="The format to write; `lrat-sim list` names them.")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="The format of the source, where it is not recognised.")
    ] = None,
    only: Annotated[Only, typer.Option(help="Which trajectories; correct needs grades.")] = Only.ALL,
    include_canaried: Annotated[
        bool, typer.Option("--include-canaried", help="Write questions of benchmarks that ask not to be republished.")
    ] = False,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Pass over records that cannot be read, and count them.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What a data set card calls it.")] = None,
    license: Annotated[str, typer.Option(help="For the card, as the hub names it, e.g. cc-by-4.0.")] = "unknown",
    language: Annotated[str, typer.Option(help="For the card, a code.")] = "en",
) -> None:
    """Convert trajectories between the formats of the field, and into run folders."""
    from lrat_sim.formats import convert as convert_trajectories
    from lrat_sim.progress import bar

    with bar(f"convert {source}") as progress:
        done = convert_trajectories(
            source,
            target,
            to=to,
            source_format=source_format,
            only=only.value,
            include_canaried=include_canaried,
            skip_unreadable=skip_unreadable,
            name=name,
            license=license,
            language=language,
            progress=progress,
        )
    say(done.sentence())


@app.command(name="export-pairs", rich_help_panel=DATA_SETS)
def export_pairs(
    pairs: Annotated[Path, typer.Argument(help="A file of pairs, or the folder that holds pairs.jsonl.")],
    target: Annotated[Path, typer.Argument(help="The file or folder to write.")],
    to: Annotated[str, typer.Option(help="The format to write; `lrat-sim list` names them.")],
    task_set: TaskSet = "world",
    negatives: Annotated[int, typer.Option(min=1, help="Columns of negatives, for sentence-transformers.")] = 9,
    include_canaried: Annotated[
        bool, typer.Option("--include-canaried", help="Write pairs of benchmarks that ask not to be republished.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What a data set card calls it.")] = None,
    license: Annotated[str, typer.Option(help="For the card, as the hub names it, e.g. cc-by-4.0.")] = "unknown",
    language: Annotated[str, typer.Option(help="For the card, a code.")] = "en",
    source: Source = None,
    task_option: TaskOptions = [],
    data: DataFolder = DATA,
) -> None:
    """Write mined pairs for other trainers: LRAT, FlagEmbedding, Tevatron, sentence-transformers."""
    from lrat_sim.formats.pairs import export_pairs as export
    from lrat_sim.progress import bar

    corpus = None if to == "pairs" else dataset_named(task_set, source, task_option, data).corpus
    with bar(f"export {pairs}") as progress:
        done = export(
            pairs,
            target,
            to=to,
            corpus=corpus,
            negatives=negatives,
            include_canaried=include_canaried,
            name=name,
            license=license,
            language=language,
            progress=progress,
        )
    say(done.sentence())


@app.command(rich_help_panel=DATA_SETS)
def merge(
    run: RunFolders,
    out: NewFolder,
    on_conflict: Annotated[Conflict, typer.Option(help="Of one id with two contents.")] = Conflict.REFUSE,
) -> None:
    """Merge run folders into one, with their grades and verdicts."""
    from lrat_sim.formats import merge_runs
    from lrat_sim.progress import bar

    with bar("merge") as progress:
        done = merge_runs(run, out, on_conflict=on_conflict.value, progress=progress)
    say(done.sentence())


@app.command(rich_help_panel=DATA_SETS)
def split(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: NewFolder,
    test: Annotated[float, typer.Option(min=0, help="Tasks held out: a share below 1, or a number.")] = 0.2,
    dev: Annotated[float, typer.Option(min=0, help="Tasks for development, likewise.")] = 0,
    seed: Seed = 0,
) -> None:
    """Split a run folder by task, so that no question stands in two parts."""
    from lrat_sim.formats import split_run
    from lrat_sim.progress import bar

    with bar("split") as progress:
        parts = split_run(run, out, test=_size(test), dev=_size(dev), seed=seed, progress=progress)
    for name, count in parts.items():
        say(f"{out / name}: {count:,} trajectories")


def _size(given: float) -> float:
    return int(given) if given.is_integer() else given
