"""The studies: compare, sweep, ablate, flywheel, demo, controls, probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.settings import build
from lrat_sim.verbs import arguments as arg
from lrat_sim.verbs.arguments import NOTHING, Given, TaskSet, TaskSets, default_folder, folder_of, several
from lrat_sim.verbs.data import made_with, task_set, task_sets
from lrat_sim.verbs.steps import PairsLike, judge_named
from lrat_sim.verbs.verb import verb

if TYPE_CHECKING:
    from lrat_sim.corpus.dataset import Dataset
    from lrat_sim.retrieval.base import Retriever
    from lrat_sim.study import (
        AblationSettings,
        CompareSettings,
        Controls,
        ControlsSettings,
        FlywheelResult,
        FlywheelSettings,
        Probe,
        ProbeSettings,
        StudyResult,
        SweepSettings,
    )
    from lrat_sim.study.settings import StudySettings
    from lrat_sim.verbs.results import Model

SeveralData = Annotated[
    "Dataset | Path | str | TaskSet | TaskSets | Sequence[Dataset | Path | str] | None", Given(TaskSets)
]
DEMO = Path("runs/demo")

R = TypeVar("R")
S = TypeVar("S", bound="StudySettings")


@verb
def compare(
    retrievers: Annotated[
        Mapping[str, Retriever | Model | Path | str] | Sequence[Path | str],
        Given(list[str]),
        Meta(
            description="Retrievers, each SPEC or NAME=SPEC, or recorded runs; the first is the base. One for agents."
        ),
    ],
    data: SeveralData = None,
    out: arg.Out = None,
    *,
    score: Annotated[
        str | None, Meta(description="Of recorded runs: the log's score that says success; by default its first.")
    ] = None,
    judge: arg.Judge = "rule",
    judge_options: arg.JudgeOptions = NOTHING,
    cluster: arg.Cluster = None,
    **fields: Annotated[Any, CompareSettings],
) -> StudyResult:
    """Compare retrievers head to head: the same agents on the same tasks, paired by task.

    Every combination of agent, task set and k is a comparison of its own; rerun with more of them, or with more seeds
    or tasks, to run only what is missing.  With one retriever and several agents, the agents are compared.

    Recorded runs (run folders, logs of inspect_ai, traces of verifiers, any format that can be read) are compared as
    they are, by the scores that they hold; a task set gives them the evidence of its tasks.

    In Python, further arguments are the fields of :class:`CompareSettings`; a list may be given by its singular, as in
    ``agent="simulated"``.
    """
    from lrat_sim import study
    from lrat_sim.study.arms import check_retrievers, named_retriever, with_reranker
    from lrat_sim.study.recorded import recorded_runs

    given = retrievers if isinstance(retrievers, Mapping) else dict(named_retriever(str(spec)) for spec in retrievers)
    if (recorded := {name: path for name, arm in given.items() if (path := recorded_runs(arm))}) or score is not None:
        return _compare_recorded(recorded, [*given], len(retrievers), data, out, score, fields)
    arms: dict[str, Any] = {name: str(arm) if hasattr(arm, "folder") else arm for name, arm in given.items()}
    settings, answers = _settings(study.CompareSettings, fields), judge_named("answers", judge, judge_options)
    check_retrievers(arms, len(retrievers), len(settings.agents) + (settings.reranker is not None))
    arms = with_reranker(arms, settings.reranker)
    sets = task_sets(data, *given.values())
    return _run(
        "compare", settings, sets, out, [settings.split, *settings.agents],
        lambda folder: study.compare(arms, sets, folder, settings, judge=answers),
        retrievers={name: str(getattr(arm, "fingerprint", arm)) for name, arm in arms.items()},
    )  # fmt: skip


def _compare_recorded(
    runs: Mapping[str, Path], arms: Sequence[str], given: int, data: Any, out: Any, score: str | None,
    fields: Mapping[str, Any],
) -> StudyResult:  # fmt: skip
    """Compares recorded runs, which all the arms must be."""
    from lrat_sim import study
    from lrat_sim.report import write_report

    if others := [name for name in arms if name not in runs]:
        raise InputError(
            f"{others[0]!r} is no recorded run, which the other arms or --score ask for; compare one kind."
        )
    if len(runs) < given:
        raise InputError("two of the recorded runs have one name; name them NAME=PATH.")
    settings, plain = _settings(study.CompareSettings, fields), study.CompareSettings()
    fixed = [name for name in plain.__struct_fields__ if getattr(settings, name) != getattr(plain, name)]
    if fixed and (fixed != ["seeds"] or len(settings.seeds) > 1):
        raise InputError(f"recorded runs are not run again, so that {fixed[0]} cannot be set; leave it out.")
    none = data is None or (isinstance(data, TaskSets) and not data.task_set)
    sets = {} if none else task_sets(data)
    tasks = [task for dataset in sets.values() for part in dataset.splits.values() for task in part]
    decisive = {"runs": {name: str(path) for name, path in runs.items()}, "score": score}
    folder = Path(out) if out is not None else default_folder("compare", [*runs], decisive)
    result = study.compare_recorded(runs, folder, score=score, tasks=tasks, seed=settings.seeds[0])
    write_report(folder)
    return result


@verb
def sweep(
    pairs: PairsLike,
    data: arg.Data = None,
    out: arg.Out = None,
    *,
    judge: arg.Judge = "rule",
    judge_options: arg.JudgeOptions = NOTHING,
    cluster: arg.Cluster = None,
    **fields: Annotated[Any, SweepSettings],
) -> StudyResult:
    """Train on nested subsets of the pairs, drawn by task, and compare every size with the base.

    In Python, further arguments are the fields of :class:`SweepSettings`.
    """
    from lrat_sim import study
    from lrat_sim.formats.pairs import read_pairs

    settings, answers = _settings(study.SweepSettings, fields), judge_named("answers", judge, judge_options)
    files = [folder_of(source) for source in several(pairs)]
    records = [*chain.from_iterable(map(read_pairs, files))]
    dataset = task_set(data, *files)
    return _run(
        "sweep", settings, {dataset.name: dataset}, out, [settings.split, settings.agent],
        lambda folder: study.sweep(records, dataset, folder, settings, judge=answers), pairs=[*map(str, files)],
    )  # fmt: skip


@verb
def ablate(
    data: SeveralData,
    out: arg.Out = None,
    *,
    judge: arg.Judge = "rule",
    judge_options: arg.JudgeOptions = NOTHING,
    cluster: arg.Cluster = None,
    **fields: Annotated[Any, AblationSettings],
) -> StudyResult:
    """Mine and train the same runs in several ways and compare the results: what does each part contribute?

    Agents run once on the training tasks; each arm mines that its own way, trains, and is evaluated on held-out tasks.
    Rerun with more arms, seeds or task sets, or another split, to run only what is missing.

    In Python, further arguments are the fields of :class:`AblationSettings`.
    """
    from lrat_sim import study

    settings, browses = _settings(study.AblationSettings, fields), judge_named("browses", judge, judge_options)
    study.load_arms(settings.arms, settings.table)
    sets = task_sets(data)
    return _run(
        "ablate", settings, sets, out, [settings.agent],
        lambda folder: study.ablate(sets, folder, settings, judge=browses),
    )  # fmt: skip


@verb
def flywheel(
    data: arg.Data,
    out: arg.Out = None,
    *,
    judge: arg.Judge = "rule",
    judge_options: arg.JudgeOptions = NOTHING,
    cluster: arg.Cluster = None,
    **fields: Annotated[Any, FlywheelSettings],
) -> FlywheelResult:
    """Improve a retriever in rounds: collect, mine, train, index, and measure on held-out tasks.

    In Python, further arguments are the fields of :class:`FlywheelSettings`.
    """
    from lrat_sim import study

    settings, browses = _settings(study.FlywheelSettings, fields), judge_named("browses", judge, judge_options)
    settings.named("baselines", settings.baselines)
    return _on_one("flywheel", study.flywheel, settings, data, out, [settings.agent, settings.mining], judge=browses)


@verb
def demo(
    out: arg.Out = DEMO,
    *,
    mining: Annotated[
        str, Meta(description="Mining recipe, by name or path; mine-paper is the LRAT paper's.")
    ] = "mine-recommended",
    cluster: arg.Cluster = None,
) -> FlywheelResult:
    """Run the whole loop once on a small generated world, with no key and no network."""
    from lrat_sim import study
    from lrat_sim.report import write_report

    result = study.demo(Path(out or DEMO), msgspec.structs.replace(study.DEMO, mining=mining))
    write_report(result.folder)
    return result


@verb
def controls(
    data: arg.Data, out: arg.Out = None, *, cluster: arg.Cluster = None, **fields: Annotated[Any, ControlsSettings]
) -> Controls:
    """Run control experiments: shuffled labels must not gain, no arm beats the oracle, runs repeat exactly.

    In Python, further arguments are the fields of :class:`ControlsSettings`.
    """
    from lrat_sim import study

    settings = _settings(study.ControlsSettings, fields)
    return _on_one("controls", study.controls, settings, data, out, [settings.agent])


@verb
def probe(
    data: arg.Data, out: arg.Out = None, *, cluster: arg.Cluster = None, **fields: Annotated[Any, ProbeSettings]
) -> Probe:
    """Test whether an agent behaves like a real one, and whether it notices a degraded retriever.

    In Python, further arguments are the fields of :class:`ProbeSettings`.
    """
    from lrat_sim import study

    settings = _settings(study.ProbeSettings, fields)
    return _on_one("probe", study.probe, settings, data, out, [settings.agent])


def _settings(kind: type[S], values: Mapping[str, Any]) -> S:
    """The settings of a study; a wrong agent is refused here, before a task set is prepared."""
    settings = build(kind, dict(values))
    for name in getattr(settings, "agents", None) or [getattr(settings, "agent")]:  # noqa: B009
        settings.load_agent(name)
    return settings


def _on_one(
    name: str, study: Callable[..., R], settings: Any, data: arg.Data, out: Any, words: Sequence[str], **how: Any
) -> R:
    """Runs a study of one task set."""
    dataset = task_set(data)
    sets = {dataset.name: dataset}
    return _run(name, settings, sets, out, words, lambda folder: study(dataset, folder, settings, **how))


def _run(
    name: str, settings: Any, sets: Mapping[str, Dataset], out: Any, words: Sequence[str],
    study: Callable[[Path], R], **decisive: Any,
) -> R:  # fmt: skip
    """Runs a study in its folder, which settings, task sets, ``words`` and ``decisive`` name where it is not given;
    records the task set beside it, and reports its comparisons."""
    words = [*sets, *words]
    plain = {key: value for key, value in msgspec.to_builtins(settings).items() if key != "calls"}
    folder = Path(out) if out is not None else default_folder(name, words, {**plain, **decisive, "words": words})
    with made_with(next(iter(sets.values())), folder):
        result = study(folder)
    from lrat_sim.report import write_report

    comparisons = getattr(result, "comparisons", ())
    # the comparisons of an ablation are too different for one page
    for cell in comparisons if name == "ablate" else ["."] if comparisons else []:
        write_report(folder / cell)
    return result
