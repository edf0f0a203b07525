"""How success grows with the number of pairs that a retriever is trained on (LRAT, Figure 8a).

A sweep's folder is that of a comparison, with the models beside::

    OUT/sweep.json                         the command, the settings, and what each size was trained on
    OUT/models/<size>-seed-<seed>/model/   the encoder trained on that many pairs, with indexes/
    OUT/<arm>/, OUT/comparison.json        the rollouts and their comparison; the arms are base and <size>-pairs

A smaller set of pairs is a part of every larger one, and holds all the pairs of its tasks, so that the curve shows what
further *questions* bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lrat_sim import __version__
from lrat_sim.agent.profile import AgentSettings
from lrat_sim.artifact import check_fingerprint, ensure_folder, fingerprint, read_json, write_json
from lrat_sim.comparison import Comparison, compare, save
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.experiment.allowance import Allowance, CallOptions
from lrat_sim.experiment.arms import check_seeds, opened, runnable
from lrat_sim.experiment.run import COMPARISON, graded_rollout, seed_folder
from lrat_sim.grading.answers import AnswerJudge, MatchJudge
from lrat_sim.grading.metrics import TaskTable
from lrat_sim.progress import bar, console
from lrat_sim.records import Pair, Task
from lrat_sim.text import minilm_folder
from lrat_sim.training.settings import TrainingSettings

SWEEP = "sweep.json"
IDENTITY = "identity.json"
BASE = "base"


class Point(Struct, frozen=True, kw_only=True):
    """One size: the pairs asked for, and the pairs and tasks trained on, one a seed."""

    arm: str
    size: int
    pairs: list[int]
    tasks: list[int]


class Sweep(Struct, frozen=True, kw_only=True):
    """``sweep.json``."""

    schema_version: int = 1
    lrat_sim: str = __version__
    command: str | None = None
    settings: dict[str, Any]
    points: list[Point]


def nested_subsets(pairs: Iterable[Pair], sizes: Sequence[int], seed: int) -> list[list[Pair]]:
    """Parts of a set of pairs, each holding the smaller ones: whole tasks, drawn at random, until a size is reached.

    Args:
        pairs: the set; those whose document the agent rejected are left out, since none is trained on.
        sizes: how many pairs, at least; a part is larger by what its last task has too many.
        seed: of the draw.

    Returns:
        One part a size, the pairs in the order of ``pairs``.

    Raises:
        InputError: a size is below 1 or more than there are.
    """
    kept = [pair for pair in pairs if pair.satisfied]
    wrong = [f"{size:,}" for size in sizes if not 1 <= size <= len(kept)]
    if wrong or not sizes:
        given = f"the size {wrong[0]} cannot be had" if wrong else "there is no size"
        raise InputError(f"{given}; give sizes from 1 to {len(kept):,}, the number of pairs.")
    count: dict[str, int] = {}
    for pair in kept:
        count[pair.provenance.task] = count.get(pair.provenance.task, 0) + 1
    reached, start = 0, {}  # of each task, how many pairs come before it in the draw
    for task in sorted(count, key=lambda task: fingerprint([seed, task])):
        start[task] = reached
        reached += count[task]
    return [[pair for pair in kept if start[pair.provenance.task] < size] for size in sizes]


def training_size_sweep(
    pairs: Iterable[Pair],
    sizes: Sequence[int],
    dataset: Dataset,
    agent: AgentSettings,
    folder: Path | str,
    *,
    training: TrainingSettings | None = None,
    base_model: str | Path | None = None,
    split: str = "test",
    limit: int | None = None,
    seeds: Sequence[int] = (0,),
    samples: int = 1,
    judge: AnswerJudge | None = None,
    calls: CallOptions | None = None,
    command: str | None = None,
) -> tuple[Sweep, Comparison]:
    """Trains an encoder on each size, runs all on the same tasks, and compares them with the base; goes on where it was
    stopped.

    Args:
        pairs: mined from training tasks.
        sizes: numbers of pairs; see :func:`nested_subsets`.
        dataset: whose documents the pairs name, and whose tasks are asked.
        agent: who runs.
        folder: see above.
        training: the recipe; the default where None.
        base_model: a folder or hub id; all-MiniLM-L6-v2 where None.
        split: which tasks; none may share a question with those of the pairs.
        limit: at most so many tasks.
        seeds: each decides a draw of tasks, a training and the runs; a task counts once, with the mean over them.
        samples: runs of each task and seed.
        judge: of answers; by default the offline match.
        calls: how calls are sent, and what all of them may cost together.
        command: the command line that asked for it, for the record.

    Raises:
        InputError: a size is not to be had, tasks of the pairs are among those asked, or another sweep is there.
        LimitReached: a limit of ``calls`` ended it before all was run.
    """
    folder, training, base_model = Path(folder), training or TrainingSettings(), str(base_model or minilm_folder())
    pairs, tasks = list(pairs), runnable(dataset.tasks(split), agent, limit)
    _refuse_leak(pairs, tasks)
    check_seeds(seeds)
    parts = {seed: dict(zip(sizes, nested_subsets(pairs, sizes, seed), strict=True)) for seed in seeds}
    identity = _identity(agent, dataset, training, base_model, split)
    _refuse_other(folder, identity)
    sizes, allowance = sorted(set(sizes)), Allowance(calls or CallOptions())
    tables: dict[str, list[TaskTable]] = {}
    places: dict[str, list[Path]] = {}
    described: dict[str, dict[str, Any]] = {}
    for size in (None, *sizes):
        arm = BASE if size is None else f"{size}-pairs"
        for seed in seeds:
            model = base_model
            if size is not None:
                model = _trained(parts[seed][size], dataset, base_model, training, folder, size, seed)
            indexes = None if size is None else Path(model).parent / "indexes"
            retriever = opened(
                "dense", dataset, arm, indexes=indexes, model=model, max_length=training.max_document_length
            )
            write_json(folder / IDENTITY, identity)  # not before the base could be opened
            described[arm] = retriever.describe()
            place = seed_folder(folder, arm, seed, seeds[0])
            console.print(f"{arm} on {len(tasks):,} tasks, k = {agent.limits.k}, seed {seed}")
            table = graded_rollout(
                tasks, agent, retriever, place, seed=seed, samples=samples, judge=judge, allowance=allowance
            )
            tables.setdefault(arm, []).append(table)
            places.setdefault(arm, []).append(place)
    setting = {"agent": agent.name, "task_set": dataset.name, "split": split, "k": agent.limits.k, "samples": samples}
    comparison = compare(
        tables,
        BASE,
        None,
        [task.id for task in tasks],
        seed=seeds[0],
        setting={**setting, "seeds": list(seeds), "judge": (judge or MatchJudge()).name},
        runs={arm: [place.name for place in of_arm] for arm, of_arm in places.items()},
        retrievers=described,
    )
    save(comparison, folder / COMPARISON)
    points = [
        Point(
            arm=f"{size}-pairs",
            size=size,
            pairs=[len(parts[seed][size]) for seed in seeds],
            tasks=[len({pair.provenance.task for pair in parts[seed][size]}) for seed in seeds],
        )
        for size in sizes
    ]
    recorded = {"training": msgspec.to_builtins(training), "base_model": base_model, **setting, "seeds": list(seeds)}
    sweep = Sweep(command=command, settings=recorded, points=points)
    write_json(folder / SWEEP, sweep)
    return sweep, comparison


def _trained(
    pairs: Sequence[Pair],
    dataset: Dataset,
    base_model: str,
    training: TrainingSettings,
    folder: Path,
    size: int,
    seed: int,
) -> str:
    from lrat_sim.training.trainer import train  # torch, which nothing before this needs

    place = folder / "models" / f"{size}-seed-{seed}" / "model"
    seeded = msgspec.structs.replace(training, seed=training.seed + seed)
    with bar(f"train on {len(pairs):,} pairs") as progress:
        return str(train(pairs, dataset.corpus, base_model, seeded, place, progress=progress))


def _refuse_leak(pairs: Sequence[Pair], tasks: Sequence[Task]) -> None:
    shared = {pair.provenance.task for pair in pairs} & {task.id for task in tasks}
    if shared:
        raise InputError(
            f"{len(shared)} of the tasks asked are those that pairs were mined from, such as {min(shared)!r}; "
            "choose another split."
        )


def _identity(
    agent: AgentSettings, dataset: Dataset, training: TrainingSettings, base_model: str, split: str
) -> dict[str, Any]:
    recipe: dict[str, Any] = msgspec.to_builtins(training)
    return {
        "agent": agent.describe()["fingerprint"],
        "task set": fingerprint([dataset.card.made_from, dataset.card.corpus]),
        "split": split,
        "base model": base_model,
        **{f"training {field}": value for field, value in recipe.items()},
    }


def _refuse_other(folder: Path, identity: dict[str, Any]) -> None:
    """Refuses a folder that holds something else; more sizes, tasks and seeds only add to a sweep."""
    path = ensure_folder(folder) / IDENTITY
    if path.exists():
        recorded = read_json(path, dict[str, Any], "what a sweep was begun with", "choose another --out folder")
        check_fingerprint(f"the sweep in {folder}", recorded, identity, "choose another --out folder")
    elif (folder / COMPARISON).exists() or (folder / SWEEP).exists():
        raise InputError(f"{folder} holds a comparison that is no sweep; choose another --out folder.")
