"""How success grows with the number of pairs that a retriever is trained on (LRAT, Figure 8a).

A sweep's folder is that of a comparison, with the models beside::

    OUT/study.json                         the command, the settings, and what each size was trained on
    OUT/models/<size>-seed-<seed>/model/   the encoder trained on that many pairs, with indexes/
    OUT/<arm>/, OUT/comparison.json        the rollouts and their comparison; the arms are base and <size>-pairs

A smaller set of pairs is a part of every larger one, and holds all the pairs of its tasks, so that the curve shows what
further *questions* bring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from lrat_sim.artifact import fingerprint
from lrat_sim.corpus.dataset import Dataset
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import AnswerJudge
from lrat_sim.records import Pair
from lrat_sim.retrieval.base import Retriever
from lrat_sim.study.arms import BASE, Arm, open_base, open_trained
from lrat_sim.study.settings import SweepSettings
from lrat_sim.study.study import Condition, Study, StudyResult


def sweep(
    pairs: Iterable[Pair],
    dataset: Dataset,
    folder: Path | str,
    settings: SweepSettings,
    *,
    judge: AnswerJudge | None = None,
) -> StudyResult:
    """Trains an encoder on each size, runs all on the same tasks, and compares them with the base.

    Args:
        pairs: mined from training tasks.
        dataset: whose documents the pairs name, and whose tasks are asked.
        folder: see above.
        settings: what to do.  Each seed decides a draw of tasks, a training and the runs.
        judge: of answers; by default the offline match.

    Raises:
        InputError: a size is not to be had, tasks of the pairs are among those asked, or another study is there.
        FingerprintMismatch: the folder holds another sweep.
        LimitReached: a limit of the calls ended it before all was run.
    """
    pairs, training, seeds = list(pairs), settings.recipe(), settings.seeds
    condition = Condition.of(dataset, settings.split, settings.own_agent(), settings.limit)
    if shared := {pair.provenance.task for pair in pairs} & {task.id for task in condition.tasks}:
        raise InputError(
            f"{len(shared)} of the tasks asked are those that pairs were mined from, such as {min(shared)!r}; "
            "choose another split."
        )
    sizes = sorted(set(settings.sizes))
    parts = {seed: dict(zip(sizes, nested_subsets(pairs, sizes, seed), strict=True)) for seed in seeds}
    made_from = {
        "agent": condition.agent.describe()["fingerprint"],
        "task set": fingerprint([dataset.card.made_from, dataset.card.corpus]),
        "split": settings.split,
        "base model": settings.base_model,
        **{f"training {field}": value for field, value in msgspec.to_builtins(training).items()},
    }
    study = Study("sweep", folder, settings, made_from=made_from, judge=judge)
    study.total = len(seeds) * (1 + 2 * len(sizes))

    def trained(size: int, seed: int) -> Retriever:
        part, model = parts[seed][size], study.folder / "models" / f"{size}-seed-{seed}" / "model"
        what = f"on {len(part):,} pairs, seed {seed}"
        study.train(what, part, dataset, settings.base, training, model, seed=seed, arm=f"{size}-pairs")
        return open_trained(dataset, model, training.max_document_length)

    arms = [Arm(name=BASE, retriever=open_base(dataset, settings.base, training.max_document_length))]
    study.save()  # not before the base could be opened
    arms += [Arm(name=f"{size}-pairs", retriever=partial(trained, size)) for size in sizes]
    comparison = study.evaluate(arms, condition, ".", base=BASE, seeds=seeds, samples=settings.samples)
    return study.result({".": comparison})


def nested_subsets(pairs: Iterable[Pair], sizes: Sequence[int], seed: int) -> list[list[Pair]]:
    """Parts of a set of pairs, each holding the smaller ones: whole tasks, drawn at random, until a size is reached.

    Pairs whose document the agent rejected are left out, since none is trained on.  A part exceeds its size by the
    surplus of its last task, and keeps the order of ``pairs``.  An InputError names a size that cannot be had.
    """
    kept = [pair for pair in pairs if pair.satisfied]
    wrong = [f"{size:,}" for size in sizes if not 1 <= size <= len(kept)]
    if wrong or not sizes:
        problem = f"the size {wrong[0]} cannot be had" if wrong else "there is no size"
        raise InputError(f"{problem}; give sizes from 1 to {len(kept):,}, the number of pairs.")
    count = Counter(pair.provenance.task for pair in kept)
    reached, start = 0, {}  # of each task, how many pairs come before it in the draw
    for task in sorted(count, key=lambda task: fingerprint([seed, task])):
        start[task] = reached
        reached += count[task]
    return [[pair for pair in kept if start[pair.provenance.task] < size] for size in sizes]
