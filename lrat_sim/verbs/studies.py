"""The studies: compare, sweep, ablate, flywheel, demo, controls, probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from lrat_sim.errors import InputError
from lrat_sim.settings import Settings, build
from lrat_sim.verbs.data import made_with, task_set, task_sets
from lrat_sim.verbs.steps import PairsLike, check_retriever, judge_of_answers, judge_of_browses
from lrat_sim.verbs.verb import (
    NOTHING,
    Data,
    Given,
    Judge,
    JudgeOptions,
    Out,
    TaskSet,
    TaskSets,
    command_line,
    default_folder,
    folder_of,
    several,
    verb,
)

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
    from lrat_sim.verbs.results import Model

SeveralData = Annotated[
    "Dataset | Path | str | TaskSet | TaskSets | Sequence[Dataset | Path | str] | None", Given(TaskSets)
]
DEMO = Path("runs/demo")


@verb
def compare(
    retrievers: Annotated[
        Mapping[str, Retriever | Model | Path | str] | Sequence[Path | str],
        Given(list[str]),
        Meta(description="Two or more retrievers, each SPEC or NAME=SPEC; the first is the base."),
    ],
    data: SeveralData = None,
    out: Out = None,
    *,
    judge: Judge = "rule",
    judge_options: JudgeOptions = NOTHING,
    **settings: Annotated[Any, CompareSettings],
) -> StudyResult:
    """Compare retrievers head to head: the same agents on the same tasks, paired by task.

    Every combination of agent, task set and k is a comparison of its own; rerun with more of them, or with more seeds
    or tasks, to run only what is missing.

    In Python, further arguments are the fields of :class:`CompareSettings`; a list may be given by its singular, as in
    ``agent="simulated"``.
    """
    from lrat_sim.study import CompareSettings, named_retriever
    from lrat_sim.study import compare as run

    given = retrievers if isinstance(retrievers, Mapping) else dict(named_retriever(str(spec)) for spec in retrievers)
    if len(given) < max(2, len(retrievers)):
        raise InputError("compare needs two retrievers or more, each under a name of its own; name them NAME=SPEC.")
    asked = build(CompareSettings, settings)
    arms = {name: str(arm) if hasattr(arm, "folder") else arm for name, arm in given.items()}
    of_answers = judge_of_answers(judge, judge_options)
    for arm in arms.values():  # before a task set is prepared
        check_retriever(arm)
    for name in asked.agents:
        asked.load_agent(name)
    sets = task_sets(data, *given.values())
    words = [*sets, asked.split, *asked.agents]
    folder = _folder("compare", out, words, asked, retrievers={name: _identity(arm) for name, arm in arms.items()})
    with made_with(next(iter(sets.values())), folder):
        result = run(arms, sets, folder, asked, judge=of_answers, command=command_line.get())
    _report(folder)
    return result


@verb
def sweep(
    pairs: PairsLike,
    data: Data = None,
    out: Out = None,
    *,
    judge: Judge = "rule",
    judge_options: JudgeOptions = NOTHING,
    **settings: Annotated[Any, SweepSettings],
) -> StudyResult:
    """Train on nested parts of a set of pairs, whole tasks at a time, and compare every size with the base.

    In Python, further arguments are the fields of :class:`SweepSettings`.
    """
    from lrat_sim.formats.pairs import read_pairs
    from lrat_sim.study import SweepSettings
    from lrat_sim.study import sweep as run

    files, asked = [folder_of(each) for each in several(pairs)], build(SweepSettings, settings)
    asked.load_agent(asked.agent)  # a wrong name is said before a task set is prepared
    of_answers, records = judge_of_answers(judge, judge_options), [*chain.from_iterable(map(read_pairs, files))]
    dataset = task_set(data, *files)
    folder = _folder("sweep", out, [dataset.name, asked.split, asked.agent], asked, pairs=[*map(str, files)])
    with made_with(dataset, folder):
        result = run(records, dataset, folder, asked, judge=of_answers, command=command_line.get())
    _report(folder)
    return result


@verb
def ablate(
    data: SeveralData,
    out: Out = None,
    *,
    judge: Judge = "rule",
    judge_options: JudgeOptions = NOTHING,
    **settings: Annotated[Any, AblationSettings],
) -> StudyResult:
    """Mine and train the same runs in several ways, and compare them all: what does each part contribute?

    Agents run once on the training tasks; each arm mines that its own way, trains, and is tried on held-out tasks.
    Rerun with more arms, seeds or task sets, or another split, to run only what is missing.

    In Python, further arguments are the fields of :class:`AblationSettings`.
    """
    from lrat_sim.study import AblationSettings
    from lrat_sim.study import ablate as run
    from lrat_sim.study.arm_table import load_arms

    asked, of_browses = build(AblationSettings, settings), judge_of_browses(judge, judge_options)
    load_arms(asked.arms, asked.table)  # a wrong name is said before a task set is prepared
    asked.load_agent(asked.agent)
    sets = task_sets(data)
    folder = _folder("ablate", out, [*sets, asked.agent], asked)
    with made_with(next(iter(sets.values())), folder):
        result = run(sets, folder, asked, judge=of_browses, command=command_line.get())
    for cell in result.comparisons:
        _report(folder / cell)
    return result


@verb
def flywheel(
    data: Data,
    out: Out = None,
    *,
    judge: Judge = "rule",
    judge_options: JudgeOptions = NOTHING,
    **settings: Annotated[Any, FlywheelSettings],
) -> FlywheelResult:
    """Improve a retriever in rounds: collect, mine, train, index, and measure on held-out tasks.

    In Python, further arguments are the fields of :class:`FlywheelSettings`.
    """
    from lrat_sim.study import FlywheelSettings
    from lrat_sim.study import flywheel as run

    asked, of_browses = build(FlywheelSettings, settings), judge_of_browses(judge, judge_options)
    asked.named("baselines", asked.baselines)  # a wrong name is said before a task set is prepared
    asked.load_agent(asked.agent)
    dataset = task_set(data)
    folder = _folder("flywheel", out, [dataset.name, asked.agent, asked.mining], asked)
    with made_with(dataset, folder):
        result = run(dataset, folder, asked, judge=of_browses, command=command_line.get())
    _report(folder)
    return result


@verb
def demo(
    out: Out = DEMO,
    *,
    mining: Annotated[
        str, Meta(description="Mining recipe, by name or path; mine-paper is the LRAT paper's.")
    ] = "mine-recommended",
) -> FlywheelResult:
    """Run the whole loop once on a small generated world, with no key and no network."""
    from lrat_sim.study import demo as run
    from lrat_sim.study.flywheel import DEMO as SETTINGS

    asked = msgspec.structs.replace(SETTINGS, mining=mining)
    result = run(Path(out or DEMO), asked, command=command_line.get())
    _report(result.folder)
    return result


@verb
def controls(data: Data, out: Out = None, **settings: Annotated[Any, ControlsSettings]) -> Controls:
    """Check the instrument: shuffled labels gain nothing, the oracle bounds all, runs repeat exactly.

    In Python, further arguments are the fields of :class:`ControlsSettings`.
    """
    from lrat_sim.study import ControlsSettings
    from lrat_sim.study import controls as run

    asked = build(ControlsSettings, settings)
    asked.load_agent(asked.agent)  # a wrong name is said before a task set is prepared
    dataset = task_set(data)
    folder = _folder("controls", out, [dataset.name, asked.agent], asked)
    with made_with(dataset, folder):
        return run(dataset, folder, asked, command=command_line.get())


@verb
def probe(data: Data, out: Out = None, **settings: Annotated[Any, ProbeSettings]) -> Probe:
    """Test an agent as an instrument: how real it is, and whether it notices a spoiled retriever.

    In Python, further arguments are the fields of :class:`ProbeSettings`.
    """
    from lrat_sim.study import ProbeSettings
    from lrat_sim.study import probe as run

    asked = build(ProbeSettings, settings)
    asked.load_agent(asked.agent)  # a wrong name is said before a task set is prepared
    dataset = task_set(data)
    folder = _folder("probe", out, [dataset.name, asked.agent], asked)
    with made_with(dataset, folder):
        return run(dataset, folder, asked, command=command_line.get())


def _folder(name: str, out: Any, words: Sequence[str], settings: Settings, **decisive: Any) -> Path:
    if out is not None:
        return Path(out)
    plain = {key: value for key, value in msgspec.to_builtins(settings).items() if key != "calls"}
    return default_folder(name, words, {**plain, **decisive, "words": [*words]})


def _identity(arm: Any) -> str:
    return str(getattr(arm, "fingerprint", arm))


def _report(folder: Path) -> None:
    from lrat_sim.report import write_report

    write_report(folder, command=command_line.get())
